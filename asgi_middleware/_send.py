"""The two things that middleware do with ``send``: change headers, and answer."""

from collections.abc import Awaitable, Callable

from .types import Header, Headers, Message, Send

# The messages that carry a response's headers.
# https://asgi.readthedocs.io/en/latest/specs/www.html
# https://asgi.readthedocs.io/en/latest/extensions.html#websocket-denial-response
_WITH_HEADERS = frozenset(
    {"http.response.start", "websocket.accept", "websocket.http.response.start"}
)


def editing_headers(send: Send, edit: Callable[[Headers], list[Header]]) -> Send:
    """Return a ``send`` that hands on what *edit* makes of a response's headers.

    The message that carries them is copied; every other one is passed on as it
    is. A plain function, not a coroutine: that halves what a body message costs.
    """

    def edited(message: Message) -> Awaitable[None]:
        if message["type"] in _WITH_HEADERS:
            message = {**message, "headers": edit(message.get("headers", ()))}
        return send(message)

    return edited


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
