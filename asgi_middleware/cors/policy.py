"""What a policy answers, as plain values: no ASGI here.

The words are those of the Fetch standard: https://fetch.spec.whatwg.org/#http-cors-protocol
"""

import re
import warnings
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from functools import cached_property
from typing import NamedTuple

from .._headers import elements, is_token, vary_on, with_element
from .._origins import MAX_LENGTH, Patterns, is_pattern
from ..errors import ConfigurationError, ConfigurationWarning
from ..types import Header, Headers
from . import configuration
from .function import OriginFunction

# Need it with some values only. https://fetch.spec.whatwg.org/#cors-safelisted-request-header
SAFELISTED_HEADERS = ("accept", "accept-language", "content-language", "content-type", "range")

# Bytes that are looked at where any method, any header is allowed.
ANY_METHOD_LIMIT = 64
ANY_HEADERS_LIMIT = 4096

# Said once: a browser takes two of them for none, as two make one that matches nothing.
# https://fetch.spec.whatwg.org/#cors-check
_SINGLE = frozenset({b"access-control-allow-origin", b"access-control-allow-credentials"})

_VARY_PREFLIGHT = (
    b"vary",
    b"Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
)

# Visible ASCII but the comma, which only a list of origins has.
_ORIGIN_BYTES = re.compile(rb"[\x21-\x2b\x2d-\x7e]+")

Grant = tuple[Header, ...]


class Preflight(NamedTuple):
    """The answer to a preflight; ``refusal`` says which step failed, None if none did."""

    status: int
    headers: tuple[Header, ...]
    refusal: str | None = None


@dataclass(frozen=True)
class CORSPolicy:
    """Who may read responses from another origin, and what they may send.

    * ``allow_origins``: origins as browsers send them, ``*`` for all, patterns like
      ``https://*.example.org`` (one label or more) and ``http://localhost:*`` (any port).
    * ``allow_methods``, ``allow_headers``: what a preflight may ask for; ``*`` is any.
      The Fetch standard's safelisted headers, as ``content-type``, need no mention.
    * ``allow_credentials``: whether cookies count. Not together with ``*``.
    * ``allow_origin_regex``: has to match the whole origin.
    * ``allow_private_network``: https://wicg.github.io/private-network-access/
    * ``expose_headers``: response headers that scripts may read.
    * ``max_age``: how long a browser may keep a preflight's answer, in seconds; None
      leaves it to the browser.
    * ``allow_origin_func``: ``(origin, scope) -> bool``, or an awaitable of one, asked
      last; only ``True`` allows.

    Frozen, comparable, compiled once. Raises :class:`ConfigurationError` with all
    problems at once, and warns (:class:`ConfigurationWarning`) of what has no effect.
    """

    _: KW_ONLY
    allow_origins: Sequence[str] = ()
    allow_methods: Sequence[str] = ("GET",)
    allow_headers: Sequence[str] = ()
    allow_credentials: bool = False
    allow_origin_regex: str | re.Pattern[str] | None = None
    allow_private_network: bool = False
    expose_headers: Sequence[str] = ()
    max_age: int | None = 600
    allow_origin_func: OriginFunction | None = None

    def __post_init__(self) -> None:
        if problems := configuration.problems(self):
            raise ConfigurationError("CORSPolicy", problems)
        for warning in configuration.warnings(self):
            warnings.warn(f"CORS: {warning}", ConfigurationWarning, stacklevel=3)
        normalized = {
            "allow_origins": tuple(self.allow_origins),
            "allow_methods": tuple(map(_normalized, self.allow_methods)),
            "allow_headers": tuple(name.lower() for name in self.allow_headers),
            "expose_headers": tuple(self.expose_headers),
        }
        for option, value in normalized.items():
            object.__setattr__(self, option, value)

    # -- the origin -------------------------------------------------------------

    @cached_property
    def is_static(self) -> bool:
        """Whether responses are the same for every origin, and for none.

        A shared cache then keeps one copy, and they need no ``Vary``.
        https://fetch.spec.whatwg.org/#cors-protocol-and-http-caches
        """
        return "*" in self.allow_origins

    @property
    def allows_any_origin(self) -> bool:
        """Whether there is an origin that could be allowed."""
        deciding = (self.allow_origins, self.allow_origin_regex, self.allow_origin_func)
        return any(deciding)

    def grant(self, origin: bytes) -> Grant | None:
        """Return the headers that tell *origin* it is allowed, None if it is not.

        ``allow_origin_func`` is not asked: it wants a scope, and may want to wait.
        """
        return self._grants.get(origin) or self._matched(origin)

    def grant_to(self, origin: bytes) -> Grant:
        """Return the headers that tell *origin* it is allowed, without asking whether."""
        return (
            (b"access-control-allow-origin", origin),
            *(((b"access-control-allow-credentials", b"true"),) if self.allow_credentials else ()),
        )

    def may_ask_function(self, origin: bytes) -> bool:
        """Tell whether *origin* is fit to be shown to the user's own code."""
        return len(origin) <= MAX_LENGTH and _ORIGIN_BYTES.fullmatch(origin) is not None

    def _matched(self, origin: bytes) -> Grant | None:
        if self.is_static:
            return self._grants[b"*"]
        if self._regex is None and self._patterns is None:
            return None
        if not self.may_ask_function(origin):
            return None
        text = origin.decode("ascii")
        if (self._patterns is not None and self._patterns.match(text)) or (
            self._regex is not None and self._regex.fullmatch(text)
        ):
            return self.grant_to(origin)
        return None

    # -- responses --------------------------------------------------------------

    def with_grant(self, grant: Grant, headers: Headers) -> list[Header]:
        """Return *headers*, those of a response, for an origin that may read it."""
        if self.is_static:
            others = [header for header in headers if header[0].lower() not in _SINGLE]
            return [*others, *grant, *self._exposed]
        kept: list[Header] = []
        vary = b""
        for header in headers:  # one pass: every response pays for it
            name = header[0].lower()
            if name == b"vary":
                vary = vary + b", " + header[1] if vary else header[1]
            elif name not in _SINGLE:
                kept.append(header)
        return [*kept, *grant, *self._exposed, (b"vary", with_element(vary, b"Origin"))]

    def without_grant(self, headers: Headers) -> list[Header]:
        """Return *headers*, those of a response, for no origin or one that is refused."""
        # Listed all the same: a cache must not serve this answer to another origin.
        return vary_on(headers, b"Origin")

    # -- preflights -------------------------------------------------------------

    def preflight(
        self,
        grant: Grant | None,
        method: bytes,
        header_names: bytes,
        *,
        private_network: bool = False,
        debug: bool = False,
    ) -> Preflight:
        """Answer whether the origin that was given *grant* may send such a request.

        *header_names* is ``Access-Control-Request-Headers``, as received.
        With *debug*, the answer to a refused method or header is one that browsers
        explain in their console. https://fetch.spec.whatwg.org/#cors-preflight-fetch-0
        """
        if grant is None:
            return Preflight(403, (_VARY_PREFLIGHT,), "this origin is not allowed")
        if not self._allows_method(method):
            return self._refused("this method is not allowed", grant, debug=debug)
        if not self._allows_headers(header_names):
            passed = (*grant, self._methods_answer(method))
            return self._refused("a request header is not allowed", passed, debug=debug)
        answer = self._preflight_answer or self._answer_to(method, header_names)
        if private_network and self.allow_private_network:
            answer = ((b"access-control-allow-private-network", b"true"), *answer)
        return Preflight(204, (*grant, *answer))

    def _refused(self, reason: str, passed: Grant, *, debug: bool) -> Preflight:
        if debug:
            return Preflight(204, (*passed, _VARY_PREFLIGHT), reason)
        return Preflight(403, (_VARY_PREFLIGHT,), reason)

    def _allows_method(self, method: bytes) -> bool:
        if self._any_method:
            return len(method) <= ANY_METHOD_LIMIT and is_token(method)
        return method in self._allowed_methods

    def _allows_headers(self, names: bytes) -> bool:
        # Before anything is split: a hostile value costs no more than a look at its length.
        if len(names) > self._headers_limit:
            return False
        if self._any_header:
            return all(map(is_token, elements(names)))
        return self._allowed_headers.issuperset(elements(names.lower()))

    def _methods_answer(self, method: bytes) -> Header:
        if self._any_method:
            # With credentials `*` is a method of that name. https://fetch.spec.whatwg.org/#http-access-control-allow-methods
            answer = method if self.allow_credentials else b"*"
        else:
            # All of them, so that the browser need not ask again for the next.
            answer = ", ".join(self.allow_methods).encode()
        return (b"access-control-allow-methods", answer)

    def _headers_answer(self, names: bytes) -> tuple[Header, ...]:
        if not self._any_header:
            # The safelisted ones too: a browser asks for `content-type` when it is JSON, and
            # would take a list without it for a refusal.
            listed = dict.fromkeys((*self.allow_headers, *SAFELISTED_HEADERS))
            answer = ", ".join(listed).encode()
        elif self.allow_credentials:
            answer = b", ".join(elements(names.lower()))
        else:
            # `*` never covers it. https://fetch.spec.whatwg.org/#cors-non-wildcard-request-header-name
            answer = b"*, Authorization"
        return ((b"access-control-allow-headers", answer),) if answer else ()

    def _answer_to(self, method: bytes, names: bytes) -> tuple[Header, ...]:
        """Return what a preflight that succeeds gets beside its grant."""
        age = self.max_age
        return (
            self._methods_answer(method),
            *self._headers_answer(names),
            *(((b"access-control-max-age", str(age).encode()),) if age is not None else ()),
            _VARY_PREFLIGHT,
        )

    # -- in words ---------------------------------------------------------------

    def explain(self, origin: str, method: str | None = None, headers: Sequence[str] = ()) -> str:
        """Say what *origin* would get, and why: for a person, not for a program.

        With *method*, what a preflight for it and for *headers* would be answered too.
        """
        sent = origin.encode()
        grant = self.grant(sent)
        lines = [f"The origin {origin!r} is {self._origin_in_words(sent)}."]
        if grant is None and self.allow_origin_func is not None:
            lines.append("If the function allows it:")
            grant = self.grant_to(sent)
        answered = self.without_grant(()) if grant is None else self.with_grant(grant, ())
        lines += ["Its responses get:", *map(_in_words, answered)]
        if method is not None:
            preflight = self.preflight(grant, method.encode(), ", ".join(headers).encode())
            verdict = "succeeds" if preflight.refusal is None else f"fails: {preflight.refusal}"
            asking = f"{method} with {', '.join(headers)}" if headers else method
            lines += [
                f"A preflight for {asking} {verdict}. It is answered {preflight.status} with:",
                *map(_in_words, preflight.headers),
            ]
        return "\n".join(lines)

    def _origin_in_words(self, origin: bytes) -> str:
        if self.is_static:
            return "allowed, as every one is"
        if origin in self._grants:
            return "allowed: it is listed"
        if self.grant(origin) is not None:
            matched = self._patterns is not None and self._patterns.match(origin.decode())
            return f"allowed: {'a pattern' if matched else 'allow_origin_regex'} matches it"
        if not self.may_ask_function(origin):
            return "refused: no browser sends such a one"
        if self.allow_origin_func is not None:
            return "not listed; allow_origin_func decides for each request"
        return "refused: nothing that is listed matches it"

    # -- compiled ---------------------------------------------------------------

    @cached_property
    def _grants(self) -> dict[bytes, Grant]:
        return {origin.encode(): self.grant_to(origin.encode()) for origin in self._exact}

    @cached_property
    def _exact(self) -> list[str]:
        return [origin for origin in self.allow_origins if not is_pattern(origin)]

    @cached_property
    def _patterns(self) -> Patterns | None:
        patterns = [origin for origin in self.allow_origins if is_pattern(origin)]
        return Patterns(patterns) if patterns else None

    @cached_property
    def _regex(self) -> re.Pattern[str] | None:
        return None if self.allow_origin_regex is None else re.compile(self.allow_origin_regex)

    @cached_property
    def _exposed(self) -> tuple[Header, ...]:
        names = ", ".join(self.expose_headers).encode()
        return ((b"access-control-expose-headers", names),) if names else ()

    @cached_property
    def _any_method(self) -> bool:
        return "*" in self.allow_methods

    @cached_property
    def _any_header(self) -> bool:
        return "*" in self.allow_headers

    @cached_property
    def _allowed_methods(self) -> frozenset[bytes]:
        return frozenset(method.encode() for method in self.allow_methods)

    @cached_property
    def _allowed_headers(self) -> frozenset[bytes]:
        return frozenset(name.encode() for name in (*self.allow_headers, *SAFELISTED_HEADERS))

    @cached_property
    def _preflight_answer(self) -> tuple[Header, ...] | None:
        """The answer to every preflight that succeeds; None if it depends on the question."""
        echoes = self.allow_credentials and (self._any_method or self._any_header)
        return None if echoes else self._answer_to(b"", b"")

    @cached_property
    def _headers_limit(self) -> int:
        """The length of the longest list of names that could be allowed, in bytes."""
        if self._any_header:
            return ANY_HEADERS_LIMIT
        # Browsers send each name once, with a comma; there is room for some blanks.
        return 64 + sum(len(name) + 4 for name in self._allowed_headers)


def _normalized(method: str) -> str:
    return upper if (upper := method.upper()) in configuration.NORMALIZED_METHODS else method


def _in_words(header: Header) -> str:
    name, value = header
    return f"  {name.decode().title()}: {value.decode()}"
