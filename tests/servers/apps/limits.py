"""An app that reads bodies, and one that is late, behind both limits."""

import asyncio
from functools import partial

from asgi_middleware import (
    RequestBodyLimitMiddleware,
    RequestTimeoutMiddleware,
    TimingMiddleware,
    compose,
)
from asgi_middleware.types import Receive, Scope, Send

MAX_BODY_SIZE = 100_000
PAUSE = 1.0
TIMEOUT = 1.0


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Respond with the size of the body; at /late/, some time later, unless the client leaves."""
    if scope["type"] != "http":
        return
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        size += len(message.get("body", b""))
        if not message.get("more_body", False):
            break
    if scope["path"] == "/late/":
        leaving = asyncio.ensure_future(receive())
        await asyncio.wait({leaving}, timeout=60)
        if leaving.done():
            return
        leaving.cancel()
    body = str(size).encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


application = compose(
    TimingMiddleware,
    partial(
        RequestBodyLimitMiddleware,
        max_body_size=MAX_BODY_SIZE,
        timeout=PAUSE,
        min_rate=1000,
    ),
    partial(RequestTimeoutMiddleware, timeout=60.0, paths={"/late/": TIMEOUT}),
)(app)
