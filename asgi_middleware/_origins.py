"""Origins and patterns of origins: how they are written, and what matches them.

An origin in a configuration has to be written as a browser sends it: scheme, host
and port, lower case, no default port, an international name in its ASCII form. Then a
request's ``Origin`` is looked up as it came, and nothing needs to be normalised.
https://html.spec.whatwg.org/multipage/browsers.html#ascii-serialisation-of-an-origin
"""

import re
from collections.abc import Collection
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import NamedTuple

# Bytes; a scheme, a host name of 253 and a port are not longer.
MAX_LENGTH = 326

_SHAPE = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<host>\[[^\]/]*\]|[^:/\[\]]*)(?::(?P<port>[^/:]*))?"
)
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_PORT = re.compile(r"[1-9][0-9]{0,4}")
DEFAULT_PORTS = {"http": "80", "https": "443", "ws": "80", "wss": "443"}

# Names under which anybody can get one: a page on any of them is a stranger's.
# A short list of what configurations are seen to name; the whole one has thousands.
SHARED_SUFFIXES = frozenset(
    {
        *("co.uk", "org.uk", "ac.uk", "gov.uk", "com.au", "net.au", "co.nz", "co.jp", "ne.jp"),
        *("co.kr", "co.in", "co.za", "com.br", "com.cn", "com.mx", "com.tr", "com.tw", "com.sg"),
        *("github.io", "gitlab.io", "pages.dev", "workers.dev", "vercel.app", "netlify.app"),
        *("web.app", "firebaseapp.com", "herokuapp.com", "onrender.com", "fly.dev", "ngrok.io"),
        *("ngrok-free.app", "azurewebsites.net", "cloudfront.net", "amazonaws.com", "blogspot.com"),
        *("pythonanywhere.com", "appspot.com", "surge.sh", "repl.co", "glitch.me"),
    }
)


class Origin(NamedTuple):
    """The parts of an origin, or of a pattern; ``port`` is empty for the scheme's own."""

    scheme: str
    host: str
    port: str

    def __str__(self) -> str:
        return f"{self.scheme}://{self.host}" + (f":{self.port}" if self.port else "")


def parse(text: str) -> Origin | None:
    """Return the parts of *text* if it has the form of an origin, however odd its host."""
    if len(text) > MAX_LENGTH or not (match := _SHAPE.fullmatch(text)):
        return None
    return Origin(match["scheme"], match["host"], match["port"] or "")


class Patterns:
    """Patterns in a set, so that many cost no more than one.

    ``https://*.example.org`` stands for one label or more, ``http://localhost:*`` for
    any port and none; both may be combined.
    """

    def __init__(self, patterns: Collection[str]) -> None:
        self._patterns = frozenset(
            parsed for pattern in patterns if (parsed := parse(pattern)) is not None
        )

    def match(self, origin: str) -> bool:
        """Tell whether *origin*, as a browser sent it, matches one of the patterns."""
        parsed = parse(origin) if self._patterns else None
        # A pattern itself is no origin, nor is what no browser would write.
        if parsed is None or is_pattern(origin) or problem_with(origin):
            return False
        scheme, host, port = parsed
        return any(
            Origin(scheme, candidate, of_port) in self._patterns
            for candidate in _candidates(host)
            for of_port in (port, "*")
        )


def is_pattern(text: str) -> bool:
    return "://*." in text or text.endswith(":*")


def problem_with(text: str) -> str | None:
    """Return what keeps *text* from ever matching a browser's origin, and the way out.

    *text* is an origin or a pattern of origins.
    """
    if "://" not in text:
        hint = _corrected(f"https://{text}")
        return f"{text!r} has no scheme" + (f"; write {hint!r}" if hint else "")
    hint = _corrected(text)
    if hint == text:
        return None
    way_out = f"; write {hint!r}" if hint else "; write it like 'https://app.example:8443'"
    return f"{text!r} {_fault(text)}{way_out}"


def shared_suffix(pattern: str) -> str | None:
    """Return the name under which anybody could get an origin that *pattern* matches."""
    parsed = parse(pattern)
    if parsed is None or not parsed.host.startswith("*."):
        return None
    base = parsed.host.removeprefix("*.")
    return base if "." not in base or base in SHARED_SUFFIXES else None


def is_loopback(text: str) -> bool:
    """Tell whether an origin is this machine's own: https://w3c.github.io/webappsec-secure-contexts/#is-origin-trustworthy"""
    if (parsed := parse(text)) is None:
        return False
    host = parsed.host
    is_ipv4 = host.rpartition(".")[2].isdigit()
    return (
        host in ("[::1]", "localhost")
        or host.endswith(".localhost")
        or (is_ipv4 and host.startswith("127."))
    )


def _candidates(host: str) -> list[str]:
    """Return the hosts of the patterns that would match *host*: itself, and wildcards."""
    labels = host.split(".")
    return [host, *(f"*.{'.'.join(labels[n:])}" for n in range(1, len(labels)))]


def _corrected(text: str) -> str | None:
    """Return *text* as it has to be written, None if no guess is good enough."""
    scheme, _, rest = text.lower().partition("://")
    authority = rest.partition("/")[0].partition("?")[0].partition("#")[0].rpartition("@")[2]
    if (parsed := parse(f"{scheme}://{authority}")) is None:
        return None
    host = _ascii_host(parsed.host)
    # Leading zeros go; what is left of `0` is no port.
    port = parsed.port.lstrip("0") or parsed.port
    if host is None or (port not in ("", "*") and not _is_port(port)):
        return None
    if port == DEFAULT_PORTS.get(parsed.scheme):
        port = ""
    corrected = str(Origin(parsed.scheme, host, port))
    return corrected if len(corrected) <= MAX_LENGTH else None


def _fault(text: str) -> str:
    """Name what is wrong with *text*, which is known to be wrong."""
    rest = text.partition("://")[2]
    authority, slash, path = rest.partition("/")
    if slash and not path:
        return "ends with a slash"
    if slash or "?" in rest or "#" in rest:
        return "has a path"
    if "@" in authority:
        return "has a user name"
    if text != text.lower():
        return "is not in lower case"
    if not text.isascii():
        return "is not in its ASCII form"
    parsed = parse(text)
    if parsed is not None and parsed.port and parsed.port == DEFAULT_PORTS.get(parsed.scheme):
        return "names the default port of its scheme"
    return "is no origin"


def _ascii_host(host: str) -> str | None:
    """Return *host* as browsers write it (https://url.spec.whatwg.org/#host-serializing)."""
    try:
        if host.startswith("["):
            # Without a zone: https://url.spec.whatwg.org/#concept-ipv6
            return None if "%" in host else f"[{IPv6Address(host[1:-1])}]"
        if not host.isascii():
            host = host.encode("idna").decode("ascii")
        labels = host.removeprefix("*.").split(".")
        if labels[-1].isdigit():
            # A browser takes it for an address, and a wildcard before one is nonsense.
            return str(IPv4Address(host))
    except (AddressValueError, UnicodeError):
        return None
    fits = len(host) <= 253 and all(_LABEL.fullmatch(label) for label in labels)
    return host if fits else None


def _is_port(port: str) -> bool:
    return _PORT.fullmatch(port) is not None and int(port) <= 65535
