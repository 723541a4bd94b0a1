"""A small Starlette app beside Django. It sends back part of what it receives."""

import logging
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from itertools import count

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from asgi_middleware import get_request_id

logger = logging.getLogger(__name__)


@asynccontextmanager
async def counting(_app: Starlette) -> AsyncGenerator[dict[str, Iterator[int]]]:
    """Starlette's own lifespan: entered after the contexts of lifespan.py, exited before them."""
    logger.info("open: the counter of echoes")
    try:
        yield {"echoes": count(1)}
    finally:
        logger.info("closed: the counter of echoes")


async def respond(request: Request) -> JSONResponse:
    """Send back part of the request and of the state.

    ``number`` comes from this app's own lifespan, ``started_at`` from lifespan.py. Most headers are
    not sent back, because a page's script must not read its visitor's cookies here.
    """
    # Metrics need the URL pattern. Django keeps the pattern that matched; Starlette does not.
    request.state.timing.route = "echo/"
    return JSONResponse(
        {
            "number": next(request.state.echoes),
            "request_id": get_request_id(),
            "user_agent": request.headers.get("user-agent"),
            "started_at": request.state.started_at.isoformat(),
        }
    )


echo = Starlette(routes=[Route("/echo/", respond)], lifespan=counting)
