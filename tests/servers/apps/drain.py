"""An app with a path for each way in which an ASGI app may behave at its end, without Django.

Environment variables: ``GRACE`` and ``HOLD``, the seconds of the drain, and ``MAX_REQUESTS``.
"""

import asyncio
import logging
import os
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from asgi_middleware import (
    Drain,
    HealthMiddleware,
    LifespanMiddleware,
    Readiness,
    ThreadPool,
    ThreadPoolMiddleware,
    compose,
)
from asgi_middleware.types import Message, Receive, Scope, Send

from .lifespan.log import say

# The test reads the log of the drain from the server's output.
logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(name)s: %(message)s")

SECONDS = 0.5  # of /slow and /sync
HEADERS = [(b"x-process", str(os.getpid()).encode())]
START: Message = {"type": "http.response.start", "status": 200, "headers": HEADERS}
PART: Message = {"type": "http.response.body", "body": b"part\n", "more_body": True}
# A few messages of this size are larger than all buffers on the way.
BIG: Message = {**PART, "body": b"big\n" * 250_000}


async def slow(receive: Receive, send: Send) -> None:
    await asyncio.sleep(SECONDS)
    await respond(send)


async def sync(receive: Receive, send: Send) -> None:
    await asyncio.to_thread(time.sleep, SECONDS)
    await respond(send)


async def receives(receive: Receive, send: Send) -> None:
    """Stream until a disconnect is received."""
    await send(START)
    await send(PART)
    while (await receive())["type"] not in ("http.disconnect", "websocket.disconnect"):
        pass


async def asks(receive: Receive, send: Send) -> None:
    """Call receive forever, whatever it returns."""
    await send(START)
    await send(PART)
    while True:
        await receive()


async def sends(receive: Receive, send: Send, *, part: Message = PART) -> None:
    """Stream without ever asking whether the client is still there."""
    await send(START)
    while True:
        await send(part)
        await asyncio.sleep(0.05)


async def file(receive: Receive, send: Send) -> None:
    """Send a file, with its length."""
    length = (b"content-length", str(100 * len(BIG["body"])).encode())
    await send({**START, "headers": [*HEADERS, length]})
    for number in range(100):
        await send({**BIG, "more_body": number < 99})


async def both(receive: Receive, send: Send) -> None:
    """Stream while waiting for a disconnect."""
    sending = asyncio.create_task(sends(receive, send, part=BIG))
    while (await receive())["type"] != "http.disconnect":
        pass
    sending.cancel()
    await asyncio.wait({sending})


async def upload(receive: Receive, send: Send) -> None:
    """Respond with the size of the body."""
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        size += len(message.get("body", b""))
        more = message.get("more_body", False)
    await respond(send, str(size).encode())


async def respond(send: Send, body: bytes = b"whole") -> None:
    await send(START)
    await send({"type": "http.response.body", "body": body})


async def chat(receive: Receive, send: Send) -> None:
    while (message := await receive())["type"] != "websocket.disconnect":
        await send({"type": "websocket.send", "text": message.get("text") or ""})


async def ticks(receive: Receive, send: Send) -> None:
    while True:
        await send({"type": "websocket.send", "text": "tick"})
        await asyncio.sleep(0.05)


async def flood(receive: Receive, send: Send) -> None:
    while True:
        await send({"type": "websocket.send", "bytes": BIG["body"]})
        await asyncio.sleep(0.01)


async def page(receive: Receive, send: Send) -> None:
    await respond(send)


HTTP: dict[str, Callable[[Receive, Send], Awaitable[None]]] = {
    "page": page,
    "slow": slow,
    "sync": sync,
    "receives": receives,
    "asks": asks,
    "sends": sends,
    "big": partial(sends, part=BIG),
    "file": file,
    "both": both,
    "upload": upload,
}
WEBSOCKET = {"chat": chat, "ticks": ticks, "flood": flood, "undecided": chat}


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        raise ValueError
    name = scope["path"].strip("/")
    # A query distinguishes requests for the same path in the log.
    called = f"{name}?{query}" if (query := scope["query_string"].decode()) else name
    try:
        if scope["type"] == "websocket":
            await receive()
            if name != "undecided":
                await send({"type": "websocket.accept"})
        say(f"{called}: begun")
        await {**HTTP, **WEBSOCKET}[name](receive, send)
    finally:
        say(f"{called}: ended")


@asynccontextmanager
async def resource(_: dict[str, Any]) -> AsyncGenerator[None]:
    say("opened")
    yield
    say("closed")


readiness, pool = Readiness(), ThreadPool()
options: dict[str, Any] = {"max_requests": int(os.environ.get("MAX_REQUESTS", "0")) or None}
if "GRACE" in os.environ:
    grace, hold = float(os.environ["GRACE"]), float(os.environ.get("HOLD", "0"))
    options |= {"drain": Drain(grace=grace, hold=hold), "shutdown_timeout": grace + 10}
application = compose(
    partial(HealthMiddleware, readiness=readiness),
    partial(LifespanMiddleware, lifespan=[pool, resource], readiness=readiness, **options),
    partial(ThreadPoolMiddleware, pool=pool),
)(app)
