"""What docs/migrating.md says about other packages, and about this one.

The docstring of a test begins with the number of its difference on the page. The tests that need
Django are in tests/around_django/test_beside_*.py. A package that is not installed is left out.
"""

import logging
import re
from collections.abc import Awaitable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.body_limit import RequestBodyLimitMiddleware as StarletteBodyLimit
from starlette.middleware.cors import CORSMiddleware as StarletteCORSMiddleware

from asgi_middleware import (
    ConfigurationError,
    CORSMiddleware,
    RequestBodyLimitMiddleware,
    RequestIDFilter,
    RequestIDMiddleware,
    TimingMiddleware,
    WebSocketTiming,
    compose,
    get_request_id,
    is_uuid,
    request_id_context,
)
from asgi_middleware.testing import (
    ASGIViolation,
    HandshakeRefused,
    Response,
    recording,
    request,
    websocket,
)
from asgi_middleware.types import ASGIApp, Message, Receive, Scope, Send
from tests.apps import answering, doing, hello

from .process import ROOT

PAGE = (ROOT / "docs" / "migrating.md").read_text()
TESTS = [Path(__file__), *(ROOT / "tests" / "around_django").glob("test_beside_*.py")]

A = "https://a.example"
B = "https://b.example"
PREFLIGHT = {"origin": A, "access-control-request-method": "PUT"}


# -- the page -----------------------------------------------------------------------------------


def numbers_on_the_page() -> list[str]:
    return re.findall(r"^\| ([A-Z]\d+) \|", PAGE, re.MULTILINE)


def test_every_difference_on_the_page_has_a_test() -> None:
    shown = {
        number
        for path in TESTS
        for docstring in re.findall(
            r'^    """([A-Z]\d+(?:, [A-Z]\d+)*)\.', path.read_text(), re.MULTILINE
        )
        for number in docstring.split(", ")
    }

    assert set(numbers_on_the_page()) - shown == set()


def test_no_two_differences_have_the_same_number() -> None:
    assert sorted(set(numbers_on_the_page())) == sorted(numbers_on_the_page())


def test_every_number_in_the_text_is_a_difference_on_the_page() -> None:
    named = set(re.findall(r"\b[SLDACRGT]\d+\b", PAGE))

    assert named - set(numbers_on_the_page()) == set()


# -- Starlette ----------------------------------------------------------------------------------


async def preflight(app: ASGIApp, **headers: str) -> Response:
    asked = {f"access-control-request-{name}".replace("_", "-"): headers[name] for name in headers}
    return await request(app, "OPTIONS", headers={**PREFLIGHT, **asked})


def with_own_messages(app: ASGIApp) -> ASGIApp:
    """Return *app* with copies of its messages, which a middleware may edit."""

    async def copying(scope: Scope, receive: Receive, send: Send) -> None:
        def send_a_copy(message: Message) -> Awaitable[None]:
            if "headers" in message:
                message = {**message, "headers": [*message["headers"]]}
            return send(message)

        await app(scope, receive, send_a_copy)

    return copying


def starlettes(app: ASGIApp = hello, **options: Any) -> ASGIApp:
    return recording(StarletteCORSMiddleware(with_own_messages(app), **options))


def ours_and_starlettes(app: ASGIApp = hello, **options: Any) -> tuple[ASGIApp, ASGIApp]:
    return CORSMiddleware(app, **options), starlettes(app, **options)


async def test_a_preflight_that_succeeds_gets_a_204() -> None:
    """S1."""
    ours, theirs = ours_and_starlettes(allow_origins=[A], allow_methods=["PUT"])

    response, other = await preflight(ours), await preflight(theirs)

    assert (response.status, response.body) == (204, b"")
    assert (other.status, other.body) == (200, b"OK")


async def test_a_preflight_that_fails_gets_a_403_and_the_first_reason(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """S2, S3."""
    ours, theirs = ours_and_starlettes(allow_origins=[A], allow_credentials=True)
    caplog.set_level(logging.INFO, "asgi_middleware.cors")

    response, other = await preflight(ours, headers="x-z"), await preflight(theirs, headers="x-z")

    assert (response.status, response.text) == (403, "CORS: this method is not allowed")
    assert "this method is not allowed" in caplog.text
    assert (other.status, other.text) == (400, "Disallowed CORS method, headers")
    assert [name for name, _ in response.headers if name.startswith(b"access-control")] == []
    assert other.get(b"access-control-allow-methods") == b"GET"
    assert other.get(b"access-control-allow-credentials") == b"true"


@pytest.mark.parametrize(
    ("credentials", "listed"),
    [pytest.param(False, b"*", id="plain"), pytest.param(True, b"BREW", id="credentials")],
)
async def test_a_wildcard_allows_any_method(credentials: bool, listed: bytes) -> None:
    """S7."""
    ours, theirs = ours_and_starlettes(
        allow_origins=[A], allow_methods=["*"], allow_credentials=credentials
    )

    response, other = await preflight(ours, method="BREW"), await preflight(theirs, method="BREW")

    assert (response.status, other.status) == (204, 400)
    assert response.get(b"access-control-allow-methods") == listed


@pytest.mark.parametrize(
    ("credentials", "listed"),
    [
        pytest.param(False, b"*, Authorization", id="plain"),
        pytest.param(True, b"x-a, x-b", id="credentials"),
    ],
)
async def test_a_wildcard_allows_any_header_with_a_response_of_bounded_size(
    credentials: bool, listed: bytes
) -> None:
    """S8."""
    ours, theirs = ours_and_starlettes(
        allow_origins=[A],
        allow_methods=["PUT"],
        allow_headers=["*"],
        allow_credentials=credentials,
    )
    much = ", ".join(["x-long"] * 1000)

    response = await preflight(ours, headers="X-A,X-B")

    assert response.get(b"access-control-allow-headers") == listed
    assert (await preflight(ours, headers=much)).status == 403
    assert (await preflight(theirs, headers=much)).get(
        b"access-control-allow-headers"
    ) == much.encode()


async def test_the_allowed_headers_include_all_safelisted_ones_even_range() -> None:
    """S9."""
    ours, theirs = ours_and_starlettes(
        allow_origins=[A], allow_methods=["PUT"], allow_headers=["X-B", "X-A"]
    )

    response, other = await preflight(ours), await preflight(theirs)

    assert response.get(b"access-control-allow-headers") == (
        b"x-b, x-a, accept, accept-language, content-language, content-type, range"
    )
    assert other.get(b"access-control-allow-headers") == (
        b"Accept, Accept-Language, Content-Language, Content-Type, X-A, X-B"
    )


async def test_a_refused_origin_gets_neither_credentials_nor_exposed_headers() -> None:
    """S10."""
    ours, theirs = ours_and_starlettes(
        allow_origins=[A], allow_credentials=True, expose_headers=["x-b"]
    )
    names = (b"access-control-allow-credentials", b"access-control-expose-headers")

    response = await request(ours, headers={"origin": B})
    other = await request(theirs, headers={"origin": B})

    assert [response.get(name) for name in names] == [None, None]
    assert [other.get(name) for name in names] == [b"true", b"x-b"]


async def test_a_wildcard_origin_gives_everybody_the_same_response() -> None:
    """S11."""
    ours, theirs = ours_and_starlettes(allow_origins=["*"])
    names = (b"access-control-allow-origin", b"vary")

    asked = [await request(app, headers={"origin": A}) for app in (ours, theirs)]
    not_asked = [await request(app) for app in (ours, theirs)]

    assert [asked[0].get(name) for name in names] == [b"*", None]
    assert [not_asked[0].get(name) for name in names] == [b"*", None]
    assert [asked[1].get(name) for name in names] == [b"*", b"Origin"]
    assert [not_asked[1].get(name) for name in names] == [None, b"Origin"]


@pytest.mark.parametrize(
    "everybody",
    [{"allow_origins": ["*"]}, {"allow_origin_regex": "https://.*"}],
    ids=["wildcard", "regex"],
)
async def test_credentials_for_every_origin_need_a_function(everybody: dict[str, Any]) -> None:
    """S4."""
    theirs = starlettes(allow_credentials=True, **everybody)
    meant = CORSMiddleware(
        hello, allow_credentials=True, allow_origin_func=lambda origin, scope: True
    )

    with pytest.raises(ConfigurationError, match="allow_credentials=True"):
        CORSMiddleware(hello, allow_credentials=True, **everybody)
    for app in (meant, theirs):
        response = await request(app, headers={"origin": A})
        assert response.get(b"access-control-allow-origin") == A.encode()
        assert response.get(b"access-control-allow-credentials") == b"true"


async def test_the_apps_own_allow_origin_is_replaced_whatever_its_case() -> None:
    """S12."""
    as_django = recording(answering((b"Access-Control-Allow-Origin", b"*")))
    ours, theirs = ours_and_starlettes(as_django, allow_origins=[A])

    response = await request(ours, headers={"origin": A})
    other = await request(theirs, headers={"origin": A})

    assert response.getall(b"access-control-allow-origin") == [A.encode()]
    assert other.getall(b"access-control-allow-origin") == [b"*", A.encode()]


async def test_a_message_of_the_app_is_not_edited() -> None:
    """S13."""
    kept: dict[str, Any] = {}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        start = {"type": "http.response.start", "status": 200, "headers": [(b"x-b", b"1")]}
        kept[scope["path"]] = start
        await send(start)
        await send({"type": "http.response.body"})

    ours = CORSMiddleware(app, allow_origins=[A])
    theirs = StarletteCORSMiddleware(app, allow_origins=[A])
    await request(ours, target="/ours", headers={"origin": A})
    await request(theirs, target="/theirs", headers={"origin": A})

    assert kept["/ours"]["headers"] == [(b"x-b", b"1")]
    assert len(kept["/theirs"]["headers"]) > 1


async def test_a_preflight_for_a_private_network_that_is_not_allowed_gets_no_permission() -> None:
    """S14."""
    ours, theirs = ours_and_starlettes(allow_origins=[A], allow_methods=["PUT"])

    response = await preflight(ours, private_network="true")

    assert response.status == 204
    assert response.get(b"access-control-allow-private-network") is None
    assert (await preflight(theirs, private_network="true")).status == 400


async def test_a_page_can_read_the_500_of_an_app_that_raises() -> None:
    """S5."""

    async def raising(scope: Scope, receive: Receive, send: Send) -> None:
        raise LookupError

    async def allowed(app: ASGIApp) -> tuple[int | None, bytes | None]:
        response = await request(app, headers={"origin": A}, raise_app_exceptions=False)
        return response.status, response.get(b"access-control-allow-origin")

    ours, theirs = ours_and_starlettes(raising, allow_origins=[A])

    assert await allowed(ours) == (500, A.encode())
    assert await allowed(theirs) == (None, None)


@pytest.mark.parametrize(("own", "doubled"), [(b"origin", b"origin, Origin"), (b"*", b"*, Origin")])
async def test_origin_is_added_to_vary_only_if_it_is_missing(own: bytes, doubled: bytes) -> None:
    """S15."""
    ours, theirs = ours_and_starlettes(answering((b"vary", own)), allow_origins=[A])

    assert (await request(ours)).get(b"vary") == own
    assert (await request(theirs)).get(b"vary") == doubled


async def test_several_origins_in_one_request_are_refused() -> None:
    """S16."""
    ours, theirs = ours_and_starlettes(allow_origins=[A])
    two = [("origin", A), ("origin", B)]

    assert (await request(ours, headers=two)).get(b"access-control-allow-origin") is None
    assert (await request(theirs, headers=two)).get(b"access-control-allow-origin") == A.encode()


async def test_a_preflight_varies_on_the_private_network_only_if_that_is_allowed() -> None:
    """S17."""
    name = b"Access-Control-Request-Private-Network"
    ours, theirs = ours_and_starlettes(allow_origins=[A], allow_methods=["PUT"])
    allowing = CORSMiddleware(hello, [A], ["PUT"], allow_private_network=True)

    assert name not in ((await preflight(ours)).get(b"vary") or b"")
    assert name in ((await preflight(theirs)).get(b"vary") or b"")
    assert name in ((await preflight(allowing)).get(b"vary") or b"")


def test_an_origin_that_can_never_match_is_refused_at_startup() -> None:
    """S6."""
    StarletteCORSMiddleware(hello, allow_origins=[f"{A}/"])

    with pytest.raises(ConfigurationError, match=r"use 'https://a\.example'"):
        CORSMiddleware(hello, allow_origins=[f"{A}/"])


async def test_starlettes_500_has_an_id_only_if_the_layer_is_around_the_app() -> None:
    async def raising(scope: Scope, receive: Receive, send: Send) -> None:
        raise LookupError

    inside = Starlette(middleware=[Middleware(RequestIDMiddleware)])
    around = Starlette()
    for app in (inside, around):
        app.mount("/", raising)

    async def has_id(app: ASGIApp) -> bool:
        async def with_own_scope(scope: Scope, receive: Receive, send: Send) -> None:
            await app({**scope}, receive, send)  # a copy, because Starlette edits it

        response = await request(with_own_scope, raise_app_exceptions=False)
        assert response.status == 500
        return response.get(b"x-request-id") is not None

    assert not await has_id(inside)
    assert await has_id(compose(RequestIDMiddleware)(around))


# -- Starlette's limit ---------------------------------------------------------------------------


async def sizes(scope: Scope, receive: Receive, send: Send) -> None:
    """Read the body to its end, and respond with its size."""
    size, more = 0, True
    while more:
        message = await receive()
        size += len(message.get("body", b""))
        more = message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(size).encode()})


PARTS = [b"x" * 6, b"x" * 6, b""]


async def test_a_413_says_what_is_wrong_and_closes_the_connection() -> None:
    """L1."""
    ours = await request(RequestBodyLimitMiddleware(hello, 10), "POST", body=b"x" * 11)
    theirs = await request(StarletteBodyLimit(sizes, 10), "POST", body=b"x" * 11)

    assert (ours.status, theirs.status) == (413, 413)
    assert ours.text == "The request body is larger than this server accepts.\n"
    assert ours.get(b"connection") == b"close"
    assert theirs.text == "Content Too Large"
    assert theirs.get(b"connection") is None


async def test_the_app_is_not_called_if_the_content_length_is_too_large() -> None:
    """L2."""
    called: list[str] = []

    def noting(name: str) -> ASGIApp:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            called.append(name)
            await hello(scope, receive, send)

        return app

    for app in (
        RequestBodyLimitMiddleware(noting("ours"), 10),
        StarletteBodyLimit(noting("theirs"), 10),
    ):
        assert (await request(app, "POST", body=b"x" * 11)).status == 413

    assert called == ["theirs"]


async def test_an_inner_limit_does_not_raise_the_outer_limit() -> None:
    """L3."""
    inner = StarletteBodyLimit(sizes, 100)
    by_path = RequestBodyLimitMiddleware(sizes, 10, paths={"/upload/": 100})

    assert (await request(StarletteBodyLimit(inner, 10), "POST", body=PARTS)).status == 200
    assert (await request(RequestBodyLimitMiddleware(inner, 10), "POST", body=PARTS)).status == 413
    assert (await request(by_path, "POST", "/upload/", body=PARTS)).status == 200


async def test_the_app_receives_a_disconnect_if_the_body_is_too_large() -> None:
    """L4."""
    got: list[object] = []

    async def catches(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        try:
            got.append((await receive())["type"])
        except HTTPException as error:
            got.append(error.status_code)
            raise

    await request(RequestBodyLimitMiddleware(catches, 10), "POST", body=PARTS)
    await request(StarletteBodyLimit(catches, 10), "POST", body=PARTS)

    assert got == ["http.disconnect", 413]


async def test_a_response_that_has_begun_may_be_completed() -> None:
    """L5."""

    async def early(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await receive()
        await receive()
        await send({"type": "http.response.body", "body": b"hello"})

    ours = await request(RequestBodyLimitMiddleware(early, 10), "POST", body=PARTS)

    assert (ours.status, ours.text) == (200, "hello")
    with pytest.raises(HTTPException):
        await request(StarletteBodyLimit(early, 10), "POST", body=PARTS)


async def test_a_limit_adds_no_key_to_the_scope() -> None:
    """L6."""
    keys: list[set[str]] = []

    async def notes(scope: Scope, receive: Receive, send: Send) -> None:
        keys.append({key for key in scope if key.startswith("starlette.")})
        await hello(scope, receive, send)

    await request(RequestBodyLimitMiddleware(notes, 10), "POST", body=PARTS)
    await request(StarletteBodyLimit(notes, 10), "POST", body=PARTS)

    assert keys == [set(), {"starlette.max_body_size", "starlette._body_limit_responder"}]


# -- asgi-cors ----------------------------------------------------------------------------------

HAS_ASGI_CORS = find_spec("asgi_cors") is not None


def asgi_cors(app: ASGIApp = hello, **options: Any) -> ASGIApp:
    from asgi_cors import asgi_cors  # type: ignore[import-untyped]

    return asgi_cors(app, **options)  # type: ignore[no-any-return]


async def test_a_preflight_does_not_reach_the_app() -> None:
    """A1."""
    app = recording(answering(status=405))

    assert (await preflight(CORSMiddleware(app, [A], ["PUT"]))).status == 204
    assert app.calls == []
    if HAS_ASGI_CORS:
        assert (await preflight(asgi_cors(app, hosts=[A], methods=["PUT"]))).status == 405


async def test_only_preflights_list_the_allowed_methods_and_headers() -> None:
    """A2."""
    names = ("access-control-allow-headers", "access-control-allow-methods")

    async def lists(app: ASGIApp) -> list[str]:
        response = await request(app, headers={"origin": A})
        return [name for name in names if response.get(name.encode())]

    assert await lists(CORSMiddleware(hello, [A], ["PUT"], ["x-a"])) == []
    if HAS_ASGI_CORS:
        assert await lists(asgi_cors(hosts=[A], methods=["PUT"], headers=["x-a"])) == [*names]


async def allows(app: ASGIApp, origin: str) -> bool:
    response = await request(app, headers={"origin": origin})
    return response.get(b"access-control-allow-origin") is not None


async def test_a_wildcard_stands_for_labels_or_for_a_port() -> None:
    """A3."""
    ours = CORSMiddleware(hello, ["https://*.a.example", "http://localhost:*"])

    assert await allows(ours, "https://x.y.a.example")
    assert await allows(ours, "http://localhost:8000")
    assert not await allows(ours, "https://x.a.example.evil")
    for anywhere in ("https://*.a.example*", "http://localhost:8*"):
        with pytest.raises(ConfigurationError, match="allow_origins"):
            CORSMiddleware(hello, [anywhere])
    if HAS_ASGI_CORS:
        theirs = asgi_cors(host_wildcards=["https://*.a.example*"])
        assert await allows(theirs, "https://x.a.example.evil")


async def test_a_function_allows_an_origin_only_if_it_returns_true(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A4."""
    asked: list[object] = []

    def function(origin: str, scope: Scope) -> bool:
        asked.append((origin, scope["path"]))
        return origin == A

    ours = CORSMiddleware(hello, allow_origin_func=function)
    truthy: Any = CORSMiddleware(hello, allow_origin_func=lambda origin, scope: "yes")  # type: ignore[arg-type]
    raising = CORSMiddleware(hello, allow_origin_func=lambda origin, scope: scope["nothing"])

    assert await allows(ours, A)
    assert not await allows(ours, B)
    assert asked == [(A, "/"), (B, "/")]
    assert not await allows(truthy, A)
    assert not await allows(raising, A)
    assert "allow_origin_func failed" in caplog.text
    if HAS_ASGI_CORS:
        assert await allows(asgi_cors(callback=lambda origin: origin == A.encode()), A)
        with pytest.raises(KeyError):
            await allows(asgi_cors(callback=lambda origin: {}[origin]), A)


async def test_a_response_varies_unless_everybody_is_allowed() -> None:
    """A5."""
    assert (await request(CORSMiddleware(hello, [A]))).get(b"vary") == b"Origin"
    assert (await request(CORSMiddleware(hello, ["*"]))).get(b"vary") is None
    if HAS_ASGI_CORS:
        assert (await request(asgi_cors(hosts=[A]))).get(b"vary") is None


async def test_header_names_of_the_app_are_compared_without_case() -> None:
    """A6."""
    as_django = recording(answering((b"Access-Control-Allow-Origin", b"*")))

    async def lines(app: ASGIApp) -> list[bytes]:
        response = await request(recording(app), headers={"origin": A})
        return response.getall(b"access-control-allow-origin")

    assert await lines(CORSMiddleware(as_django, [A])) == [A.encode()]
    if HAS_ASGI_CORS:
        assert await lines(asgi_cors(as_django, hosts=[A])) == [b"*", A.encode()]


def test_an_origin_must_be_a_string() -> None:
    """A7."""
    bytes_in_a_list: Any = [A.encode()]

    with pytest.raises(ConfigurationError, match="is not a string"):
        CORSMiddleware(hello, bytes_in_a_list)
    if HAS_ASGI_CORS:
        asgi_cors(hosts=bytes_in_a_list)


# -- asgi-correlation-id ------------------------------------------------------------------------

HAS_CORRELATION_ID = find_spec("asgi_correlation_id") is not None


def correlation_id(app: ASGIApp = hello, **options: Any) -> ASGIApp:
    from asgi_correlation_id import CorrelationIdMiddleware

    middleware: Any = CorrelationIdMiddleware(with_own_messages(app), **options)

    async def with_own_scope(scope: Scope, receive: Receive, send: Send) -> None:
        await middleware({**scope}, receive, send)  # a copy, because it edits the scope

    return recording(with_own_scope)


async def ids(app: ASGIApp, *sent: str) -> list[str]:
    response = await request(app, headers=[("x-request-id", each) for each in sent])
    return [value.decode() for value in response.getall(b"x-request-id")]


async def test_an_id_from_a_proxy_need_not_be_a_uuid() -> None:
    """R1."""
    assert await ids(RequestIDMiddleware(hello), "from-a-proxy") == ["from-a-proxy"]
    assert await ids(RequestIDMiddleware(hello, validator=is_uuid), "from-a-proxy") != [
        "from-a-proxy"
    ]
    if HAS_CORRELATION_ID:
        assert await ids(correlation_id(), "from-a-proxy") != ["from-a-proxy"]


async def test_a_refused_id_is_logged_below_warning(caplog: pytest.LogCaptureFixture) -> None:
    """R2."""
    caplog.set_level(logging.DEBUG)

    async def levels(app: ASGIApp) -> list[str]:
        caplog.clear()
        await ids(app, "not a UUID")
        return [record.levelname for record in caplog.records]

    ours = RequestIDMiddleware(hello, validator=is_uuid)
    assert [await levels(ours), await levels(ours)] == [["INFO"], ["DEBUG"]]
    assert "not a UUID" not in caplog.text
    if HAS_CORRELATION_ID:
        assert await levels(correlation_id()) == ["WARNING"]


@pytest.mark.parametrize("sent", ["a b", "a" * 10_000], ids=["a space", "too long"])
async def test_an_id_is_short_visible_ascii_even_without_a_validator(sent: str) -> None:
    """R3."""
    assert await ids(RequestIDMiddleware(hello, validator=None), sent) != [sent]
    if HAS_CORRELATION_ID:
        assert await ids(correlation_id(validator=None), sent) == [sent]


async def test_an_id_from_the_generator_is_checked(caplog: pytest.LogCaptureFixture) -> None:
    """R4."""

    def forged() -> str:
        return "a\r\nset-cookie: b"

    (made,) = await ids(RequestIDMiddleware(hello, generator=forged))

    assert re.fullmatch("[0-9a-f]{32}", made)
    assert "generator" in caplog.text
    if HAS_CORRELATION_ID:
        with pytest.raises(ASGIViolation, match="line break"):
            await ids(correlation_id(generator=forged))


async def test_one_response_has_one_id() -> None:
    """R5."""
    app = answering((b"x-request-id", b"own"))

    assert await ids(RequestIDMiddleware(app), "abc") == ["abc"]
    if HAS_CORRELATION_ID:
        made = await ids(correlation_id(app))
        assert made[0] == "own"
        assert len(made) == 2


async def test_the_response_to_a_handshake_has_the_id() -> None:
    """R6."""

    async def header(app: ASGIApp) -> bytes | None:
        async with websocket(app) as socket:
            return dict(socket.headers).get(b"x-request-id")

    async def refusing(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.http.response.start", "status": 401, "headers": []})
        await send({"type": "websocket.http.response.body"})

    assert await header(RequestIDMiddleware(hello)) is not None
    with pytest.raises(HandshakeRefused) as refused:
        await header(RequestIDMiddleware(refusing))
    assert dict(refused.value.headers)[b"x-request-id"]
    if HAS_CORRELATION_ID:
        assert await header(correlation_id()) is None


async def test_the_scope_of_the_server_is_not_edited() -> None:
    """R7."""
    scope = {"type": "http", "headers": [(b"x-a", b"1")]}

    async def receive() -> dict[str, str]:
        return {"type": "http.disconnect"}

    async def send(message: Mapping[str, Any]) -> None: ...

    await RequestIDMiddleware(hello)(scope, receive, send)
    assert scope == {"type": "http", "headers": [(b"x-a", b"1")]}
    if HAS_CORRELATION_ID:
        from asgi_correlation_id import CorrelationIdMiddleware

        await CorrelationIdMiddleware(with_own_messages(hello))(scope, receive, send)
        assert scope != {"type": "http", "headers": [(b"x-a", b"1")]}


async def test_code_in_a_request_does_not_change_the_id_of_its_response() -> None:
    """R8."""

    def change(scope: Scope) -> None:
        with request_id_context("other"):
            assert get_request_id() == "other"

    def change_theirs(scope: Scope) -> None:
        from asgi_correlation_id import correlation_id

        correlation_id.set("other")

    assert await ids(RequestIDMiddleware(doing(change)), "abc") == ["abc"]
    if HAS_CORRELATION_ID:
        assert await ids(correlation_id(doing(change_theirs))) == ["other"]


def test_a_record_outside_a_request_has_a_dash() -> None:
    """R9."""

    def filtered(each: logging.Filter) -> dict[str, Any]:
        record = logging.makeLogRecord({})
        assert each.filter(record)
        return record.__dict__

    assert filtered(RequestIDFilter())["request_id"] == "-"
    if HAS_CORRELATION_ID:
        from asgi_correlation_id import CorrelationIdFilter

        assert filtered(CorrelationIdFilter())["correlation_id"] is None


async def test_several_ids_that_differ_are_ignored() -> None:
    """R10."""
    two = ["7c9e6679f1a34a2b8c1d5e6f7a8b9c0d", "550e8400e29b41d4a716446655440000"]

    assert not {*await ids(RequestIDMiddleware(hello), *two)} & {*two}
    if HAS_CORRELATION_ID:
        assert await ids(correlation_id(), *two) == two[:1]


@pytest.mark.parametrize(
    ("value", "here", "there"),
    [
        pytest.param("{7c9e6679-f1a3-4a2b-8c1d-5e6f7a8b9c0d}", False, True, id="braces"),
        pytest.param("urn:uuid:7c9e6679f1a34a2b8c1d5e6f7a8b9c0d", False, True, id="URN"),
        pytest.param("7c9e6679f1a34a2b8c1d5e6f7a8b9c0d", True, True, id="UUID"),
    ],
)
def test_is_uuid_accepts_hex_or_dashes_but_no_other_form(
    value: str, here: bool, there: bool
) -> None:
    """R11."""
    assert is_uuid(value) is here
    if HAS_CORRELATION_ID:
        from asgi_correlation_id.middleware import is_valid_uuid4

        assert is_valid_uuid4(value) is there


# -- timing-asgi --------------------------------------------------------------------------------

HAS_TIMING_ASGI = find_spec("timing_asgi") is not None


class Client:
    """A TimingClient that keeps the timings that it gets."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, list[str]]] = []

    def timing(self, metric_name: str, timing: float, tags: list[str]) -> None:
        self.calls.append((metric_name, tags))


async def timed_by_timing_asgi(
    app: ASGIApp, client: object, target: str = "/x", **end: Any
) -> None:
    from timing_asgi import TimingMiddleware  # type: ignore[import-untyped]

    response = await request(
        TimingMiddleware(app, client), target=target, raise_app_exceptions=False, **end
    )
    if isinstance(response.exception, Exception):
        raise response.exception


async def test_an_observer_is_called_once_for_a_request() -> None:
    """T1."""
    records: list[Any] = []

    await request(TimingMiddleware(hello, observers=[records.append]))

    assert [(record.status, record.method) for record in records] == [(200, "GET")]
    assert 0 < records[0].duration < 60
    if HAS_TIMING_ASGI:
        await timed_by_timing_asgi(hello, client := Client())
        assert [tags[-1] for _, tags in client.calls] == ["time:wall", "time:cpu"]


async def test_a_route_is_never_the_path() -> None:
    """T2."""
    records: list[Any] = []

    await request(TimingMiddleware(hello, observers=[records.append]), target="/users/7")

    assert records[0].route == "unmatched"
    if HAS_TIMING_ASGI:
        await timed_by_timing_asgi(hello, client := Client(), "/users/7")
        assert client.calls[0][0] == "unnamed.users.7"


async def test_an_observer_that_raises_does_not_fail_the_request(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """T3."""

    class Failing(Client):
        def timing(self, metric_name: str, timing: float, tags: list[str]) -> None:
            raise ConnectionError

    def fails(record: object) -> None:
        raise ConnectionError

    records: list[Any] = []
    app = TimingMiddleware(hello, observers=[fails, records.append])

    assert (await request(app)).status == 200
    assert len(records) == 1
    assert "ConnectionError" in caplog.text
    if HAS_TIMING_ASGI:
        with pytest.raises(ConnectionError):
            await timed_by_timing_asgi(hello, Failing())


async def test_a_request_that_ends_early_has_an_outcome() -> None:
    """T4."""

    async def waits(scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    async def outcome(app: ASGIApp, **end: int) -> tuple[str, int | None]:
        records: list[Any] = []
        timed = TimingMiddleware(app, observers=[records.append])
        await request(timed, raise_app_exceptions=False, **end)  # type: ignore[arg-type]
        return records[0].outcome, records[0].status

    assert await outcome(hello) == ("ok", 200)
    assert await outcome(waits, disconnect_at=2) == ("disconnect", None)
    assert await outcome(waits, cancel_at=2) == ("cancelled", None)
    if HAS_TIMING_ASGI:
        await timed_by_timing_asgi(waits, client := Client(), disconnect_at=2)
        assert {tags[0] for _, tags in client.calls} == {"http_status:None"}
        await timed_by_timing_asgi(waits, client := Client(), cancel_at=2)
        assert client.calls == []


async def test_the_default_clock_never_goes_backwards() -> None:
    """T5."""
    app = TimingMiddleware(hello, clock=iter(range(100)).__next__)

    assert "clock=perf_counter" in repr(TimingMiddleware(hello))
    assert (await request(app)).status == 200


async def test_a_websocket_has_a_record_of_its_own() -> None:
    """T6."""
    records: list[Any] = []

    async def refusing(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.close"})

    async with websocket(TimingMiddleware(hello, observers=[records.append])):
        pass

    with pytest.raises(HandshakeRefused):
        async with websocket(TimingMiddleware(refusing, observers=[records.append])):
            pass

    assert [type(record) for record in records] == [WebSocketTiming, WebSocketTiming]
    if HAS_TIMING_ASGI:
        from timing_asgi import TimingMiddleware as Theirs

        async with websocket(Theirs(hello, client := Client())):
            pass
        assert client.calls == []


async def test_a_request_ends_with_its_last_byte() -> None:
    """T7."""
    now = 0.0
    records: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal now
        await hello(scope, receive, send)
        now = 60.0

    await request(TimingMiddleware(app, observers=[records.append], clock=lambda: now))

    assert records[0].duration == 0.0


def test_an_observer_without_its_methods_is_refused_at_startup() -> None:
    """T8."""
    nothing: Any = object()

    with pytest.raises(ConfigurationError, match="observers"):
        TimingMiddleware(hello, observers=[nothing])
    if HAS_TIMING_ASGI:
        from timing_asgi import TimingMiddleware as Theirs

        with pytest.raises(AssertionError):
            Theirs(hello, client=nothing)
