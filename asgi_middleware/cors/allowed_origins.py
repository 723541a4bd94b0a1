"""Which origins are allowed, and why: one decision for HTTP and WebSockets."""

import inspect
import logging
import re
from collections.abc import Awaitable, Collection, Sequence
from typing import Literal, Protocol

from .._origins import Patterns, is_pattern, is_sendable
from ..types import Scope

logger = logging.getLogger("asgi_middleware.cors")

# Why an origin is allowed, in the order in which the reasons are tried.
Grant = Literal["every", "listed", "pattern", "regex", "function"]

Regex = str | re.Pattern[str]


class OriginFunction(Protocol):
    """``(origin, scope) -> bool``, or an awaitable of one; only ``True`` allows the origin."""

    def __call__(self, origin: str, scope: Scope, /) -> bool | Awaitable[bool]: ...


class AllowedOrigins:
    """The origins that a configuration allows: ``*``, a list, patterns, regexes, a function."""

    def __init__(
        self,
        origins: Collection[str],
        regexes: Regex | Sequence[Regex] | None = None,
        function: OriginFunction | None = None,
    ) -> None:
        self.include_every = "*" in origins
        self.listed = frozenset(origin.encode() for origin in origins if not is_pattern(origin))
        self.have_function = function is not None
        patterns = [origin for origin in origins if is_pattern(origin)]
        self._patterns = Patterns(patterns) if patterns else None
        # Each regex has its own flags, groups and comments, so they cannot be joined into one.
        each = (regexes,) if isinstance(regexes, str | re.Pattern) else regexes or ()
        self._regexes = [re.compile(regex) for regex in each]
        self._function = function

    def grant(self, origin: bytes) -> Grant | None:
        """Return why *origin* is allowed, or None if only the function can still allow it."""
        if self.include_every:
            return "every"
        if origin in self.listed:
            return "listed"
        if not origin or (self._patterns is None and not self._regexes):
            return None
        text = _text(origin)
        if text is None:
            return None
        if self._patterns is not None and self._patterns.match(text):
            return "pattern"
        if any(regex.fullmatch(text) for regex in self._regexes):
            return "regex"
        return None

    async def grant_by_function(self, origin: bytes, scope: Scope) -> Grant | None:
        """Ask the function about *origin*. If it raises, log the error and refuse the origin."""
        if self._function is None or (text := _text(origin)) is None:
            return None
        try:
            verdict = self._function(text, scope)
            if inspect.isawaitable(verdict):
                verdict = await verdict
        except Exception:
            logger.exception("allow_origin_func failed; the origin is refused")
            return None
        # Only True counts: any other truthy value, such as a string, is probably a mistake.
        return "function" if verdict is True else None


def _text(origin: bytes) -> str | None:
    """Return *origin* as text, or None if no client could send it."""
    text = origin.decode("latin-1")
    return text if is_sendable(text) else None
