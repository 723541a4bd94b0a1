"""Which handshakes reach the app."""

from collections.abc import Sequence
from typing import Any

import pytest

from asgi_middleware import WebSocketOriginMiddleware
from asgi_middleware.testing import HandshakeRefused, recording, request, websocket
from asgi_middleware.types import Receive, Scope, Send
from tests.apps import echo, hello

SAME = ("same-origin",)


async def allows_b(origin: str, scope: Scope) -> bool:
    return origin == "https://b.example" and scope["path"] == "/"


def fails(origin: str, scope: Scope) -> bool:
    raise LookupError(origin)


async def is_let_in(
    headers: Sequence[tuple[str, str]], *positional: Sequence[str], **options: Any
) -> bool:
    """Return whether the handshake succeeded, and check that the app was called only then."""
    app = recording(echo)
    try:
        async with websocket(
            WebSocketOriginMiddleware(app, *positional, **options), headers=headers
        ):
            pass
    except HandshakeRefused:
        assert app.calls == []
        return False
    assert len(app.calls) == 1
    return True


@pytest.mark.parametrize(
    ("origin", "host", "expected"),
    [
        pytest.param("https://a.example", "a.example", True, id="default ports"),
        pytest.param("http://a.example", "a.example", True, id="the scheme is ignored without TLS"),
        pytest.param("https://a.example", "a.example:443", True, id="default port in Host"),
        pytest.param("http://a.example", "a.example:80", True, id="default port of http in Host"),
        pytest.param("https://a.example", "A.Example", True, id="the case of a name is ignored"),
        pytest.param(
            "http://localhost:8000", "localhost:8000", True, id="a port that is not the default"
        ),
        pytest.param("http://[::1]:8000", "[::1]:8000", True, id="IPv6"),
        pytest.param(
            "http://[::ffff:c000:201]:8000", "[::ffff:c000:201]:8000", True, id="IPv4 in IPv6"
        ),
        pytest.param("https://a.example.", "a.example.", True, id="a dot at the end"),
        pytest.param("https://a.example", "a.example.", False, id="a dot at the end of Host alone"),
        pytest.param("https://a-.example", "a-.example", True, id="a hyphen at the end of a label"),
        pytest.param("https://a.example ", "a.example", True, id="a blank after the value"),
        pytest.param("https://a.example", " a.example\t", True, id="blanks around Host"),
        pytest.param("https://a.example:80", "a.example", False, id="port 80 is not 443"),
        pytest.param("https://a.example:80", "a.example:80", True, id="https on port 80"),
        pytest.param("javascript://a.example", "a.example", False, id="scheme: javascript"),
        pytest.param("ws://a.example", "a.example", False, id="scheme: ws"),
        pytest.param("wss://a.example", "a.example", False, id="scheme: wss"),
        pytest.param("file://", "", False, id="scheme: file"),
        pytest.param("app://a.example", "a.example", False, id="scheme: app"),
        pytest.param("https://a.example", "a.example,b.example", False, id="two hosts"),
        pytest.param("http://localhost:8000", "localhost:8001", False, id="another port than Host"),
        pytest.param("http://localhost:8000", "localhost", False, id="no port in Host"),
        pytest.param("http://localhost", "localhost:8000", False, id="no port in Origin"),
        pytest.param(
            "http://localhost:8000", "127.0.0.1:8000", False, id="localhost and its address"
        ),
        pytest.param("https://evil.example", "a.example", False, id="another site"),
        pytest.param("https://b.a.example", "a.example", False, id="subdomain"),
        pytest.param("null", "null", False, id="null"),
        pytest.param("", "", False, id="empty"),
        pytest.param("https://a.example/", "a.example", False, id="malformed: slash"),
        pytest.param("https://A.example", "a.example", False, id="malformed: case"),
        pytest.param("a.example", "a.example", False, id="malformed: no scheme"),
        pytest.param("https://*.example", "*.example", False, id="malformed: pattern"),
        pytest.param("https://me@a.example", "me@a.example", False, id="malformed: user"),
        pytest.param("https://" + "a" * 400, "a" * 400, False, id="longer than any origin"),
    ],
)
async def test_an_origin_is_the_same_if_it_has_the_host_and_port_of_host(
    origin: str, host: str, expected: bool
) -> None:
    assert await is_let_in([("origin", origin), ("host", host)]) is expected


@pytest.mark.parametrize(
    ("origin", "expected"), [("https://a.example", True), ("http://a.example", False)]
)
async def test_over_wss_an_http_page_is_another_origin(origin: str, expected: bool) -> None:
    app = WebSocketOriginMiddleware(echo)
    headers = [("origin", origin), ("host", "a.example")]
    try:
        async with websocket(app, headers=headers, scope={"scheme": "wss"}):
            pass
    except HandshakeRefused:
        assert not expected
    else:
        assert expected


PROXIED = [("origin", "https://a.example"), ("host", "127.0.0.1:8000")]


@pytest.mark.parametrize(
    ("forwarded", "trusted", "expected"),
    [
        pytest.param(["a.example"], ["10.0.0.0/8"], True, id="trusted"),
        pytest.param(["A.example:443 "], True, True, id="everybody is trusted"),
        pytest.param(["a.example"], ["192.0.2.1"], False, id="not trusted"),
        pytest.param(["b.example"], True, False, id="another host"),
        pytest.param([], True, False, id="no header, so Host counts"),
        pytest.param(["a.example, b.example"], True, False, id="several hosts"),
        pytest.param(["a.example", "a.example"], True, False, id="several lines"),
        pytest.param([""], True, False, id="empty"),
    ],
)
async def test_a_trusted_proxy_forwards_the_original_host(
    forwarded: list[str], trusted: Any, expected: bool
) -> None:
    app = WebSocketOriginMiddleware(echo, trusted_host_header="X-Forwarded-Host", trusted=trusted)
    headers = [*PROXIED, *(("x-forwarded-host", host) for host in forwarded)]
    try:
        async with websocket(app, headers=headers, scope={"client": ("10.1.2.3", 5)}):
            pass
    except HandshakeRefused:
        assert not expected
    else:
        assert expected


async def test_the_host_that_a_proxy_forwards_must_be_allowed() -> None:
    options: Any = {"trusted_host_header": "x-forwarded-host", "trusted": True}
    headers = [*PROXIED, ("x-forwarded-host", "a.example")]

    assert await is_let_in(headers, allowed_hosts=["a.example"], **options)
    assert not await is_let_in(headers, allowed_hosts=["b.example"], **options)


@pytest.mark.parametrize(
    ("headers", "scope", "cause"),
    [
        pytest.param(
            [*PROXIED, ("x-forwarded-host", "a.example")],
            {},
            "X-Forwarded-Host names the page's host; use trusted_host_header='x-forwarded-host'",
            id="forwarded",
        ),
        pytest.param(
            PROXIED,
            {},
            "a proxy may have rewritten Host; use proxy_set_header Host $http_host in nginx,"
            " changeOrigin: false in Vite, or list the origin in allow_origins",
            id="a host of this machine",
        ),
        pytest.param(
            [("origin", "https://a.example:8443"), ("host", "a.example")],
            {},
            "a proxy may have dropped the port; use $http_host instead of $host in nginx",
            id="no port",
        ),
        pytest.param(
            [("origin", "http://a.example"), ("host", "a.example")],
            {"scheme": "wss"},
            "the page is http, and the WebSocket is wss",
            id="not encrypted",
        ),
        pytest.param(
            [("origin", "http://b.example"), ("host", "b.example")],
            {},
            "the host is not in allowed_hosts",
            id="not allowed",
        ),
    ],
)
async def test_the_warning_names_the_likely_cause_of_a_refused_handshake(
    headers: list[tuple[str, str]],
    scope: dict[str, Any],
    cause: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = WebSocketOriginMiddleware(echo, allowed_hosts=["a.example"])

    with pytest.raises(HandshakeRefused):
        async with websocket(app, headers=headers, scope=scope):
            pass

    [line] = caplog.messages
    assert line.endswith(f", path '/'; {cause}")


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([("origin", "https://a.example")] * 2 + [("host", "a.example")], id="origins"),
        pytest.param([("origin", "https://a.example")] + [("host", "a.example")] * 2, id="hosts"),
    ],
)
async def test_a_handshake_with_several_origins_or_hosts_is_refused(
    headers: list[tuple[str, str]],
) -> None:
    assert not await is_let_in(headers)


@pytest.mark.parametrize(
    ("allow_origins", "origin", "expected"),
    [
        (["https://b.example"], "https://b.example", True),
        (["https://b.example"], "https://c.example", False),
        (["https://b.example"], "https://testserver", False),
        (["https://*.b.example"], "https://c.b.example", True),
        (["https://*.b.example"], "https://b.example", False),
        (["http://localhost:*"], "http://localhost:3000", True),
        (["file://", "app://."], "file://", True),
        (["file://", "app://."], "app://.", True),
        (["file://", "app://."], "app://x", False),
        (["same-origin", "https://b.example"], "https://b.example", True),
        (["same-origin", "https://b.example"], "https://testserver", True),
        ([], "https://testserver", False),
    ],
)
async def test_a_listed_origin_is_let_in(
    allow_origins: list[str], origin: str, expected: bool
) -> None:
    assert await is_let_in([("origin", origin)], allow_origins) is expected


@pytest.mark.parametrize("allow_missing", [True, False])
async def test_a_client_without_origin_is_let_in_if_that_is_allowed(allow_missing: bool) -> None:
    assert await is_let_in([], allow_missing=allow_missing) is allow_missing


@pytest.mark.parametrize(
    ("allowed_hosts", "host", "expected"),
    [
        pytest.param(["a.example"], "a.example", True, id="listed"),
        pytest.param(["a.example"], "a.example:8443", True, id="the port is ignored"),
        pytest.param(["A.example"], "a.example", True, id="the case is ignored"),
        pytest.param(["b.example"], "a.example", False, id="not listed"),
        pytest.param(["a.example"], "b.a.example", False, id="a subdomain of a listed one"),
        pytest.param([".a.example"], "a.example", True, id="leading dot: the name itself"),
        pytest.param([".a.example"], "b.a.example", True, id="leading dot: a subdomain"),
        pytest.param(["a.example"], "a.example.", True, id="a dot at the end is ignored"),
        pytest.param([".a.example"], "ba.example", False, id="leading dot: a lookalike"),
        pytest.param(["*"], "a.example", True, id="star"),
        pytest.param([], "localhost:8000", True, id="empty: localhost"),
        pytest.param([], "a.localhost", True, id="empty: a subdomain of localhost"),
        pytest.param([], "127.0.0.1:8000", True, id="empty: IPv4"),
        pytest.param([], "[::1]:8000", True, id="empty: IPv6"),
        pytest.param([], "a.example", False, id="empty: nothing else"),
    ],
)
async def test_a_handshake_for_a_host_outside_allowed_hosts_is_refused(
    allowed_hosts: list[str], host: str, expected: bool
) -> None:
    headers = [("origin", f"http://{host}"), ("host", host)]

    assert await is_let_in(headers, allowed_hosts=allowed_hosts) is expected


@pytest.mark.parametrize(
    ("function", "origin", "expected"),
    [
        pytest.param(allows_b, "https://b.example", True, id="async, allows"),
        pytest.param(allows_b, "https://c.example", False, id="async, refuses"),
        pytest.param(lambda origin, scope: True, "https://c.example", True, id="allows"),
        pytest.param(
            lambda origin, scope: 1, "https://c.example", False, id="returns 1 instead of True"
        ),
        *(
            pytest.param(lambda origin, scope: True, origin, True, id=origin)
            for origin in ("null", "file://", "app://.", "safari-web-extension://BD1D5A08")
        ),
        *(
            pytest.param(lambda origin, scope: True, origin, False, id=f"not called for {origin!r}")
            for origin in ("", "a.example", "https://A.example", "https://a.example/", "*")
        ),
        pytest.param(fails, "https://b.example", False, id="fails"),
        pytest.param(fails, "https://testserver", True, id="not called for the same origin"),
    ],
)
async def test_the_function_decides_about_other_origins(
    function: Any, origin: str, expected: bool
) -> None:
    assert await is_let_in([("origin", origin)], allow_origin_func=function) is expected


async def test_a_refused_handshake_is_a_403_where_the_server_can_send_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with pytest.raises(HandshakeRefused) as refused:
        async with websocket(
            WebSocketOriginMiddleware(echo), "/ws", headers={"origin": "https://evil.example"}
        ):
            pass

    assert (refused.value.status, refused.value.code) == (403, None)
    assert refused.value.body == b"this origin is not allowed"
    [record] = caplog.records
    assert (record.levelname, record.getMessage()) == (
        "WARNING",
        "websocket refused: origin 'https://evil.example', host 'testserver', path '/ws'",
    )


async def test_a_refused_handshake_is_a_close_with_1008_where_the_server_cannot_send_a_403() -> (
    None
):
    with pytest.raises(HandshakeRefused) as refused:
        async with websocket(WebSocketOriginMiddleware(echo), scope={"extensions": {}}):
            pass

    assert (refused.value.status, refused.value.code) == (403, 1008)


async def test_a_hostile_origin_cannot_forge_a_log_line(caplog: pytest.LogCaptureFixture) -> None:
    hostile = "https://a\r\nERROR forged" + "x" * 10_000

    with pytest.raises(HandshakeRefused):
        async with websocket(
            WebSocketOriginMiddleware(echo), headers={"origin": hostile, "host": hostile}
        ):
            pass

    [line] = caplog.messages
    assert "\n" not in line
    assert len(line) < 1000


async def test_the_app_gets_the_same_three_objects_for_other_scopes() -> None:
    app = recording(hello)
    seen: list[object] = []

    async def server(scope: Scope, receive: Receive, send: Send) -> None:
        seen.extend((scope, receive, send))
        await WebSocketOriginMiddleware(app)(scope, receive, send)

    await request(server, headers={"origin": "https://evil.example"})

    assert [app.calls[0].scope, app.calls[0].receive, app.calls[0].send] == seen


def test_the_middleware_shows_its_options() -> None:
    assert repr(WebSocketOriginMiddleware(echo, allowed_hosts=["a.example"])) == (
        "WebSocketOriginMiddleware(allow_origins=('same-origin',), allow_missing=False,"
        " allowed_hosts=['a.example'], allow_origin_func=None, trusted_host_header=None,"
        " trusted=False)"
    )
