"""The end of a process that still has streams and WebSockets."""

import asyncio
import logging
import os
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from channels.generic.http import AsyncHttpConsumer  # type: ignore[import-untyped]
from channels.generic.websocket import (  # type: ignore[import-untyped]
    AsyncWebsocketConsumer,
    WebsocketConsumer,
)

from asgi_middleware import (
    Drain,
    HealthMiddleware,
    LifespanMiddleware,
    Readiness,
)
from asgi_middleware.lifespan import drain as module
from asgi_middleware.lifespan.connections import _WebSocket
from asgi_middleware.lifespan.drain import Countdown, Stage
from asgi_middleware.testing import (
    HandshakeRefused,
    SocketClosed,
    recording,
    request,
    stream,
    websocket,
)
from asgi_middleware.types import ASGIApp, Message, Receive, Scope, Send
from tests.apps import BODY, START, hello

from .server import (
    COMPLETE,
    PATIENCE,
    SIGNALS,
    STOPPED,
    Handler,
    Server,
    context,
    forever,
    running,
    stop_failed,
    until,
)

NEVER = 3600.0


@pytest.fixture
def readiness() -> Readiness:
    return Readiness()


def draining(
    app: ASGIApp, readiness: Readiness, *contexts: Any, **options: float
) -> LifespanMiddleware:
    return LifespanMiddleware(
        without_lifespan(app),
        lifespan=contexts,
        readiness=readiness,
        shutdown_timeout=NEVER * 2,
        drain=Drain(**options),
    )


def without_lifespan(app: ASGIApp) -> ASGIApp:
    async def http_and_websocket(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            raise ValueError
        await app(scope, receive, send)

    return http_and_websocket


def kill(number: int = signal.SIGTERM) -> None:
    os.kill(os.getpid(), number)


# --- signals ---


async def test_the_servers_signal_handlers_are_called_and_restored(
    handler: Handler, readiness: Readiness
) -> None:
    app = draining(hello, readiness, grace=NEVER)

    async with running(Server(app)):
        for number in SIGNALS:
            assert signal.getsignal(number) is not handler
        kill(signal.SIGINT)
        kill(signal.SIGTERM)
        assert handler.heard == [signal.SIGINT, signal.SIGTERM]

    assert [signal.getsignal(number) for number in SIGNALS] == [handler, handler, handler]


@pytest.mark.parametrize("number", SIGNALS, ids=["SIGINT", "SIGTERM", "SIGQUIT"])
async def test_readiness_ends_at_once_with_the_first_signal(
    number: int, handler: Handler, readiness: Readiness
) -> None:
    app = draining(hello, readiness, grace=NEVER, hold=NEVER)

    async with running(Server(app)):
        assert readiness.ready
        kill(number)
        assert readiness.reason == "draining"


async def test_handlers_are_chained_once_startup_is_complete(
    handler: Handler, readiness: Readiness
) -> None:
    seen: list[object] = []

    async def look() -> None:
        seen.append(signal.getsignal(signal.SIGTERM))

    app = draining(hello, readiness, context("a", enter=look))
    async with running(Server(app)):
        pass

    assert seen == [handler]


async def test_a_failed_startup_touches_no_handler(handler: Handler, readiness: Readiness) -> None:
    app = draining(hello, readiness, context("a", enter=OSError("no")))

    await Server(app).start()

    assert signal.getsignal(signal.SIGTERM) is handler


async def test_an_ignored_signal_stays_ignored(handler: Handler, readiness: Readiness) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    async with running(Server(draining(hello, readiness))):
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        kill(signal.SIGINT)
        assert readiness.ready


async def test_a_handler_that_somebody_else_sets_meanwhile_stays(
    handler: Handler, readiness: Readiness
) -> None:
    another = Handler()

    async with running(Server(draining(hello, readiness))):
        signal.signal(signal.SIGTERM, another)

    assert signal.getsignal(signal.SIGTERM) is another
    assert signal.getsignal(signal.SIGINT) is handler


async def test_our_handler_passes_a_signal_on_when_it_is_called_after_shutdown(
    handler: Handler, readiness: Readiness
) -> None:
    async with running(Server(draining(hello, readiness, grace=NEVER, hold=NEVER))):
        ours: Any = signal.getsignal(signal.SIGTERM)

    ours(signal.SIGTERM, None)

    assert handler.heard == [signal.SIGTERM]


async def test_a_signal_without_a_handler_takes_its_default_action(
    handler: Handler, readiness: Readiness, monkeypatch: pytest.MonkeyPatch
) -> None:
    raised: list[int] = []
    monkeypatch.setattr(signal, "raise_signal", raised.append)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)

    async with running(Server(draining(hello, readiness))):
        kill()
        assert raised == [signal.SIGTERM]
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_outside_the_main_thread_no_handler_is_touched(readiness: Readiness) -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    during: list[object] = []
    app = draining(hello, readiness, grace=0)

    async def live() -> None:
        server = Server(app)
        assert await server.start() == COMPLETE
        during.extend(signal.getsignal(number) for number in SIGNALS)
        assert await server.stop() == STOPPED

    thread = threading.Thread(target=lambda: asyncio.run(live()))
    thread.start()
    thread.join()

    assert during == before


# --- hold ---


async def test_requests_are_served_during_the_hold_and_the_server_gets_no_signal(
    handler: Handler, readiness: Readiness
) -> None:
    app = HealthMiddleware(draining(hello, readiness, grace=NEVER, hold=NEVER), readiness=readiness)

    async with running(Server(app)):
        assert (await request(app, target="/readyz")).status == 200
        kill()
        assert (await request(app, target="/readyz")).status == 503
        assert (await request(app)).status == 200
        assert handler.heard == []


async def test_the_server_gets_the_signal_after_the_hold(
    handler: Handler, readiness: Readiness
) -> None:
    async with running(Server(draining(hello, readiness, grace=NEVER, hold=0.01))):
        kill()
        await until(lambda: handler.heard)

    assert handler.heard == [signal.SIGTERM]


async def test_a_second_signal_ends_the_hold(handler: Handler, readiness: Readiness) -> None:
    app = draining(endless, readiness, grace=0.01, hold=NEVER)

    async with running(Server(app)), stream(app) as exchange:
        exchange.send_body(b"", more_body=False)
        kill()
        await asyncio.sleep(0.02)
        assert handler.heard == []
        kill(signal.SIGINT)
        assert handler.heard == [signal.SIGINT]
        # The grace period has begun, too.
        assert (await exchange.finish()).complete


async def test_a_shutdown_that_comes_first_ends_the_hold(
    handler: Handler, readiness: Readiness
) -> None:
    # granian gets the signal from the event loop, and does not hold.
    app = draining(endless, readiness, grace=0.01, hold=NEVER)
    server = Server(app)
    await server.start()

    async with stream(app) as exchange:
        exchange.send_body(b"", more_body=False)
        await exchange.message()
        kill()
        assert await server.stop() == STOPPED
        assert (await exchange.finish()).complete
    assert handler.heard == []


# --- the end of the grace period ---


async def endless(scope: Scope, receive: Receive, send: Send) -> None:
    """Stream until the client leaves."""
    await receive()
    await send({**START, "headers": []})
    await send({**BODY, "more_body": True})
    while (await receive())["type"] != "http.disconnect":
        pass


async def test_a_stream_gets_a_disconnect_and_its_response_is_completed(
    handler: Handler, readiness: Readiness
) -> None:
    log: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await endless(scope, receive, send)
        finally:
            log.append("finally")

    wrapped = draining(app, readiness, context("a", log), grace=0.01)
    server = Server(wrapped)
    await server.start()
    async with stream(wrapped) as exchange:
        exchange.send_body(b"", more_body=False)
        await exchange.message()
        kill()
        response = await exchange.finish()

    assert response.complete
    assert response.body == b"hello"
    assert response.messages[-1] == {"type": "http.response.body"}
    assert await server.stop() == STOPPED
    assert log == ["+a", "finally", "-a"]


async def test_a_request_can_end_by_itself_within_the_grace_period(
    handler: Handler, readiness: Readiness
) -> None:
    go_on = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await go_on.wait()
        await hello(scope, receive, send)

    wrapped = draining(app, readiness, grace=NEVER)
    server = Server(wrapped)
    await server.start()
    slow = asyncio.ensure_future(request(wrapped))
    await asyncio.sleep(0)
    kill()
    stopping = asyncio.ensure_future(server.stop())
    await asyncio.sleep(0.01)
    assert not stopping.done()
    go_on.set()

    response = await slow
    assert (response.status, response.body) == (200, b"hello")
    assert await stopping == STOPPED


async def test_shutdown_without_a_signal_begins_the_grace_period(readiness: Readiness) -> None:
    # hypercorn's workers get no signal.
    app = draining(endless, readiness, grace=0.01)
    server = Server(app)
    await server.start()

    async with stream(app) as exchange:
        exchange.send_body(b"", more_body=False)
        await exchange.message()
        assert await server.stop() == STOPPED
        assert (await exchange.finish()).complete


@pytest.mark.parametrize("later", [False, True], ids=["at once", "later"])
async def test_a_second_signal_ends_the_grace_period_unless_it_follows_at_once(
    later: bool, handler: Handler, readiness: Readiness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_ONE_DECISION", 0.0 if later else NEVER)
    app = draining(endless, readiness, grace=NEVER)

    async with running(Server(app)) as server, stream(app) as exchange:
        exchange.send_body(b"", more_body=False)
        await exchange.message()
        kill()
        await asyncio.sleep(0.01)
        kill()
        await asyncio.sleep(0.01)
        assert handler.heard == [signal.SIGTERM] * 2
        exchange_over = await _over(app)
        assert exchange_over is later
        exchange.disconnect()
        server.task.cancel()


async def _over(app: ASGIApp) -> bool:
    """Tell whether the grace period is over: new requests are refused then."""
    async with stream(app) as exchange:
        exchange.send_body(b"", more_body=False)
        return bool((await exchange.message())["status"] == 503)


async def test_a_request_that_comes_after_the_drain_is_refused(
    handler: Handler, readiness: Readiness
) -> None:
    app = recording(hello)
    wrapped = draining(app, readiness, grace=0)

    async with running(Server(wrapped)):
        kill()
        await asyncio.sleep(0.01)
        response = await request(wrapped)
        assert (response.status, response.get(b"retry-after")) == (503, b"1")
        with pytest.raises(HandshakeRefused):
            async with websocket(wrapped):
                pass

    assert app.calls == []


# --- what is sent in the app's place ---


async def ended(app: ASGIApp, readiness: Readiness, *, scope: dict[str, Any] | None = None) -> Any:
    """Return the response to a request that the drain ends."""
    # Recorded, because a recorded app may spell header names in mixed case.
    wrapped = draining(recording(app), readiness, grace=0)
    async with running(Server(wrapped)):
        call = asyncio.ensure_future(
            request(wrapped, scope=scope or {}, raise_app_exceptions=False)
        )
        await asyncio.sleep(0.01)
        kill()
        return await call


async def listen(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def then_listening(*messages: dict[str, Any]) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)
        await listen(receive)

    return app


PART = {**BODY, "more_body": True}
BARE = {**START, "headers": []}
END = {"type": "http.response.body"}
TRAILERS: dict[str, dict[str, object]] = {"http.response.trailers": {}}


@pytest.mark.parametrize(
    ("sent", "added"),
    [
        pytest.param([BARE], [END], id="start"),
        pytest.param([BARE, PART], [END], id="part"),
        pytest.param([BARE, BODY], [], id="all"),
        pytest.param(
            [{**BARE, "trailers": True}, BODY, {"type": "http.response.trailers", "headers": []}],
            [],
            id="all, with trailers",
        ),
        pytest.param([{**BARE, "headers": iter([(b"x-a", b"1")])}, PART], [END], id="iterator"),
        pytest.param([{"type": "http.response.start", "status": 200}], [END], id="no headers"),
        pytest.param(
            [{**BARE, "trailers": True}, PART],
            [END, {"type": "http.response.trailers", "headers": []}],
            id="trailers promised",
        ),
    ],
)
async def test_the_missing_end_of_a_response_is_added(
    sent: list[Any], added: list[Any], handler: Handler, readiness: Readiness
) -> None:
    response = await ended(
        then_listening(*sent), readiness, scope={"extensions": TRAILERS, "state": {}}
    )

    assert list(response.messages[len(sent) :]) == added
    assert response.complete


@pytest.mark.parametrize(
    "scope",
    [
        pytest.param({"type": "http"}, id="no extensions"),
        pytest.param({"type": "http", "extensions": None}, id="None"),
        pytest.param({"type": "http", "extensions": {"tls": {}}}, id="others"),
    ],
)
@pytest.mark.parametrize(
    ("body", "added"), [pytest.param(PART, [END], id="part"), pytest.param(BODY, [], id="all")]
)
async def test_no_trailers_are_added_if_the_server_offers_none(
    body: Message, added: list[Any], scope: Scope, handler: Handler, readiness: Readiness
) -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    start = {**BARE, "trailers": True}
    wrapped = draining(then_listening(start, dict(body)), readiness, grace=0.01)
    async with running(Server(wrapped)):
        call = asyncio.ensure_future(wrapped(scope, forever, send))
        kill()
        await call

    assert sent == [start, body, *added]


@pytest.mark.parametrize("name", [b"content-length", b"Content-Length"])
async def test_a_response_with_a_content_length_is_left_to_the_server_to_cut(
    name: bytes, handler: Handler, readiness: Readiness
) -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    start = {**BARE, "headers": [(name, b"50")]}
    wrapped = draining(then_listening(start, PART), readiness, grace=0.01)
    async with running(Server(wrapped)):
        call = asyncio.ensure_future(wrapped({"type": "http"}, forever, send))
        kill()
        await call

    assert sent == [start, PART]


async def test_headers_that_can_be_read_only_once_still_arrive(
    handler: Handler, readiness: Readiness
) -> None:
    start = {**BARE, "headers": iter([(b"x-a", b"1")])}

    response = await ended(then_listening(start, PART), readiness)

    assert response.headers == ((b"x-a", b"1"),)


async def test_a_request_without_a_response_gets_a_503(
    handler: Handler, readiness: Readiness
) -> None:
    response = await ended(then_listening(), readiness)

    assert response.complete
    assert response.status == 503
    assert response.get(b"retry-after") == b"1"


async def test_a_message_that_the_app_still_sends_arrives(
    handler: Handler, readiness: Readiness
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(BARE)
        await listen(receive)
        await send({**BODY, "body": b"bye"})

    response = await ended(app, readiness)

    assert response.body == b"bye"
    assert response.messages[-1] == {**BODY, "body": b"bye"}


async def test_an_error_of_the_app_passes_and_nothing_is_added(
    handler: Handler, readiness: Readiness
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(BARE)
        await listen(receive)
        raise OSError("mine")

    response = await ended(app, readiness)

    assert isinstance(response.exception, OSError)
    assert list(response.messages) == [BARE]


async def test_a_response_to_a_client_that_has_gone_is_left_alone(
    handler: Handler, readiness: Readiness
) -> None:
    wrapped = draining(then_listening(BARE, PART), readiness, grace=NEVER)
    async with running(Server(wrapped)), stream(wrapped) as exchange:
        exchange.send_body(b"", more_body=False)
        await exchange.message()
        exchange.disconnect()
        response = await exchange.finish()

    assert list(response.messages) == [BARE, PART]


async def test_a_client_that_does_not_read_the_end_of_a_response_is_not_waited_for(
    handler: Handler, readiness: Readiness
) -> None:
    sent: list[Message] = []
    wrapped = draining(then_listening(BARE), readiness, grace=0)

    async def send(message: Message) -> None:
        sent.append(message)
        if message == END:
            await forever()

    async with running(Server(wrapped)):
        kill()
        await asyncio.sleep(0)
        call = asyncio.ensure_future(wrapped({"type": "http"}, forever, send))
        await asyncio.sleep(0)
        done, _ = await asyncio.wait({call}, timeout=PATIENCE)

    assert done
    assert sent == [BARE, END]


async def test_a_server_that_refuses_the_end_of_a_response_causes_no_error(
    handler: Handler, readiness: Readiness, caplog: pytest.LogCaptureFixture
) -> None:
    wrapped = draining(then_listening(BARE), readiness, grace=0.01)

    async def send(message: Message) -> None:
        if message == END:
            raise RuntimeError("too late")

    async with running(Server(wrapped)):
        call = asyncio.ensure_future(wrapped({"type": "http"}, forever, send))
        kill()
        await call

    assert [record for record in caplog.records if record.levelno > logging.INFO] == []


# --- receive() ---


async def test_the_server_is_never_asked_again_after_a_disconnect(
    handler: Handler, readiness: Readiness
) -> None:
    calls: list[str] = []
    heard: list[Message] = []

    async def receive() -> Message:
        calls.append("receive")
        return {"type": "http.disconnect"}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        heard.extend([await receive(), await receive(), await receive()])

    wrapped = draining(app, readiness, grace=NEVER)
    async with running(Server(wrapped)):
        await wrapped({"type": "http"}, receive, forever)

    assert calls == ["receive"]
    assert heard == [{"type": "http.disconnect"}] * 3


async def test_the_server_is_not_asked_once_the_drain_is_over(
    handler: Handler, readiness: Readiness
) -> None:
    calls: list[str] = []
    heard: list[Message] = []
    go_on = asyncio.Event()

    async def receive() -> Message:
        calls.append("receive")
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        pass

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        heard.append(await receive())
        await go_on.wait()
        heard.extend([await receive(), await receive()])

    wrapped = draining(app, readiness, grace=0)
    async with running(Server(wrapped)):
        call = asyncio.ensure_future(wrapped({"type": "http"}, receive, send))
        await until(lambda: heard)
        kill()
        await asyncio.sleep(0.01)
        go_on.set()
        await call

    assert calls == ["receive"]
    assert heard[1:] == [{"type": "http.disconnect"}] * 2


async def test_the_servers_messages_are_passed_on_unchanged(
    handler: Handler, readiness: Readiness
) -> None:
    message = {"type": "http.request", "body": b"a", "more_body": True, "x-unknown": 1}
    heard: list[Message] = []

    async def receive() -> Message:
        return message

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        heard.append(await receive())

    wrapped = draining(app, readiness)
    async with running(Server(wrapped)):
        await wrapped({"type": "http"}, receive, forever)

    assert heard[0] is message


@pytest.mark.parametrize("error", [OSError("gone"), TimeoutError("slow")], ids=["any", "timeout"])
async def test_an_error_that_the_server_raises_passes(
    error: Exception, handler: Handler, readiness: Readiness
) -> None:
    async def receive() -> Message:
        raise error

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()

    wrapped = draining(app, readiness)
    async with running(Server(wrapped)):
        with pytest.raises(type(error)) as raised:
            await wrapped({"type": "http"}, receive, forever)

    assert raised.value is error


async def test_a_cancellation_of_receive_passes(handler: Handler, readiness: Readiness) -> None:
    log: list[str] = []

    async def receive() -> Message:
        log.append("asked")
        try:
            await forever()
        except asyncio.CancelledError:
            log.append("cancelled")
            raise
        raise AssertionError

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        listening = asyncio.ensure_future(receive())
        await until(lambda: log)
        listening.cancel()  # as Django does
        await asyncio.wait({listening})
        log.append(f"{listening.cancelled()}")

    wrapped = draining(app, readiness)
    async with running(Server(wrapped)):
        await wrapped({"type": "http"}, receive, forever)

    assert log == ["asked", "cancelled", "True"]


# --- WebSockets ---


async def chatting(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while (await receive())["type"] != "websocket.disconnect":
        pass


async def test_an_open_websocket_is_closed_with_1012_and_its_consumer_gets_a_disconnect(
    handler: Handler, readiness: Readiness
) -> None:
    app = recording(chatting)
    log: list[str] = []
    wrapped = draining(app, readiness, context("a", log), grace=0.01)
    server = Server(wrapped)
    await server.start()

    async with websocket(wrapped) as socket:
        kill()
        with pytest.raises(SocketClosed) as closed:
            await socket.receive()
        assert await server.stop() == STOPPED

    assert closed.value.code == 1012
    assert app.calls[0].received[-1] == {
        "type": "websocket.disconnect",
        "code": 1012,
        "reason": "",
    }
    assert log == ["+a", "-a"]


async def closing(
    app: ASGIApp, readiness: Readiness, send: Callable[[Message], Awaitable[None]]
) -> None:
    """Let the drain end a WebSocket whose messages go to *send*."""
    messages = iter([{"type": "websocket.connect"}])

    async def receive() -> Message:
        for message in messages:
            return message
        await forever()
        raise AssertionError

    wrapped = draining(app, readiness, grace=0.01)
    async with running(Server(wrapped)):
        call = asyncio.ensure_future(wrapped({"type": "websocket"}, receive, send))
        await asyncio.sleep(0)
        kill()
        await asyncio.wait_for(call, PATIENCE)


async def test_a_server_that_refuses_1012_is_sent_1000(
    handler: Handler, readiness: Readiness
) -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)
        if message.get("code") == 1012:  # like autobahn, which Daphne uses
            raise Exception("invalid close code 1012")  # noqa: TRY002

    await closing(chatting, readiness, send)

    assert [message.get("code") for message in sent] == [None, 1012, 1000]


async def test_a_client_that_does_not_close_its_websocket_is_not_waited_for(
    handler: Handler, readiness: Readiness
) -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)
        if message["type"] == "websocket.close":
            await forever()

    await closing(chatting, readiness, send)

    assert [message["type"] for message in sent] == ["websocket.accept", "websocket.close"]


async def test_a_message_that_a_consumer_sends_after_the_close_goes_nowhere(
    handler: Handler, readiness: Readiness
) -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await chatting(scope, receive, send)
        await send({"type": "websocket.send", "text": "bye"})
        await send({"type": "websocket.close"})

    await closing(app, readiness, send)

    assert [message["type"] for message in sent] == ["websocket.accept", "websocket.close"]


@pytest.mark.parametrize(
    "last",
    [
        pytest.param({"type": "websocket.close", "code": 4000}, id="closed"),
        pytest.param(
            {"type": "websocket.http.response.start", "status": 403, "headers": []}, id="denied"
        ),
    ],
)
async def test_a_websocket_that_the_app_has_ended_is_not_closed_again(
    last: Message, handler: Handler, readiness: Readiness
) -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(last)
        while (await receive())["type"] != "websocket.disconnect":
            pass

    await closing(app, readiness, send)

    assert sent == [last]


async def test_the_server_is_never_asked_again_after_it_closed_a_websocket(
    handler: Handler, readiness: Readiness
) -> None:
    calls: list[str] = []
    heard: list[Message] = []
    gone = {"type": "websocket.disconnect", "code": 1012, "reason": "uvicorn"}

    async def receive() -> Message:
        calls.append("receive")
        return gone

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        heard.extend([await receive(), await receive()])

    wrapped = draining(app, readiness, grace=NEVER)
    async with running(Server(wrapped)):
        await wrapped({"type": "websocket"}, receive, forever)

    assert calls == ["receive"]
    assert heard == [gone, gone]


# --- apps that only send ---


async def only_sends(scope: Scope, receive: Receive, send: Send) -> None:
    """Stream without ever asking whether the client is still there."""
    await send(BARE)
    while True:
        await send(PART)
        await asyncio.sleep(0.001)


@pytest.mark.parametrize("swallows", [False, True], ids=["ends", "catches the error and ends"])
async def test_an_app_that_only_sends_gets_a_connection_reset_and_its_response_is_completed(
    swallows: bool, handler: Handler, readiness: Readiness
) -> None:
    raised: list[BaseException] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await only_sends(scope, receive, send)
        except ConnectionResetError as error:
            raised.append(error)
            if not swallows:
                raise

    response = await ended(app, readiness)

    assert len(raised) == 1
    assert response.exception is None
    assert response.complete
    assert response.messages[-1] == END


async def test_a_response_that_begins_too_late_is_a_503(
    handler: Handler, readiness: Readiness
) -> None:
    go_on = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await go_on.wait()
        await only_sends(scope, receive, send)

    wrapped = draining(recording(app), readiness, grace=0)
    async with running(Server(wrapped)):
        call = asyncio.ensure_future(request(wrapped))
        await asyncio.sleep(0)
        kill()
        await reset(wrapped)
        go_on.set()
        response = await call

    assert (response.status, response.complete) == (503, True)


async def test_a_response_that_has_begun_may_still_end_by_itself(
    handler: Handler, readiness: Readiness
) -> None:
    go_on = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(BARE)
        await go_on.wait()
        await send({**BODY, "body": b"late"})

    wrapped = draining(app, readiness, grace=0)
    async with running(Server(wrapped)):
        call = asyncio.ensure_future(request(wrapped))
        await asyncio.sleep(0)
        kill()
        await reset(wrapped)
        go_on.set()
        response = await call

    assert (response.body, response.complete) == (b"late", True)


async def test_an_app_waits_no_longer_for_a_client_that_does_not_read(
    handler: Handler, readiness: Readiness
) -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)
        if message == PART:
            await forever()

    wrapped = draining(only_sends, readiness, grace=0.01)
    async with running(Server(wrapped)):
        call = asyncio.ensure_future(wrapped({"type": "http"}, forever, send))
        await asyncio.sleep(0)
        kill()
        await asyncio.wait_for(call, PATIENCE)

    assert sent == [BARE, PART, END]


async def test_the_last_message_to_a_client_that_does_not_read_is_not_waited_for_either(
    handler: Handler, readiness: Readiness
) -> None:
    log: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await hello(scope, receive, send)
        finally:
            log.append("finally")

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            await forever()

    wrapped = draining(app, readiness, grace=0.01)
    async with running(Server(wrapped)):
        call = asyncio.ensure_future(wrapped({"type": "http"}, forever, send))
        await asyncio.sleep(0)
        kill()
        await asyncio.wait_for(call, PATIENCE)

    assert log == ["finally"]


async def test_a_cancellation_of_send_passes(handler: Handler, readiness: Readiness) -> None:
    wrapped = draining(only_sends, readiness, grace=NEVER)
    async with running(Server(wrapped)):
        call = asyncio.ensure_future(wrapped({"type": "http"}, forever, forever))
        await asyncio.sleep(0.01)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call


async def test_an_error_that_an_app_raises_instead_of_our_reset_does_not_reach_the_server(
    handler: Handler, readiness: Readiness
) -> None:
    class ClientDisconnect(Exception):  # noqa: N818 -- as Starlette's
        pass

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await only_sends(scope, receive, send)
        except OSError:
            raise ClientDisconnect from None

    async def in_a_group(scope: Scope, receive: Receive, send: Send) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(only_sends(scope, receive, send))

    for each in (app, in_a_group):
        response = await ended(each, readiness)
        assert (response.exception, response.complete) == (None, True)


async def test_an_app_that_ignores_the_reset_lets_others_go_on(
    handler: Handler, readiness: Readiness
) -> None:
    errors = 0

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal errors
        await send(BARE)
        while errors < 100:
            try:
                await send(PART)
            except OSError:
                errors += 1
            else:
                await asyncio.sleep(0)

    turns = 0

    async def others() -> None:
        nonlocal turns
        while errors < 100:
            await asyncio.sleep(0)
            turns += bool(errors)

    going_on = asyncio.ensure_future(others())
    assert (await ended(app, readiness)).complete
    await going_on
    assert turns >= 99


async def ticking(scope: Scope, receive: Receive, send: Send) -> None:
    """Accept a WebSocket, and only send."""
    await receive()
    await send({"type": "websocket.accept"})
    while True:
        await send({"type": "websocket.send", "text": "tick"})
        await asyncio.sleep(0.001)


async def test_a_consumer_that_only_sends_is_closed_with_1012(
    handler: Handler, readiness: Readiness
) -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    await closing(ticking, readiness, send)

    assert [message["type"] for message in sent[:2]] == ["websocket.accept", "websocket.send"]
    assert [message.get("code") for message in sent if "code" in message] == [1012]
    assert sent[-1]["type"] == "websocket.close"


async def test_the_messages_that_a_websocket_client_has_sent_are_read_at_the_end(
    handler: Handler, readiness: Readiness
) -> None:
    # While its queue is full, hypercorn does not see that the client has closed.
    received: list[Message] = [
        {"type": "websocket.connect"},
        *[{"type": "websocket.receive", "text": "a"}] * 3,
        {"type": "websocket.disconnect", "code": 1012},
    ]

    async def receive() -> Message:
        return received.pop(0)

    async def send(message: Message) -> None:
        pass

    wrapped = draining(ticking, readiness, grace=0)
    async with running(Server(wrapped)):
        call = asyncio.ensure_future(wrapped({"type": "websocket"}, receive, send))
        await asyncio.sleep(0)
        kill()
        await asyncio.wait_for(call, PATIENCE)

    assert received == []


class Http(AsyncHttpConsumer):  # type: ignore[misc]
    async def handle(self, body: bytes) -> None:
        await self.send_headers(headers=[])
        while True:
            await self.send_body(b"tick", more_body=True)
            await asyncio.sleep(0.001)

    async def disconnect(self) -> None:
        ended_consumers.append("http")


class Looping(AsyncWebsocketConsumer):  # type: ignore[misc]
    async def connect(self) -> None:
        await self.accept()
        while True:
            await self.send("tick")
            await asyncio.sleep(0.001)


class LoopingSync(WebsocketConsumer):  # type: ignore[misc]
    def connect(self) -> None:
        self.accept()
        while True:
            self.send("tick")
            time.sleep(0.001)


ended_consumers: list[str] = []


async def test_an_http_consumer_that_loops_in_its_handler_is_ended(
    handler: Handler, readiness: Readiness
) -> None:
    ended_consumers.clear()

    response = await ended(Http.as_asgi(), readiness)

    assert response.exception is None
    assert response.complete
    assert ended_consumers == ["http"]


@pytest.mark.parametrize("consumer", [Looping, LoopingSync])
async def test_a_consumer_that_loops_in_its_handler_is_closed_with_1012(
    consumer: Any, handler: Handler, readiness: Readiness
) -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    await closing(consumer.as_asgi(), readiness, send)

    assert [message.get("code") for message in sent if "code" in message] == [1012]
    assert sent[-1]["type"] == "websocket.close"


# --- closing ---


async def test_contexts_close_when_the_drain_has_left_nothing_open(
    handler: Handler, readiness: Readiness
) -> None:
    # A server that waits for a client that does not read never asks for shutdown.
    log: list[str] = []
    wrapped = draining(only_sends, readiness, context("a", log), grace=0.01)
    server = Server(wrapped)
    await server.start()

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            await forever()

    call = asyncio.ensure_future(wrapped({"type": "http"}, forever, send))
    await asyncio.sleep(0)
    kill()
    await until(lambda: log == ["+a", "-a"])

    assert call.done()
    assert server.sent == [COMPLETE]
    assert (await request(wrapped)).status == 503
    assert await server.stop() == STOPPED
    assert log == ["+a", "-a"]


async def test_contexts_stay_open_as_long_as_a_request_does_not_end(
    handler: Handler, readiness: Readiness
) -> None:
    log: list[str] = []
    go_on = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await go_on.wait()
        await hello(scope, receive, send)

    wrapped = draining(app, readiness, context("a", log), grace=0)
    async with running(Server(wrapped)):
        call = asyncio.ensure_future(request(wrapped))
        await asyncio.sleep(0)
        kill()
        await reset(wrapped)
        assert log == ["+a"]
        go_on.set()
        await call
        await until(lambda: log == ["+a", "-a"])


async def test_a_context_that_fails_at_the_end_of_a_drain_is_reported_to_the_server(
    handler: Handler, readiness: Readiness
) -> None:
    wrapped = draining(hello, readiness, context("a", exit=OSError("no")), grace=0)
    server = Server(wrapped)
    await server.start()
    kill()
    await over(wrapped)

    assert await server.stop() == stop_failed("OSError: no (in a)")


# --- begin() ---


async def test_begin_starts_a_drain_without_a_signal(
    handler: Handler, readiness: Readiness
) -> None:
    drain = Drain(grace=0)
    app = LifespanMiddleware(without_lifespan(endless), readiness=readiness, drain=drain)

    async with running(Server(app)), stream(app) as exchange:
        exchange.send_body(b"", more_body=False)
        await exchange.message()
        drain.begin()
        assert readiness.reason == "draining"
        assert (await exchange.finish()).complete

    assert handler.heard == []


async def test_begin_holds_as_a_signal_does(handler: Handler, readiness: Readiness) -> None:
    drain = Drain(grace=0, hold=NEVER)
    app = LifespanMiddleware(without_lifespan(hello), readiness=readiness, drain=drain)

    async with running(Server(app)):
        drain.begin()
        drain.begin()
        await asyncio.sleep(0.02)
        assert (await request(app)).status == 200
        kill()  # the first signal after begin() ends the hold
        assert handler.heard == [signal.SIGTERM]
        await over(app)


async def test_begin_can_be_called_from_any_thread_and_from_a_signal_handler(
    handler: Handler, readiness: Readiness
) -> None:
    drain = Drain(grace=0)
    app = LifespanMiddleware(without_lifespan(hello), readiness=readiness, drain=drain)

    async with running(Server(app)):
        await asyncio.to_thread(drain.begin)
        await over(app)

    before = signal.signal(signal.SIGUSR1, lambda *_: drain.begin())
    try:
        async with running(Server(app)):
            kill(signal.SIGUSR1)
            await over(app)
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_begin_drains_every_app_that_shares_it_in_each_event_loop(readiness: Readiness) -> None:
    drain = Drain(grace=0)
    apps = [LifespanMiddleware(without_lifespan(hello), drain=drain) for _ in range(2)]
    begun = threading.Barrier(3)

    async def live(app: LifespanMiddleware) -> None:
        async with running(Server(app)):
            await asyncio.to_thread(begun.wait)
            await over(app)

    threads = [threading.Thread(target=asyncio.run, args=(live(app),)) for app in apps]
    for thread in threads:
        thread.start()
    begun.wait()
    drain.begin()
    for thread in threads:
        thread.join()

    drain.begin()  # nothing runs any more


async def test_begin_during_startup_is_not_forgotten(
    handler: Handler, readiness: Readiness
) -> None:
    drain = Drain(grace=0)

    async def begin() -> None:
        drain.begin()

    app = LifespanMiddleware(
        without_lifespan(hello),
        lifespan=[context("a", enter=begin)],
        readiness=readiness,
        drain=drain,
    )

    async with running(Server(app)):
        assert not readiness.ready
        await over(app)


@pytest.mark.parametrize(
    ("hold", "stage"),
    [pytest.param(0.0, Stage.GRACE, id="no hold"), pytest.param(0.1, Stage.HOLD, id="hold")],
)
async def test_a_signal_drains_two_servers_on_one_loop_at_the_same_time(
    hold: float,
    stage: Stage,
    handler: Handler,
    readiness: Readiness,
    caplog: pytest.LogCaptureFixture,
) -> None:
    log: list[str] = []
    drain = Drain(grace=NEVER, hold=hold)
    app = LifespanMiddleware(
        without_lifespan(hello),
        lifespan=[context("a", log)],
        readiness=readiness,
        shutdown_timeout=NEVER * 2,
        drain=drain,
    )
    first, second = Server(app), Server(app)
    await first.start()
    await second.start()

    kill()
    await asyncio.sleep(0)
    assert [countdown._stage for countdown in drain.countdowns] == [stage] * 2
    await until(lambda: handler.heard)
    await second.stop()
    await first.stop()

    assert handler.heard == [signal.SIGTERM]
    assert log == ["+a", "+a", "-a", "-a"]
    assert Counter(map(_without_numbers_of_seconds, caplog.messages)) == {
        "the drain begins (SIGTERM); open: requests 0, streams 0, WebSockets 0": 2,
        "everything is closed, N s after the drain began": 2,
    }


def test_two_drains_with_the_same_times_are_equal() -> None:
    assert Drain(grace=5) == Drain(grace=5.0)
    assert repr(Drain(grace=5.0)) == "Drain(grace=5.0, hold=0.0)"


async def over(app: ASGIApp) -> None:
    async with asyncio.timeout(PATIENCE):
        while (await request(app)).status != 503:  # noqa: ASYNC110 -- of whatever is tested
            await asyncio.sleep(0.001)


async def reset(app: LifespanMiddleware) -> None:
    """Wait until the drain is over and sending raises an error."""
    assert app.drain is not None
    [countdown] = app.drain.countdowns
    connections: Any = countdown._connections
    await until(lambda: countdown.over and all(each._sending.ended for each in connections))


# --- max_requests ---


def recycling(readiness: Readiness, app: ASGIApp = hello, **options: Any) -> LifespanMiddleware:
    options.setdefault("drain", Drain(grace=NEVER))
    return LifespanMiddleware(
        without_lifespan(app), readiness=readiness, shutdown_timeout=NEVER * 2, **options
    )


async def test_after_max_requests_the_process_drains_and_sends_itself_one_sigterm(
    handler: Handler, readiness: Readiness
) -> None:
    app = recycling(readiness, max_requests=3)

    async with running(Server(app)):
        for _ in range(2):
            assert (await request(app)).status == 200
            assert readiness.ready
        assert (await request(app)).status == 200
        assert readiness.reason == "draining"
        await until(lambda: handler.heard)
        for _ in range(5):  # served until the server stops listening
            assert (await request(app)).status == 200

    assert handler.heard == [signal.SIGTERM]


async def test_a_websocket_counts_as_a_request(handler: Handler, readiness: Readiness) -> None:
    app = recycling(readiness, chatting, max_requests=2)

    async with running(Server(app)):
        for number in (1, 2):
            async with websocket(app):
                assert readiness.ready is (number < 2)


async def test_recycling_holds_first(handler: Handler, readiness: Readiness) -> None:
    drain = Drain(grace=NEVER, hold=NEVER)
    app = recycling(readiness, max_requests=1, drain=drain)

    async with running(Server(app)):
        await request(app)
        await asyncio.sleep(0)
        assert handler.heard == []
        assert (await request(app)).status == 200
        assert handler.heard == []
        [countdown] = drain.countdowns
        await take(countdown, "the hold has passed")

    assert handler.heard == [signal.SIGTERM]


async def test_a_signal_from_outside_after_our_own_counts_as_the_first(
    handler: Handler, readiness: Readiness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_ONE_DECISION", 0.0)
    app = recycling(readiness, max_requests=1)

    async with running(Server(app)):
        await request(app)
        await until(lambda: handler.heard)
        kill()
        assert handler.heard == [signal.SIGTERM] * 2
        assert not await _over(app)


async def test_each_process_adds_a_random_number_of_requests(
    handler: Handler, readiness: Readiness
) -> None:
    async def served() -> int:
        app = recycling(readiness, max_requests=2, max_requests_jitter=3)
        async with running(Server(app)):
            for number in range(1, 10):
                await request(app)
                if not readiness.ready:
                    return number
        raise AssertionError

    assert {await served() for _ in range(100)} == {2, 3, 4, 5}


async def test_max_requests_without_a_drain_uses_the_default_drain(readiness: Readiness) -> None:
    app = LifespanMiddleware(hello, max_requests=5)

    assert "drain=Drain(grace=10.0, hold=0.0)" in repr(app)


async def test_max_requests_does_nothing_where_no_server_handles_sigterm(
    handler: Handler, readiness: Readiness, caplog: pytest.LogCaptureFixture
) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    app = recycling(readiness, max_requests=1)

    async with running(Server(app)):
        await request(app)
        await asyncio.sleep(0.01)
        assert readiness.ready

    assert [r.getMessage() for r in caplog.records if r.levelname == "WARNING"] == [
        "max_requests has no effect: nothing handles SIGTERM"
    ]


# --- SIGQUIT ---


async def test_sigquit_becomes_sigterm_where_it_would_end_the_process_at_once(
    handler: Handler, readiness: Readiness
) -> None:
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)

    async with running(Server(draining(hello, readiness, grace=NEVER))):
        kill(signal.SIGQUIT)
        await until(lambda: handler.heard)
        assert readiness.reason == "draining"

    assert handler.heard == [signal.SIGTERM]
    assert signal.getsignal(signal.SIGQUIT) is signal.SIG_DFL


@pytest.mark.parametrize("number", [signal.SIGQUIT, signal.SIGINT], ids=["SIGQUIT", "SIGINT"])
async def test_an_event_loop_gets_sigterm_after_the_hold_instead_of_an_abrupt_signal(
    number: int, handler: Handler, readiness: Readiness
) -> None:
    heard: list[str] = []
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, heard.append, "SIGTERM")
    loop.add_signal_handler(number, heard.append, "abrupt")

    async with running(Server(draining(hello, readiness, grace=NEVER, hold=0.05))):
        kill(number)
        await asyncio.sleep(0.01)
        assert heard == []
        await until(lambda: heard)
        await asyncio.sleep(0.01)
        loop.remove_signal_handler(signal.SIGTERM)

    assert heard == ["SIGTERM"]


# --- the log ---


async def test_the_log_says_when_the_drain_begins_when_grace_is_over_and_when_everything_is_closed(
    handler: Handler, readiness: Readiness, caplog: pytest.LogCaptureFixture
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await chatting(scope, receive, send)
        elif scope["path"] == "/stream":
            await endless(scope, receive, send)
        else:
            await listen(receive)

    wrapped = draining(app, readiness, grace=0.01)
    server = Server(wrapped)
    await server.start()
    async with websocket(wrapped), stream(wrapped, target="/stream") as exchange:
        exchange.send_body(b"", more_body=False)
        await exchange.message()
        call = asyncio.ensure_future(request(wrapped))
        await asyncio.sleep(0.01)
        kill()
        await exchange.finish()
        await call
        await server.stop()

    assert [_without_numbers_of_seconds(line) for line in caplog.messages] == [
        "the drain begins (SIGTERM); open: requests 1, streams 1, WebSockets 1",
        "the grace period is over, N s after the drain began;"
        " ended: requests 1, streams 1, WebSockets 1",
        "everything is closed, N s after the drain began",
    ]
    assert {record.levelname for record in caplog.records} == {"INFO"}


@pytest.mark.parametrize(
    ("begin", "why"),
    [
        pytest.param(lambda drain: drain.begin(), "Drain.begin()", id="begin"),
        pytest.param(lambda _: kill(signal.SIGINT), "SIGINT", id="SIGINT"),
        pytest.param(lambda _: kill(signal.SIGQUIT), "SIGQUIT", id="SIGQUIT"),
        pytest.param(lambda _: None, "shutdown", id="shutdown"),
    ],
)
@pytest.mark.parametrize("hold", [0.0, NEVER], ids=["no hold", "hold"])
async def test_the_log_says_what_began_the_drain(
    begin: Callable[[Drain], object],
    why: str,
    hold: float,
    handler: Handler,
    readiness: Readiness,
    caplog: pytest.LogCaptureFixture,
) -> None:
    drain = Drain(grace=NEVER, hold=hold)
    app = LifespanMiddleware(hello, readiness=readiness, shutdown_timeout=NEVER * 2, drain=drain)

    async with running(Server(app)):
        begin(drain)
        await asyncio.sleep(0.01)

    assert [_without_numbers_of_seconds(line) for line in caplog.messages] == [
        f"the drain begins ({why}); open: requests 0, streams 0, WebSockets 0",
        "everything is closed, N s after the drain began",
    ]


@pytest.mark.parametrize(
    ("hold", "events"),
    [
        pytest.param(0.0, ["signal", "signal"], id="two signals"),
        pytest.param(0.0, ["signal"] * 4, id="four signals"),
        pytest.param(0.02, ["signal"], id="hold"),
        pytest.param(NEVER, ["signal", "signal", "signal"], id="signals that end a hold"),
        pytest.param(0.0, ["begin", "begin"], id="begin() twice"),
        pytest.param(NEVER, ["begin", "signal"], id="a signal after begin()"),
        pytest.param(0.0, ["signal", "begin"], id="begin() after a signal"),
        pytest.param(0.0, ["begin", "shutdown"], id="a shutdown after begin()"),
        pytest.param(0.0, ["signal", "shutdown"], id="a shutdown after a signal"),
        pytest.param(0.0, ["shutdown", "signal"], id="a signal after a shutdown"),
    ],
)
@pytest.mark.parametrize("is_open", [True, False], ids=["a stream", "nothing open"])
async def test_the_log_has_one_line_of_each_kind_however_often_the_drain_is_requested(
    is_open: bool,
    hold: float,
    events: list[str],
    handler: Handler,
    readiness: Readiness,
    caplog: pytest.LogCaptureFixture,
) -> None:
    shut_down_first = not is_open and "shutdown" in events
    serves = without_lifespan(endless if is_open else hello)
    drain = Drain(grace=NEVER if shut_down_first else 0.05, hold=hold)
    app = LifespanMiddleware(serves, readiness=readiness, shutdown_timeout=NEVER * 2, drain=drain)
    server = Server(app)
    await server.start()
    stopping: list[asyncio.Future[Any]] = []
    async with AsyncExitStack() as exits:
        streams = [await exits.enter_async_context(stream(app))] if is_open else []
        for exchange in streams:
            exchange.send_body(b"", more_body=False)
            await exchange.message()
        for event in events:
            match event:
                case "signal":
                    kill()
                case "begin":
                    drain.begin()
                case _:
                    stopping.append(asyncio.ensure_future(server.stop()))
            await asyncio.sleep(0)
        for exchange in streams:
            assert (await exchange.finish()).complete
        if not stopping:
            await over(app)
            await server.stop()
        await asyncio.gather(*stopping)

    lines = Counter(line.partition(",")[0].partition(" (")[0] for line in caplog.messages)
    assert lines == {
        "the drain begins": 1,
        **({} if shut_down_first else {"the grace period is over": 1}),
        "everything is closed": 1,
    }


def test_outside_the_main_thread_one_warning_says_that_no_signal_begins_the_drain(
    readiness: Readiness, caplog: pytest.LogCaptureFixture
) -> None:
    async def live() -> None:
        async with running(Server(draining(hello, readiness))):
            pass

    thread = threading.Thread(target=asyncio.run, args=(live(),))
    thread.start()
    thread.join()

    assert [r.getMessage() for r in caplog.records if r.levelname == "WARNING"] == [
        "no signal begins the drain: the app does not run in the main thread;"
        " call Drain.begin() before you stop the server"
    ]


def _without_numbers_of_seconds(line: str) -> str:
    return re.sub(r"\d+\.\d s", "N s", line)


# --- the table ---

# For each stage: the events that lead there.
STAGES = {
    "serving": [],
    "hold": ["first signal"],
    "hold after begin()": ["begin()"],
    "grace": ["shutdown"],
    "grace after a signal": ["first signal", "another signal"],
    "over": ["shutdown", "the grace has passed"],
}


async def take(countdown: Countdown, event: str) -> None:
    match event:
        case "first signal" | "another signal":
            kill()
        case "begin()":
            countdown.begin()
        case "max_requests":
            countdown._requests_left = 1
            countdown.add(_WebSocket(forever, forever))
        case "the hold has passed":
            timer: Any = countdown._timer
            timer._callback(*timer._args)
        case "shutdown":
            countdown.shut_down()
        case _:
            countdown._advance(Stage.OVER)
    await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("before", "event", "after", "server_hears"),
    [
        ("serving", "first signal", Stage.HOLD, False),
        ("hold after begin()", "first signal", Stage.GRACE, True),
        ("grace", "first signal", Stage.GRACE, True),
        ("over", "first signal", Stage.OVER, True),
        ("hold", "another signal", Stage.GRACE, True),
        ("grace after a signal", "another signal", Stage.OVER, True),
        ("serving", "begin()", Stage.HOLD, False),
        ("hold", "begin()", Stage.HOLD, False),
        ("grace", "begin()", Stage.GRACE, False),
        ("serving", "max_requests", Stage.HOLD, False),
        ("hold", "max_requests", Stage.HOLD, False),
        ("grace", "max_requests", Stage.GRACE, False),
        ("hold", "the hold has passed", Stage.GRACE, True),
        ("hold after begin()", "the hold has passed", Stage.GRACE, False),
        ("serving", "shutdown", Stage.GRACE, False),
        ("hold", "shutdown", Stage.GRACE, False),
        ("hold after begin()", "shutdown", Stage.GRACE, False),
        ("grace", "shutdown", Stage.GRACE, False),
        ("over", "shutdown", Stage.OVER, False),
        ("grace", "the grace has passed", Stage.OVER, False),
    ],
)
async def test_a_drain_goes_from_stage_to_stage_as_its_table_says(
    before: str,
    event: str,
    after: Stage,
    server_hears: bool,
    handler: Handler,
    readiness: Readiness,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_ONE_DECISION", 0.0)
    countdown = Countdown(Drain(grace=NEVER, hold=NEVER), readiness)
    countdown.listen()
    try:
        for earlier in STAGES[before]:
            await take(countdown, earlier)
        handler.heard.clear()

        await take(countdown, event)

        assert countdown._stage is after
        assert bool(handler.heard) is server_hears
    finally:
        countdown.close()


async def test_the_first_signal_begins_the_grace_period_if_there_is_no_hold(
    handler: Handler, readiness: Readiness
) -> None:
    countdown = Countdown(Drain(grace=NEVER), readiness)
    countdown.listen()
    try:
        await take(countdown, "first signal")

        assert countdown._stage is Stage.GRACE
        assert handler.heard == [signal.SIGTERM]
    finally:
        countdown.close()
