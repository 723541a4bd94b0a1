"""Whose headers to believe: the option ``trusted``, checked and compiled into a function.

It decides by the peer, ``scope["client"]``: the other end of the connection, or the address that
the server reports instead (https://asgi.readthedocs.io/en/latest/specs/www.html#http-connection-scope).
"""

from collections.abc import Callable, Collection, Iterator
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

from . import _options as options
from .types import Scope

Trusted = bool | Collection[str] | Callable[[Scope], bool]

_UNIX = "unix"
_EXAMPLE = "10.0.0.0/8"


def trust_problems(trusted: object) -> Iterator[str]:
    """Check the option ``trusted``."""
    if callable(trusted):
        yield from options.function("trusted", trusted, "(scope) -> bool")
    elif trusted == "*":
        yield "trusted: '*' is a string; use True"
    elif _lists_peers(trusted):
        yield from options.strings("trusted", trusted, [_EXAMPLE], each=_peer_problems)
    else:
        yield from options.boolean("trusted", trusted)


def trust_check(trusted: Trusted) -> Callable[[Scope], bool]:
    """Return the function that says whether the peer of a scope is trusted; it never raises.

    A client on a Unix socket has no address: uvicorn, hypercorn and daphne leave ``client`` out,
    and granian's has an empty host.
    """
    if isinstance(trusted, bool):
        return lambda _: trusted
    if callable(trusted):
        return _false_on_error(trusted)

    unix = _UNIX in trusted
    networks = [ip_network(peer) for peer in trusted if peer != _UNIX]

    def trusts(scope: Scope) -> bool:
        client = scope.get("client")
        if not client or not client[0]:
            return unix
        address = _address(client[0])
        return address is not None and any(address in network for network in networks)

    return trusts


def _false_on_error(function: Callable[[Scope], bool]) -> Callable[[Scope], bool]:
    def trusts(scope: Scope) -> bool:
        try:
            return bool(function(scope))
        except Exception:  # noqa: BLE001 -- a request must not fail because of this function
            return False

    return trusts


def _address(host: str) -> IPv4Address | IPv6Address | None:
    """Return the address of a client; for an IPv4 client on an IPv6 socket, the IPv4 address."""
    try:
        address = ip_address(host)
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _lists_peers(value: object) -> bool:
    """Tell whether *value* is meant as a list of peers, even if it is one string."""
    if not isinstance(value, str):
        return isinstance(value, Collection)
    peers = options.split(value)
    return bool(peers) and not any(True for peer in peers for _ in _peer_problems("trusted", peer))


def _peer_problems(option: str, peer: str) -> Iterator[str]:
    if peer == _UNIX:
        return
    problem = f"{option}: {options.shown(peer)}"
    try:
        network = ip_network(peer, strict=False)
    except ValueError:
        yield f"{problem} is not an address, a network or 'unix'; use {_EXAMPLE!r}"
        return
    if isinstance(network, IPv6Network) and network.network_address.ipv4_mapped is not None:
        ipv4 = f"{network.network_address.ipv4_mapped}/{network.prefixlen - 96}"
        yield f"{problem} is IPv4 written as IPv6 and matches no client; use {ipv4!r}"
    elif "/" in peer and network.network_address != ip_address(peer.partition("/")[0]):
        yield f"{problem} has bits set beyond its prefix; use {str(network)!r}"
