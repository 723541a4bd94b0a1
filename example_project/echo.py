"""A small Starlette app beside Django: it tells what arrives here of a request."""

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
    """The lifespan of Starlette's own kind: entered after those of lifespan.py, exited before."""
    logger.info("open: the counter of echoes")
    try:
        yield {"echoes": count(1)}
    finally:
        logger.info("closed: the counter of echoes")


async def tell(request: Request) -> JSONResponse:
    """Some of what arrived, and of the state: the number is ours, the time that of lifespan.py.

    Not all headers: a page's script must not read its visitor's cookies here.
    """
    # Starlette keeps no pattern, as Django does of a request; the metrics want one.
    request.state.timing.route = "echo/"
    return JSONResponse(
        {
            "number": next(request.state.echoes),
            "request_id": get_request_id(),
            "user_agent": request.headers.get("user-agent"),
            "started_at": request.state.started_at.isoformat(),
        }
    )


echo = Starlette(routes=[Route("/echo/", tell)], lifespan=counting)
