"""Responses, refusals and closes that a layer sends in the app's place."""

from collections.abc import Awaitable

from .types import Headers, Message, Receive, Scope, Send

# https://www.iana.org/assignments/websocket/websocket.xhtml#close-code-number
NORMAL_CLOSURE, POLICY_VIOLATION, SERVICE_RESTART, TRY_AGAIN_LATER = 1000, 1008, 1012, 1013


async def send_response(send: Send, status: int, headers: Headers, body: bytes = b"") -> None:
    """Send a whole HTTP response."""
    await send({"type": "http.response.start", "status": status, "headers": list(headers)})
    await send({"type": "http.response.body", "body": body})


async def send_text(send: Send, status: int, headers: Headers, text: str) -> None:
    """Send a whole response with one short line of text."""
    body = text.encode()
    about_body = (
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
    )
    await send_response(send, status, (*about_body, *headers), body)


async def send_unavailable(send: Send, text: str, retry_after: int) -> None:
    """Send a 503 that no cache keeps; *retry_after* is in seconds."""
    headers = ((b"retry-after", str(retry_after).encode()), (b"cache-control", b"no-store"))
    await send_text(send, 503, headers, text)


async def refuse_handshake(
    scope: Scope, receive: Receive, send: Send, status: int, text: str
) -> None:
    """Refuse a WebSocket before it is open, with *status* if the server can send one.

    https://asgi.readthedocs.io/en/latest/extensions.html#websocket-denial-response
    """
    await receive()  # websocket.connect, which must be received before a response
    if "websocket.http.response" not in (scope.get("extensions") or {}):
        # Servers turn this into a 403. https://www.rfc-editor.org/rfc/rfc6455#section-7.4.1
        await send({"type": "websocket.close", "code": POLICY_VIOLATION})
        return

    def denying(message: Message) -> Awaitable[None]:
        return send({**message, "type": f"websocket.{message['type']}"})

    await send_text(denying, status, (), text)


async def close_websocket(send: Send, code: int) -> None:
    """Close a WebSocket with *code*, or with 1000 on a server that cannot send that code.

    autobahn, which Daphne uses, sends only 1000 and 3000 to 4999, and raises for other codes.
    """
    try:
        await send({"type": "websocket.close", "code": code})
    except Exception:  # noqa: BLE001 -- autobahn raises a bare Exception
        await send({"type": "websocket.close", "code": NORMAL_CLOSURE})
