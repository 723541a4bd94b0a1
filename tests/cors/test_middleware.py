"""A table of configurations and requests, with every CORS header of each response."""

import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from starlette.middleware.cors import CORSMiddleware as StarletteCORSMiddleware

from asgi_middleware import (
    ConfigurationError,
    ConfigurationWarning,
    CORSMiddleware,
    CORSPolicy,
)
from asgi_middleware.testing import recording, request
from asgi_middleware.types import Header, Receive, Scope, Send
from tests.apps import answering, hello

A = "https://a.example"
B = "https://b.example"
PREFLIGHT_VARY = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"

SAFELISTED = "accept, accept-language, content-language, content-type, range"

VARY = {"vary": "Origin"}
REFUSED = {"vary": PREFLIGHT_VARY}


@dataclass(frozen=True)
class Row:
    """A request, and all CORS headers of its response."""

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
    """Return the headers of a response that *origin* may read."""
    return {"access-control-allow-origin": origin, "vary": "Origin", **named(more)}


def accepted(origin: str = A, **more: str) -> dict[str, str]:
    """Return the headers of a preflight that succeeds."""
    return {"access-control-allow-origin": origin, "vary": PREFLIGHT_VARY, **named(more)}


def named(headers: Mapping[str, str]) -> dict[str, str]:
    return {f"access-control-{name.replace('_', '-')}": value for name, value in headers.items()}


ONE_ACCEPTED = accepted(
    allow_methods="GET, PUT, PATCH", allow_headers=f"x-a, {SAFELISTED}", max_age="600"
)


async def allows_b(origin: str, scope: Scope) -> bool:
    return origin == B and scope["type"] == "http"


def fails(origin: str, scope: Scope) -> bool:
    raise LookupError(origin)


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
        {"allow_origins": [A], "allow_methods": ["get", "PUT", "PATCH"], "allow_headers": ["X-A"]},
        [
            Row("no origin", VARY, origin=None),
            Row("allowed", granted()),
            Row("refused", VARY, origin=B),
            Row("other scheme", VARY, origin="http://a.example"),
            Row("other port", VARY, origin="https://a.example:8443"),
            Row("other case", VARY, origin="https://A.example"),
            Row("blanks around it", granted(), origin=f" {A}\t "),
            Row("null", VARY, origin="null"),
            Row("empty", VARY, origin=""),
            Row("an error of the app", granted(), status=500),
            Row(
                "the app's own Vary is kept",
                {**granted(), "vary": "Cookie, Origin"},
                app_headers=((b"Vary", b"Cookie"),),
            ),
            Row(
                "the app's own Vary in several lines is one list",
                {**granted(), "vary": "Cookie, Accept, Origin"},
                app_headers=((b"Vary", b"Cookie"), (b"vary", b""), (b"vary", b"Accept")),
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
                "the app's own headers are kept for a refused origin",
                {**VARY, "access-control-allow-origin": "https://c.example"},
                origin=B,
                app_headers=((b"Access-Control-Allow-Origin", b"https://c.example"),),
            ),
            Row(
                "preflight",
                ONE_ACCEPTED,
                preflight={"method": "PUT", "headers": "x-a,content-type"},
                status=204,
            ),
            Row(
                "preflight with blanks around each value",
                ONE_ACCEPTED,
                origin=f"{A} ",
                preflight={"method": "\tPUT ", "headers": " x-a "},
                status=204,
            ),
            Row(
                "preflight for a safelisted method that is not listed",
                REFUSED,
                preflight={"method": "POST"},
                status=403,
            ),
            Row(
                "preflight with blanks and empty elements",
                ONE_ACCEPTED,
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
                preflight={"method": "patch"},
                status=403,
            ),
            Row(
                "preflight for a header that is not listed",
                REFUSED,
                preflight={"method": "PUT", "headers": "x-a,x-b"},
                status=403,
            ),
            Row(
                "preflight with every header that is allowed",
                ONE_ACCEPTED,
                preflight={"method": "PUT", "headers": f"x-a, {SAFELISTED}"},
                status=204,
            ),
            Row(
                "preflight with a huge list of headers",
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
                "preflight names what was asked for",
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
                "preflight for a method that is not a token",
                REFUSED,
                preflight={"method": "P T"},
                status=403,
            ),
            Row(
                "preflight for a header that is not a token",
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
                "the app's own Vary is unchanged",
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
    Configuration(
        "null",
        {"allow_origins": ["null"]},
        [Row("null", granted("null"), origin="null"), Row("not null", VARY)],
    ),
    Configuration(
        "clients other than web pages",
        {
            "allow_origins": ["file://", "app://.", "capacitor://localhost"],
            "allow_credentials": True,
            "allow_origin_func": lambda origin, scope: origin.startswith("chrome-extension://"),
        },
        [
            Row("a file", granted("file://", allow_credentials="true"), origin="file://"),
            Row("Electron", granted("app://.", allow_credentials="true"), origin="app://."),
            Row("another host", VARY, origin="app://x"),
            Row(
                "allowed by the function",
                granted("chrome-extension://a", allow_credentials="true"),
                origin="chrome-extension://a",
            ),
            Row("malformed, so the function is not called", VARY, origin="chrome-extension://a/"),
        ],
    ),
    Configuration(
        "a function that allows everything",
        {"allow_origin_func": lambda origin, scope: True},
        [
            Row("null", granted("null"), origin="null"),
            Row("a file", granted("file://"), origin="file://"),
            *(
                Row(f"malformed: {origin}", VARY, origin=origin)
                for origin in ("", "a.example", "https://A.example", "https://a.example/", "*")
            ),
        ],
    ),
    Configuration(
        "patterns",
        {
            "allow_origins": ["https://*.a.example", "http://localhost:*"],
            "allow_credentials": True,
        },
        [
            Row(
                "a subdomain",
                granted("https://b.a.example", allow_credentials="true"),
                origin="https://b.a.example",
            ),
            Row("the base itself", VARY),
            Row("a lookalike", VARY, origin="https://evil-a.example"),
            Row(
                "any port",
                granted("http://localhost:3000", allow_credentials="true"),
                origin="http://localhost:3000",
            ),
            Row("the pattern itself", VARY, origin="https://*.a.example"),
        ],
    ),
    Configuration(
        "a regex",
        {"allow_origin_regex": r"https://(a|b)\.example"},
        [
            Row("matched", granted(B), origin=B),
            Row("matched in part", VARY, origin=f"{B}.evil"),
            Row("not ASCII", VARY, origin="https://ä.example"),
        ],
    ),
    Configuration(
        "regexes, each with its own flags and groups",
        {
            "allow_origin_regex": [
                re.compile(r"https://(?P<name>\w+)\.Example", re.IGNORECASE),
                re.compile("https://(?P<name>c) # a comment", re.VERBOSE),
                r"(?i)HTTPS://D",
                r"https://(e)\1",
            ],
            "allow_credentials": True,
        },
        [
            *(
                Row(origin, granted(origin, allow_credentials="true"), origin=origin)
                for origin in (A, "https://c", "https://d", "https://ee")
            ),
            Row("only the whole origin counts", VARY, origin="https://c.example.evil"),
            Row("no regex has another's flags", VARY, origin="https://E"),
        ],
    ),
    Configuration(
        "a function",
        {"allow_origins": [A], "allow_origin_func": lambda origin, scope: origin == B},
        [
            Row("listed", granted()),
            Row("allowed by the function", granted(B), origin=B),
            Row("refused by the function", VARY, origin="null"),
            Row("no origin", VARY, origin=None),
            Row(
                "preflight",
                accepted(B, allow_methods="GET", allow_headers=SAFELISTED, max_age="600"),
                origin=B,
                preflight={"method": "GET"},
                status=204,
            ),
        ],
    ),
    Configuration(
        "an async function",
        {"allow_origin_func": allows_b},
        [Row("allowed", granted(B), origin=B), Row("refused", VARY)],
    ),
    Configuration(
        "a function that returns a true value other than True",
        {"allow_origin_func": lambda origin, scope: "yes"},
        [Row("refused", VARY)],
    ),
    Configuration("a function that fails", {"allow_origin_func": fails}, [Row("refused", VARY)]),
    Configuration(
        "private network",
        {"allow_origins": [A], "allow_private_network": True, "max_age": None},
        [
            Row(
                "asked for",
                {
                    **accepted(
                        allow_methods="GET", allow_headers=SAFELISTED, allow_private_network="true"
                    ),
                    "vary": f"{PREFLIGHT_VARY}, Access-Control-Request-Private-Network",
                },
                preflight={"method": "GET", "private-network": "true"},
                status=204,
            ),
            Row(
                "not asked for",
                {
                    **accepted(allow_methods="GET", allow_headers=SAFELISTED),
                    "vary": f"{PREFLIGHT_VARY}, Access-Control-Request-Private-Network",
                },
                preflight={"method": "GET"},
                status=204,
            ),
            Row(
                "refused",
                {"vary": f"{PREFLIGHT_VARY}, Access-Control-Request-Private-Network"},
                preflight={"method": "PUT", "private-network": "true"},
                status=403,
            ),
        ],
    ),
    Configuration(
        "no private network",
        {"allow_origins": [A], "max_age": None},
        [
            Row(
                "asked for: ignored, so the browser refuses it",
                accepted(allow_methods="GET", allow_headers=SAFELISTED),
                preflight={"method": "GET", "private-network": "true"},
                status=204,
            ),
        ],
    ),
    Configuration(
        "debug",
        {"allow_origins": [A], "allow_headers": ["x-a"], "debug": True},
        [
            Row(
                "a refused method: debug shows what passed before it",
                accepted(),
                preflight={"method": "PUT"},
                status=204,
            ),
            Row(
                "a refused header: debug shows what passed before it",
                accepted(allow_methods="GET"),
                preflight={"method": "GET", "headers": "x-b"},
                status=204,
            ),
            Row("a refused origin", REFUSED, origin=B, preflight={"method": "GET"}, status=403),
        ],
    ),
]


def about_cors(headers: tuple[Header, ...]) -> dict[str, str]:
    found = [
        (name.lower().decode(), value.decode())
        for name, value in headers
        if name.lower() == b"vary" or name.lower().startswith(b"access-control-")
    ]
    assert len(found) == len(dict(found)), f"a header appears twice: {found}"
    return dict(found)


@pytest.mark.parametrize(
    ("options", "row"),
    [
        pytest.param(configuration.options, row, id=f"{configuration.id}-{row.id}")
        for configuration in TABLE
        for row in configuration.rows
    ],
)
@pytest.mark.filterwarnings("ignore:CORSMiddleware. no origin is allowed")
async def test_a_response_has_the_headers_of_the_table(
    options: Mapping[str, Any], row: Row
) -> None:
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
        pytest.param([("origin", ""), ("origin", A)], id="several lines, the first empty"),
        pytest.param([("origin", A), ("origin", "")], id="several lines, the last empty"),
        pytest.param([("origin", A + "a" * 320)], id="longer than any origin"),
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
async def test_an_options_request_that_is_not_a_preflight_reaches_the_app(
    headers: Mapping[str, str],
) -> None:
    app = recording(hello)

    await request(CORSMiddleware(app, allow_origins=[A]), "OPTIONS", headers=headers)

    assert len(app.calls) == 1


async def test_a_preflight_response_has_neither_body_nor_content_length() -> None:
    headers = {"origin": A, "access-control-request-method": "GET"}

    response = await request(CORSMiddleware(hello, allow_origins=[A]), "OPTIONS", headers=headers)

    assert (response.body, response.getall(b"content-length")) == (b"", [])


async def test_a_refused_preflight_says_why_in_its_body_and_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    headers = {"origin": B, "access-control-request-method": "GET"}

    response = await request(CORSMiddleware(hello, allow_origins=[A]), "OPTIONS", headers=headers)

    assert response.text == "CORS: this origin is not allowed"
    assert [record.getMessage() for record in caplog.records] == [
        "preflight refused: this origin is not allowed"
    ]


async def test_the_log_advises_a_policy_once_for_each_prefix(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    app = CORSMiddleware(hello, allow_origins=[A])
    headers = {"origin": B, "access-control-request-method": "GET"}

    for path in ("/api/x", "/api/y", "/api", "/v2", "/", '/"x"/'):
        await request(app, "OPTIONS", path, headers=headers)

    refused = "preflight refused: this origin is not allowed"
    advice = "; if the app handles CORS itself there, use policies="
    assert caplog.messages == [
        f'{refused}{advice}{{"/api/": None}}',
        refused,
        refused,
        f'{refused}{advice}{{"/v2/": None}}',
        refused,
        refused,
    ]
    CORSMiddleware(hello, policies={"/api/": None, "/v2/": None})


async def test_the_log_gives_its_advice_for_at_most_100_prefixes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    app = CORSMiddleware(hello, allow_origins=[A])
    headers = {"origin": B, "access-control-request-method": "GET"}

    for number in range(300):
        await request(app, "OPTIONS", f"/{number}/", headers=headers)

    assert sum("policies=" in line for line in caplog.messages) == 100


async def test_the_apps_own_exposed_headers_are_kept() -> None:
    app = recording(answering((b"Access-Control-Expose-Headers", b"x-mine")))
    middleware = CORSMiddleware(app, allow_origins=[A], expose_headers=["x-request-id"])

    response = await request(middleware, headers={"origin": A})

    assert response.getall(b"access-control-expose-headers") == [b"x-mine", b"x-request-id"]


BY_PATH = {
    "/api": CORSPolicy(allow_origins=[A]),
    "/api/open/": CORSPolicy(allow_origins=["*"]),
    "/admin/": None,
}


@pytest.mark.parametrize(
    ("path", "root_path", "expected"),
    [
        pytest.param("/api/x", "", granted(A), id="under a prefix"),
        pytest.param("/api", "", granted(A), id="the prefix itself"),
        pytest.param("/apix", "", VARY, id="not at the end of a segment"),
        pytest.param("/x", "", VARY, id="no prefix: the middleware's own options"),
        pytest.param("/api/open/x", "", named({"allow_origin": "*"}), id="the longest prefix wins"),
        pytest.param("/admin/x", "", {}, id="no CORS under a prefix"),
        pytest.param("/admin", "", {}, id="no CORS at the prefix itself"),
        pytest.param("/mounted/admin/x", "/mounted", {}, id="a prefix after root_path"),
        pytest.param("/admin/x", "/admin", VARY, id="root_path is not the prefix"),
        pytest.param("/x/api/", "", VARY, id="a prefix in the middle of the path"),
    ],
)
async def test_the_longest_prefix_of_the_path_decides_the_policy(
    path: str, root_path: str, expected: Mapping[str, str]
) -> None:
    app = CORSMiddleware(hello, allow_origins=[B], policies=BY_PATH)

    response = await request(
        app, "GET", path, headers={"origin": A}, scope={"root_path": root_path}
    )

    assert about_cors(response.headers) == dict(expected)


@pytest.mark.parametrize(
    ("root_path", "path"),
    [
        pytest.param("", "/admin/x", id="no root_path"),
        pytest.param("/app", "/app/admin/x", id="root_path before the path"),
        pytest.param("/app", "/admin/x", id="root_path not before the path"),
        pytest.param("/app/", "/app/admin/x", id="root_path with a slash at its end"),
        pytest.param("/ad", "/admin/", id="root_path is a part of the prefix"),
    ],
)
async def test_a_prefix_without_cors_gets_no_cors_whatever_the_root_path(
    root_path: str, path: str
) -> None:
    app = CORSMiddleware(hello, allow_origins=[A], policies=BY_PATH)

    response = await request(
        app, "GET", path, headers={"origin": A}, scope={"root_path": root_path}
    )

    assert about_cors(response.headers) == {}


async def test_a_preflight_below_a_prefix_without_cors_reaches_the_app() -> None:
    app = recording(hello)
    headers = {"origin": A, "access-control-request-method": "GET"}

    await request(CORSMiddleware(app, policies=BY_PATH), "OPTIONS", "/admin/", headers=headers)

    assert len(app.calls) == 1


async def test_the_app_below_a_prefix_without_cors_gets_the_same_three_objects() -> None:
    app = recording(hello)
    seen: list[object] = []

    async def server(scope: Scope, receive: Receive, send: Send) -> None:
        seen.extend((scope, receive, send))
        await CORSMiddleware(app, policies=BY_PATH)(scope, receive, send)

    await request(server, "GET", "/admin/")

    assert [app.calls[0].scope, app.calls[0].receive, app.calls[0].send] == seen


async def never() -> dict[str, str]:
    pytest.fail("receive() was called")


async def broken(scope: Scope, receive: Receive, send: Send) -> None:
    raise KeyError("mine")


async def broken_later(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    raise KeyError("mine")


@pytest.mark.parametrize(
    ("options", "headers", "status", "expected"),
    [
        pytest.param({"allow_origins": [A]}, {"origin": A}, 500, granted(), id="allowed"),
        pytest.param({"allow_origins": [A]}, {"origin": B}, None, {}, id="refused"),
        pytest.param({"allow_origins": [A]}, {}, None, {}, id="no origin"),
        pytest.param(
            {"allow_origins": ["*"]}, {"origin": A}, 500, named({"allow_origin": "*"}), id="star"
        ),
        pytest.param({"allow_origins": ["*"]}, {}, None, {}, id="star, no origin"),
        pytest.param(
            {"allow_origins": [A], "error_responses": False}, {"origin": A}, None, {}, id="off"
        ),
    ],
)
async def test_an_app_that_raises_gives_a_500_to_an_origin_that_may_read_it(
    options: Mapping[str, Any],
    headers: Mapping[str, str],
    status: int | None,
    expected: Mapping[str, str],
) -> None:
    app = CORSMiddleware(broken, **options)

    response = await request(app, headers=headers, raise_app_exceptions=False)

    assert isinstance(response.exception, KeyError)
    assert (response.status, about_cors(response.headers)) == (status, dict(expected))


async def test_an_app_that_raises_after_its_response_started_gets_no_500() -> None:
    app = CORSMiddleware(broken_later, allow_origins=[A])

    response = await request(app, headers={"origin": A}, raise_app_exceptions=False)

    assert isinstance(response.exception, KeyError)
    assert (response.status, response.complete) == (200, False)


async def test_the_apps_exception_is_raised_even_if_the_client_has_left() -> None:
    async def gone(message: object) -> None:
        raise OSError("closed")

    scope = {"type": "http", "method": "GET", "path": "/", "headers": [(b"origin", A.encode())]}
    with pytest.raises(KeyError, match="mine"):
        await CORSMiddleware(broken, allow_origins=[A])(scope, never, gone)


async def test_a_policy_with_a_star_reads_no_header_of_the_request() -> None:
    class Unread(list[Header]):
        def __iter__(self) -> Iterator[Header]:
            pytest.fail("a header of the request was read")

    sent: list[object] = []

    async def send(message: object) -> None:
        sent.append(message)

    # The testing client reads the headers, so this test calls the app without it.
    scope = {"type": "http", "method": "GET", "path": "/", "headers": Unread()}
    await CORSMiddleware(hello, allow_origins=["*"])(scope, never, send)

    assert len(sent) == 2


async def test_headers_of_the_scope_that_can_be_read_only_once_reach_the_app() -> None:
    app = recording(hello)
    sent = [(b"origin", A.encode()), (b"x-a", b"1")]

    await request(CORSMiddleware(app, allow_origins=[A]), scope={"headers": iter(sent)})

    assert list(app.calls[0].scope["headers"]) == sent


async def test_the_function_gets_the_origin_and_the_scope() -> None:
    seen: list[object] = []

    def note(origin: str, scope: Scope) -> bool:
        seen.append((origin, scope["path"]))
        return True

    app = CORSMiddleware(hello, allow_origin_func=note)

    await request(app, "GET", "/a", headers={"origin": A})

    assert seen == [(A, "/a")]


def test_the_middleware_takes_starlettes_options_in_starlettes_order() -> None:
    positional = ([A], ["PUT"], ["x-a"], True, r"https://b\.example", True, ["x-b"], 60)

    ours, theirs = (
        inspect.signature(each).parameters for each in (CORSMiddleware, StarletteCORSMiddleware)
    )

    assert list(ours)[: len(theirs)] == list(theirs)
    CORSMiddleware(hello, *positional)


def test_the_middleware_names_itself_in_every_problem() -> None:
    with pytest.raises(ConfigurationError) as refused:
        CORSMiddleware(hello, allow_origins="*", debug="no")  # type: ignore[arg-type]

    assert str(refused.value) == (
        "CORSMiddleware: allow_origins: '*' is one string; use ['*']\n"
        "CORSMiddleware: debug: 'no' is a string; use False"
    )


def test_the_middleware_shows_its_options() -> None:
    middleware = CORSMiddleware(hello, allow_origins=[A], policies={"/admin/": None}, debug=True)

    assert repr(middleware) == (
        "CORSMiddleware(allow_origins=('https://a.example',), allow_methods=('GET',),"
        " allow_headers=(), allow_credentials=False, allow_origin_regex=None,"
        " allow_private_network=False, expose_headers=(), max_age=600, allow_origin_func=None,"
        " policies={'/admin/': None}, debug=True, error_responses=True)"
    )


def test_the_middleware_warns_if_it_allows_no_origin() -> None:
    with pytest.warns(ConfigurationWarning, match="no origin is allowed"):
        CORSMiddleware(hello)


def test_the_middleware_does_not_warn_if_it_has_policies() -> None:
    CORSMiddleware(hello, policies=BY_PATH)
