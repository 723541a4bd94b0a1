"""The ``Server-Timing`` header, which browsers show in their network panel.

https://www.w3.org/TR/server-timing/#the-server-timing-header-field
"""

import math
import re
from collections.abc import Iterable, Iterator

from .record import RequestTiming

# Bytes of the whole field. Proxies limit all headers of a response to a few KiB.
MAX_LENGTH = 2048
_SEPARATOR = b", "

_NOT_TOKEN = re.compile(r"[^!#$%&'*+\-.^_`|~0-9A-Za-z]")
_NOT_PRINTABLE = re.compile(r"[^\x20-\x7e]")


class ServerTiming:
    """Builds the header: the time to the first byte as *ttfb_name*, the database, the phases."""

    def __init__(self, ttfb_name: str, precision: int) -> None:
        self._ttfb_name = ttfb_name
        self._precision = precision
        name = _token(ttfb_name).replace("%", "%%")
        self._ttfb_only = f"{name};dur=%.{precision}f".encode("ascii")

    def value(self, record: RequestTiming, ttfb: float) -> bytes:
        """Return the field for *record* when the response starts after *ttfb* seconds."""
        # Most requests have nothing else.
        if not record.phases and not record.database_queries and 0 <= ttfb < math.inf:
            return self._ttfb_only % (ttfb * 1000)
        total = 1 + bool(record.database_queries) + len(record.phases) + record.phases_left_out
        return joined(self._entries(record, ttfb), total)

    def _entries(self, record: RequestTiming, ttfb: float) -> Iterator[bytes]:
        yield entry(self._ttfb_name, ttfb, None, self._precision)
        if queries := record.database_queries:
            described = "1 query" if queries == 1 else f"{queries} queries"
            yield entry("db", record.database_time, described, self._precision)
        for phase in record.phases:
            yield entry(phase.name, phase.duration, phase.description, self._precision)


def entry(name: str, duration: float, description: str | None, precision: int) -> bytes:
    """Return one metric. *duration* is in seconds, and in milliseconds in the field.

    In the name, a character that no token may contain becomes ``_``. In the description, a
    character that cannot be printed becomes ``?``. A duration that is not finite is left out,
    and a negative one becomes 0.
    """
    parts = [_token(name)]
    if math.isfinite(duration):
        parts.append(f"dur={max(duration, 0.0) * 1000:.{precision}f}")
    if description is not None:
        parts.append(f"desc={_quoted(description)}")
    return ";".join(parts).encode("ascii")


def joined(entries: Iterable[bytes], total: int) -> bytes:
    """Return the value of the field: as many whole *entries* as fit, in order.

    If fewer than *total* fit, a last entry says how many are left out.
    """
    kept: list[bytes] = []
    room = MAX_LENGTH - len(_left_out(total))
    for each in entries:
        room -= len(each) + len(_SEPARATOR)
        if room < 0:
            break
        kept.append(each)
    if left_out := total - len(kept):
        kept.append(_left_out(left_out))
    return _SEPARATOR.join(kept)


def _left_out(number: int) -> bytes:
    return b'more;desc="%d left out"' % number


def _token(name: str) -> str:
    return _NOT_TOKEN.sub("_", name)


def _quoted(text: str) -> str:
    """Return *text* as a token if it is one, or as a quoted string (RFC 9110, section 5.6.4)."""
    if text and not _NOT_TOKEN.search(text):
        return text
    text = _NOT_PRINTABLE.sub("?", text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'
