"""What a policy answers, as plain values: no ASGI here.

The words are those of the Fetch standard: https://fetch.spec.whatwg.org/#http-cors-protocol
"""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from functools import cached_property

from .._headers import elements, is_token, vary_on
from ..errors import ConfigurationError
from ..types import Header, Headers
from .origins import problem_with

# Upper-cased by browsers before they compare. https://fetch.spec.whatwg.org/#concept-method-normalize
_NORMALIZED_METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "POST", "PUT"})
# Need no permission. https://fetch.spec.whatwg.org/#cors-safelisted-method
_SAFELISTED_METHODS = frozenset({b"GET", b"HEAD", b"POST"})
# Need it with some values only. https://fetch.spec.whatwg.org/#cors-safelisted-request-header
_SAFELISTED_HEADERS = frozenset(
    {b"accept", b"accept-language", b"content-language", b"content-type", b"range"}
)
# What browsers do not let a page send. https://fetch.spec.whatwg.org/#forbidden-method
_FORBIDDEN_METHODS = frozenset({"CONNECT", "TRACE", "TRACK"})

# Bytes that are looked at where any method, any header is allowed.
_ANY_METHOD_LIMIT = 64
_ANY_HEADERS_LIMIT = 4096

# Replaced, never repeated: a browser takes two of them for none.
_SINGLE = frozenset({b"access-control-allow-origin", b"access-control-allow-credentials"})


@dataclass(frozen=True, slots=True)
class Preflight:
    """The answer to a preflight; ``refusal`` says which step failed, None if none did."""

    status: int
    headers: tuple[Header, ...]
    refusal: str | None = None


@dataclass(frozen=True)
class CORSPolicy:
    """Who may read responses from another origin, and what they may send.

    Frozen, comparable, compiled once. ``max_age`` is in seconds; None leaves it to
    the browser. Raises :class:`ConfigurationError` with all problems at once.
    """

    _: KW_ONLY
    allow_origins: Sequence[str] = ()
    allow_methods: Sequence[str] = ("GET",)
    allow_headers: Sequence[str] = ()
    allow_credentials: bool = False
    expose_headers: Sequence[str] = ()
    max_age: int | None = 600

    def __post_init__(self) -> None:
        if problems := _problems(self):
            raise ConfigurationError("CORSPolicy", problems)
        normalized = {
            "allow_origins": tuple(self.allow_origins),
            "allow_methods": tuple(map(_normalized, self.allow_methods)),
            "allow_headers": tuple(name.lower() for name in self.allow_headers),
            "expose_headers": tuple(self.expose_headers),
        }
        for option, value in normalized.items():
            object.__setattr__(self, option, value)

    def response_headers(self, origin: bytes | None, headers: Headers) -> list[Header]:
        """Return *headers*, those of a response, with what *origin* is granted.

        Several origins, or a malformed one, are passed as None: granted nothing.
        """
        if self._is_static:
            # The same for everybody, so a shared cache keeps one copy: no Vary.
            # https://fetch.spec.whatwg.org/#cors-protocol-and-http-caches
            return _merged(headers, (*self._grants[b"*"], *self._exposed))
        grant = None if origin is None else self._grants.get(origin)
        if grant is not None:
            headers = _merged(headers, (*grant, *self._exposed))
        # Listed even when the origin is refused: a cache must not serve this answer
        # to another origin.
        return vary_on(headers, b"Origin")

    def preflight(self, origin: bytes | None, method: bytes, names: list[bytes]) -> Preflight:
        """Answer the question whether *origin* may send *method* with headers *names*.

        *names* are the lines of ``Access-Control-Request-Headers``, as received.
        """
        grant = self._grants.get(b"*" if self._is_static else origin or b"")
        if grant is None:
            return self._refused("this origin is not allowed")
        if not self._allows_method(method):
            return self._refused("this method is not allowed")
        if not self._allows_headers(names):
            return self._refused("these request headers are not allowed")
        return Preflight(
            204,
            (
                *grant,
                (b"access-control-allow-methods", self._answer_to_method(method)),
                *self._answer_to_headers(names),
                *self._max_age,
                self._vary,
            ),
        )

    def _refused(self, reason: str) -> Preflight:
        return Preflight(403, (self._vary,), reason)

    def _allows_method(self, method: bytes) -> bool:
        if "*" in self.allow_methods:
            return len(method) <= _ANY_METHOD_LIMIT and is_token(method)
        return method in _SAFELISTED_METHODS or method in self._methods

    def _allows_headers(self, lines: list[bytes]) -> bool:
        # Before anything is split: the cost of a hostile value is the cost of its length.
        if sum(map(len, lines)) > self._headers_limit:
            return False
        names = elements(lines)
        if "*" in self.allow_headers:
            return all(map(is_token, names))
        return all(name.lower() in self._allowed_headers for name in names)

    def _answer_to_method(self, method: bytes) -> bytes:
        if "*" not in self.allow_methods:
            return ", ".join(self.allow_methods).encode()
        # With credentials, `*` is a method of that name. https://fetch.spec.whatwg.org/#http-new-header-syntax
        return method if self.allow_credentials else b"*"

    def _answer_to_headers(self, lines: list[bytes]) -> tuple[Header, ...]:
        if "*" not in self.allow_headers:
            answer = ", ".join(self.allow_headers).encode()
        elif self.allow_credentials:
            answer = b", ".join(elements(lines))
        else:
            # `*` never covers it. https://fetch.spec.whatwg.org/#cors-non-wildcard-request-header-name
            answer = b"*, Authorization"
        return ((b"access-control-allow-headers", answer),) if answer else ()

    @cached_property
    def _is_static(self) -> bool:
        return "*" in self.allow_origins

    @cached_property
    def _grants(self) -> dict[bytes, tuple[Header, ...]]:
        """The headers that tell an origin that it is allowed, ready to send."""
        credentials = ((b"access-control-allow-credentials", b"true"),)
        return {
            origin.encode(): (
                (b"access-control-allow-origin", origin.encode()),
                *(credentials if self.allow_credentials else ()),
            )
            for origin in self.allow_origins
        }

    @cached_property
    def _exposed(self) -> tuple[Header, ...]:
        names = ", ".join(self.expose_headers).encode()
        return ((b"access-control-expose-headers", names),) if names else ()

    @cached_property
    def _max_age(self) -> tuple[Header, ...]:
        if self.max_age is None:
            return ()
        return ((b"access-control-max-age", str(self.max_age).encode()),)

    @cached_property
    def _vary(self) -> Header:
        names = b"Origin, Access-Control-Request-Method, Access-Control-Request-Headers"
        return (b"vary", names)

    @cached_property
    def _methods(self) -> frozenset[bytes]:
        return frozenset(method.encode() for method in self.allow_methods)

    @cached_property
    def _allowed_headers(self) -> frozenset[bytes]:
        return _SAFELISTED_HEADERS | {name.encode() for name in self.allow_headers}

    @cached_property
    def _headers_limit(self) -> int:
        """The longest list of names that can be allowed, in bytes."""
        if "*" in self.allow_headers:
            return _ANY_HEADERS_LIMIT
        # Browsers send each name once, with a comma; proxies add some blanks.
        return 64 + sum(len(name) + 4 for name in self._allowed_headers)


def _merged(headers: Headers, own: tuple[Header, ...]) -> list[Header]:
    """Return *headers* with *own* in the place of what may be said only once."""
    return [*(header for header in headers if header[0].lower() not in _SINGLE), *own]


def _normalized(method: str) -> str:
    return upper if (upper := method.upper()) in _NORMALIZED_METHODS else method


def _problems(policy: CORSPolicy) -> list[str]:
    lists = {
        "allow_origins": policy.allow_origins,
        "allow_methods": policy.allow_methods,
        "allow_headers": policy.allow_headers,
        "expose_headers": policy.expose_headers,
    }
    problems = [
        f"{option}: {value!r} is a string; write a list, [{value!r}]"
        for option, value in lists.items()
        if isinstance(value, str)
    ]
    if problems:
        return problems  # the letters of a string are not worth looking at

    for origin in policy.allow_origins:
        if origin == "*":
            if policy.allow_credentials:
                problems.append("allow_origins: '*' cannot be combined with allow_credentials=True")
        elif problem := problem_with(origin):
            problems.append(f"allow_origins: {problem}")
    for option in ("allow_methods", "allow_headers", "expose_headers"):
        problems += [
            f"{option}: {name!r} is no token; names are made of letters, digits and !#$%&'*+-.^_`|~"
            for name in lists[option]
            if not is_token(name.encode())
        ]
    problems += [
        f"allow_methods: browsers send {method!r} for nobody; leave it out"
        for method in policy.allow_methods
        if method.upper() in _FORBIDDEN_METHODS
    ]
    if policy.max_age is not None and policy.max_age < 0:
        problems.append(f"max_age: {policy.max_age!r} is negative; write 0 to forbid caching")
    return problems
