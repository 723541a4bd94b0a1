"""The same handshakes with us and with Channels' validators, and where the decisions differ.

``docs/migrating.md`` gives the reasons. Each test's docstring begins with the number of its
difference there.
"""

import pytest
from channels.security.websocket import OriginValidator  # type: ignore[import-untyped]

from asgi_middleware import ConfigurationError, WebSocketOriginMiddleware
from asgi_middleware.testing import HandshakeRefused, request, websocket
from asgi_middleware.types import ASGIApp
from tests.apps import echo, hello

A = "https://a.example"
B = "https://b.example"


async def lets_in(app: ASGIApp, origin: str | None, host: str = "a.example") -> bool:
    headers = {"host": host} if origin is None else {"host": host, "origin": origin}
    try:
        async with websocket(app, headers=headers):
            return True
    except HandshakeRefused:
        return False


def validator(*allowed: str) -> ASGIApp:
    return OriginValidator(echo, allowed)  # type: ignore[no-any-return]


async def test_a_handshake_must_come_from_a_page_of_its_own_host_and_port() -> None:
    """C1."""
    hosts = ["a.example", "b.example"]
    ours = WebSocketOriginMiddleware(echo, allowed_hosts=hosts)
    listed = WebSocketOriginMiddleware(echo, ["same-origin", f"{A}:5173"], allowed_hosts=hosts)

    assert await lets_in(ours, A)
    assert not await lets_in(ours, A, host="c.example")
    for origin in (B, f"{A}:5173"):
        assert not await lets_in(ours, origin)
        assert await lets_in(validator(*hosts), origin)
    assert await lets_in(listed, f"{A}:5173")


async def test_an_entry_is_an_origin_not_a_host() -> None:
    """C2."""
    with pytest.raises(ConfigurationError, match=r"use 'https://a\.example'"):
        WebSocketOriginMiddleware(echo, ["a.example"])

    ours = WebSocketOriginMiddleware(echo, [A])
    assert await lets_in(ours, A, host="c.example")
    assert not await lets_in(ours, "http://a.example", host="c.example")
    assert await lets_in(validator("a.example"), "http://a.example")


async def test_a_domain_and_its_subdomains_are_two_entries() -> None:
    """C3."""
    ours = WebSocketOriginMiddleware(echo, [A, "https://*.a.example"])

    with pytest.raises(ConfigurationError):
        WebSocketOriginMiddleware(echo, [".a.example"])
    for origin in (A, "https://x.a.example"):
        assert await lets_in(ours, origin, host="c.example")
        assert await lets_in(validator(".a.example"), origin)
    assert not await lets_in(ours, B, host="c.example")


async def test_no_option_lets_in_the_pages_of_every_site() -> None:
    """C4."""
    with pytest.raises(ConfigurationError, match="any page"):
        WebSocketOriginMiddleware(echo, ["*"])

    any_host = WebSocketOriginMiddleware(echo, allowed_hosts=["*"])
    assert await lets_in(any_host, A)
    assert not await lets_in(any_host, B)
    assert not await lets_in(any_host, None)
    assert await lets_in(WebSocketOriginMiddleware(echo, allow_missing=True), None)
    assert await lets_in(validator("*"), B)
    assert await lets_in(validator("*"), None)


async def test_a_refused_handshake_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """C5."""
    with pytest.raises(HandshakeRefused) as refused:
        async with websocket(
            WebSocketOriginMiddleware(echo, [A]), "/ws/", headers={"host": "c", "origin": B}
        ):
            pass

    assert refused.value.status == 403
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    for part in (B, "'c'", "/ws/"):
        assert part in caplog.text
    caplog.clear()
    assert not await lets_in(validator("a.example"), B)
    assert caplog.records == []


async def test_a_guard_for_websockets_passes_other_scopes_on() -> None:
    """C6."""
    assert (await request(WebSocketOriginMiddleware(hello))).status == 200
    with pytest.raises(ValueError, match="non-WebSocket"):
        await request(validator("*"))
