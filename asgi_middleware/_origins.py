"""Origins and patterns of origins: what a client may send, and what you may configure.

These are two questions. :func:`is_sendable` is about a request: could a client send this text as
its ``Origin``? If not, it cannot be allowed. :func:`problem_with` is about an option: is
this text an origin, or a pattern of origins, exactly as clients send it?

Both follow the URL standard, which has two kinds of schemes. *Special* schemes, such as ``https``,
have hosts in lower-case ASCII, and all but ``file`` have a default port. The schemes of browser
extensions and of mobile and desktop shells have neither: ``capacitor://localhost``, ``app://.``.
https://url.spec.whatwg.org/#special-scheme
https://html.spec.whatwg.org/multipage/browsers.html#ascii-serialisation-of-an-origin
"""

import re
from collections.abc import Collection, Iterator
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import NamedTuple
from unicodedata import category, normalize

# Bytes: room for a scheme, a host name of 253 bytes and a port.
MAX_LENGTH = 326

# The special schemes. A file has no port.
DEFAULT_PORTS = {"http": "80", "https": "443", "ws": "80", "wss": "443", "ftp": "21", "file": ""}

# No host contains a forbidden code point (https://url.spec.whatwg.org/#host-miscellaneous). Here it
# contains no comma either, because a comma separates several origins.
_SHAPE = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<host>\[[^\]]*\]|[^\x00-\x20#,/:<>?@\[\\\]^|\x7f]*)"
    r"(?::(?P<port>[0-9]+|\*))?"
)
# What nearly all origins look like. Only the others need a closer look.
_USUAL = re.compile(
    r"https?://(?:(?!xn--)[a-z0-9-]+\.)*[a-z]+(?::(?!(?:80|443)\Z)[1-9][0-9]{0,3})?"
)
# https://url.spec.whatwg.org/#ends-in-a-number-checker
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_ZEROS = re.compile(r"\b0(?::0)+\b")

# Nobody can register a name under these. https://www.iana.org/assignments/special-use-domain-names
_SPECIAL_USE = frozenset(
    {"example", "home.arpa", "internal", "invalid", "local", "localhost", "onion", "test"}
)
# Anybody can get a name under these, so a page there may be a stranger's. This is a short list
# of suffixes that people do configure; the complete list has thousands.
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


def is_sendable(origin: str) -> bool:
    """Tell whether a client could send *origin*.

    Text with an asterisk is a pattern, which no client sends.
    """
    if origin == "null" or (len(origin) <= MAX_LENGTH and _USUAL.fullmatch(origin)):
        return True
    parsed = parse(origin)
    return parsed is not None and "*" not in origin and _serialized(parsed) == parsed


class Patterns:
    """A set of patterns; matching many of them costs no more than matching one.

    In ``https://*.example.org``, the asterisk matches one or more labels. ``http://localhost:*``
    matches with any port and without one. A pattern may have both asterisks.
    """

    def __init__(self, patterns: Collection[str]) -> None:
        self._patterns = frozenset(map(parse, patterns))

    def match(self, origin: str) -> bool:
        """Tell whether *origin* matches one of the patterns, and a client could send it."""
        parsed = parse(origin)
        if parsed is None or not is_sendable(origin):
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
    """Return why *text*, an origin or a pattern, matches nothing, and what to use instead."""
    if text == "null":
        return None
    if not text:
        return "'' is empty; use an origin such as 'https://app.example' or leave it out"
    stripped = text.strip()
    corrected = _corrected(stripped if "://" in text else f"https://{stripped}")
    if corrected == text:
        return None
    if corrected:
        way_out = repr(corrected)
    elif not text.isascii():
        way_out = f"the value of new URL({text!r}).origin in a browser's console"
    else:
        way_out = "an origin such as 'https://app.example:8443'"
    return f"{text!r} {_fault(text)}; use {way_out}"


def problems(option: str, text: str) -> Iterator[str]:
    """Check one string of an option, an origin or a pattern."""
    if problem := problem_with(text):
        yield f"{option}: {problem}"


def shared_suffix(pattern: str) -> str | None:
    """Return the suffix of *pattern* if anybody can get a name under that suffix."""
    parsed = parse(pattern)
    if parsed is None or not parsed.host.startswith("*."):
        return None
    base = parsed.host.removeprefix("*.").removesuffix(".")
    if base in _SPECIAL_USE:
        return None
    return base if "." not in base or base in SHARED_SUFFIXES else None


def is_loopback(text: str) -> bool:
    """Tell whether an origin is on this machine.

    https://w3c.github.io/webappsec-secure-contexts/#is-origin-trustworthy
    """
    if (parsed := parse(text)) is None:
        return False
    host = parsed.host.removesuffix(".")
    is_ipv4 = host.rpartition(".")[2].isdigit()
    return (
        host in ("[::1]", "localhost")
        or host.endswith(".localhost")
        or (is_ipv4 and host.startswith("127."))
    )


def _candidates(host: str) -> list[str]:
    """Return the hosts of all patterns that match *host*: the host itself, and its wildcards."""
    candidates = [host]
    label, dot, base = host.partition(".")
    while label and dot:
        candidates.append(f"*.{base}")
        label, dot, base = base.partition(".")
    return candidates


def _corrected(text: str) -> str | None:
    """Return *text* as a client would send it, or None if that cannot be known."""
    scheme, _, rest = text.partition("://")
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    parsed = parse(f"{scheme.lower()}://{authority.rpartition('@')[2].removesuffix(':')}")
    if parsed is None:
        return None
    if authority != parsed.host and (not parsed.host or parsed.scheme == "file"):
        return None  # a port or a user, which neither an empty host nor a file has
    is_wildcard = parsed.host.startswith("*.")
    host = parsed.host.removeprefix("*.")
    if "*" in host or (is_wildcard and not host.strip(".")):
        return None
    corrected = _serialized(parsed._replace(host=host))
    if corrected is None or (is_wildcard and _is_address(corrected.host)):
        return None
    if is_wildcard:
        corrected = corrected._replace(host=f"*.{corrected.host}")
    return written if len(written := str(corrected)) <= MAX_LENGTH else None


def _fault(text: str) -> str:
    """Say what is wrong with *text*, which is known to be wrong."""
    if text != text.strip():
        return "has whitespace around it"
    if "://" not in text:
        return "has no scheme"
    scheme, _, rest = text.partition("://")
    authority, slash, path = rest.partition("/")
    if slash and not path:
        return "ends with a slash"
    if slash:
        return "has a path"
    if "?" in rest or "#" in rest:
        return "has a query or a fragment"
    if "@" in authority:
        return "has a user name"
    if not text.isascii():
        return "is not in its ASCII form"
    parsed = parse(text.lower())
    if parsed is not None and text != text.lower():
        return "is not in lower case"
    if parsed is not None and parsed.port and parsed.port == DEFAULT_PORTS.get(scheme):
        return "names the default port of its scheme"
    return "is not a valid origin"


def _serialized(origin: Origin) -> Origin | None:
    """Return an origin as the URL standard serializes it, or None if it is invalid or unclear."""
    scheme, host, port = origin
    if host.startswith("["):
        written = _ipv6(host)
    elif scheme in DEFAULT_PORTS and (host or scheme != "file"):
        written = _domain(host)
    else:
        written = host if host.isascii() else None
    if written is None or (port and (not written or scheme == "file")):
        return None
    if scheme == "file" and written == "localhost":
        written = ""
    if port not in ("", "*"):
        port = port.lstrip("0") or "0"
        if len(port) > 5 or int(port) > 65535:
            return None
        if port == DEFAULT_PORTS.get(scheme):
            port = ""
    return Origin(scheme, written, port)


def _domain(host: str) -> str | None:
    """Return the host of a special scheme, serialized; a label may have any length, even zero.

    https://url.spec.whatwg.org/#concept-host-parser
    """
    # Lower only ASCII letters: the mapping of other letters has changed over the years.
    labels = [
        _label(label) for label in host.encode().lower().decode().removesuffix(".").split(".")
    ]
    if not host or "%" in host or None in labels:
        return None
    name = ".".join(map(str, labels))
    if _NUMBER.fullmatch(name.rpartition(".")[2]):
        try:
            return str(IPv4Address(name))
        except AddressValueError:
            return None
    return f"{name}." if host.endswith(".") else name


def _label(label: str) -> str | None:
    """Return a label in ASCII, or None if it is not valid or versions of IDNA disagree about it."""
    if label.startswith("xn--"):
        if len(label) > 63:  # longer than DNS allows, and slow to decode
            return None
        try:
            decoded = label[4:].encode("ascii").decode("punycode")
        except UnicodeError:
            return None
        return label if decoded and _is_stable(decoded) else None
    if label.isascii():
        return label
    letters = [char for char in label if not char.isascii()]
    if not all(map(str.islower, letters)) or not _is_stable(label):
        return None
    return f"xn--{label.encode('punycode').decode()}"


def _is_stable(label: str) -> bool:
    """Tell whether IDNA leaves a label as it is (https://www.unicode.org/reports/tr46/#Processing)."""
    folded = "".join(char if char in "ßς" else char.casefold() for char in label)
    return normalize("NFKC", folded) == label and "Cc" not in map(category, label)


def _ipv6(host: str) -> str | None:
    """Return an IPv6 host, serialized, or None if it is not valid.

    Not with ``str()``: whether it writes an embedded IPv4 address with dots depends on the version
    of Python. https://url.spec.whatwg.org/#concept-ipv6-serializer
    """
    if "%" in host:  # a zone, which a URL cannot have: https://url.spec.whatwg.org/#concept-ipv6
        return None
    try:
        packed = IPv6Address(host[1:-1]).packed
    except AddressValueError:
        return None
    text = ":".join(f"{packed[n] << 8 | packed[n + 1]:x}" for n in range(0, 16, 2))
    longest = max(_ZEROS.finditer(text), key=lambda zeros: len(zeros[0]), default=None)
    if longest is not None:
        text = f"{text[: longest.start()].rstrip(':')}::{text[longest.end() :].lstrip(':')}"
    return f"[{text}]"


def _is_address(host: str) -> bool:
    return host.startswith("[") or _NUMBER.fullmatch(host.rpartition(".")[2]) is not None
