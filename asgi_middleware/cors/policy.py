"""What a policy sends, as plain values: no ASGI here.

The names are those of the Fetch standard: https://fetch.spec.whatwg.org/#http-cors-protocol
"""

from collections.abc import Sequence

from .._headers import vary_on
from ..types import Header, Headers, Scope
from .allowed_origins import AllowedOrigins, OriginFunction, Regex
from .preflight import GrantHeaders, Preflights, listed_header

# A response may have each of these only once: browsers join two lines into one value, which then
# matches nothing. https://fetch.spec.whatwg.org/#cors-check
_SINGLE = frozenset({b"access-control-allow-origin", b"access-control-allow-credentials"})


class CompiledPolicy:
    """A :class:`CORSPolicy` in the form that serves requests, which only look things up."""

    def __init__(
        self,
        *,
        allow_origins: Sequence[str],
        allow_methods: Sequence[str],
        allow_headers: Sequence[str],
        allow_credentials: bool,
        allow_origin_regex: Regex | Sequence[Regex] | None,
        allow_private_network: bool,
        expose_headers: Sequence[str],
        max_age: int | None,
        allow_origin_func: OriginFunction | None,
    ) -> None:
        self.origins = AllowedOrigins(allow_origins, allow_origin_regex, allow_origin_func)
        # Whether responses are the same for every origin, and without one. They then need no Vary,
        # and a shared cache keeps one copy. https://fetch.spec.whatwg.org/#cors-protocol-and-http-caches
        self.is_static = self.origins.include_every
        self.preflights = Preflights(
            allow_methods=allow_methods,
            allow_headers=allow_headers,
            allow_credentials=allow_credentials,
            allow_private_network=allow_private_network,
            max_age=max_age,
        )
        self._allow_credentials = allow_credentials
        self._listed = {origin: self.grant_headers(origin) for origin in self.origins.listed}
        self._exposed = listed_header(b"access-control-expose-headers", expose_headers)

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

    def with_grant(self, grant: GrantHeaders, headers: Headers) -> list[Header]:
        """Return the *headers* of a response, for an origin that may read it."""
        if self.is_static:
            others = [header for header in headers if header[0].lower() not in _SINGLE]
            return [*others, *grant, *self._exposed]
        return vary_on(headers, b"Origin", without=_SINGLE, more=grant + self._exposed)

    def without_grant(self, headers: Headers) -> list[Header]:
        """Return the *headers* of a response, for a refused origin or a request without one."""
        # This needs Vary too: a cache must not serve this response to another origin.
        return vary_on(headers, b"Origin")
