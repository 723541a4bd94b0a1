"""One table: a configuration, requests, and all that a browser's CORS check looks at."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from asgi_middleware import ConfigurationError, CORSMiddleware
from asgi_middleware.testing import recording, request
from asgi_middleware.types import Header
from tests.apps import answering, hello

A = "https://a.example"
B = "https://b.example"
PREFLIGHT_VARY = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"

NONE: dict[str, str] = {}
VARY = {"vary": "Origin"}
REFUSED = {"vary": PREFLIGHT_VARY}


@dataclass(frozen=True)
class Row:
    """A request, and what is to come back: nothing else that is about CORS may."""

    id: str
    expected: Mapping[str, str]
    origin: str | None = A
    preflight: Mapping[str, str] | None = None
    app_headers: tuple[Header, ...] = ()
    status: int = 200


@dataclass(frozen=True)
class Configuration:
    id: str
    options: Mapping[str, Any]
    rows: list[Row] = field(default_factory=list[Row])


def granted(origin: str = A, **more: str) -> dict[str, str]:
    """The headers of a response that *origin* may read."""
    return {"access-control-allow-origin": origin, "vary": "Origin", **named(more)}


def accepted(origin: str = A, **more: str) -> dict[str, str]:
    """The headers of a preflight that succeeds."""
    return {"access-control-allow-origin": origin, "vary": PREFLIGHT_VARY, **named(more)}


def named(headers: Mapping[str, str]) -> dict[str, str]:
    return {f"access-control-{name.replace('_', '-')}": value for name, value in headers.items()}


TABLE = [
    Configuration(
        "nothing allowed",
        {},
        [
            Row("no origin", VARY, origin=None),
            Row("any origin", VARY),
            Row("preflight", REFUSED, preflight={"method": "GET"}, status=403),
        ],
    ),
    Configuration(
        "one origin",
        {"allow_origins": [A], "allow_methods": ["get", "PUT", "patch"], "allow_headers": ["X-A"]},
        [
            Row("no origin", VARY, origin=None),
            Row("allowed", granted()),
            Row("refused", VARY, origin=B),
            Row("other scheme", VARY, origin="http://a.example"),
            Row("other port", VARY, origin="https://a.example:8443"),
            Row("other case", VARY, origin="https://A.example"),
            Row("null", VARY, origin="null"),
            Row("empty", VARY, origin=""),
            Row("an error of the app", granted(), status=500),
            Row(
                "the app's own Vary is kept",
                {**granted(), "vary": "Cookie, Origin"},
                app_headers=((b"Vary", b"Cookie"),),
            ),
            Row(
                "the app's own headers are replaced",
                granted(),
                app_headers=(
                    (b"Access-Control-Allow-Origin", b"*"),
                    (b"Access-Control-Allow-Credentials", b"true"),
                ),
            ),
            Row(
                "a refused origin leaves the app's own",
                {**VARY, "access-control-allow-origin": "https://c.example"},
                origin=B,
                app_headers=((b"Access-Control-Allow-Origin", b"https://c.example"),),
            ),
            Row(
                "preflight",
                accepted(allow_methods="GET, PUT, patch", allow_headers="x-a", max_age="600"),
                preflight={"method": "PUT", "headers": "x-a,content-type"},
                status=204,
            ),
            Row(
                "preflight for a safelisted method",
                accepted(allow_methods="GET, PUT, patch", allow_headers="x-a", max_age="600"),
                preflight={"method": "POST"},
                status=204,
            ),
            Row(
                "preflight with blanks and empty elements",
                accepted(allow_methods="GET, PUT, patch", allow_headers="x-a", max_age="600"),
                preflight={"method": "PUT", "headers": " x-a ,,\tX-A, "},
                status=204,
            ),
            Row(
                "preflight for a method that is not listed",
                REFUSED,
                preflight={"method": "DELETE"},
                status=403,
            ),
            Row(
                "preflight for a listed method in other case",
                REFUSED,
                preflight={"method": "PATCH"},
                status=403,
            ),
            Row(
                "preflight for a header that is not listed",
                REFUSED,
                preflight={"method": "PUT", "headers": "x-a,x-b"},
                status=403,
            ),
            Row(
                "preflight with monstrous headers",
                REFUSED,
                preflight={"method": "PUT", "headers": "x-a," * 250_000},
                status=403,
            ),
            Row(
                "preflight of a refused origin",
                REFUSED,
                origin=B,
                preflight={"method": "PUT"},
                status=403,
            ),
        ],
    ),
    Configuration(
        "credentials",
        {
            "allow_origins": [A, B],
            "allow_credentials": True,
            "allow_methods": ["*"],
            "allow_headers": ["*"],
            "expose_headers": ["x-request-id", "server-timing"],
            "max_age": 0,
        },
        [
            Row(
                "allowed",
                granted(B, allow_credentials="true", expose_headers="x-request-id, server-timing"),
                origin=B,
            ),
            Row("refused", VARY, origin="https://c.example"),
            Row(
                "preflight is answered with what was asked for",
                accepted(
                    allow_credentials="true",
                    allow_methods="PATCH",
                    allow_headers="x-a, x-b",
                    max_age="0",
                ),
                preflight={"method": "PATCH", "headers": "x-a,x-b"},
                status=204,
            ),
            Row(
                "preflight for no token",
                REFUSED,
                preflight={"method": "P T"},
                status=403,
            ),
            Row(
                "preflight for a header that is no token",
                REFUSED,
                preflight={"method": "PUT", "headers": "x-a,x b"},
                status=403,
            ),
        ],
    ),
    Configuration(
        "everybody",
        {
            "allow_origins": ["*"],
            "allow_methods": ["*"],
            "allow_headers": ["*"],
            "expose_headers": ["x-request-id"],
            "max_age": None,
        },
        [
            Row(
                "no origin",
                named({"allow_origin": "*", "expose_headers": "x-request-id"}),
                origin=None,
            ),
            Row("an origin", named({"allow_origin": "*", "expose_headers": "x-request-id"})),
            Row(
                "the app's Vary is its own",
                {
                    "vary": "Cookie",
                    **named({"allow_origin": "*", "expose_headers": "x-request-id"}),
                },
                app_headers=((b"Vary", b"Cookie"),),
            ),
            Row(
                "preflight",
                accepted("*", allow_methods="*", allow_headers="*, Authorization"),
                preflight={"method": "PATCH", "headers": "authorization,x-a"},
                status=204,
            ),
        ],
    ),
]


def about_cors(headers: tuple[Header, ...]) -> dict[str, str]:
    found = [
        (name.lower().decode(), value.decode())
        for name, value in headers
        if name.lower() == b"vary" or name.lower().startswith(b"access-control-")
    ]
    assert len(found) == len(dict(found)), f"a header is there twice: {found}"
    return dict(found)


@pytest.mark.parametrize(
    ("options", "row"),
    [
        pytest.param(configuration.options, row, id=f"{configuration.id}-{row.id}")
        for configuration in TABLE
        for row in configuration.rows
    ],
)
async def test_the_table(options: Mapping[str, Any], row: Row) -> None:
    app = recording(answering(*row.app_headers, status=row.status))
    headers = {} if row.origin is None else {"origin": row.origin}
    if row.preflight is not None:
        headers |= {f"access-control-request-{key}": row.preflight[key] for key in row.preflight}

    response = await request(
        CORSMiddleware(app, **options),
        "GET" if row.preflight is None else "OPTIONS",
        headers=headers,
    )

    assert response.status == row.status
    assert about_cors(response.headers) == dict(row.expected)
    assert len(app.calls) == (row.preflight is None)


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([("origin", A), ("origin", A)], id="several lines"),
        pytest.param([("origin", A + "a" * 320)], id="over 326 bytes"),
        pytest.param([("origin", "\xff")], id="not ASCII"),
    ],
)
async def test_a_malformed_origin_is_refused(headers: list[tuple[str, str]]) -> None:
    response = await request(CORSMiddleware(hello, allow_origins=[A]), headers=headers)

    assert about_cors(response.headers) == VARY


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"access-control-request-method": "PUT"}, id="no origin"),
        pytest.param({"origin": A}, id="no method"),
    ],
)
async def test_options_that_is_no_preflight_is_the_apps(headers: Mapping[str, str]) -> None:
    app = recording(hello)

    await request(CORSMiddleware(app, allow_origins=[A]), "OPTIONS", headers=headers)

    assert len(app.calls) == 1


async def test_a_preflight_has_neither_body_nor_length() -> None:
    headers = {"origin": A, "access-control-request-method": "GET"}

    response = await request(CORSMiddleware(hello, allow_origins=[A]), "OPTIONS", headers=headers)

    assert (response.body, response.getall(b"content-length")) == (b"", [])


async def test_a_refused_preflight_says_why(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    headers = {"origin": B, "access-control-request-method": "GET"}

    response = await request(CORSMiddleware(hello, allow_origins=[A]), "OPTIONS", headers=headers)

    assert response.text == "this origin is not allowed"
    assert [record.getMessage() for record in caplog.records] == [
        "preflight refused: this origin is not allowed"
    ]


async def test_the_apps_own_exposed_headers_are_kept() -> None:
    app = recording(answering((b"Access-Control-Expose-Headers", b"x-mine")))
    middleware = CORSMiddleware(app, allow_origins=[A], expose_headers=["x-request-id"])

    response = await request(middleware, headers={"origin": A})

    assert response.getall(b"access-control-expose-headers") == [b"x-mine", b"x-request-id"]


@pytest.mark.parametrize(
    ("options", "problems"),
    [
        pytest.param(
            {"allow_origins": "*"}, ["allow_origins: '*' is a string; write a list, ['*']"]
        ),
        pytest.param(
            {"allow_origins": ["*"], "allow_credentials": True},
            ["allow_origins: '*' cannot be combined with allow_credentials=True"],
        ),
        pytest.param(
            {"allow_origins": ["https://a.example/", "a.example"]},
            [
                "allow_origins: 'https://a.example/' ends with a slash; write 'https://a.example'",
                "allow_origins: 'a.example' has no scheme; write 'https://a.example'",
            ],
        ),
        pytest.param(
            {"allow_methods": ["TRACE"], "max_age": -1},
            [
                "allow_methods: browsers send 'TRACE' for nobody; leave it out",
                "max_age: -1 is negative; write 0 to forbid caching",
            ],
        ),
    ],
)
def test_refuses_bad_options(options: Mapping[str, Any], problems: list[str]) -> None:
    with pytest.raises(ConfigurationError) as refused:
        CORSMiddleware(hello, **options)

    assert refused.value.subject == "CORSMiddleware"
    assert list(refused.value.problems) == problems
