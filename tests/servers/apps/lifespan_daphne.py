"""An app for Daphne that prints what happens.

    daphne tests.servers.apps.lifespan_daphne:application

Environment variables: ``GATE``, a file that startup waits for, and ``FAIL``, with which startup
fails.
"""

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from asgi_middleware import Drain, HealthMiddleware, LifespanMiddleware, Readiness, compose
from asgi_middleware.lifespan.daphne import DaphneLifespan
from asgi_middleware.types import Receive, Scope, Send


@asynccontextmanager
async def pool(_state: dict[str, Any]) -> AsyncGenerator[dict[str, str]]:
    print("opening", flush=True)
    while "GATE" in os.environ and not Path(os.environ["GATE"]).exists():  # noqa: ASYNC110, ASYNC240
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.5)
    if "FAIL" in os.environ:
        raise OSError("no database")
    print("open", flush=True)
    yield {"pool": "open"}
    print("closed", flush=True)


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        raise ValueError
    print(f"request with the pool {scope['state']['pool']}", flush=True)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    if scope["path"] == "/slow":
        await send({"type": "http.response.body", "body": b"begun,", "more_body": True})
        await asyncio.sleep(1)
    await send({"type": "http.response.body", "body": b"done"})
    print("answered", flush=True)


readiness = Readiness()
application = compose(
    DaphneLifespan,
    lambda app: HealthMiddleware(app, readiness=readiness),
    lambda app: LifespanMiddleware(app, lifespan=[pool], readiness=readiness, drain=Drain(grace=5)),
)(app)
