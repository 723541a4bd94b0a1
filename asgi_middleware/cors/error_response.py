"""The 500 for an app that raised, so that a page sees an error and not a CORS refusal."""

from contextlib import suppress
from copy import copy
from typing import Any

from .._responses import send_text
from ..types import ASGIApp, Receive, Scope, Send


async def respond_to_error(
    layer: Any, error: Exception, scope: Scope, receive: Receive, send: Send
) -> None:
    """Send the response that *error* would get without the middleware *layer*, if that is known.

    A server would send a 500 of its own. But Starlette and FastAPI respond to errors outside
    everything that ``add_middleware`` adds, through a ``send`` that no such middleware can wrap.
    """
    framework: Any = scope.get("app")  # where Starlette, FastAPI and others put themselves
    if framework is None or _leads_to(layer.app, framework):
        with suppress(OSError):  # the client is gone
            await send_text(send, 500, (), "Internal Server Error")
        return
    outermost: Any = getattr(framework, "middleware_stack", None)
    if not _leads_to(outermost, layer):
        return  # we are around one of its routes, and its own exception handlers respond

    async def failing(*_: object) -> None:
        raise error

    # A copy of its error layer responds here, through our `send`, and raises the error again. The
    # original sees that a response has started, and sends no second one.
    within: Any = copy(outermost)
    within.app = failing
    traceback = error.__traceback__
    with suppress(Exception):
        await within(scope, receive, send)
    error.__traceback__ = traceback


def _leads_to(layer: Any, wanted: ASGIApp) -> bool:
    """Tell whether *wanted* is *layer* or inside it, following the attribute ``app`` inwards."""
    while layer is not None and layer is not wanted:
        layer = getattr(layer, "app", None)
    return layer is not None
