"""Whose headers to believe: the option ``trusted``, checked and made a function.

The peer is ``scope["client"]``: the other end of the connection, or whoever the server
names in its place (https://asgi.readthedocs.io/en/latest/specs/www.html#http-connection-scope).
"""

import inspect
from collections.abc import Callable, Collection
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import cast

from .types import Scope

Trusted = bool | Collection[str] | Callable[[Scope], bool]

_UNIX = "unix"


def problems_with(trusted: object) -> list[str]:
    """Return what is wrong with the option, each with the way out."""
    if isinstance(trusted, bool):
        return []
    if callable(trusted):
        if inspect.iscoroutinefunction(trusted):
            return [f"trusted: {trusted!r} is async; write a plain function of the scope"]
        return []
    if isinstance(trusted, str):
        way_out = "True" if trusted == "*" else repr([trusted])
        return [f"trusted: {trusted!r} is a string; write {way_out}"]
    if not isinstance(trusted, Collection):
        return [
            (
                f"trusted: {trusted!r} is not what can be trusted; write True, False, a list such"
                " as ['10.0.0.0/8', 'unix'], or a function of the scope"
            )
        ]
    peers = cast("Collection[object]", trusted)
    return [f"trusted: {problem}" for peer in peers if (problem := _problem_with_peer(peer))]


def trust(trusted: Trusted) -> Callable[[Scope], bool]:
    """Return what tells whether the peer of a scope is trusted; it never raises.

    A client on a Unix socket has no address: uvicorn, hypercorn and daphne leave
    ``client`` out, granian's has an empty host.
    """
    if isinstance(trusted, bool):
        return lambda _: trusted
    if callable(trusted):
        return _not_raising(trusted)

    unix = _UNIX in trusted
    networks = [ip_network(peer) for peer in trusted if peer != _UNIX]

    def trusts(scope: Scope) -> bool:
        client = scope.get("client")
        if not client or not client[0]:
            return unix
        address = _address(client[0])
        return address is not None and any(address in network for network in networks)

    return trusts


def _not_raising(asked: Callable[[Scope], bool]) -> Callable[[Scope], bool]:
    def trusts(scope: Scope) -> bool:
        try:
            return bool(asked(scope))
        except Exception:  # noqa: BLE001 -- a request must not fail because of this question
            return False

    return trusts


def _address(host: str) -> IPv4Address | IPv6Address | None:
    """Return the address of a client, that of an IPv4 client on an IPv6 socket as IPv4."""
    try:
        address = ip_address(host)
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _problem_with_peer(peer: object) -> str | None:
    if peer == _UNIX:
        return None
    if not isinstance(peer, str):
        return f"{peer!r} is no string; write '10.0.0.0/8'"
    try:
        network = ip_network(peer, strict=False)
    except ValueError:
        return f"{peer!r} is no address, no network and not 'unix'; write '10.0.0.0/8'"
    if isinstance(network, IPv6Network) and network.network_address.ipv4_mapped is not None:
        ipv4 = f"{network.network_address.ipv4_mapped}/{network.prefixlen - 96}"
        return f"{peer!r} is IPv4 written as IPv6, which matches no client; write {ipv4!r}"
    if "/" in peer and str(network.network_address) != _address_part(peer):
        return f"{peer!r} has bits set beyond its prefix; write {str(network)!r}"
    return None


def _address_part(peer: str) -> str:
    return str(ip_address(peer.partition("/")[0]))
