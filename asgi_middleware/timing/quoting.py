"""What a client sends, quoted so that it can neither forge a log line nor flood the log.

Servers decode the path, some do not check the method, and behind a proxy the address may come from
a header.
"""

import re
from urllib.parse import quote

from .labels import KNOWN_METHODS, MAX_LENGTH, cut
from .record import RequestTiming, Timing

# What a path may contain (RFC 3986, section 3.3) besides letters, digits and "_.-~".
_PATH_CHARACTERS = "/!$&'()*+,;=:@"
# The same for a method, which is a token (RFC 9110, section 9.1).
_METHOD_CHARACTERS = "!#$&'*+^`|"
# The same for an address: IPv6, with a zone.
_ADDRESS_CHARACTERS = ":[]%"

# An incomplete quoted character at the end of a text.
_HALF = re.compile("%[0-9A-F]?$")


def quoted_path(record: Timing) -> str:
    return _quoted(record.scope["path"], _PATH_CHARACTERS)


def quoted_method(record: RequestTiming) -> str:
    if record.method in KNOWN_METHODS:
        return record.method
    return _quoted(record.method, _METHOD_CHARACTERS)


def quoted_address(record: Timing) -> str | None:
    """Return the address of the client, or None if the server does not know it."""
    client = record.scope.get("client")
    if not client or not client[0]:
        return None
    return _quoted(client[0], _ADDRESS_CHARACTERS)


def _quoted(text: str, safe: str) -> str:
    # Cut first, so that a long text costs little, and again, because a character may become twelve.
    quoted = quote(cut(text), safe=safe, errors="replace")
    if len(quoted) <= MAX_LENGTH:
        return quoted
    return _HALF.sub("", quoted[: MAX_LENGTH - 3]) + "..."
