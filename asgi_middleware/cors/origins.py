"""What an origin looks like, and what is wrong with one that does not.

An origin in a configuration has to be written as a browser sends it: scheme, host
and port, lower case, no default port. Then a request's ``Origin`` needs no parsing,
only a comparison. https://html.spec.whatwg.org/multipage/browsers.html#ascii-serialisation-of-an-origin
"""

import re

_ORIGIN = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*)://"
    r"(?P<host>[a-z0-9_-]+(?:\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])"
    r"(?::(?P<port>[1-9][0-9]{0,4}))?"
)
_DEFAULT_PORTS = {"http": "80", "https": "443", "ws": "80", "wss": "443"}


def problem_with(origin: str) -> str | None:
    """Return what keeps *origin* from ever matching a browser's, with the way out."""
    lower = origin.lower()
    if "://" not in origin:
        return f"{origin!r} has no scheme; write {'https://' + lower!r}"
    scheme, _, rest = lower.partition("://")
    authority, slash, _ = rest.partition("/")
    corrected = f"{scheme}://{authority}"
    if slash and rest == authority + slash:
        return f"{origin!r} ends with a slash; write {corrected!r}"
    if slash:
        return f"{origin!r} has a path; write {corrected!r}"
    if origin != lower:
        return f"{origin!r} is not in lower case; write {lower!r}"
    if not (match := _ORIGIN.fullmatch(origin)):
        return f"{origin!r} is no origin; write it like 'https://app.example:8443'"
    port = match["port"]
    if port and _DEFAULT_PORTS.get(scheme) == port:
        return f"{origin!r} names its scheme's default port; write {corrected.rpartition(':')[0]!r}"
    return None
