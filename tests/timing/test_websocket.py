"""The timing record of a WebSocket."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import pytest

from asgi_middleware import (
    LifespanMiddleware,
    RequestIDMiddleware,
    TimingMiddleware,
    WebSocketOriginMiddleware,
    WebSocketTiming,
    current_timing,
    measure,
)
from asgi_middleware._responses import close_websocket
from asgi_middleware.testing import (
    ASGIViolation,
    HandshakeRefused,
    SocketClosed,
    request,
    websocket,
)
from asgi_middleware.timing import reported_status
from asgi_middleware.types import ASGIApp, Receive, Scope, Send
from tests.apps import echo, hello

ACCEPT = {"type": "websocket.accept"}


def watched(app: ASGIApp) -> tuple[ASGIApp, list[Any]]:
    """Return *app* with timing, and its future records. Each clock reading is a second later."""
    records: list[Any] = []
    ticks = count()
    middleware = TimingMiddleware(app, observers=[records.append], clock=lambda: next(ticks))
    return middleware, records


async def closes(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send(ACCEPT)
    await send({"type": "websocket.close", "code": 4000})
    await receive()  # the disconnect that follows


async def refuses(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.close", "code": 4001})


async def denies(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.http.response.start", "status": 401, "headers": []})
    await send({"type": "websocket.http.response.body", "body": b"no", "more_body": True})
    await send({"type": "websocket.http.response.body", "body": b"!"})


async def returns(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send(ACCEPT)


async def raises_first(scope: Scope, receive: Receive, send: Send) -> None:
    raise KeyError("mine")


async def raises_within(scope: Scope, receive: Receive, send: Send) -> None:
    await returns(scope, receive, send)
    raise KeyError("mine")


async def raises_afterwards(scope: Scope, receive: Receive, send: Send) -> None:
    await closes(scope, receive, send)
    raise KeyError("mine")


async def leaves_unanswered(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()


async def denies_halfway(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.http.response.start", "status": 401, "headers": []})
    raise KeyError("mine")


@pytest.mark.parametrize(
    ("app", "outcome", "status", "accepted", "duration", "close_code", "exception"),
    [
        # The clock is read at entry, at accept, and at the close or the end.
        pytest.param(echo, "ok", None, 1, 2, 1000, None, id="the client closes"),
        pytest.param(closes, "ok", None, 1, 2, 4000, None, id="the app closes"),
        pytest.param(returns, "ok", None, 1, 2, None, None, id="the app returns"),
        pytest.param(refuses, "refused", 403, None, 1, 4001, None, id="refused"),
        pytest.param(denies, "refused", 401, None, 1, None, None, id="refused with a response"),
        pytest.param(
            denies_halfway, "error", 401, None, 1, None, KeyError, id="raises while refusing"
        ),
        pytest.param(leaves_unanswered, "error", 500, None, 1, None, None, id="left unanswered"),
        pytest.param(
            raises_first, "error", 500, None, 1, None, KeyError, id="raises before it is accepted"
        ),
        pytest.param(raises_within, "error", None, 1, 2, None, KeyError, id="raises while open"),
        pytest.param(
            raises_afterwards, "ok", None, 1, 2, 4000, KeyError, id="raises after the close"
        ),
    ],
)
async def test_a_websocket_has_one_record(
    app: ASGIApp,
    outcome: str,
    status: int | None,
    accepted: float | None,
    duration: float,
    close_code: int | None,
    exception: type[BaseException] | None,
) -> None:
    middleware, records = watched(app)

    try:
        async with websocket(middleware) as socket:
            if app is closes:
                with pytest.raises(SocketClosed):
                    await socket.receive()
    except (HandshakeRefused, KeyError, ASGIViolation):
        pass

    [record] = records
    assert (record.outcome, record.status, record.close_code) == (outcome, status, close_code)
    assert (record.accepted, record.duration) == (accepted, duration)
    assert type(record.exception) is (exception or type(None))


async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
    app = WebSocketOriginMiddleware(echo, allow_origins=["https://app.example"])
    await app(scope, receive, send)


@asynccontextmanager
async def broken(state: Any) -> AsyncGenerator[None]:
    raise KeyError("mine")
    yield


async def test_a_handshake_after_a_failed_startup_has_the_outcome_refused() -> None:
    middleware, records = watched(LifespanMiddleware(echo, lifespan=[broken]))

    with pytest.raises(HandshakeRefused):
        async with websocket(middleware):
            pass

    [record] = records
    assert (record.outcome, record.status, record.close_code) == ("refused", 403, 1013)


@pytest.mark.parametrize(
    ("extensions", "close_code"),
    [
        pytest.param({"websocket.http.response": {}}, None, id="with a response"),
        pytest.param({}, 1008, id="with a close"),
    ],
)
async def test_a_handshake_that_a_layer_refuses_has_the_outcome_refused(
    extensions: dict[str, Any], close_code: int | None
) -> None:
    middleware, records = watched(guarded)

    with pytest.raises(HandshakeRefused):
        async with websocket(
            middleware, headers={"origin": "https://a.example"}, scope={"extensions": extensions}
        ):
            pass

    [record] = records
    assert (record.outcome, record.status, record.close_code) == ("refused", 403, close_code)


async def test_the_duration_includes_sending_the_close() -> None:
    log: list[str] = []

    def clock() -> float:
        log.append("reading")
        return 0

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        log.append(message["type"])

    app = TimingMiddleware(refuses, clock=clock)
    await app({"type": "websocket", "path": "/", "headers": []}, receive, send)

    assert log == ["reading", "websocket.close", "reading"]


async def test_a_client_that_leaves_during_the_handshake_has_the_outcome_disconnect() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert (await receive())["type"] == "websocket.connect"
        assert (await receive())["type"] == "websocket.disconnect"

    messages = iter([{"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1006}])

    async def receive() -> Any:
        return next(messages)

    async def send(message: Any) -> None: ...

    middleware, records = watched(app)
    await middleware({"type": "websocket", "path": "/", "headers": []}, receive, send)

    [record] = records
    assert (record.outcome, record.accepted, record.close_code) == ("disconnect", None, 1006)
    assert (record.status, reported_status(record)) == (None, 499)


def connection(*sends: Exception | None) -> tuple[Receive, Send]:
    """Return the server's side of a WebSocket. Each send() ends with the next of *sends*."""
    endings = iter(sends)

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        if (ending := next(endings)) is not None:
            raise ending

    return receive, send


SCOPE = {"type": "websocket", "path": "/", "headers": []}


@pytest.mark.parametrize(
    ("app", "sends", "outcome", "close_code"),
    [
        pytest.param(returns, [OSError()], "disconnect", 1006, id="before it is accepted"),
        pytest.param(refuses, [OSError()], "disconnect", 1006, id="before it is refused"),
        pytest.param(denies, [None, OSError()], "disconnect", 1006, id="while it is refused"),
        pytest.param(closes, [None, OSError()], "ok", 1006, id="before it is closed"),
    ],
)
async def test_a_client_that_left_unnoticed_is_not_an_error_of_the_app(
    app: ASGIApp, sends: list[Exception | None], outcome: str, close_code: int
) -> None:
    # Some servers raise OSError from send() when the client has left.
    middleware, records = watched(app)

    with pytest.raises(OSError):  # noqa: PT011 -- it has no message
        await middleware(SCOPE, *connection(*sends))

    [record] = records
    assert (record.outcome, record.status, record.close_code) == (outcome, None, close_code)
    assert isinstance(record.exception, OSError)


async def test_the_close_code_is_the_one_that_was_sent() -> None:
    # Daphne raises for some codes, and close_websocket then tries again with another.
    async def closes_again(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await close_websocket(send, 1013)

    middleware, records = watched(closes_again)

    await middleware(SCOPE, *connection(Exception("invalid code"), None))

    [record] = records
    assert (record.outcome, record.status, record.close_code) == ("refused", 403, 1000)


async def test_a_cancelled_websocket_has_the_outcome_cancelled() -> None:
    async def waits(scope: Scope, receive: Receive, send: Send) -> None:
        await returns(scope, receive, send)
        await asyncio.Event().wait()

    middleware, records = watched(waits)

    async with websocket(middleware) as socket:
        socket.cancel()

    [record] = records
    assert (record.outcome, record.close_code) == ("cancelled", None)


async def test_a_consumer_can_set_the_route_of_its_record() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"]["timing"].route = "chat/<room>"
        await echo(scope, receive, send)

    middleware, records = watched(app)
    async with websocket(RequestIDMiddleware(middleware), headers={"x-request-id": "abc"}):
        pass

    [record] = records
    assert isinstance(record, WebSocketTiming)
    assert (record.route, record.request_id) == ("chat/<room>", "abc")


async def test_measure_in_a_websocket_adds_no_phase_to_an_earlier_request() -> None:
    seen: list[object] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            seen.append(current_timing())
            with measure("in the socket"):
                pass
        await hello(scope, receive, send)

    middleware, records = watched(app)
    # Some servers upgrade a kept-alive connection in the context of an earlier request.
    await request(middleware)

    async def upgraded(scope: Scope, receive: Receive, send: Send) -> None:
        await middleware({**scope, "type": "http", "method": "GET"}, receive, ignore)
        await middleware(scope, receive, send)

    async def ignore(message: Any) -> None: ...

    async with websocket(upgraded):
        pass

    assert seen == [None]
    assert [record.phases for record in records if not isinstance(record, WebSocketTiming)] == [
        [],
        [],
    ]
