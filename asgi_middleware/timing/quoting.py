"""What a client sends, quoted so that it cannot forge a line of a log.

A server passes the path on decoded, not every server checks the method, and behind a proxy the
address may be what a header says.
"""

from urllib.parse import quote

from .labels import KNOWN_METHODS
from .record import RequestTiming, Timing

# What a path may contain (RFC 3986, section 3.3) besides letters, digits and "_.-~".
_PATH_CHARACTERS = "/!$&'()*+,;=:@"
# The same for a method, which is a token (RFC 9110, section 9.1).
_METHOD_CHARACTERS = "!#$&'*+^`|"
# The same for an address: IPv6, with a zone.
_ADDRESS_CHARACTERS = ":[]%"


def quoted_path(record: Timing) -> str:
    return quote(record.scope["path"], safe=_PATH_CHARACTERS, errors="replace")


def quoted_method(record: RequestTiming) -> str:
    if record.method in KNOWN_METHODS:
        return record.method
    return quote(record.method, safe=_METHOD_CHARACTERS, errors="replace")


def quoted_address(record: Timing) -> str | None:
    """Return the address of the client, None if the server does not know it."""
    client = record.scope.get("client")
    if not client or not client[0]:
        return None
    return quote(client[0], safe=_ADDRESS_CHARACTERS, errors="replace")
