"""The 500 in place of an app that raised, so that a page sees an error and not a refusal."""

from contextlib import suppress
from copy import copy
from typing import Any

from .._responses import send_text
from ..types import ASGIApp, Receive, Scope, Send


async def respond_to_error(
    layer: Any, error: Exception, scope: Scope, receive: Receive, send: Send
) -> None:
    """Send the response that *error* would get without *layer*, a middleware, if that is known.

    A server would send a 500 of its own. But Starlette and FastAPI respond outside of all that
    ``add_middleware`` adds, through a ``send`` that a middleware cannot reach.
    """
    framework: Any = scope.get("app")  # as Starlette, FastAPI and others say who they are
    if framework is None or _leads_to(layer.app, framework):
        with suppress(OSError):  # the client is gone
            await send_text(send, 500, (), "Internal Server Error")
        return
    outermost: Any = getattr(framework, "middleware_stack", None)
    if not _leads_to(outermost, layer):
        return  # we are around one of its routes, and its handlers of exceptions respond

    async def failing(*_: object) -> None:
        raise error

    # It responds to an error, and raises it. What it does here, it will do there for nobody.
    within: Any = copy(outermost)
    within.app = failing
    traceback = error.__traceback__
    with suppress(Exception):
        await within(scope, receive, send)
    error.__traceback__ = traceback


def _leads_to(layer: Any, wanted: ASGIApp) -> bool:
    """Tell whether *wanted* is *layer* or inside it, as far as layers say what they are around."""
    while layer is not None and layer is not wanted:
        layer = getattr(layer, "app", None)
    return layer is not None
