"""CORSPolicy.explain: what a policy does with an origin, for people to read."""

import pytest

from asgi_middleware import CORSPolicy

A = "https://a.example"

POLICY = CORSPolicy(
    allow_origins=[A, "https://*.b.example"],
    allow_origin_regex=r"https://c[0-9]\.example",
    allow_methods=["GET", "PUT"],
    allow_headers=["x-a"],
    allow_credentials=True,
    expose_headers=["x-request-id"],
)


def test_an_explanation_names_the_headers_of_responses() -> None:
    assert POLICY.explain(A) == (
        "The origin 'https://a.example' is allowed: it is listed.\n"
        "Its responses get:\n"
        "  Access-Control-Allow-Origin: https://a.example\n"
        "  Access-Control-Allow-Credentials: true\n"
        "  Access-Control-Expose-Headers: x-request-id\n"
        "  Vary: Origin"
    )


def test_an_explanation_names_the_headers_of_a_preflight_that_succeeds() -> None:
    assert CORSPolicy(allow_origins=["*"]).explain(A, "GET").splitlines()[3:] == [
        "A preflight for GET succeeds. The response is a 204 with:",
        "  Access-Control-Allow-Origin: *",
        "  Access-Control-Allow-Methods: GET",
        "  Access-Control-Allow-Headers:"
        " accept, accept-language, content-language, content-type, range",
        "  Access-Control-Max-Age: 600",
        "  Vary: Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
    ]


@pytest.mark.parametrize(
    ("method", "headers", "line"),
    [
        pytest.param(
            "PATCH",
            [],
            "A preflight for PATCH fails: this method is not allowed. The response is a 403 with:",
            id="method",
        ),
        pytest.param(
            "PUT",
            ["x-a", "x-b"],
            "A preflight for PUT with x-a, x-b fails: a request header is not allowed."
            " The response is a 403 with:",
            id="header",
        ),
    ],
)
def test_an_explanation_says_why_a_preflight_fails(
    method: str, headers: list[str], line: str
) -> None:
    assert line in POLICY.explain(A, method, headers).splitlines()


@pytest.mark.parametrize(
    ("policy", "origin", "reason"),
    [
        (CORSPolicy(allow_origins=["*"]), A, "allowed, like every origin"),
        (POLICY, A, "allowed: it is listed"),
        (POLICY, "https://x.b.example", "allowed: a pattern matches it"),
        (POLICY, "https://c1.example", "allowed: allow_origin_regex matches it"),
        (POLICY, "https://evil.example", "refused: nothing in the policy matches it"),
        (POLICY, "https://ä.example", "refused: no browser sends an origin like that"),
        (
            CORSPolicy(allow_origin_func=lambda origin, scope: True),
            A,
            "not listed; allow_origin_func decides for each request",
        ),
    ],
)
def test_an_explanation_says_why_an_origin_is_allowed_or_refused(
    policy: CORSPolicy, origin: str, reason: str
) -> None:
    assert policy.explain(origin).splitlines()[0] == f"The origin {origin!r} is {reason}."


def test_an_explanation_says_what_an_origin_gets_if_the_function_allows_it() -> None:
    assert CORSPolicy(allow_origin_func=lambda origin, scope: True).explain(A).splitlines()[1:] == [
        "If the function allows it:",
        "Its responses get:",
        "  Access-Control-Allow-Origin: https://a.example",
        "  Vary: Origin",
    ]


def test_an_explanation_refuses_a_malformed_origin_without_naming_the_function() -> None:
    policy = CORSPolicy(allow_origin_func=lambda origin, scope: True)

    assert policy.explain("https://ä.example").splitlines() == [
        "The origin 'https://ä.example' is refused: no browser sends an origin like that.",
        "Its responses get:",
        "  Vary: Origin",
    ]
