import asyncio
from typing import Any

import pytest

from asgi_middleware.testing import (
    ASGIViolation,
    HandshakeRefused,
    SocketClosed,
    recording,
    websocket,
)
from asgi_middleware.types import ASGIApp, Receive, Scope, Send
from tests.apps import echo, sending

ACCEPT = {"type": "websocket.accept"}
CLOSE = {"type": "websocket.close"}
TEXT = {"type": "websocket.send", "text": "a"}
DENY: dict[str, Any] = {"type": "websocket.http.response.start", "status": 401, "headers": []}
DENY_BODY = {"type": "websocket.http.response.body", "body": b"who are you"}


async def test_a_socket_sends_and_receives_text_and_bytes() -> None:
    async with websocket(echo, "/ws?a=1") as socket:
        await socket.send("text")
        await socket.send(b"bytes")

        assert await socket.receive() == "text"
        assert await socket.receive() == b"bytes"
        assert socket.headers == ((b"x-app", b"echo"),)


async def test_the_scope_is_like_that_of_a_server() -> None:
    app = recording(echo)

    async with websocket(app, "/ws?a=1", headers={"origin": "http://a"}, subprotocols=["v1"]):
        pass

    scope = app.calls[0].scope
    assert (scope["scheme"], scope["path"], scope["query_string"]) == ("ws", "/ws", b"a=1")
    assert scope["subprotocols"] == ["v1"]
    assert (b"origin", b"http://a") in scope["headers"]
    assert scope["extensions"] == {"websocket.http.response": {}}


async def test_a_socket_shows_the_chosen_subprotocol() -> None:
    async with websocket(sending({**ACCEPT, "subprotocol": "v1"}), subprotocols=["v1"]) as socket:
        assert socket.subprotocol == "v1"


async def test_the_client_closes_at_the_end_of_the_block() -> None:
    app = recording(echo)

    async with websocket(app):
        pass

    assert app.calls[0].received[-1] == {
        "type": "websocket.disconnect",
        "code": 1000,
        "reason": "",
    }


async def test_the_client_can_close_with_a_code() -> None:
    app = recording(echo)

    async with websocket(app) as socket:
        await socket.close(1001, "away")

    assert app.calls[0].received[-1]["code"] == 1001


async def test_receive_raises_when_the_app_closes() -> None:
    async with websocket(sending(ACCEPT, {**CLOSE, "code": 1012, "reason": "later"})) as socket:
        with pytest.raises(SocketClosed) as closed:
            await socket.receive()

    assert (closed.value.code, closed.value.reason) == (1012, "later")


@pytest.mark.parametrize(
    ("app", "status", "code", "body"),
    [
        pytest.param(sending({**CLOSE, "code": 1008}), 403, 1008, b"", id="closed"),
        pytest.param(sending(DENY, DENY_BODY), 401, None, b"who are you", id="denied"),
    ],
)
async def test_a_refused_handshake_has_a_status_and_a_code(
    app: ASGIApp, status: int, code: int | None, body: bytes
) -> None:
    with pytest.raises(HandshakeRefused) as refused:
        async with websocket(app):
            pass

    assert (refused.value.status, refused.value.code, refused.value.body) == (status, code, body)


async def test_websocket_raises_the_exception_of_the_app() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(ACCEPT)
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        async with websocket(app) as socket:
            await socket.receive()


async def test_a_socket_can_cancel_the_app() -> None:
    ended: list[bool] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await echo(scope, receive, send)
        except asyncio.CancelledError:
            ended.append(True)
            raise

    async with websocket(app) as socket:
        socket.cancel()

    assert ended == [True]


async def test_a_cancelled_app_receives_no_disconnect_when_the_socket_block_ends() -> None:
    heard: list[object] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def listen() -> None:
            heard.append(await receive())

        await receive()
        listener = asyncio.create_task(listen())
        await send(ACCEPT)
        try:
            await asyncio.Event().wait()
        finally:
            listener.cancel()
            await asyncio.wait([listener])

    async with websocket(app) as socket:
        socket.cancel()

    assert heard == []


@pytest.mark.parametrize(
    ("messages", "rule"),
    [
        pytest.param([], "without accepting or closing", id="no message"),
        pytest.param([TEXT], "before websocket.accept", id="send first"),
        pytest.param([ACCEPT, ACCEPT], "after the handshake", id="two accepts"),
        pytest.param([ACCEPT, CLOSE, TEXT], "after the socket was closed", id="send after close"),
        pytest.param([{**ACCEPT, "headers": [(b"A", b"b")]}], "in lower case", id="upper case"),
        pytest.param([{**ACCEPT, "subprotocol": b"a"}], "must be of type str", id="subprotocol"),
        pytest.param(
            [ACCEPT, {"type": "websocket.send"}],
            "either bytes or text",
            id="neither text nor bytes",
        ),
        pytest.param(
            [ACCEPT, {**TEXT, "bytes": b"a"}], "either bytes or text", id="both text and bytes"
        ),
        pytest.param([ACCEPT, {**TEXT, "text": b"a"}], "must be of type str", id="text as bytes"),
        pytest.param([{**CLOSE, "code": "1000"}], "must be of type int", id="code str"),
        pytest.param([DENY_BODY], "before websocket.http.response.start", id="denial body first"),
        pytest.param([DENY, DENY], "was sent twice", id="two denials"),
        pytest.param([ACCEPT, DENY], "after websocket.accept", id="denial after accept"),
        pytest.param([DENY, CLOSE], "in the middle of a denial", id="close in a denial"),
        pytest.param(
            [{"type": "http.response.start"}], "not a message that an app sends", id="HTTP"
        ),
    ],
)
async def test_a_violation_names_the_broken_rule(messages: list[Any], rule: str) -> None:
    with pytest.raises(ASGIViolation, match=rule):
        async with websocket(sending(*messages)):
            pass


async def test_a_denial_response_needs_a_server_that_offers_it() -> None:
    with pytest.raises(ASGIViolation, match="does not offer"):
        async with websocket(sending(DENY, DENY_BODY), scope={"extensions": {}}):
            pass
