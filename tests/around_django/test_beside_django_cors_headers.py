"""The same requests with us and with django-cors-headers, and where a page sees more or less.

``docs/migrating.md`` gives the reasons. Each test's docstring begins with the number of its
difference there.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse
from django.test import override_settings
from django.urls import path

from asgi_middleware import ConfigurationError, ConfigurationWarning, CORSMiddleware
from asgi_middleware.django import cors_options
from asgi_middleware.testing import Response, recording, request
from asgi_middleware.testing.recording import RecordedApp
from asgi_middleware.types import ASGIApp, Scope
from tests.cors.browser import Page, fetch, readable_headers, unsafe_header_names

pytest.importorskip("corsheaders", reason="needs django-cors-headers")

from corsheaders.checks import check_settings
from corsheaders.signals import check_request_enabled

THEIRS = "corsheaders.middleware.CorsMiddleware"
A = "https://a.example"
B = "https://b.example"


def view(request: HttpRequest) -> HttpResponse:
    return HttpResponse("hello", headers={"X-B": "1", "X-C": "2"})


def exposing(request: HttpRequest) -> HttpResponse:
    return HttpResponse("hello", headers={"Access-Control-Expose-Headers": "X-Own"})


urlpatterns = [
    path("", view),
    path("api", view),
    path("api/", view),
    path("api/x/", view),
    path("apix/", view),
    path("exposing/", exposing),
]


@dataclass(frozen=True)
class Both:
    """Django without middleware behind ours, and Django with django-cors-headers."""

    ours: ASGIApp
    theirs: ASGIApp
    behind: RecordedApp


SetUp = Callable[..., Both]


@pytest.fixture
def both() -> Iterator[SetUp]:
    """A function that applies settings, and returns both apps for them.

    *there* holds the settings that django-cors-headers needs in another form.
    """
    with ExitStack() as stack:

        def both(
            there: Mapping[str, Any] | None = None,
            options: Mapping[str, Any] | None = None,
            **given: Any,
        ) -> Both:
            base: dict[str, Any] = {
                "ROOT_URLCONF": __name__,
                "ALLOWED_HOSTS": ["testserver"],
                "MIDDLEWARE": [],
                "CORS_ALLOWED_ORIGINS": [],
                "CORS_ALLOW_CREDENTIALS": False,
                **given,
            }
            with override_settings(**base):
                behind = recording(get_asgi_application())
                ours = CORSMiddleware(behind, **{**cors_options(settings), **(options or {})})
            # django-cors-headers reads the settings for each request.
            stack.enter_context(override_settings(**{**base, **(there or {})}))
            with override_settings(MIDDLEWARE=[THEIRS]):
                theirs = recording(get_asgi_application())
            return Both(ours, theirs, behind)

        yield both


# -- what a browser shows a page ------------------------------------------------------------------


@dataclass(frozen=True)
class Configuration:
    """Settings for us, and those that make django-cors-headers decide the same, if they differ."""

    id: str
    given: Mapping[str, Any]
    there: Mapping[str, Any] = field(default_factory=dict[str, Any])


LISTED = {"CORS_ALLOWED_ORIGINS": [A]}
CREDENTIALS = {"CORS_ALLOW_CREDENTIALS": True}
METHODS = ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "BREW", "patch"]
HEADERS = ["authorization", "x-csrftoken", "x-own", "x-z"]
# D14: CORSMiddleware always allows these.
SAFELISTED = ["accept", "accept-language", "content-language", "content-type", "range"]
DEFAULT_METHODS = ["DELETE", "GET", "OPTIONS", "PATCH", "POST", "PUT"]
DEFAULT_HEADERS = ["authorization", "user-agent", "x-csrftoken", "x-requested-with"]

CONFIGURATIONS = [
    Configuration("nothing", {"CORS_ALLOWED_ORIGIN_REGEXES": ["x"]}),
    Configuration("listed", {"CORS_ALLOWED_ORIGINS": [A, "http://localhost:3000"]}),
    Configuration("former name", {"CORS_ORIGIN_WHITELIST": [A], "CORS_ALLOWED_ORIGINS": [B]}),
    Configuration("credentials", {**LISTED, **CREDENTIALS, "CORS_EXPOSE_HEADERS": ["X-B"]}),
    Configuration("everybody", {"CORS_ALLOW_ALL_ORIGINS": True, "CORS_EXPOSE_HEADERS": ["x-c"]}),
    Configuration("everybody, and a list", {"CORS_ALLOW_ALL_ORIGINS": True, **LISTED}),
    Configuration("null", {"CORS_ALLOWED_ORIGINS": ["null"]}),
    Configuration("apps", {"CORS_ALLOWED_ORIGINS": ["capacitor://localhost", "file://"]}),
    Configuration("regex", {"CORS_ALLOWED_ORIGIN_REGEXES": [r"^https://\w+\.a\.example$"]}),
    Configuration(
        "regexes",
        {
            "CORS_ALLOWED_ORIGIN_REGEXES": [
                re.compile(r"^https://B\.EXAMPLE$", re.IGNORECASE),
                r"^https://(\w)\w*\.a\.example$",
                r"^(ht)tp://localhost:\d+$",
            ],
            **CREDENTIALS,
        },
    ),
    Configuration(
        "D3: a regex without an end",
        {"CORS_ALLOWED_ORIGIN_REGEXES": [r"https://a\.example"]},
        {"CORS_ALLOWED_ORIGIN_REGEXES": [r"https://a\.example$"]},
    ),
    Configuration("methods", {**LISTED, "CORS_ALLOW_METHODS": ["GET", "POST", "PUT"]}),
    Configuration(
        "D23: a method in lower case",
        {**LISTED, "CORS_ALLOW_METHODS": ["put"]},
        {"CORS_ALLOW_METHODS": ["PUT"]},
    ),
    Configuration(
        "D15: any method, with credentials",
        {**LISTED, **CREDENTIALS, "CORS_ALLOW_METHODS": ["*"]},
        {"CORS_ALLOW_METHODS": METHODS},
    ),
    Configuration("headers", {**LISTED, "CORS_ALLOW_HEADERS": ["X-Own"]}),
    Configuration(
        "D15: any header, with Authorization",
        {**LISTED, "CORS_ALLOW_HEADERS": ["*"]},
        {"CORS_ALLOW_HEADERS": HEADERS},
    ),
    Configuration(
        "D15: any header, with credentials",
        {**LISTED, **CREDENTIALS, "CORS_ALLOW_HEADERS": ["*"]},
        {"CORS_ALLOW_HEADERS": HEADERS},
    ),
    Configuration("every URL", {**LISTED, "CORS_URLS_REGEX": "^/"}),
    Configuration(
        "D6: a prefix",
        {**LISTED, "CORS_URLS_REGEX": r"^/api/.*$"},
        {"CORS_URLS_REGEX": r"^/api(/.*)?$"},
    ),
    Configuration(
        "D20: a pattern",
        {"CORS_ALLOWED_ORIGINS": ["https://*.a.example"]},
        {"CORS_ALLOWED_ORIGINS": [], "CORS_ALLOWED_ORIGIN_REGEXES": [r"^https://.+\.a\.example$"]},
    ),
]
ORIGINS = [
    *(A, B, "https://x.a.example", "https://a.example.evil", "http://a.example"),
    *("https://a.example:8443", "http://localhost:3000", "null", "capacitor://localhost"),
    *("file://",),
]
# Every origin sends the first request; only one origin sends the rest.
REQUESTS: list[tuple[str, dict[str, str]]] = [
    ("DELETE", {"x-csrftoken": "x"}),
    ("GET", {}),
    ("GET", {"authorization": "x"}),
    ("GET", {"range": "bytes=0-"}),
    ("HEAD", {}),
    ("HEAD", {"x-csrftoken": "x"}),
    ("POST", {"content-type": "text/plain"}),
    ("POST", {"content-type": "application/json"}),
    ("PUT", {}),
    ("PATCH", {}),
    ("patch", {}),
    ("BREW", {}),
    ("PUT", {"x-own": "1", "x-z": "2", "content-type": "application/json"}),
]


async def seen(app: ASGIApp, page: Page, target: str) -> set[str] | None:
    """Return the headers that *page* may read, None if it may not read the response."""
    response = await fetch(app, page, target)
    # Only our response to a HEAD has a content-length; both are right.
    return None if response is None else readable_headers(page, response) - {"content-length"}


def is_simple_but_not_listed(page: Page, methods: Sequence[str]) -> bool:
    """Tell whether a preflight asks for a simple method that is not in *methods*. D8."""
    is_simple = page.method in ("GET", "HEAD", "POST") and page.method not in methods
    return is_simple and bool(unsafe_header_names(page.headers))


@pytest.mark.parametrize("configuration", CONFIGURATIONS, ids=lambda each: each.id)
async def test_a_page_sees_the_same_as_with_django_cors_headers(
    configuration: Configuration, both: SetUp
) -> None:
    """D14."""
    there = {**configuration.given, **configuration.there}
    headers = [*there.get("CORS_ALLOW_HEADERS", DEFAULT_HEADERS), *SAFELISTED]
    apps = both({**configuration.there, "CORS_ALLOW_HEADERS": headers}, **configuration.given)
    pages = [
        *((Page(origin), "/") for origin in ORIGINS),
        *((Page(origin, *REQUESTS[0], credentials=True), "/") for origin in ORIGINS),
        *((Page(A, *each, some), "/") for each in REQUESTS for some in (False, True)),
        *((Page(A, *REQUESTS[0]), target) for target in ("/api", "/api/", "/api/x/", "/apix/")),
    ]
    different: dict[str, Any] = {}

    for page, target in pages:
        ours = await seen(apps.ours, page, target)
        theirs = await seen(apps.theirs, page, target)
        if is_simple_but_not_listed(page, there.get("CORS_ALLOW_METHODS", DEFAULT_METHODS)):
            theirs = None
        if ours != theirs:
            different[f"{page} {target}"] = (ours, theirs)

    assert different == {}


# -- differences ----------------------------------------------------------------------------------


async def preflight(app: ASGIApp, target: str = "/", **asked: str) -> Response:
    headers = {"origin": A, "access-control-request-method": "GET"}
    headers |= {
        f"access-control-request-{name.replace('_', '-')}": value for name, value in asked.items()
    }
    return await request(app, "OPTIONS", target, headers=headers)


async def allows(app: ASGIApp, origin: str = A, target: str = "/") -> bool:
    response = await request(app, target=target, headers={"origin": origin})
    return response.get(b"access-control-allow-origin") is not None


async def test_a_preflight_gets_a_204_before_django_is_called(both: SetUp) -> None:
    """D2."""
    apps = both(CORS_ALLOWED_ORIGINS=[A])

    ours, theirs = await preflight(apps.ours), await preflight(apps.theirs)

    assert (ours.status, ours.body, theirs.status, theirs.body) == (204, b"", 200, b"")
    assert apps.behind.calls == []
    assert ours.get(b"vary") == (
        b"Origin, Access-Control-Request-Method, Access-Control-Request-Headers"
    )
    assert theirs.get(b"vary") == b"origin"


async def test_a_preflight_that_is_not_allowed_gets_a_403_with_nothing_but_vary(
    both: SetUp,
) -> None:
    """D1."""
    apps = both(CORS_ALLOWED_ORIGINS=[A])

    ours, theirs = [await preflight(app, method="BREW") for app in (apps.ours, apps.theirs)]

    assert (ours.status, ours.text, theirs.status) == (403, "CORS: this method is not allowed", 200)
    assert [name for name, _ in ours.headers if name.startswith(b"access-control")] == []
    assert theirs.get(b"access-control-allow-origin") == A.encode()


async def test_a_preflight_needs_an_origin(both: SetUp) -> None:
    """D11."""
    apps = both(CORS_ALLOWED_ORIGINS=[A])
    headers = {"access-control-request-method": "GET"}

    for app, body in ((apps.ours, b"hello"), (apps.theirs, b"")):
        assert (await request(app, "OPTIONS", headers=headers)).body == body


async def test_only_preflights_get_the_allowed_methods(both: SetUp) -> None:
    """D12."""
    apps = both(CORS_ALLOWED_ORIGINS=[A])

    for app, has_list in ((apps.ours, False), (apps.theirs, True)):
        response = await request(app, "OPTIONS", headers={"origin": A})
        assert (response.get(b"access-control-allow-methods") is not None) is has_list


async def test_a_regex_must_match_the_whole_origin(both: SetUp) -> None:
    """D3."""
    apps = both(CORS_ALLOWED_ORIGIN_REGEXES=[r"https://a\.example"])

    for app, is_open in ((apps.ours, False), (apps.theirs, True)):
        assert await allows(app)
        assert await allows(app, "https://a.example.evil") is is_open


@pytest.mark.parametrize(
    "everybody",
    [
        {"CORS_ALLOW_ALL_ORIGINS": True},
        {"CORS_ALLOWED_ORIGINS": ["null"]},
        {"CORS_ALLOWED_ORIGIN_REGEXES": [".*"]},
    ],
    ids=["all", "null", "regex"],
)
async def test_credentials_for_every_origin_need_a_function(
    everybody: dict[str, Any], both: SetUp
) -> None:
    """D4."""
    with pytest.raises(ConfigurationError, match="CORS_ALLOW_CREDENTIALS=True"):
        both(**everybody, CORS_ALLOW_CREDENTIALS=True)

    apps = both(
        there=everybody,
        options={"allow_origin_func": lambda origin, scope: True},
        CORS_ALLOW_CREDENTIALS=True,
    )
    for app in (apps.ours, apps.theirs):
        response = await request(app, headers={"origin": "null"})
        assert response.get(b"access-control-allow-origin") == b"null"
        assert response.get(b"access-control-allow-credentials") == b"true"


async def test_without_credentials_every_origin_gets_the_same_response(both: SetUp) -> None:
    """D13."""
    apps = both(CORS_ALLOW_ALL_ORIGINS=True)

    ours, theirs = [await request(app) for app in (apps.ours, apps.theirs)]

    assert (ours.get(b"access-control-allow-origin"), ours.get(b"vary")) == (b"*", None)
    assert (theirs.get(b"access-control-allow-origin"), theirs.get(b"vary")) == (None, b"origin")


async def test_a_max_age_of_0_is_sent(both: SetUp) -> None:
    """D5."""
    zero = both(CORS_ALLOWED_ORIGINS=[A], CORS_PREFLIGHT_MAX_AGE=0)

    assert (await preflight(zero.ours)).get(b"access-control-max-age") == b"0"
    assert (await preflight(zero.theirs)).get(b"access-control-max-age") is None
    none = both(CORS_ALLOWED_ORIGINS=[A], CORS_PREFLIGHT_MAX_AGE=None)
    assert (await preflight(none.ours)).get(b"access-control-max-age") is None


async def test_a_wildcard_allows_any_method_and_header_with_credentials_too(both: SetUp) -> None:
    """D15."""
    apps = both(
        CORS_ALLOWED_ORIGINS=[A],
        CORS_ALLOW_CREDENTIALS=True,
        CORS_ALLOW_METHODS=["*"],
        CORS_ALLOW_HEADERS=["*"],
    )
    page = Page(A, "BREW", {"authorization": "x", "x-own": "1"}, credentials=True)

    assert await fetch(apps.ours, page) is not None
    assert await fetch(apps.theirs, page) is None


async def test_the_regex_for_urls_must_be_a_prefix(both: SetUp) -> None:
    """D6."""
    apps = both(CORS_ALLOWED_ORIGINS=[A], CORS_URLS_REGEX="^/api/.*$")

    assert await allows(apps.ours, target="/api")
    assert not await allows(apps.theirs, target="/api")
    for regex in ("^/api/$", r"^/api/v\d/.*$"):
        with pytest.raises(ConfigurationError, match="policies of CORSMiddleware"):
            both(CORS_ALLOWED_ORIGINS=[A], CORS_URLS_REGEX=regex)


async def test_a_function_replaces_the_signal(both: SetUp) -> None:
    """D7."""

    def function(origin: str, scope: Scope) -> bool:
        return origin == A and scope["path"] != "/apix/"

    def receiver(sender: object, request: HttpRequest, **kwargs: object) -> str:
        return "yes" if function(request.headers["origin"], {"path": request.path}) else ""

    check_request_enabled.connect(receiver)
    try:
        apps = both(options={"allow_origin_func": function}, CORS_ALLOWED_ORIGINS=[B])
        for app in (apps.ours, apps.theirs):
            assert await allows(app, target="/api/")
            assert not await allows(app, target="/apix/")
            assert await allows(app, B, target="/apix/")
        with override_settings(CORS_URLS_REGEX="^/nowhere/.*$"):
            assert await allows(apps.theirs, target="/api/")
    finally:
        check_request_enabled.disconnect(receiver)
    truthy = both(options={"allow_origin_func": lambda origin, scope: "yes"})
    assert not await allows(truthy.ours)


async def test_every_response_has_the_cors_headers(both: SetUp) -> None:
    """D16."""
    apps = both(CORS_ALLOWED_ORIGINS=[A])
    common = "django.middleware.common.CommonMiddleware"
    with override_settings(MIDDLEWARE=[common, THEIRS]):
        theirs = recording(get_asgi_application())
    with override_settings(MIDDLEWARE=[common]):
        ours = CORSMiddleware(recording(get_asgi_application()), **cors_options(settings))

    for app, has_headers in ((ours, True), (theirs, False), (apps.ours, True)):
        response = await request(app, headers={"origin": A, "host": "evil.example"})
        assert (response.get(b"access-control-allow-origin") is not None) is has_headers


async def test_only_preflights_get_allow_private_network(both: SetUp) -> None:
    """D17."""
    apps = both(CORS_ALLOWED_ORIGINS=[A], CORS_ALLOW_PRIVATE_NETWORK=True)
    headers = {"origin": A, "access-control-request-private-network": "true"}
    name = b"access-control-allow-private-network"

    for app, actual in ((apps.ours, None), (apps.theirs, b"true")):
        assert (await preflight(app, private_network="true")).get(name) == b"true"
        assert (await request(app, headers=headers)).get(name) == actual


@pytest.mark.parametrize("origin", ["https://a.example/x", "HTTPS://a.example"])
async def test_an_origin_must_match_byte_for_byte(origin: str, both: SetUp) -> None:
    """D18."""
    apps = both(CORS_ALLOWED_ORIGINS=[A])

    assert not await allows(apps.ours, origin)
    assert await allows(apps.theirs, origin)


WRONG: list[dict[str, Any]] = [
    {"CORS_ALLOW_ALL_ORIGINS": object},
    {"CORS_ORIGIN_ALLOW_ALL": object},
    {"CORS_ALLOW_HEADERS": object},
    {"CORS_ALLOW_HEADERS": [object]},
    {"CORS_ALLOW_METHODS": object},
    {"CORS_ALLOW_METHODS": [object]},
    {"CORS_ALLOW_CREDENTIALS": object},
    {"CORS_ALLOW_PRIVATE_NETWORK": object},
    {"CORS_PREFLIGHT_MAX_AGE": "10"},
    {"CORS_PREFLIGHT_MAX_AGE": -1},
    {"CORS_ALLOWED_ORIGINS": object},
    {"CORS_ALLOWED_ORIGINS": [object]},
    {"CORS_ALLOWED_ORIGINS": ["a.example"]},
    {"CORS_ALLOWED_ORIGINS": ["https://"]},
    {"CORS_ALLOWED_ORIGINS": [f"{A}/x"]},
    {"CORS_ALLOWED_ORIGINS": ["*"]},
    {"CORS_ORIGIN_WHITELIST": object},
    {"CORS_ORIGIN_WHITELIST": ["a.example"]},
    {"CORS_ALLOWED_ORIGIN_REGEXES": object},
    {"CORS_ORIGIN_REGEX_WHITELIST": object},
    {"CORS_EXPOSE_HEADERS": object},
    {"CORS_EXPOSE_HEADERS": [object]},
    {"CORS_URLS_REGEX": object},
]


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_settings_that_fail_the_checks_fail_at_startup(wrong: dict[str, Any]) -> None:
    """D10."""
    with override_settings(**wrong):
        for setting in ("CORS_ALLOWED_ORIGINS", "CORS_ALLOW_CREDENTIALS"):
            if setting not in wrong:
                delattr(settings, setting)
        assert len(check_settings()) == 1
        with pytest.raises(ConfigurationError, match="CORS_"):
            cors_options(settings)


async def test_the_headers_that_a_view_exposes_are_kept(both: SetUp) -> None:
    """D19."""
    apps = both(CORS_ALLOWED_ORIGINS=[A], CORS_EXPOSE_HEADERS=["x-b"])

    for app, lines in ((apps.ours, [b"X-Own", b"x-b"]), (apps.theirs, [b"x-b"])):
        response = await request(app, target="/exposing/", headers={"origin": A})
        assert response.getall(b"access-control-expose-headers") == lines


async def test_a_pattern_in_the_list_of_origins_is_a_pattern(both: SetUp) -> None:
    """D20."""
    apps = both(CORS_ALLOWED_ORIGINS=["https://*.a.example"])

    assert await allows(apps.ours, "https://x.a.example")
    assert not await allows(apps.theirs, "https://x.a.example")


async def test_the_request_has_no_private_attribute(both: SetUp) -> None:
    """D21."""
    seen: list[bool] = []

    def looking(request: HttpRequest) -> HttpResponse:
        seen.append(hasattr(request, "_cors_enabled"))
        return HttpResponse()

    apps = both(CORS_ALLOWED_ORIGINS=[A])
    with override_settings(ROOT_URLCONF=(path("", looking),)):
        for app in (apps.ours, apps.theirs):
            await allows(app)

    assert seen == [False, True]


def test_a_setting_that_was_removed_is_not_read() -> None:
    """D22."""
    with override_settings(CORS_MODEL="x", CORS_REPLACE_HTTPS_REFERER=True):
        removed = cors_options(settings)
        assert {error.id for error in check_settings()} >= {"corsheaders.E012", "corsheaders.E013"}

    assert removed == cors_options(settings)


async def test_methods_are_converted_to_upper_case_as_in_browsers(both: SetUp) -> None:
    """D23."""
    apps = both(CORS_ALLOWED_ORIGINS=[A], CORS_ALLOW_METHODS=["put"])

    assert await fetch(apps.ours, Page(A, "PUT")) is not None
    assert await fetch(apps.theirs, Page(A, "PUT")) is None


async def test_a_preflight_for_head_needs_head_in_the_list(both: SetUp) -> None:
    """D8."""
    page = Page(A, "HEAD", {"x-csrftoken": "x"})
    default = both(CORS_ALLOWED_ORIGINS=[A])

    assert await fetch(default.ours, page) is None
    assert await fetch(default.theirs, page) is not None
    assert await fetch(default.ours, Page(A, "HEAD")) is not None
    listed = both(CORS_ALLOWED_ORIGINS=[A], CORS_ALLOW_METHODS=["GET", "HEAD"])
    assert await fetch(listed.ours, page) is not None


async def test_django_cors_headers_left_in_middleware_causes_a_warning(both: SetUp) -> None:
    """D9."""
    apps = both(there={"CORS_ALLOWED_ORIGINS": [B]}, CORS_ALLOWED_ORIGINS=[A])
    around_theirs = CORSMiddleware(apps.theirs, allow_origins=[A])

    assert await allows(around_theirs, B)
    with (
        override_settings(MIDDLEWARE=[THEIRS]),
        pytest.warns(ConfigurationWarning, match="still in MIDDLEWARE"),
    ):
        cors_options(settings)
