"""The state: how contexts fill it, and how it reaches requests."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from asgi_middleware import LifespanMiddleware, RequestIDMiddleware, TaskSupervisor
from asgi_middleware.lifespan.state import RESERVED, State, merge
from asgi_middleware.testing import lifespan, recording, request, websocket
from asgi_middleware.types import ASGIApp, Receive, Scope, Send
from tests.apps import hello

from .server import Server, context, running, start_failed


def own(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return *state* without our tasks."""
    return {key: value for key, value in state.items() if key != "tasks"}


# --- the rule ---


def test_merge_adds_what_was_yielded_and_its_owner() -> None:
    state: State = {"a": 1}
    owners = {"a": "one"}

    merge(state, owners, {"b": 2}, source="two")

    assert state == {"a": 1, "b": 2}
    assert owners == {"a": "one", "b": "two"}


def test_merge_refuses_a_key_that_is_already_there_and_changes_nothing() -> None:
    state: State = {"a": 1}
    owners = {"a": "one"}

    with pytest.raises(ValueError, match="one and two both set 'a' in the state; rename one"):
        merge(state, owners, {"b": 2, "a": 3}, source="two")

    assert (state, owners) == ({"a": 1}, {"a": "one"})


# --- at startup ---


async def test_a_context_is_given_the_state_of_those_before_it() -> None:
    seen: list[dict[str, Any]] = []

    @asynccontextmanager
    async def second(state: State) -> AsyncGenerator[None]:
        seen.append(own(state))
        yield

    contexts = [context("a", yields={"a": 1}), second]
    async with lifespan(LifespanMiddleware(hello, lifespan=contexts)):
        pass

    assert seen == [{"a": 1}]


@pytest.mark.parametrize("yields", [pytest.param(None, id="None"), pytest.param(1, id="a number")])
async def test_a_value_that_is_not_a_mapping_stays_out_of_the_state(yields: Any) -> None:
    app = LifespanMiddleware(hello, lifespan=[context("a", yields=yields)])

    async with lifespan(app) as running:
        assert own(running.state) == {}


@pytest.mark.parametrize(
    ("yields", "message"),
    [
        pytest.param({"a": 2}, "a and b both set 'a' in the state; rename one", id="another's"),
        pytest.param(
            {"request_id": 2},
            "RequestIDMiddleware and b both set 'request_id' in the state; rename one",
            id="request_id",
        ),
        pytest.param(
            {"timing": 2},
            "TimingMiddleware and b both set 'timing' in the state; rename one",
            id="timing",
        ),
        pytest.param(
            {"tasks": 2},
            "LifespanMiddleware and b both set 'tasks' in the state; rename one",
            id="tasks",
        ),
    ],
)
async def test_two_sources_of_one_key_fail_and_are_named(
    yields: dict[str, int], message: str
) -> None:
    log: list[str] = []
    contexts = [context("a", log, yields={"a": 1}), context("b", log, yields=yields)]
    server = Server(LifespanMiddleware(hello, lifespan=contexts))

    assert await server.start() == start_failed(f"ValueError: {message} (in b)")
    await server.end()
    assert log == ["+a", "+b", "-b", "-a"]


def test_every_key_that_another_layer_sets_is_reserved() -> None:
    assert RESERVED.keys() == {"request_id", "tasks", "timing"}


# --- in the servers' state ---


async def test_the_servers_state_is_filled_and_its_own_keys_stay() -> None:
    state: dict[str, Any] = {"servers": 0}
    app = LifespanMiddleware(hello, lifespan=[context("a", yields={"a": 1})])

    async with running(Server(app, state=state)):
        assert own(state) == {"servers": 0, "a": 1}
        assert isinstance(state["tasks"], TaskSupervisor)


async def test_the_servers_state_is_not_read_at_shutdown() -> None:
    # granian has emptied it by then.
    seen: list[object] = []
    state: dict[str, Any] = {}

    @asynccontextmanager
    async def pool(given: State) -> AsyncGenerator[State]:
        yield {"pool": "open"}
        seen.append(given["pool"])

    async with running(Server(LifespanMiddleware(hello, lifespan=[pool]), state=state)) as server:
        state.clear()
        await server.stop()

    assert seen == ["open"]


async def test_the_scope_of_a_server_that_copies_its_state_is_passed_on() -> None:
    passed: list[object] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        passed[:] = (scope, receive, send)
        await hello(scope, receive, send)

    wrapped = LifespanMiddleware(app)
    given: list[object] = []

    async def server(scope: Scope, receive: Receive, send: Send) -> None:
        given[:] = (scope, receive, send)
        await wrapped(scope, receive, send)

    async with running(Server(wrapped, state={})) as started:
        await request(server, scope={"state": {**(started.state or {}), "a": 1}})

    assert [a is b for a, b in zip(passed, given, strict=True)] == [True] * 3


@pytest.mark.parametrize("kind", ["http", "websocket"])
async def test_each_request_gets_a_copy_of_the_state_if_the_server_has_none(kind: str) -> None:
    app = recording(hello)
    wrapped = LifespanMiddleware(app, lifespan=[context("a", yields={"a": []})])

    async with running(Server(wrapped)):
        for _ in range(2):
            if kind == "http":
                await request(wrapped)
            else:
                async with websocket(wrapped):
                    pass

    states = [call.scope["state"] for call in app.calls[1:]]
    assert [own(state) for state in states] == [{"a": []}, {"a": []}]
    assert states[0] is not states[1]
    assert states[0]["a"] is states[1]["a"]


async def test_a_key_that_an_outer_layer_has_set_for_the_request_stays() -> None:
    app = recording(hello)
    stack: ASGIApp = RequestIDMiddleware(
        LifespanMiddleware(app, lifespan=[context("a", yields={"a": 1})])
    )

    async with running(Server(stack)):
        await request(stack, headers={"x-request-id": "abc"})

    assert own(app.calls[-1].scope["state"]) == {"a": 1, "request_id": "abc"}


@pytest.mark.parametrize(
    ("kept", "expected"),
    [
        pytest.param("nothing", {"a": 1}, id="no state"),
        pytest.param(None, {"a": 1}, id="None"),
        pytest.param({}, {"a": 1}, id="an empty state"),
        pytest.param({"request_id": "abc"}, {"a": 1, "request_id": "abc"}, id="a layer's own key"),
        pytest.param({"a": 2}, {"a": 2}, id="a key of ours"),
    ],
)
@pytest.mark.parametrize("state", [None, {}], ids=["no state at startup", "a state at startup"])
@pytest.mark.parametrize("kind", ["http", "websocket"])
async def test_a_request_gets_the_missing_keys_whatever_the_server_did_at_startup(
    kind: str, state: dict[str, Any] | None, kept: Any, expected: dict[str, Any]
) -> None:
    app = recording(hello)
    wrapped = LifespanMiddleware(app, lifespan=[context("a", yields={"a": 1})])

    async def between(scope: Scope, receive: Receive, send: Send) -> None:
        changed = {key: value for key, value in scope.items() if key != "state"}
        if kept != "nothing":
            changed["state"] = kept
        await wrapped(changed, receive, send)

    async with running(Server(wrapped, state=state)):
        if kind == "http":
            await request(between)
        else:
            async with websocket(between):
                pass

    seen = app.calls[-1].scope["state"]
    assert own(seen) == expected
    assert isinstance(seen["tasks"], TaskSupervisor)


async def test_a_transport_of_httpx_gives_a_view_the_state() -> None:
    app = recording(hello)
    wrapped = LifespanMiddleware(app, lifespan=[context("a", yields={"a": 1})])

    async with running(Server(wrapped, state={})):
        transport = httpx.ASGITransport(wrapped)
        async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
            assert (await client.get("/")).status_code == 200

    assert own(app.calls[-1].scope["state"]) == {"a": 1}


# --- the app inside ---


async def test_the_lifespan_of_the_app_inside_sees_what_contexts_have_yielded() -> None:
    seen: list[dict[str, Any]] = []
    served = recording(hello)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            seen.append(dict(scope["state"]))
            # A layer that copies the state sets the existing keys again.
            scope["state"].update({**scope["state"], "b": 2})
        await served(scope, receive, send)

    state: dict[str, Any] = {"servers": 0}
    wrapped = LifespanMiddleware(app, lifespan=[context("a", yields={"a": 1})])
    async with running(Server(wrapped, state=state)):
        await request(wrapped)

    assert [own(each) for each in seen] == [{"servers": 0, "a": 1}]
    assert own(state) == {"servers": 0, "a": 1, "b": 2}
    assert own(served.calls[-1].scope["state"]) == {"a": 1, "b": 2}


async def test_an_app_inside_that_sets_a_key_of_ours_in_the_state_fails() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"]["tasks"] = []
        await hello(scope, receive, send)

    app.__qualname__ = "app"

    assert await Server(LifespanMiddleware(app)).start() == start_failed(
        "ValueError: LifespanMiddleware and app both set 'tasks' in the state; rename one (in app)"
    )


async def test_another_type_of_scope_passes_untouched() -> None:
    given: tuple[Any, ...] = ({"type": "x-of-tomorrow"}, object(), object())
    passed: list[object] = []

    async def app(*arguments: object) -> None:
        passed.extend(arguments)

    await LifespanMiddleware(app)(*given)

    assert [a is b for a, b in zip(passed, given, strict=True)] == [True] * 3


async def test_a_websocket_is_served() -> None:
    app = LifespanMiddleware(hello)

    async with running(Server(app)), websocket(app) as socket:
        await socket.send("hello")
        assert await socket.receive() == "hello"
