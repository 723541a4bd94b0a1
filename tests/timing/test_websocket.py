"""The record of a WebSocket."""

import asyncio
from itertools import count
from typing import Any

import pytest

from asgi_middleware import (
    RequestIDMiddleware,
    TimingMiddleware,
    WebSocketTiming,
    current_timing,
    measure,
)
from asgi_middleware.testing import HandshakeRefused, SocketClosed, request, websocket
from asgi_middleware.types import ASGIApp, Receive, Scope, Send
from tests.apps import echo, hello

ACCEPT = {"type": "websocket.accept"}


def watched(app: ASGIApp) -> tuple[ASGIApp, list[Any]]:
    """Return *app* on a clock that advances by a second at each reading, and its future records."""
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


@pytest.mark.parametrize(
    ("app", "outcome", "accepted", "duration", "close_code", "exception"),
    [
        # Readings of the clock: entry, accept, and the close or the end.
        pytest.param(echo, "ok", 1, 2, 1000, None, id="the client closes"),
        pytest.param(closes, "ok", 1, 2, 4000, None, id="the app closes"),
        pytest.param(returns, "ok", 1, 2, None, None, id="the app returns"),
        pytest.param(refuses, "ok", None, 1, 4001, None, id="refused"),
        pytest.param(denies, "ok", None, 1, None, None, id="refused with a response"),
        pytest.param(raises_first, "error", None, 1, None, KeyError, id="raises before"),
        pytest.param(raises_within, "error", 1, 2, None, KeyError, id="raises while open"),
        pytest.param(raises_afterwards, "ok", 1, 2, 4000, KeyError, id="raises when closed"),
    ],
)
async def test_a_websocket_has_one_record(
    app: ASGIApp,
    outcome: str,
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
    except (HandshakeRefused, KeyError):
        pass

    [record] = records
    assert (record.outcome, record.accepted, record.duration, record.close_code) == (
        outcome,
        accepted,
        duration,
        close_code,
    )
    assert type(record.exception) is (exception or type(None))


async def test_the_duration_includes_the_sending_of_the_close() -> None:
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


async def test_a_client_that_leaves_during_the_handshake_is_a_disconnect() -> None:
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


async def test_a_phase_in_a_websocket_goes_nowhere_not_even_to_an_earlier_request() -> None:
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
