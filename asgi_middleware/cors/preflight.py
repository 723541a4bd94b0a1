"""Preflights: what they ask for, which steps they pass, and what a refused one gets.

https://fetch.spec.whatwg.org/#http-requests
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from .._headers import elements, is_token, trimmed, values
from ..types import Header, Headers

# What a refused preflight says, in its body and in the log.
NO_ORIGIN = "this origin is not allowed"
NO_METHOD = "this method is not allowed"
NO_HEADER = "a request header is not allowed"

# A preflight asks for these too if their value is unusual, such as the `content-type` of JSON.
# Browsers then treat a list without them as a refusal.
# https://fetch.spec.whatwg.org/#cors-safelisted-request-header
_SAFELISTED_HEADERS = ("accept", "accept-language", "content-language", "content-type", "range")

# The longest value, in bytes, that is read if any method or any header is allowed.
_ANY_METHOD_LIMIT = 64
_ANY_HEADERS_LIMIT = 4096

_METHOD, _HEADERS, _PRIVATE_NETWORK = _ASKS = (
    b"access-control-request-method",
    b"access-control-request-headers",
    # https://wicg.github.io/private-network-access/
    b"access-control-request-private-network",
)
_NAMES = frozenset({b"origin", *_ASKS})

# The headers that tell an origin that it is allowed.
GrantHeaders = tuple[Header, ...]


class PreflightResponse(NamedTuple):
    """The response to a preflight; ``refusal`` says which step failed, or is None."""

    status: int
    headers: tuple[Header, ...]
    refusal: str | None = None


def asked(headers: Headers) -> Mapping[bytes, bytes] | None:
    """Return what a preflight asks for, by header; None if the request is not a preflight."""
    found: dict[bytes, bytes] = {}
    lines = 0
    for name, value in headers:
        if name in _NAMES:
            found[name] = trimmed(value)
            lines += 1
    if len(found) < lines:
        # Several lines are one list (RFC 9110, section 5.3). A list in place of an origin or a
        # method matches nothing.
        found = {name: b",".join(values(headers, name)) for name in found}
    return found if b"origin" in found and _METHOD in found else None


class Preflights:
    """The responses to preflights, according to the options of a :class:`CORSPolicy`."""

    def __init__(
        self,
        *,
        allow_methods: Sequence[str],
        allow_headers: Sequence[str],
        allow_credentials: bool,
        allow_private_network: bool,
        max_age: int | None,
    ) -> None:
        # A response lists every method and header, so that the browser need not ask again for the
        # next one. With credentials, `*` is an ordinary name, so the requested names are echoed.
        # https://fetch.spec.whatwg.org/#http-access-control-allow-methods
        self._any_method = "*" in allow_methods
        self._echoes_method = self._any_method and allow_credentials
        self._methods = frozenset(method.encode() for method in allow_methods)
        self._methods_header = listed_header(
            b"access-control-allow-methods", ("*",) if self._any_method else allow_methods
        )
        names = tuple(dict.fromkeys((*allow_headers, *_SAFELISTED_HEADERS)))
        self._any_header = "*" in allow_headers
        self._echoes_headers = self._any_header and allow_credentials
        self._headers = frozenset(name.encode() for name in names)
        self._headers_header = listed_header(
            b"access-control-allow-headers",
            # `*` never covers this one. https://fetch.spec.whatwg.org/#cors-non-wildcard-request-header-name
            ("*", "Authorization") if self._any_header else names,
        )
        # Browsers send each name once, with a comma; the rest is room for whitespace.
        longest = 64 + sum(len(name) + 4 for name in names)
        self._headers_limit = _ANY_HEADERS_LIMIT if self._any_header else longest

        self._max_age = listed_header(
            b"access-control-max-age", () if max_age is None else (str(max_age),)
        )
        self._allow_private_network = allow_private_network
        looked_at = (b"origin", *(_ASKS if allow_private_network else _ASKS[:2]))
        self._vary = (b"vary", b", ".join(looked_at).title())
        echoes = self._echoes_method or self._echoes_headers
        self._success = None if echoes else self._success_headers(b"", b"")

    def response(
        self, asked: Mapping[bytes, bytes], grant: GrantHeaders | None, *, debug: bool = False
    ) -> PreflightResponse:
        """Return the response to the preflight with the headers *asked*, whose origin got *grant*.

        With *debug*, the browser's console names the method or the header that is refused.
        https://fetch.spec.whatwg.org/#cors-preflight-fetch-0
        """
        if grant is None:
            return self._refused(NO_ORIGIN)
        method = asked[_METHOD]
        if method not in self._methods and not self._allows_any(method):
            return self._refused(NO_METHOD, grant if debug else None)
        names = asked.get(_HEADERS, b"")
        if not self._allows_headers(names):
            return self._refused(NO_HEADER, (*grant, *self._methods_for(method)) if debug else None)
        headers = self._success or self._success_headers(method, names)
        if self._allow_private_network and asked.get(_PRIVATE_NETWORK) == b"true":
            headers = ((b"access-control-allow-private-network", b"true"), *headers)
        return PreflightResponse(204, (*grant, *headers))

    def _refused(self, reason: str, passed: GrantHeaders | None = None) -> PreflightResponse:
        """Return a refusal. With the headers of the steps that *passed*, browsers explain it."""
        if passed is None:
            return PreflightResponse(403, (self._vary,), reason)
        return PreflightResponse(204, (*passed, self._vary), reason)

    def _allows_any(self, method: bytes) -> bool:
        return self._any_method and len(method) <= _ANY_METHOD_LIMIT and is_token(method)

    def _allows_headers(self, names: bytes) -> bool:
        # Before anything is split, so that a hostile value costs only a look at its length.
        if len(names) > self._headers_limit:
            return False
        if self._any_header:
            return all(map(is_token, elements(names)))
        return self._headers.issuperset(elements(names.lower()))

    def _success_headers(self, method: bytes, names: bytes) -> tuple[Header, ...]:
        """Return the headers of a preflight that succeeds, without those of its grant."""
        return (
            *self._methods_for(method),
            *self._headers_for(names),
            *self._max_age,
            self._vary,
        )

    def _methods_for(self, method: bytes) -> tuple[Header, ...]:
        if self._echoes_method:
            return ((b"access-control-allow-methods", method),)
        return self._methods_header

    def _headers_for(self, names: bytes) -> tuple[Header, ...]:
        if not self._echoes_headers:
            return self._headers_header
        listed = b", ".join(elements(names.lower()))
        return ((b"access-control-allow-headers", listed),) if listed else ()


def listed_header(name: bytes, values: Sequence[str]) -> tuple[Header, ...]:
    """Return the header that lists *values*, or nothing if there are none."""
    return ((name, ", ".join(values).encode()),) if values else ()
