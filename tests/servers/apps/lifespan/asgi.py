"""Django and Channels, with and without the layers of this package.

Environment variables:

* ``GRACE``, ``HOLD``: the seconds of the drain. Without ``GRACE`` there is no drain.
* ``FAULT``: what is wrong with the second context: ``raises``, ``hangs`` or ``exit hangs``.
* ``GATE``: a file. The first context waits until it exists.
* ``HELD``: a file. The slow views wait until it exists.
"""

import asyncio
import logging
import os
import sys
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import anyio
from channels.routing import (  # type: ignore[import-untyped]
    ProtocolTypeRouter,
    URLRouter,
)
from django.core.asgi import get_asgi_application
from django.urls import path

from asgi_middleware import Drain, HealthMiddleware, LifespanMiddleware, Readiness, compose

from .log import say

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.servers.apps.lifespan.settings"
django_application = get_asgi_application()

from .urls import Consumer, handlers  # noqa: E402 -- Django is set up

# The test reads the log of the drain from the server's output.
drain_log = logging.getLogger("asgi_middleware.lifespan.drain")
drain_log.setLevel(logging.INFO)
drain_log.addHandler(logging.StreamHandler(sys.stdout))

FAULT = os.environ.get("FAULT")
drain = None
if "GRACE" in os.environ:
    drain = Drain(grace=float(os.environ["GRACE"]), hold=float(os.environ.get("HOLD", "0")))


@contextmanager
def first(_state: dict[str, Any]) -> Generator[None]:
    say("first opened")
    while "GATE" in os.environ and not Path(os.environ["GATE"]).exists():
        time.sleep(0.02)
    yield
    say("first closed")


@asynccontextmanager
async def second(_state: dict[str, Any]) -> AsyncGenerator[dict[str, Any]]:
    if FAULT == "raises":
        raise OSError("no database")
    if FAULT == "hangs":
        await asyncio.Event().wait()
    say("second opened")
    yield {"opened_in": os.getpid(), "handlers_at_start_up": handlers()}
    if FAULT == "exit hangs":
        await asyncio.Event().wait()
    say("second closed")


@asynccontextmanager
async def task_group(_state: dict[str, Any]) -> AsyncGenerator[None]:
    async with anyio.create_task_group() as group:
        group.start_soon(anyio.sleep_forever)
        yield
        group.cancel_scope.cancel()
    say("task group closed")


consumer: Any = Consumer.as_asgi()
readiness = Readiness()
django_alone = ProtocolTypeRouter(
    {
        "http": django_application,
        "websocket": URLRouter([path("websocket", consumer)]),
    }
)
application = compose(
    partial(HealthMiddleware, readiness=readiness),
    partial(
        LifespanMiddleware,
        lifespan=[first, second, task_group],
        # Long enough for a startup that does not hang.
        startup_timeout=5 if FAULT == "hangs" else 30,
        shutdown_timeout=5 if FAULT == "exit hangs" else 90,
        readiness=readiness,
        drain=drain,
    ),
)(django_alone)
