"""The user's own say on an origin: the option ``allow_origin_func``."""

import inspect
import logging
from collections.abc import Awaitable
from typing import Protocol

from ..types import Scope

logger = logging.getLogger("asgi_middleware.cors")


class OriginFunction(Protocol):
    """``(origin, scope) -> bool``, or an awaitable of one; only ``True`` allows."""

    def __call__(self, origin: str, scope: Scope, /) -> bool | Awaitable[bool]: ...


async def allows(function: OriginFunction, origin: str, scope: Scope) -> bool:
    """Ask *function*; one that fails has refused, and that is logged."""
    try:
        verdict = function(origin, scope)
        if inspect.isawaitable(verdict):
            verdict = await verdict
    except Exception:
        logger.exception("allow_origin_func failed; the origin is refused")
        return False
    # Nothing that is merely true, as a coroutine is that was forgotten in there.
    return verdict is True
