"""Requests that are in flight when the process is to end, without a drain."""

import asyncio
import signal

import pytest

from asgi_middleware import LifespanMiddleware, Readiness
from asgi_middleware.testing import request, stream, websocket
from asgi_middleware.types import Receive, Scope, Send
from tests.apps import BODY, START, hello

from .server import STOPPED, Server, context, forever, running, until


class Slow:
    """An app that responds once ``go_on`` is set."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.begun = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            raise ValueError
        self.begun += 1
        await self.go_on.wait()
        await hello(scope, receive, send)


async def test_requests_in_flight_are_awaited_before_anything_closes() -> None:
    log: list[str] = []
    app = Slow()
    wrapped = LifespanMiddleware(app, lifespan=[context("a", log)])
    server = Server(wrapped)
    await server.start()
    requests = [asyncio.ensure_future(request(wrapped)) for _ in range(2)]
    await until(lambda: app.begun == 2)

    stopping = asyncio.ensure_future(server.stop())
    await asyncio.sleep(0.01)
    assert log == ["+a"]
    app.go_on.set()

    assert [response.status for response in await asyncio.gather(*requests)] == [200, 200]
    assert await stopping == STOPPED
    assert log == ["+a", "-a"]


async def test_requests_in_flight_are_not_awaited_forever(caplog: pytest.LogCaptureFixture) -> None:
    log: list[str] = []
    app = Slow()
    wrapped = LifespanMiddleware(app, lifespan=[context("a", log)], shutdown_timeout=0.05)
    server = Server(wrapped)
    await server.start()
    slow = asyncio.ensure_future(request(wrapped))
    await until(lambda: app.begun)

    assert await server.stop() == STOPPED
    assert log == ["+a", "-a"]
    assert caplog.messages == [
        "connections still in flight at shutdown: 1; their resources are closed now"
    ]
    # It is not cancelled either: Django would not clean up.
    app.go_on.set()
    assert (await slow).status == 200


async def test_a_request_that_fails_or_is_cancelled_is_not_awaited() -> None:
    async def failing(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == "/fail":
            raise OSError("mine")
        await forever()

    app = LifespanMiddleware(failing, shutdown_timeout=20)

    async def only_http(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            raise ValueError
        await failing(scope, receive, send)

    app = LifespanMiddleware(only_http)
    async with running(Server(app)):
        with pytest.raises(OSError, match="mine"):
            await request(app, target="/fail")
        waiting = asyncio.ensure_future(request(app))
        await asyncio.sleep(0.01)
        waiting.cancel()
        await asyncio.wait({waiting})


async def test_a_new_request_is_refused_from_shutdown_on() -> None:
    app = Slow()
    wrapped = LifespanMiddleware(app)
    server = Server(wrapped)
    await server.start()
    slow = asyncio.ensure_future(request(wrapped))
    await until(lambda: app.begun)
    stopping = asyncio.ensure_future(server.stop())
    await asyncio.sleep(0.01)

    assert (await request(wrapped)).status == 503
    assert app.begun == 1
    app.go_on.set()
    await asyncio.gather(slow, stopping)


async def test_a_websocket_is_not_awaited_because_nothing_would_end_it() -> None:
    app = LifespanMiddleware(hello)
    server = Server(app)
    await server.start()

    async with websocket(app):
        assert await server.stop() == STOPPED


async def test_the_process_is_not_ready_from_shutdown_on() -> None:
    readiness = Readiness()
    reasons: list[str | None] = []

    async def note() -> None:
        reasons.append(readiness.reason)

    app = LifespanMiddleware(
        hello, lifespan=[context("a", enter=note, exit=note)], readiness=readiness
    )
    reasons.append(readiness.reason)
    async with running(Server(app)):
        reasons.append(readiness.reason)

    assert reasons == ["starting", "starting", None, "shutting down"]


async def test_an_app_without_a_drain_gets_the_servers_receive_and_send() -> None:
    passed: list[object] = []
    given: list[object] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        passed[:] = (receive, send)
        await send(START)
        await send(BODY)

    wrapped = LifespanMiddleware(app)

    async def server(scope: Scope, receive: Receive, send: Send) -> None:
        given[:] = (receive, send)
        await wrapped(scope, receive, send)

    async def lifespan_less(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            raise ValueError
        await app(scope, receive, send)

    wrapped = LifespanMiddleware(lifespan_less)
    async with running(Server(wrapped)), stream(server) as exchange:
        exchange.send_body(b"", more_body=False)
        await exchange.message()

    assert [a is b for a, b in zip(passed, given, strict=True)] == [True, True]


async def test_no_signal_handler_is_touched_without_a_drain() -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    during = {}

    async with running(Server(LifespanMiddleware(hello))):
        during = {number: signal.getsignal(number) for number in before}

    assert before == during == {number: signal.getsignal(number) for number in before}
