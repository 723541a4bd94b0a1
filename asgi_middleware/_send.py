"""Answering in the app's place."""

from .types import Headers, Send


async def send_response(send: Send, status: int, headers: Headers, body: bytes = b"") -> None:
    """Send a whole HTTP response."""
    await send({"type": "http.response.start", "status": status, "headers": list(headers)})
    await send({"type": "http.response.body", "body": body})


async def send_text(send: Send, status: int, headers: Headers, text: str) -> None:
    """Send a whole response that is one short line of text."""
    body = text.encode()
    about_body = (
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
    )
    await send_response(send, status, (*about_body, *headers), body)
