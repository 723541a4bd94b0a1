"""What a policy sends, as plain values: no ASGI here.

The words are those of the Fetch standard: https://fetch.spec.whatwg.org/#http-cors-protocol
"""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from .._headers import elements, is_token, vary_on
from ..types import Header, Headers, Scope
from .allowed_origins import AllowedOrigins, OriginFunction

# A preflight asks for these too if their value is unusual.
# https://fetch.spec.whatwg.org/#cors-safelisted-request-header
_SAFELISTED_HEADERS = ("accept", "accept-language", "content-language", "content-type", "range")

# The longest value to look at where any method or any header is allowed, in bytes.
_ANY_METHOD_LIMIT = 64
_ANY_HEADERS_LIMIT = 4096

# A response may have each of these once: browsers join two lines to one value, which then matches
# nothing. https://fetch.spec.whatwg.org/#cors-check
_SINGLE = frozenset({b"access-control-allow-origin", b"access-control-allow-credentials"})

_VARY_PREFLIGHT = (
    b"vary",
    b"Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
)

# The headers that tell an origin that it is allowed.
GrantHeaders = tuple[Header, ...]


class PreflightResponse(NamedTuple):
    """The response to a preflight; ``refusal`` says which step failed, None if none did."""

    status: int
    headers: tuple[Header, ...]
    refusal: str | None = None


class CompiledPolicy:
    """What serves requests by the options of a :class:`CORSPolicy`: a request only looks it up."""

    def __init__(
        self,
        *,
        allow_origins: Sequence[str],
        allow_methods: Sequence[str],
        allow_headers: Sequence[str],
        allow_credentials: bool,
        allow_origin_regex: str | re.Pattern[str] | None,
        allow_private_network: bool,
        expose_headers: Sequence[str],
        max_age: int | None,
        allow_origin_func: OriginFunction | None,
    ) -> None:
        self.origins = AllowedOrigins(allow_origins, allow_origin_regex, allow_origin_func)
        # Whether responses are the same for every origin, and for none. A shared cache then keeps
        # one copy, and they need no Vary. https://fetch.spec.whatwg.org/#cors-protocol-and-http-caches
        self.is_static = self.origins.include_every
        self._allow_credentials = allow_credentials
        self._allow_private_network = allow_private_network
        self._listed = {origin: self.grant_headers(origin) for origin in self.origins.listed}
        self._exposed = _listed_header(b"access-control-expose-headers", expose_headers)

        # A response names every method and header, so that the browser need not ask again for the
        # next one. With credentials `*` is itself such a name, and what was asked for is echoed.
        # https://fetch.spec.whatwg.org/#http-access-control-allow-methods
        self._any_method = "*" in allow_methods
        self._echoes_method = self._any_method and allow_credentials
        self._methods = frozenset(method.encode() for method in allow_methods)
        self._methods_header = _listed_header(
            b"access-control-allow-methods", ("*",) if self._any_method else allow_methods
        )
        # A browser asks for a safelisted header too if its value is unusual, as `content-type` of
        # JSON is, and takes a list without it for a refusal.
        names = tuple(dict.fromkeys((*allow_headers, *_SAFELISTED_HEADERS)))
        self._any_header = "*" in allow_headers
        self._echoes_headers = self._any_header and allow_credentials
        self._headers = frozenset(name.encode() for name in names)
        self._headers_header = _listed_header(
            b"access-control-allow-headers",
            # `*` never covers it. https://fetch.spec.whatwg.org/#cors-non-wildcard-request-header-name
            ("*", "Authorization") if self._any_header else names,
        )
        # Browsers send each name once, with a comma; the rest is room for blanks.
        longest = 64 + sum(len(name) + 4 for name in names)
        self._headers_limit = _ANY_HEADERS_LIMIT if self._any_header else longest

        self._max_age = _listed_header(
            b"access-control-max-age", () if max_age is None else (str(max_age),)
        )
        echoes = self._echoes_method or self._echoes_headers
        self._success = None if echoes else self._success_headers(b"", b"")

    # -- the origin -------------------------------------------------------------

    def granted(self, origin: bytes) -> GrantHeaders | None:
        """Return the headers for *origin* if it is allowed without asking the function."""
        ready = self._listed.get(origin)
        if ready is None and self.origins.grant(origin):
            return self._listed[b"*"] if self.is_static else self.grant_headers(origin)
        return ready

    async def granted_by_function(self, origin: bytes, scope: Scope) -> GrantHeaders | None:
        """Return the headers for *origin* if ``allow_origin_func`` allows it."""
        allowed = await self.origins.grant_by_function(origin, scope)
        return self.grant_headers(origin) if allowed else None

    def grant_headers(self, origin: bytes) -> GrantHeaders:
        """Return the headers that tell *origin* that it is allowed."""
        allowed = (b"access-control-allow-origin", origin)
        if self._allow_credentials:
            return (allowed, (b"access-control-allow-credentials", b"true"))
        return (allowed,)

    # -- responses --------------------------------------------------------------

    def with_grant(self, grant: GrantHeaders, headers: Headers) -> list[Header]:
        """Return the *headers* of a response, for an origin that may read it."""
        if self.is_static:
            others = [header for header in headers if header[0].lower() not in _SINGLE]
            return [*others, *grant, *self._exposed]
        return vary_on(headers, b"Origin", without=_SINGLE, more=grant + self._exposed)

    def without_grant(self, headers: Headers) -> list[Header]:
        """Return the *headers* of a response, for no origin or one that is refused."""
        # With Vary all the same: a cache must not serve this response to another origin.
        return vary_on(headers, b"Origin")

    # -- preflights -------------------------------------------------------------

    def preflight(
        self, asked: Mapping[bytes, bytes], grant: GrantHeaders | None, *, debug: bool = False
    ) -> PreflightResponse:
        """Return the response to the preflight with the headers *asked*, whose origin got *grant*.

        With *debug*, browsers name the method or the header that is refused in their console.
        https://fetch.spec.whatwg.org/#cors-preflight-fetch-0
        """
        if grant is None:
            return _refused("this origin is not allowed")
        method = asked[b"access-control-request-method"]
        if not self._allows_method(method):
            return _refused("this method is not allowed", grant if debug else None)
        names = asked.get(b"access-control-request-headers", b"")
        if not self._allows_headers(names):
            passed = (*grant, *self._methods_for(method)) if debug else None
            return _refused("a request header is not allowed", passed)
        headers = self._success or self._success_headers(method, names)
        if (
            self._allow_private_network
            and asked.get(b"access-control-request-private-network") == b"true"
        ):
            headers = ((b"access-control-allow-private-network", b"true"), *headers)
        return PreflightResponse(204, (*grant, *headers))

    def _allows_method(self, method: bytes) -> bool:
        if self._any_method:
            return len(method) <= _ANY_METHOD_LIMIT and is_token(method)
        return method in self._methods

    def _allows_headers(self, names: bytes) -> bool:
        # Before anything is split: a hostile value costs no more than a look at its length.
        if len(names) > self._headers_limit:
            return False
        if self._any_header:
            return all(map(is_token, elements(names)))
        return self._headers.issuperset(elements(names.lower()))

    def _success_headers(self, method: bytes, names: bytes) -> tuple[Header, ...]:
        """Return what a preflight that succeeds gets besides its grant."""
        return (
            *self._methods_for(method),
            *self._headers_for(names),
            *self._max_age,
            _VARY_PREFLIGHT,
        )

    def _methods_for(self, method: bytes) -> tuple[Header, ...]:
        if self._echoes_method:
            return ((b"access-control-allow-methods", method),)
        return self._methods_header

    def _headers_for(self, names: bytes) -> tuple[Header, ...]:
        if not self._echoes_headers:
            return self._headers_header
        asked = b", ".join(elements(names.lower()))
        return ((b"access-control-allow-headers", asked),) if asked else ()


def _listed_header(name: bytes, values: Sequence[str]) -> tuple[Header, ...]:
    return ((name, ", ".join(values).encode()),) if values else ()


def _refused(reason: str, passed: GrantHeaders | None = None) -> PreflightResponse:
    """Return a refusal, with the headers of the steps that *passed* for a browser to explain."""
    if passed is None:
        return PreflightResponse(403, (_VARY_PREFLIGHT,), reason)
    return PreflightResponse(204, (*passed, _VARY_PREFLIGHT), reason)
