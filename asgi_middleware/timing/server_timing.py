"""The ``Server-Timing`` header, as browsers show it in their network panel.

https://www.w3.org/TR/server-timing/#the-server-timing-header-field
"""

import math
import re
from collections.abc import Iterable

# Bytes of the whole field: proxies limit a response's headers to a few KiB in all.
MAX_LENGTH = 2048

_NOT_TOKEN = re.compile(r"[^!#$%&'*+\-.^_`|~0-9A-Za-z]")
_NOT_PRINTABLE = re.compile(r"[^\x20-\x7e]")


def entry(name: str, duration: float, description: str | None, precision: int) -> bytes:
    """Return one metric; *duration* in seconds, written in milliseconds.

    What no token may hold becomes ``_`` in the name and ``?`` in the description. A
    duration that no number can show is left out, a negative one is 0.
    """
    parts = [_NOT_TOKEN.sub("_", name)]
    if math.isfinite(duration):
        parts.append(f"dur={max(duration, 0.0) * 1000:.{precision}f}")
    if description is not None:
        parts.append(f"desc={_quoted(description)}")
    return ";".join(parts).encode("ascii")


def joined(entries: Iterable[bytes]) -> bytes:
    """Return the field's value: as many whole *entries* as fit, in order."""
    kept: list[bytes] = []
    length = 0
    for each in entries:
        length += len(each) + (2 if kept else 0)
        if length > MAX_LENGTH:
            break
        kept.append(each)
    return b", ".join(kept)


def _quoted(text: str) -> str:
    """Return *text* as a token if it is one, else as a quoted string (RFC 9110, 5.6.4)."""
    if text and not _NOT_TOKEN.search(text):
        return text
    text = _NOT_PRINTABLE.sub("?", text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'
