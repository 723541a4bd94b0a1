"""The options of CORS, and which of them cannot work.

Options that would let any page act as a visitor are refused; useless or risky ones cause a warning.
"""

import re
import secrets
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from difflib import get_close_matches
from typing import Any, cast

from .. import _options as options
from .. import _origins as origins
from .._headers import is_token
from ..errors import ConfigurationWarning
from .allowed_origins import OriginFunction, Regex
from .policy import CompiledPolicy
from .policy_explain import explain

# https://fetch.spec.whatwg.org/#forbidden-method
_FORBIDDEN_METHODS = frozenset({"CONNECT", "TRACE", "TRACK"})
# Browsers convert these to upper case. https://fetch.spec.whatwg.org/#concept-method-normalize
_NORMALIZED_METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "POST", "PUT"})
# https://fetch.spec.whatwg.org/#forbidden-request-header
_FORBIDDEN_HEADERS = frozenset(
    {
        *("accept-charset", "accept-encoding", "access-control-request-headers"),
        *("access-control-request-method", "access-control-request-private-network"),
        *("connection", "content-length", "cookie", "cookie2", "date", "dnt", "expect", "host"),
        *("keep-alive", "origin", "referer", "set-cookie", "te", "trailer", "transfer-encoding"),
        *("upgrade", "via"),
    }
)
# Seconds that Firefox keeps a preflight; Chromium keeps it for 7200.
_LONGEST_MAX_AGE = 86_400

_EXAMPLE_REGEX = r"https://[a-z]+\.example\.org"
OWN_ORIGINS = "use the origins of your own pages, such as 'https://app.example'"


@dataclass(frozen=True)
class CORSPolicy:
    """Who may read responses from another origin, and what they may send.

        CORSPolicy(allow_origins=["https://app.example"], allow_methods=["GET", "PUT"])

    * ``allow_origins``: origins as browsers send them, ``*`` for all, patterns like
      ``https://*.example.org`` (one or more labels) and ``http://localhost:*`` (any port).
    * ``allow_methods``, ``allow_headers``: what a preflight may ask for; ``*`` allows any. Headers
      that the Fetch standard safelists, such as ``content-type``, are always allowed.
    * ``allow_credentials``: whether requests may carry cookies. Not allowed if ``allow_origins``
      contains ``*``.
    * ``allow_origin_regex``: one regex or several, each with its own flags. A regex must match
      the whole origin.
    * ``allow_private_network``: whether a public page may call this site in a private network.
      https://wicg.github.io/private-network-access/
    * ``expose_headers``: response headers that scripts may read.
    * ``max_age``: how long a browser may keep the response to a preflight, in seconds; None
      leaves that to the browser.
    * ``allow_origin_func``: ``(origin, scope) -> bool``, or an awaitable of one, called last; only
      ``True`` allows the origin.

    Frozen and comparable. Raises :class:`ConfigurationError` with all problems at once, and warns
    (:class:`ConfigurationWarning`) about options that have no effect or are
    risky.
    """

    _: KW_ONLY
    allow_origins: Sequence[str] = ()
    allow_methods: Sequence[str] = ("GET",)
    allow_headers: Sequence[str] = ()
    allow_credentials: bool = False
    allow_origin_regex: Regex | Sequence[Regex] | None = None
    allow_private_network: bool = False
    expose_headers: Sequence[str] = ()
    max_age: int | None = 600
    allow_origin_func: OriginFunction | None = None

    def __post_init__(self) -> None:
        options.check("CORSPolicy", policy_problems(vars(self)))
        for warning in (*_useless(self), *_risky(self)):
            warnings.warn(f"CORS: {warning}", ConfigurationWarning, stacklevel=3)
        normalized: dict[str, Any] = {
            "allow_origins": tuple(self.allow_origins),
            "allow_methods": tuple(map(_normalized, self.allow_methods)),
            "allow_headers": tuple(name.lower() for name in self.allow_headers),
            "expose_headers": tuple(self.expose_headers),
        }
        if not isinstance(self.allow_origin_regex, str | re.Pattern | None):
            normalized["allow_origin_regex"] = tuple(self.allow_origin_regex)
        for option, value in normalized.items():
            object.__setattr__(self, option, value)

    @property
    def allows_any_origin(self) -> bool:
        """Whether any origin could be allowed."""
        return any((self.allow_origins, self.allow_origin_regex, self.allow_origin_func))

    def compiled(self) -> CompiledPolicy:
        """Return this policy in the form that serves requests."""
        return CompiledPolicy(**vars(self))

    def explain(self, origin: str, method: str | None = None, headers: Sequence[str] = ()) -> str:
        """Say what *origin* would get and why, in words for a person to read.

        With *method*, also say what a preflight for that method and *headers* would get.
        """
        return explain(self.compiled(), origin, method, headers)


def policy_problems(given: Mapping[str, Any]) -> Iterator[str]:
    """Check the options of a :class:`CORSPolicy`."""
    with_credentials = given["allow_credentials"] is True
    names = ["x-request-id"]
    yield from options.strings(
        "allow_origins",
        given["allow_origins"],
        ["https://app.example"],
        each=_credentialed_origin if with_credentials else _origin,
    )
    yield from options.strings(
        "allow_methods", given["allow_methods"], ["GET", "POST"], each=_method
    )
    yield from options.strings("allow_headers", given["allow_headers"], names, each=_header)
    yield from options.boolean("allow_credentials", given["allow_credentials"])
    yield from _regexes("allow_origin_regex", given["allow_origin_regex"], with_credentials)
    yield from options.boolean("allow_private_network", given["allow_private_network"])
    yield from options.strings(
        "expose_headers",
        given["expose_headers"],
        names,
        each=_credentialed_header if with_credentials else _header,
    )
    yield from options.whole_number("max_age", given["max_age"], 0, example=600, optional=True)
    yield from function_problems(given["allow_origin_func"])


def function_problems(function: object) -> Iterator[str]:
    """Check ``allow_origin_func``."""
    yield from options.function(
        "allow_origin_func",
        function,
        "a function of the origin and the scope",
        optional=True,
        may_be_async=True,
    )


def _origin(option: str, origin: str) -> Iterator[str]:
    if origin not in ("*", "null"):
        yield from origins.problems(option, origin)


def _credentialed_origin(option: str, origin: str) -> Iterator[str]:
    yield from _origin(option, origin)
    if origin == "*":
        danger = "every site could act as its visitors"
    elif origin == "null":
        danger = "any page can take this origin in a sandboxed frame"
    elif suffix := origins.shared_suffix(origin):
        danger = f"anybody can get a name under {suffix!r}"
    else:
        return
    yield (
        f"{option}: {origin!r} cannot be combined with allow_credentials=True because {danger};"
        f" {OWN_ORIGINS}"
    )


def _method(option: str, method: str) -> Iterator[str]:
    if not method.isascii() or not is_token(method.encode()):
        known = [*sorted(_NORMALIZED_METHODS), "PATCH"]
        guesses = get_close_matches(method.strip().upper(), known, n=1) or ["GET"]
        yield f"{option}: {options.shown(method)} is not a valid method; use {guesses[0]!r}"
    elif method.upper() in _FORBIDDEN_METHODS:
        yield f"{option}: {method!r} is a method that no page can send; use the list without it"


def _header(option: str, name: str) -> Iterator[str]:
    guess = re.sub(r"[^!#$%&'*+.^`|~0-9a-z-]+", "-", name.strip().lower()).strip("-")
    yield from options.header_name(option, name, guess or "x-request-id")


def _credentialed_header(option: str, name: str) -> Iterator[str]:
    yield from _header(option, name)
    if name == "*":
        # https://fetch.spec.whatwg.org/#http-access-control-expose-headers
        yield (
            f"{option}: '*' is an ordinary header name with allow_credentials=True, and exposes no"
            " others; use the names of the headers"
        )


def _regexes(option: str, value: Any, with_credentials: bool) -> Iterator[str]:
    is_list = isinstance(value, list | tuple | set | frozenset)
    alone = () if value is None else (value,)
    for regex in cast("Collection[Any]", value if is_list else alone):
        # Random, so that no regex can make an exception for it.
        host = f"{secrets.token_hex(8)}.invalid"
        try:
            matches = re.compile(regex).fullmatch
            matched = next(filter(matches, (f"https://{host}", f"http://{host}", "null")), None)
        except (re.error, TypeError) as error:
            yield (
                f"{option}: {options.shown(regex)} is not a valid regular expression for strings"
                f" ({error}); use {_EXAMPLE_REGEX!r}{'' if is_list else ' or None'}"
            )
            continue
        if matched and with_credentials:
            kind = "an origin that any page can take" if matched == "null" else "every origin"
            yield (
                f"{option}: {options.shown(regex)} matches {kind} (here {matched!r}) and cannot be"
                " combined with allow_credentials=True; use a regex that ends with the name of your"
                f" site, such as {_EXAMPLE_REGEX!r}"
            )


def _useless(policy: CORSPolicy) -> Iterator[str]:
    for name in policy.allow_headers:
        lower = name.lower()
        if lower in _FORBIDDEN_HEADERS or lower.startswith(("proxy-", "sec-")):
            yield (
                f"allow_headers: {name!r} is a header that no page can set; use the list without it"
            )
    if "patch" in policy.allow_methods:
        yield "allow_methods: 'patch' is not converted to upper case by browsers; use 'PATCH'"
    if policy.max_age is not None and policy.max_age > _LONGEST_MAX_AGE:
        yield f"max_age: {policy.max_age} is longer than any browser allows; use {_LONGEST_MAX_AGE}"


def _risky(policy: CORSPolicy) -> Iterator[str]:
    if not policy.allow_credentials:
        return
    for origin in policy.allow_origins:
        if origin.startswith("http://") and not origins.is_loopback(origin):
            yield (
                f"allow_origins: {origin!r} is not encrypted, so anybody on the network can act as"
                f" its visitors; use 'https{origin.removeprefix('http')}'"
            )


def _normalized(method: str) -> str:
    return upper if (upper := method.upper()) in _NORMALIZED_METHODS else method
