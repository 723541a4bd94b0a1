"""Whether a handshake comes from the site itself, and the likely cause if it does not."""

from collections.abc import Sequence

from .._headers import elements, values
from .._origins import MAX_LENGTH, is_loopback, is_sendable, parse
from ..types import Headers

_FORWARDED = "X-Forwarded-Host names the page's host; use trusted_host_header='x-forwarded-host'"
_NO_PORT = "a proxy may have dropped the port; use $http_host instead of $host in nginx"
_REWRITTEN = (
    "a proxy may have rewritten Host; use proxy_set_header Host $http_host in nginx,"
    " changeOrigin: false in Vite, or list the origin in allow_origins"
)
_NOT_ALLOWED = "the host is not in allowed_hosts"
_NOT_ENCRYPTED = "the page is http, and the WebSocket is wss"


def host_of(headers: Headers, name: bytes) -> str | None:
    """Return the host in the header *name*, in lower case; None unless there is exactly one."""
    lines = values(headers, name)
    if len(lines) != 1 or len(lines[0]) > MAX_LENGTH:
        return None
    hosts = elements(lines[0])
    return hosts[0].decode("latin-1").lower() if len(hosts) == 1 else None


def is_same_origin(origin: str, host: str, *, over_tls: bool) -> bool:
    """Tell whether *origin* is that of a page at *host*.

    Over TLS, the scheme must be https. Otherwise it may be http or https, because TLS often ends
    at a proxy.
    """
    own, asked = parse(origin), parse(f"http://{host}")
    if own is None or asked is None or not is_sendable(origin):
        return False
    if own.scheme != "https" and (own.scheme != "http" or over_tls):
        return False
    # Browsers leave a default port out of Origin. Host may still name it, for either scheme.
    ports = (asked.port, "") if asked.port in ("80", "443") else (asked.port,)
    return own.host == asked.host and own.port in ports


def is_allowed_host(host: str, allowed_hosts: Sequence[str]) -> bool:
    """Tell whether *host* matches an entry of *allowed_hosts*, as in Django's setting."""
    asked = parse(f"http://{host}")
    name = "" if asked is None else asked.host.removesuffix(".")
    return any(
        allowed in ("*", name)
        or (allowed.startswith(".") and (name == allowed[1:] or name.endswith(allowed)))
        for allowed in allowed_hosts
    )


def likely_cause(origin: str, host: str, headers: Headers, *, over_tls: bool) -> str | None:
    """Return the likely cause of a refused handshake from *origin*; None for another site."""
    own, asked = parse(origin), parse(f"http://{host}")
    if own is None or asked is None:
        return None
    if is_same_origin(origin, host, over_tls=False):
        return _NOT_ENCRYPTED if over_tls and own.scheme == "http" else _NOT_ALLOWED
    forwarded = host_of(headers, b"x-forwarded-host")
    if forwarded is not None and is_same_origin(origin, forwarded, over_tls=over_tls):
        return _FORWARDED
    if own.host == asked.host and not asked.port:
        return _NO_PORT
    return _REWRITTEN if is_loopback(f"http://{host}") else None
