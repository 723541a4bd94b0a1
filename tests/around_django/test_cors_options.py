"""A project that comes from django-cors-headers keeps its settings.

Which settings are refused is in tests/options/cors.py.
"""

import re
from types import SimpleNamespace
from typing import Any

import pytest

from asgi_middleware import ConfigurationWarning, CORSMiddleware, CORSPolicy
from asgi_middleware.django import cors_options
from asgi_middleware.testing import request
from tests.apps import hello

DEFAULTS: dict[str, Any] = {
    "allow_origins": [],
    "allow_origin_regex": None,
    "allow_methods": ["DELETE", "GET", "OPTIONS", "PATCH", "POST", "PUT"],
    "allow_headers": [
        *("accept", "authorization", "content-type"),
        *("user-agent", "x-csrftoken", "x-requested-with"),
    ],
    "allow_credentials": False,
    "allow_private_network": False,
    "expose_headers": [],
    "max_age": 86_400,
}
A = "https://a.example"


@pytest.mark.parametrize(
    ("settings", "changes"),
    [
        pytest.param({}, {}, id="defaults"),
        pytest.param({"CORS_ALLOWED_ORIGINS": [A]}, {"allow_origins": [A]}, id="origins"),
        pytest.param({"CORS_ORIGIN_WHITELIST": (A,)}, {"allow_origins": [A]}, id="former name"),
        pytest.param(
            {"CORS_ALLOWED_ORIGINS": [A], "CORS_ORIGIN_WHITELIST": ["https://old.example"]},
            {"allow_origins": [A]},
            id="both names",
        ),
        pytest.param({"CORS_ALLOW_ALL_ORIGINS": True}, {"allow_origins": ["*"]}, id="all"),
        pytest.param({"CORS_ORIGIN_ALLOW_ALL": True}, {"allow_origins": ["*"]}, id="all, former"),
        pytest.param(
            {"CORS_ALLOWED_ORIGIN_REGEXES": [r"https://a\.b", re.compile(r"https://c\.d")]},
            {"allow_origin_regex": [r"https://a\.b", re.compile(r"https://c\.d")]},
            id="regexes",
        ),
        pytest.param(
            {
                "CORS_ALLOW_METHODS": ["GET"],
                "CORS_ALLOW_HEADERS": ["x-a"],
                "CORS_EXPOSE_HEADERS": ["x-b"],
                "CORS_PREFLIGHT_MAX_AGE": 0,
                "CORS_ALLOW_CREDENTIALS": True,
                "CORS_ALLOW_PRIVATE_NETWORK": True,
            },
            {
                "allow_methods": ["GET"],
                "allow_headers": ["x-a"],
                "expose_headers": ["x-b"],
                "max_age": 0,
                "allow_credentials": True,
                "allow_private_network": True,
            },
            id="the other settings",
        ),
        pytest.param({"CORS_URLS_REGEX": r"^.*$"}, {}, id="every URL"),
    ],
)
def test_every_setting_becomes_an_option(settings: dict[str, Any], changes: dict[str, Any]) -> None:
    assert cors_options(SimpleNamespace(**settings)) == {**DEFAULTS, **changes}


@pytest.mark.parametrize(
    "regex", [r"^/api/.*$", r"^/api/.*", r"^/api/", r"/api/", re.compile(r"^/api/.*$")], ids=str
)
def test_a_urls_regex_that_is_a_prefix_becomes_a_policy(regex: Any) -> None:
    options = cors_options(SimpleNamespace(CORS_URLS_REGEX=regex, CORS_ALLOWED_ORIGINS=[A]))

    expected: dict[str, Any] = {**DEFAULTS, "allow_origins": [A]}
    assert options == {"policies": {"/api/": CORSPolicy(**expected)}}


@pytest.mark.parametrize(
    ("regexes", "origin"),
    [
        pytest.param(
            [re.compile(r"^https://\w+\.Example\.org$", re.IGNORECASE)],
            "https://a.example.org",
            id="a flag",
        ),
        pytest.param(
            [re.compile(r"""^https://b\.example$  # the shop""", re.VERBOSE), "^https://c$"],
            "https://b.example",
            id="a comment before another",
        ),
        pytest.param(["(?i)^HTTPS://A$", "(?i)^HTTPS://B$"], "https://b", id="inline flags"),
        pytest.param(["^https://(a)$", r"^https://(b)\1$"], "https://bb", id="groups by number"),
        pytest.param(["^https://(?P<x>a)$", "^https://(?P<x>b)$"], "https://b", id="one name"),
        pytest.param(["^https://a|^https://b$"], "https://b", id="alternatives"),
    ],
)
async def test_each_regex_is_tried_by_itself(regexes: list[Any], origin: str) -> None:
    assert any(re.match(regex, origin) for regex in regexes)  # as django-cors-headers does
    settings = SimpleNamespace(CORS_ALLOWED_ORIGIN_REGEXES=regexes, CORS_ALLOW_CREDENTIALS=True)
    app = CORSMiddleware(hello, **cors_options(settings))

    assert (await request(app, headers={"origin": origin})).get(
        b"access-control-allow-origin"
    ) == origin.encode()
    refused = await request(app, headers={"origin": "https://evil.example"})
    assert refused.get(b"access-control-allow-origin") is None


@pytest.mark.parametrize("origin", ["null", "file://", "capacitor://localhost"])
async def test_an_allowed_origin_need_not_be_http_or_https(origin: str) -> None:
    app = CORSMiddleware(hello, **cors_options(SimpleNamespace(CORS_ALLOWED_ORIGINS=[origin])))

    response = await request(app, headers={"origin": origin})

    assert response.get(b"access-control-allow-origin") == origin.encode()


def test_django_cors_headers_in_middleware_causes_a_warning() -> None:
    settings = SimpleNamespace(
        MIDDLEWARE=["corsheaders.middleware.CorsMiddleware", "a.b"], CORS_ALLOWED_ORIGINS=[A]
    )

    with pytest.warns(ConfigurationWarning) as warned:
        cors_options(settings)

    assert [str(each.message) for each in warned] == [
        "cors_options: 'corsheaders.middleware.CorsMiddleware' is still in MIDDLEWARE, and allows"
        " what its own settings allow, whatever CORSMiddleware refuses; remove it"
    ]
    assert warned[0].filename == __file__


async def test_the_middleware_accepts_the_options() -> None:
    app = CORSMiddleware(hello, **cors_options(SimpleNamespace(CORS_ALLOWED_ORIGINS=[A])))

    response = await request(app, headers={"origin": A})

    assert response.get(b"access-control-allow-origin") == A.encode()


def test_the_defaults_are_those_of_django_cors_headers() -> None:
    defaults = pytest.importorskip("corsheaders.defaults", reason="django-cors-headers is missing")

    assert DEFAULTS["allow_methods"] == list(defaults.default_methods)
    assert DEFAULTS["allow_headers"] == list(defaults.default_headers)
