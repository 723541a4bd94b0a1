"""strict=False allows what Django and Starlette do to their scope and header names."""

from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.websockets import WebSocket

from asgi_middleware.testing import ASGIViolation, lifespan, request, stream, websocket
from asgi_middleware.types import Receive, Scope, Send
from tests.apps import BODY, START, hello, sending

MIXED = {**START, "headers": [(b"Content-Type", b"text/plain")]}
ACCEPT = {"type": "websocket.accept", "headers": [(b"X-App", b"1")]}


async def page(asked: Request) -> PlainTextResponse:
    return PlainTextResponse(asked.path_params["name"])


async def socket(opened: WebSocket) -> None:
    await opened.accept()
    await opened.send_text(opened.path_params["name"])
    await opened.close()


starlette = Starlette(
    routes=[Mount("/in", routes=[Route("/{name}", page), WebSocketRoute("/ws/{name}", socket)])]
)


async def editing(scope: Any, receive: Receive, send: Send) -> None:
    scope["headers"].append((b"a", b"b"))
    scope["mine"] = 1
    await hello(scope, receive, send)


async def test_without_strict_starlettes_routing_may_edit_its_scope() -> None:
    async with lifespan(starlette, strict=False) as running:
        response = await request(running, target="/in/me", strict=False)
        alone = await request(starlette, target="/in/me", strict=False)
        async with stream(starlette, target="/in/me", strict=False) as exchange:
            exchange.send_body(b"", more_body=False)
            assert (await exchange.message())["status"] == 200
        async with websocket(starlette, "/in/ws/me", strict=False) as opened:
            assert await opened.receive() == "me"

    assert response.text == alone.text == "me"


@pytest.mark.parametrize(
    "app", [pytest.param(sending(MIXED, BODY), id="names"), pytest.param(editing, id="scope")]
)
async def test_request_is_strict_only_with_strict_true(app: Any) -> None:
    assert (await request(app, strict=False)).complete

    with pytest.raises(ASGIViolation):
        await request(app, strict=True)


async def test_without_strict_a_response_keeps_the_header_case_of_the_app() -> None:
    response = await request(sending(MIXED, BODY), strict=False)

    assert response.headers == ((b"Content-Type", b"text/plain"),)
    assert response.get(b"content-type") == b"text/plain"


async def test_stream_and_websocket_are_strict_only_with_strict_true() -> None:
    async with stream(sending(MIXED, BODY), strict=False) as exchange:
        await exchange.message()
    with pytest.raises(ASGIViolation, match="lower case"):
        async with stream(sending(MIXED, BODY), strict=True) as exchange:
            await exchange.message()

    accepting = sending(ACCEPT, {"type": "websocket.close"})
    async with websocket(accepting, strict=False) as opened:
        assert opened.headers == ((b"X-App", b"1"),)
    with pytest.raises(ASGIViolation, match="lower case"):
        async with websocket(accepting, strict=True):
            pass


async def test_lifespan_is_strict_only_with_strict_true() -> None:
    async def edits(scope: Any, receive: Receive, send: Send) -> None:
        scope["app"] = edits
        await hello(scope, receive, send)

    async with lifespan(edits, strict=False):
        pass
    with pytest.raises(ASGIViolation, match="the scope"):
        async with lifespan(edits, strict=True):
            pass


@pytest.mark.parametrize(
    ("messages", "rule"),
    [
        pytest.param(
            [{**START, "headers": [(b"a b", b"")]}], "valid header name", id="not a token"
        ),
        pytest.param([START, {**BODY, "body": "text"}], "of type bytes", id="not bytes"),
        pytest.param([BODY], "before http.response.start", id="out of order"),
    ],
)
async def test_without_strict_any_other_broken_rule_is_still_a_violation(
    messages: list[Any], rule: str
) -> None:
    with pytest.raises(ASGIViolation, match=rule):
        await request(sending(*messages), strict=False)


async def test_without_strict_editing_a_received_message_is_still_a_violation() -> None:
    async def edits(scope: Scope, receive: Any, send: Send) -> None:
        message = await receive()
        message["body"] = b"other"
        await hello(scope, receive, send)

    with pytest.raises(ASGIViolation, match=r"http\.request that the server gave was edited"):
        await request(edits, strict=False)
