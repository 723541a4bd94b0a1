"""Origins and patterns of origins: how they are written, and what matches them.

A configuration names an origin as a browser sends it: scheme, host and port, in lower case,
without the default port, an international name in its ASCII form. A request's ``Origin`` can
then be looked up as it came.
https://html.spec.whatwg.org/multipage/browsers.html#ascii-serialisation-of-an-origin
"""

import re
from collections.abc import Collection, Iterator
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import NamedTuple

# Bytes: room for a scheme, a host name of 253 bytes and a port.
MAX_LENGTH = 326

_SHAPE = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<host>\[[^\]/]*\]|[^:/\[\]]*)(?::(?P<port>[^/:]*))?"
)
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_PORT = re.compile(r"[1-9][0-9]{0,4}")
# Visible ASCII without the comma, which separates several origins.
_ONE_ORIGIN = re.compile(rb"[\x21-\x2b\x2d-\x7e]+")
DEFAULT_PORTS = {"http": "80", "https": "443", "ws": "80", "wss": "443"}

# Anybody can get a name under these, so a page there may be a stranger's. This is a short list
# of suffixes that configurations do name; the complete list has thousands.
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
    """The parts of an origin or a pattern; ``port`` is empty for the scheme's default."""

    scheme: str
    host: str
    port: str

    def __str__(self) -> str:
        return f"{self.scheme}://{self.host}" + (f":{self.port}" if self.port else "")


def parse(text: str) -> Origin | None:
    """Return the parts of *text* if it has the form of an origin, whatever its host."""
    if len(text) > MAX_LENGTH or not (match := _SHAPE.fullmatch(text)):
        return None
    return Origin(match["scheme"], match["host"], match["port"] or "")


def is_plausible(origin: bytes) -> bool:
    """Tell whether *origin* may be matched with a regex and shown to a function."""
    return len(origin) <= MAX_LENGTH and _ONE_ORIGIN.fullmatch(origin) is not None


class Patterns:
    """A set of patterns: many cost no more than one.

    In ``https://*.example.org`` the asterisk matches one label or more. ``http://localhost:*``
    matches any port, and no port. A pattern may have both.
    """

    def __init__(self, patterns: Collection[str]) -> None:
        self._patterns = frozenset(
            parsed for pattern in patterns if (parsed := parse(pattern)) is not None
        )

    def match(self, origin: str) -> bool:
        """Tell whether *origin*, as a browser sent it, matches one of the patterns."""
        parsed = parse(origin) if self._patterns else None
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
    """Return why *text*, an origin or a pattern, matches no browser's origin, and the way out."""
    if not text:
        return "'' is empty; use an origin such as 'https://app.example' or leave it out"
    corrected = _corrected(text if "://" in text else f"https://{text}")
    if corrected == text:
        return None
    way_out = repr(corrected) if corrected else "an origin such as 'https://app.example:8443'"
    return f"{text!r} {_fault(text)}; use {way_out}"


def problems(option: str, text: str) -> Iterator[str]:
    """Check an origin or a pattern that is one of an option's strings."""
    if problem := problem_with(text):
        yield f"{option}: {problem}"


def shared_suffix(pattern: str) -> str | None:
    """Return the suffix under which anybody could get an origin that *pattern* matches."""
    parsed = parse(pattern)
    if parsed is None or not parsed.host.startswith("*."):
        return None
    base = parsed.host.removeprefix("*.")
    return base if "." not in base or base in SHARED_SUFFIXES else None


def is_loopback(text: str) -> bool:
    """Tell whether an origin is on this machine.

    https://w3c.github.io/webappsec-secure-contexts/#is-origin-trustworthy
    """
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
    """Return the hosts of all patterns that would match *host*: itself, and wildcards."""
    labels = host.split(".")
    return [host, *(f"*.{'.'.join(labels[n:])}" for n in range(1, len(labels)))]


def _corrected(text: str) -> str | None:
    """Return *text* as a browser would send it, None if that cannot be known."""
    scheme, _, rest = text.lower().partition("://")
    authority = rest.partition("/")[0].partition("?")[0].partition("#")[0].rpartition("@")[2]
    if (parsed := parse(f"{scheme}://{authority}")) is None:
        return None
    host = _ascii_host(parsed.host)
    # Without leading zeros. A port that is nothing but zeros stays, and is not valid.
    port = parsed.port.lstrip("0") or parsed.port
    if host is None or (port not in ("", "*") and not _is_port(port)):
        return None
    if port == DEFAULT_PORTS.get(parsed.scheme):
        port = ""
    corrected = str(Origin(parsed.scheme, host, port))
    return corrected if len(corrected) <= MAX_LENGTH else None


def _fault(text: str) -> str:
    """Say what is wrong with *text*, which is known to be wrong."""
    if "://" not in text:
        return "has no scheme"
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
    return "is not a valid origin"


def _ascii_host(host: str) -> str | None:
    """Return *host* as browsers write it (https://url.spec.whatwg.org/#host-serializing)."""
    try:
        if host.startswith("["):
            # It has no zone: https://url.spec.whatwg.org/#concept-ipv6
            return None if "%" in host else f"[{IPv6Address(host[1:-1])}]"
        if not host.isascii():
            host = host.encode("idna").decode("ascii")
        labels = host.removeprefix("*.").split(".")
        if labels[-1].isdigit():
            # Browsers read this as an address, and no wildcard can stand before one.
            return str(IPv4Address(host))
    except (AddressValueError, UnicodeError):
        return None
    fits = len(host) <= 253 and all(_LABEL.fullmatch(label) for label in labels)
    return host if fits else None


def _is_port(port: str) -> bool:
    return _PORT.fullmatch(port) is not None and int(port) <= 65535
