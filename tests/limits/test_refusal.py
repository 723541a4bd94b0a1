"""How both limits end a request, whatever the app and the server do at the same time."""

import asyncio
import gc
import logging
import sys
import weakref
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

import pytest

from asgi_middleware import RequestBodyLimitMiddleware, RequestTimeoutMiddleware
from asgi_middleware.testing import request
from asgi_middleware.types import ASGIApp, Message, Middleware, Receive, Scope, Send

from ..apps import BODY, START, hello

PART: Message = {"type": "http.request", "body": b"x" * 6, "more_body": True}
DISCONNECT = {"type": "http.disconnect"}


def too_large(app: ASGIApp) -> ASGIApp:
    return RequestBodyLimitMiddleware(app, 10)


def too_slow(app: ASGIApp) -> ASGIApp:
    return RequestBodyLimitMiddleware(app, 1000, timeout=0.02)


def too_late(app: ASGIApp) -> ASGIApp:
    return RequestTimeoutMiddleware(app, 0.02)


EACH = [
    pytest.param(too_large, 413, id="too large"),
    pytest.param(too_slow, 408, id="too slow"),
    pytest.param(too_late, 504, id="too late"),
]
each = pytest.mark.parametrize(("limit", "status"), EACH)
every = pytest.mark.parametrize("limit", [row.values[0] for row in EACH], ids=[r.id for r in EACH])


class Server:
    """A server and its client. The client sends two parts of a body, and then waits."""

    def __init__(self) -> None:
        self.sent: list[Message] = []
        self.parts = [PART, PART]
        self.reads = asyncio.Event()
        self.reads.set()
        self.fails_with: BaseException | None = None

    async def receive(self) -> Message:
        await asyncio.sleep(0)
        if not self.parts:
            await asyncio.Event().wait()
        return self.parts.pop(0)

    async def send(self, message: Message) -> None:
        await self.reads.wait()
        if self.fails_with is not None:
            raise self.fails_with
        self.sent.append(message)

    @property
    def statuses(self) -> list[int]:
        return [each["status"] for each in self.sent if each["type"] == "http.response.start"]

    async def call(self, app: ASGIApp, **scope: Any) -> None:
        async with asyncio.timeout(30):
            await self.call_for_as_long_as_it_takes(app, **scope)

    async def call_for_as_long_as_it_takes(self, app: ASGIApp, **scope: Any) -> None:
        given = {"type": "http", "method": "POST", "path": "/", "headers": [], **scope}
        await app(given, self.receive, self.send)


async def gone(receive: Receive) -> None:
    """Receive until the client has left."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def listens(scope: Scope, receive: Receive, send: Send) -> None:
    await gone(receive)


@each
async def test_an_app_that_receives_in_two_tasks_is_refused_once(
    limit: Middleware, status: int
) -> None:
    ended: list[object] = []

    async def twice(scope: Scope, receive: Receive, send: Send) -> None:
        async def reads() -> None:
            await gone(receive)
            ended.append(1)

        await asyncio.gather(reads(), reads(), reads())

    server = Server()
    await server.call(limit(twice))

    assert server.statuses == [status]
    assert len(server.sent) == 2
    assert len(ended) == 3


@each
async def test_an_app_that_cancels_its_receive_does_not_interrupt_the_refusal(
    limit: Middleware, status: int
) -> None:
    server = Server()
    server.reads.clear()

    async def impatient(scope: Scope, receive: Receive, send: Send) -> None:
        reading = asyncio.ensure_future(gone(receive))
        await asyncio.wait({reading}, timeout=0.2)
        reading.cancel()
        server.reads.set()

    await server.call(limit(impatient))

    assert [message["type"] for message in server.sent] == [
        "http.response.start",
        "http.response.body",
    ]
    assert server.statuses == [status]


@each
async def test_an_app_receives_the_disconnect_before_the_client_reads_the_refusal(
    limit: Middleware, status: int
) -> None:
    server = Server()
    server.reads.clear()
    told = asyncio.Event()

    async def listens_and_tells(scope: Scope, receive: Receive, send: Send) -> None:
        await gone(receive)
        told.set()

    call = asyncio.create_task(server.call(limit(listens_and_tells)))
    async with asyncio.timeout(30):
        await told.wait()
    assert server.sent == []
    server.reads.set()
    await call

    assert server.statuses == [status]


@every
async def test_a_server_that_cancels_a_refused_request_leaves_no_task(limit: Middleware) -> None:
    server = Server()
    server.reads.clear()
    told = asyncio.Event()

    async def stuck(scope: Scope, receive: Receive, send: Send) -> None:
        await gone(receive)
        told.set()
        await asyncio.Event().wait()

    before = asyncio.all_tasks()
    call = asyncio.create_task(server.call(limit(stuck)))
    async with asyncio.timeout(30):
        await told.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await asyncio.sleep(0)

    assert asyncio.all_tasks() == before


@every
async def test_a_client_that_has_left_before_its_refusal_is_not_an_error(limit: Middleware) -> None:
    server = Server()
    server.fails_with = ConnectionResetError()

    await server.call(limit(listens))

    assert server.sent == []


@every
async def test_an_error_of_the_server_as_it_sends_the_refusal_is_raised(
    limit: Middleware,
) -> None:
    server = Server()
    server.fails_with = RuntimeError("of the server")

    with pytest.raises(RuntimeError, match="of the server"):
        await server.call(limit(listens))


class Last(BaseException):
    """An exception that no app should handle."""


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        pytest.param(ValueError(), False, id="an exception"),
        pytest.param(ExceptionGroup("", [ValueError()]), False, id="a group of exceptions"),
        pytest.param(asyncio.CancelledError(), True, id="a cancellation"),
        pytest.param(Last(), True, id="a base exception"),
        pytest.param(BaseExceptionGroup("", [Last()]), True, id="a group of base exceptions"),
        pytest.param(BaseExceptionGroup("", [ValueError(), Last()]), True, id="a mixed group"),
    ],
)
@every
async def test_only_an_exception_of_a_refused_app_is_suppressed_not_a_base_exception(
    limit: Middleware, error: BaseException, passes: bool
) -> None:
    async def raises(scope: Scope, receive: Receive, send: Send) -> None:
        await gone(receive)
        raise error

    server = Server()
    raised: BaseException | None = None
    try:
        await server.call(limit(raises))
    except BaseException as caught:  # noqa: BLE001 -- the table has every kind
        raised = caught

    assert (raised is error) is passes


LATE: list[list[Message]] = [
    [START, BODY],
    [START, {"type": "http.response.pathsend", "path": "/etc/hostname"}],
    [START, {"type": "http.response.zerocopysend", "file": 0}],
    [{**START, "trailers": True}, BODY, {"type": "http.response.trailers", "headers": []}],
    [{"type": "http.response.early_hint", "links": []}, START, BODY],
    [{"type": "http.response.push", "path": "/", "headers": []}],
]


@pytest.mark.parametrize("messages", LATE, ids=lambda messages: messages[-1]["type"])
@each
async def test_whatever_a_refused_app_sends_is_dropped(
    limit: Middleware, status: int, messages: list[Message]
) -> None:
    async def responds(scope: Scope, receive: Receive, send: Send) -> None:
        await gone(receive)
        for message in messages:
            await send(message)

    server = Server()
    await server.call(limit(responds))

    assert [message.get("status") for message in server.sent] == [status, None]


@pytest.mark.parametrize("messages", LATE, ids=lambda messages: messages[-1]["type"])
@every
async def test_whatever_an_app_sends_in_time_passes_unchanged(
    limit: Middleware, messages: list[Message]
) -> None:
    async def responds(scope: Scope, receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)

    server = Server()
    await server.call(limit(responds))

    assert all(got is sent for got, sent in zip(server.sent, messages, strict=True))


@each
async def test_no_second_response_follows_one_that_has_begun(
    limit: Middleware, status: int
) -> None:
    async def early(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        if status == 504:
            await asyncio.sleep(0.1)
        else:
            await gone(receive)
        await send(BODY)

    server = Server()
    await server.call(limit(early))

    assert server.sent == [START, BODY]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="tasks are never eager before 3.12")
@each
async def test_a_limit_works_with_eager_tasks(limit: Middleware, status: int) -> None:
    factory: Any = getattr(asyncio, "eager_task_factory", None)
    asyncio.get_running_loop().set_task_factory(factory)
    server = Server()

    await server.call(limit(listens))

    assert server.statuses == [status]


def runners() -> dict[str, Callable[[Any], Any]]:
    found: dict[str, Callable[[Any], Any]] = {"asyncio": asyncio.run}
    try:
        import uvloop
    except ImportError:
        return found
    return {**found, "uvloop": uvloop.run}


@pytest.mark.parametrize("run", runners().values(), ids=runners().keys())
@each
def test_one_app_serves_in_several_event_loops(
    limit: Middleware, status: int, run: Callable[[Awaitable[list[int]]], list[int]]
) -> None:
    app = limit(listens)
    loops: list[weakref.ref[asyncio.AbstractEventLoop]] = []

    async def serve() -> list[int]:
        loops.append(weakref.ref(asyncio.get_running_loop()))
        server = Server()
        await server.call(app)
        return server.statuses

    assert [run(serve()) for _ in range(3)] == [[status]] * 3

    gc.collect()
    # asyncio may keep the last loop until there is another.
    assert [loop() for loop in loops[:-1]] == [None, None]


async def serves(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await hello(scope, receive, send)


class Thing:
    """An object in the scope or in the context of a request."""


of_request: ContextVar[Thing] = ContextVar("of_request")


@pytest.mark.parametrize("app", [serves, listens], ids=["served", "refused"])
@every
async def test_a_limit_keeps_no_reference_to_a_request(limit: Middleware, app: ASGIApp) -> None:
    limited = limit(app)

    async def one() -> list[weakref.ref[Thing]]:
        in_scope, in_context = Thing(), Thing()
        of_request.set(in_context)
        # Without a timeout of the test, whose timer would keep the context.
        await Server().call_for_as_long_as_it_takes(limited, thing=in_scope)
        return [weakref.ref(in_scope), weakref.ref(in_context)]

    kept = [ref for _ in range(3) for ref in await asyncio.create_task(one())]
    await asyncio.sleep(0)
    gc.collect()

    assert [ref() for ref in kept] == [None] * 6


@every
async def test_a_limit_works_with_any_state_in_the_scope(limit: Middleware) -> None:
    for state in (None, {}, {"timing": "the project's own"}):
        server = Server()
        await server.call(limit(listens), state=state)

        assert len(server.sent) == 2


@every
async def test_an_exception_of_a_refused_app_is_logged_at_debug(
    limit: Middleware, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "asgi_middleware.limits")

    async def raises(scope: Scope, receive: Receive, send: Send) -> None:
        await gone(receive)
        raise ValueError("of the app")

    await Server().call(limit(raises))

    [record] = [record for record in caplog.records if record.exc_info]
    assert record.levelno == logging.DEBUG
    assert "of the app" in str(record.exc_info[1])  # type: ignore[index]


async def test_no_504_is_sent_or_logged_for_a_client_that_has_left(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def goes_on(scope: Scope, receive: Receive, send: Send) -> None:
        await gone(receive)
        await asyncio.sleep(0.1)

    response = await request(too_late(goes_on), disconnect_at=1)

    assert response.messages == ()
    assert caplog.records == []
