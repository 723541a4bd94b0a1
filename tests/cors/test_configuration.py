import dataclasses
import re
from collections.abc import Mapping
from typing import Any

import pytest

from asgi_middleware import ConfigurationError, ConfigurationWarning, CORSPolicy

A = "https://a.example"


@pytest.mark.parametrize(
    ("options", "problems"),
    [
        pytest.param(
            {"allow_origins": A, "expose_headers": b"x"},
            [
                "allow_origins: 'https://a.example' is a string; write a list,"
                " ['https://a.example']",
                "expose_headers: b'x' is a string; write a list, [b'x']",
            ],
            id="strings",
        ),
        pytest.param(
            {"allow_headers": None},
            ["allow_headers: None is not a list; write ['https://app.example'] or the like"],
            id="no list",
        ),
        pytest.param(
            {"allow_origins": ["a.example", A, "https://b.example/c", 3]},
            [
                "allow_origins: 'a.example' has no scheme; write 'https://a.example'",
                "allow_origins: 'https://b.example/c' has a path; write 'https://b.example'",
                "allow_origins: 3 is not a string; write it like 'https://app.example'",
            ],
            id="origins",
        ),
        pytest.param(
            {"allow_origins": ["*", "null", "https://*.co.uk"], "allow_credentials": True},
            [
                "allow_origins: '*' cannot be combined with allow_credentials=True: every site"
                " could act as its visitors; list the origins",
                "allow_origins: 'null' cannot be combined with allow_credentials=True: any page"
                " can make itself one, in a sandboxed frame; leave it out",
                "allow_origins: 'https://*.co.uk' cannot be combined with allow_credentials=True:"
                " anybody can get a name under 'co.uk'; list the origins",
            ],
            id="with credentials",
        ),
        pytest.param(
            {"allow_origins": ["https://*.example"], "allow_credentials": True},
            [
                "allow_origins: 'https://*.example' cannot be combined with allow_credentials=True:"
                " anybody can get a name under 'example'; list the origins"
            ],
            id="a wildcard before one label",
        ),
        pytest.param(
            {
                "allow_origins": [A],
                "allow_credentials": True,
                "expose_headers": ["*"],
            },
            [
                "expose_headers: with allow_credentials=True '*' is a header of that name and"
                " exposes nothing; list the headers"
            ],
            id="star exposed",
        ),
        pytest.param(
            {"allow_methods": ["TRACE", "connect", "GET ", "PSOT", "a,b"]},
            [
                "allow_methods: browsers let no page send 'TRACE'; leave it out",
                "allow_methods: browsers let no page send 'connect'; leave it out",
                "allow_methods: 'GET ' is no method; did you mean 'GET'?",
                "allow_methods: 'a,b' is no method; write one like 'GET'",
            ],
            id="methods",
        ),
        pytest.param(
            {"allow_headers": ["X Request ID", ""], "expose_headers": ["x-a:"]},
            [
                "allow_headers: 'X Request ID' is no header name; did you mean 'x-request-id'?",
                "allow_headers: '' is no header name; write one like 'x-request-id'",
                "expose_headers: 'x-a:' is no header name; did you mean 'x-a'?",
            ],
            id="headers",
        ),
        *(
            pytest.param(
                {"max_age": age},
                [f"max_age: {age!r} is no number of seconds; write 0 to forbid caching, or 600"],
                id=f"max_age {age!r}",
            )
            for age in (-1, 1.5, "600", True)
        ),
        pytest.param(
            {"allow_origin_func": "a"},
            [
                "allow_origin_func: 'a' cannot be called; write a function of the origin and the"
                " scope"
            ],
            id="no function",
        ),
    ],
)
def test_refuses_what_is_dangerous_or_wrong(
    options: Mapping[str, Any], problems: list[str]
) -> None:
    with pytest.raises(ConfigurationError) as refused:
        CORSPolicy(**options)

    assert list(refused.value.problems) == problems


@pytest.mark.parametrize("regex", [".*", r"https?://.*", r"https://[a-z0-9.]+"])
def test_refuses_a_regex_that_matches_everybody_with_credentials(regex: str) -> None:
    with pytest.raises(ConfigurationError, match=r"matches every origin \(here 'https://[0-9a-f]+"):
        CORSPolicy(allow_origin_regex=regex, allow_credentials=True)


@pytest.mark.parametrize("regex", [r"https://.*\.a\.example", re.compile(r"https://a\.example")])
def test_accepts_a_regex_that_ends_in_a_name_with_credentials(regex: Any) -> None:
    assert CORSPolicy(allow_origin_regex=regex, allow_credentials=True).allows_any_origin


@pytest.mark.parametrize("regex", ["(", re.compile(b"a"), 3])
def test_refuses_what_is_no_regex(regex: Any) -> None:
    with pytest.raises(ConfigurationError, match="is no regular expression for strings"):
        CORSPolicy(allow_origin_regex=regex)


@pytest.mark.parametrize(
    "options",
    [
        {"allow_origins": ["*", "null", "https://*.co.uk"]},
        {"allow_origin_regex": ".*"},
        {"expose_headers": ["*"]},
    ],
    ids=["origins", "regex", "exposed"],
)
def test_without_credentials_more_is_allowed(options: Mapping[str, Any]) -> None:
    CORSPolicy(**options)


@pytest.mark.parametrize(
    ("options", "warning"),
    [
        pytest.param(
            {"allow_headers": ["Cookie"]},
            "allow_headers: browsers let no page set 'Cookie'; leave it out",
            id="forbidden header",
        ),
        pytest.param(
            {"allow_headers": ["sec-fetch-site"]},
            "allow_headers: browsers let no page set 'sec-fetch-site'; leave it out",
            id="forbidden prefix",
        ),
        pytest.param(
            {"allow_methods": ["patch"]},
            "allow_methods: browsers do not make 'patch' upper case; write 'PATCH'",
            id="lower-case patch",
        ),
        pytest.param(
            {"max_age": 86_401},
            "max_age: no browser keeps an answer for 86401 s; write 86400",
            id="long max_age",
        ),
        pytest.param(
            {"allow_origins": ["http://a.example"], "allow_credentials": True},
            "allow_origins: over the origin 'http://a.example' anybody on the network can act as"
            " its visitors; write 'https://a.example'",
            id="http with credentials",
        ),
    ],
)
def test_warns_of_what_is_useless_or_risky(options: Mapping[str, Any], warning: str) -> None:
    with pytest.warns(ConfigurationWarning) as warned:
        CORSPolicy(**options)

    assert [str(each.message) for each in warned] == [f"CORS: {warning}"]
    # Where the policy was written.
    assert warned[0].filename == __file__


@pytest.mark.parametrize(
    "options",
    [
        {"allow_origins": ["http://localhost:3000", "http://127.0.0.1"], "allow_credentials": True},
        {"allow_origins": ["http://a.example"]},
        {"max_age": 86_400},
        {"allow_methods": ["PATCH"], "allow_headers": ["authorization"]},
    ],
    ids=["loopback", "no credentials", "max_age", "usual"],
)
def test_does_not_warn_of_what_is_usual(
    options: Mapping[str, Any], recwarn: pytest.WarningsRecorder
) -> None:
    CORSPolicy(**options)

    assert recwarn.list == []


def test_a_policy_is_frozen_and_comparable() -> None:
    policy = CORSPolicy(allow_origins=[A], allow_methods=["put"], allow_headers=["X-A"])

    assert policy == CORSPolicy(allow_origins=(A,), allow_methods=["PUT"], allow_headers=["x-a"])
    assert hash(policy) == hash(
        CORSPolicy(allow_origins=[A], allow_methods=["PUT"], allow_headers=["x-a"])
    )
    assert policy != CORSPolicy(allow_origins=[A])
    with pytest.raises(dataclasses.FrozenInstanceError):
        policy.max_age = 1  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
