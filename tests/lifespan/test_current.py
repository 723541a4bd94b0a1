"""``get_state()`` and ``get_tasks()``: whose state they return, and where there is none."""

import asyncio
import gc
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route

from asgi_middleware import Drain, LifespanMiddleware, get_state, get_tasks
from asgi_middleware.testing import lifespan, recording, request, websocket
from asgi_middleware.types import ASGIApp, Receive, Scope, Send
from tests.apps import BODY, START, doing, hello, lives


@asynccontextmanager
async def client(state: dict[str, Any]) -> AsyncGenerator[dict[str, str]]:
    yield {"client": "open"}


both = pytest.mark.parametrize("drain", [None, Drain()], ids=["plain", "drain"])


@both
async def test_get_state_is_the_dict_in_the_scope_of_the_app(drain: Drain | None) -> None:
    app = doing(lambda scope: seen.append(get_state() is scope["state"]))
    seen: list[bool] = []

    async with lifespan(LifespanMiddleware(app, lifespan=[client], drain=drain)) as running:
        seen.clear()
        await request(running)
        await request(running.app)  # without a state from the server
        async with websocket(running):
            pass

    assert seen == [True, True, True]


async def test_get_tasks_is_the_supervisor_of_the_process() -> None:
    seen: list[object] = []
    app = doing(lambda _: seen.append(get_tasks()))

    async with lifespan(LifespanMiddleware(app)) as running:
        seen.clear()
        await request(running)
        assert seen == [running.state["tasks"]]


async def anywhere(function: Callable[[], object]) -> list[object]:
    """Call *function* where a view may: here, in a thread, in a task, and in a generator."""

    async def generator() -> AsyncGenerator[object]:
        yield function()

    async def task() -> object:
        return function()

    return [
        function(),
        await sync_to_async(function)(),
        await asyncio.to_thread(function),
        await asyncio.create_task(task()),
        await anext(generator()),
    ]


async def test_threads_tasks_and_generators_of_a_request_see_its_state() -> None:
    seen: list[object] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            seen.extend(await anywhere(lambda: get_state()["client"]))
        await hello(scope, receive, send)

    async with lifespan(LifespanMiddleware(app, lifespan=[client])) as running:
        await request(running)

    assert seen == ["open"] * 5


async def test_concurrent_requests_each_see_their_own_state() -> None:
    all_here = asyncio.Barrier(20)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await hello(scope, receive, send)
        get_state()["path"] = scope["path"]
        await all_here.wait()
        seen = await anywhere(lambda: get_state()["path"])
        await send(START)
        await send({**BODY, "body": "".join(map(str, seen)).encode()})

    async with lifespan(LifespanMiddleware(app)) as running:
        responses = await asyncio.gather(
            *(request(running, target=f"/{number}") for number in range(20))
        )
        assert "path" not in running.state

    assert [each.text for each in responses] == [f"/{number}" * 5 for number in range(20)]


@both
@pytest.mark.parametrize("raises", [False, True], ids=["returns", "raises"])
async def test_the_end_of_an_inner_request_restores_the_state_of_the_outer(
    raises: bool, drain: Drain | None
) -> None:
    async def inner(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(get_state()["name"])
        if raises:
            raise RuntimeError
        await hello(scope, receive, send)

    def wrapped(app: ASGIApp) -> LifespanMiddleware:
        return LifespanMiddleware(app, drain=drain)

    other = wrapped(inner)

    async def outer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            seen.append(get_state()["name"])
            state = {"state": {**scope["state"], "name": "inner"}}
            await request(other, scope=state, raise_app_exceptions=False)
            try:
                await other({**scope, **state}, receive, send)
            except RuntimeError:
                await hello(scope, receive, send)
            seen.append(get_state()["name"])
        else:
            await lives(scope, receive, send)

    seen: list[str] = []
    async with lifespan(other), lifespan(wrapped(outer)) as running:
        await request(running, scope={"state": {"name": "outer"}})

    assert seen == ["outer", "inner", "inner", "outer"]


async def test_no_state_is_left_where_the_server_awaits_the_app() -> None:
    async with lifespan(LifespanMiddleware(hello)) as running:
        response = await request(running)
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        await running({"type": "http"}, asyncio.Event().wait, send)  # type: ignore[arg-type]

    assert response.status == sent[0]["status"]
    with pytest.raises(LookupError):
        get_state()


async def test_a_request_that_the_garbage_collector_closes_changes_no_other_state() -> None:
    async def waits(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await asyncio.Event().wait()
        else:
            await lives(scope, receive, send)

    async def nothing(*_: Any) -> Any: ...

    left: list[Any] = []

    def collect(scope: Scope) -> None:
        if scope["type"] == "http":
            left.clear()
            gc.collect()
            seen.append(get_state()["name"])

    seen: list[str] = []
    async with (
        lifespan(LifespanMiddleware(waits)) as waiting,
        lifespan(LifespanMiddleware(doing(collect))) as running,
    ):
        left.append(waiting({"type": "http", "state": {"name": "left"}}, nothing, nothing))
        left[0].send(None)
        await request(running, scope={"state": {"name": "other"}})

    assert seen == ["other"]


async def test_a_context_sees_what_the_contexts_before_it_have_yielded() -> None:
    seen: list[object] = []

    @asynccontextmanager
    async def second(state: dict[str, Any]) -> AsyncGenerator[None]:
        seen.append((get_state() is state, get_state()["client"], get_tasks()))
        yield
        seen.append(get_state()["client"])

    @contextmanager
    def third(state: dict[str, Any]) -> Generator[None]:
        seen.append(get_state()["client"])
        yield

    contexts: list[Any] = [client, second, third]
    async with lifespan(LifespanMiddleware(hello, lifespan=contexts)) as running:
        tasks = running.state["tasks"]

    assert seen == [(True, "open", tasks), "open", "open"]


async def test_the_lifespan_of_the_app_inside_sees_the_state_too() -> None:
    seen: list[object] = []

    @asynccontextmanager
    async def inside(_app: object) -> AsyncGenerator[None]:
        seen.append(get_state()["client"])
        yield

    app = LifespanMiddleware(Starlette(lifespan=inside), lifespan=[client])
    async with lifespan(app):
        pass

    assert seen == ["open"]


@pytest.mark.parametrize("spawned_by", ["context", "request"])
async def test_a_supervised_task_sees_what_startup_has_opened_and_nothing_of_a_request(
    spawned_by: str,
) -> None:
    seen: asyncio.Future[tuple[dict[str, Any], object]]
    seen = asyncio.get_running_loop().create_future()
    started = asyncio.Event()

    async def task() -> None:
        await started.wait()
        seen.set_result((dict(get_state()), get_tasks()))

    def spawn() -> None:
        get_tasks().spawn(task, restart="never")

    @asynccontextmanager
    async def spawning(_state: object) -> AsyncGenerator[None]:
        if spawned_by == "context":
            spawn()
        yield

    def serve(scope: Scope) -> None:
        if scope["type"] == "http" and spawned_by == "request":
            spawn()

    app = LifespanMiddleware(doing(serve), lifespan=[spawning, client])
    async with lifespan(app) as running, asyncio.timeout(30):
        started.set()
        await request(running, scope={"state": {"timing": "of a request"}})
        tasks = running.state["tasks"]
        assert await seen == ({"client": "open", "tasks": tasks}, tasks)


async def test_starlette_sees_the_state_in_views_streams_and_background_tasks() -> None:
    seen: list[str] = []

    def background() -> None:
        seen.append(get_state()["client"])

    async def stream() -> AsyncGenerator[str]:
        yield get_state()["client"]

    def sync_view(_request: Request) -> PlainTextResponse:
        return PlainTextResponse(get_state()["client"], background=BackgroundTask(background))

    async def async_view(_request: Request) -> StreamingResponse:
        return StreamingResponse(stream())

    api = Starlette(routes=[Route("/sync", sync_view), Route("/async", async_view)])

    async with lifespan(LifespanMiddleware(api, lifespan=[client])) as running:
        # Recorded, because Starlette edits its scope.
        responses = [
            await request(recording(running), target=target) for target in ("/sync", "/async")
        ]

    assert [*seen, *(each.text for each in responses)] == ["open"] * 3


async def test_a_server_without_lifespan_gets_the_state_at_its_first_request() -> None:
    seen: list[object] = []
    app = doing(lambda _: seen.append((get_state()["client"], get_tasks())))

    middleware = LifespanMiddleware(app, lifespan=[client])
    await request(middleware)

    assert seen[-1] == ("open", seen[-1][1])  # type: ignore[index]


async def test_with_when_missing_warn_the_state_is_empty_and_there_are_no_tasks() -> None:
    seen: list[object] = []

    def view(_: Scope) -> None:
        seen.append(dict(get_state()))
        with pytest.raises(LookupError, match=r"lifespan\.startup; use .*when_missing='start'"):
            get_tasks()

    await request(LifespanMiddleware(doing(view), when_missing="warn"))

    assert seen == [{}]


@pytest.mark.parametrize(
    ("function", "what"),
    [
        pytest.param(get_state, "state", id="state"),
        pytest.param(get_tasks, "task supervisor", id="tasks"),
    ],
)
async def test_without_the_layer_the_error_says_what_to_use(
    function: Callable[[], object], what: str
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        function()

    with pytest.raises(LookupError) as raised:
        await request(app)

    message = str(raised.value)
    assert what in message.partition(" here ")[0]
    assert "application = stack(get_asgi_application())" in message
    assert "with override_state(name=value):" in message
    assert not isinstance(raised.value, KeyError)


async def view_for_both() -> str:
    """Read the state as a view that also works under WSGI does."""
    try:
        return str(get_state()["client"])
    except LookupError:
        return "none"


async def test_one_except_covers_a_missing_layer_and_a_missing_key() -> None:
    async def seen_in(*contexts: Any) -> str:
        found: list[str] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http":
                found.append(await view_for_both())
            await hello(scope, receive, send)

        async with lifespan(LifespanMiddleware(app, lifespan=contexts)) as running:
            await request(running)
        return found[0]

    found: list[Awaitable[str]] = [view_for_both(), seen_in(), seen_in(client)]

    assert [await each for each in found] == ["none", "none", "open"]
