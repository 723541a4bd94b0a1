"""Options of a policy. More that it refuses is in tests/options/cors.py."""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

import pytest

from asgi_middleware import ConfigurationError, ConfigurationWarning, CORSPolicy

A = "https://a.example"


@pytest.mark.parametrize("regex", [".*", r"https?://.*", r"https://[a-z0-9.]+"])
def test_a_policy_with_credentials_refuses_a_regex_that_matches_everybody(regex: str) -> None:
    with pytest.raises(ConfigurationError, match=r"matches every origin \(here 'https://[0-9a-f]+"):
        CORSPolicy(allow_origin_regex=regex, allow_credentials=True)


@pytest.mark.parametrize("regex", [r"https://.*\.a\.example", re.compile(r"https://a\.example")])
def test_a_policy_with_credentials_accepts_a_regex_that_ends_with_a_name(regex: Any) -> None:
    assert CORSPolicy(allow_origin_regex=regex, allow_credentials=True).allows_any_origin


@pytest.mark.parametrize("regex", ["(", re.compile(b"a"), 3])
def test_a_policy_refuses_what_is_not_a_regex(regex: Any) -> None:
    with pytest.raises(ConfigurationError, match="is not a valid regular expression for strings"):
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
def test_a_policy_without_credentials_accepts_options_for_everybody(
    options: Mapping[str, Any],
) -> None:
    CORSPolicy(**options)


@pytest.mark.parametrize(
    ("options", "warning"),
    [
        pytest.param(
            {"allow_headers": ["Cookie"]},
            "allow_headers: 'Cookie' is a header that no page can set; use the list without it",
            id="forbidden header",
        ),
        pytest.param(
            {"allow_headers": ["sec-fetch-site"]},
            "allow_headers: 'sec-fetch-site' is a header that no page can set; use the list without"
            " it",
            id="forbidden prefix",
        ),
        pytest.param(
            {"allow_methods": ["patch"]},
            "allow_methods: 'patch' is not converted to upper case by browsers; use 'PATCH'",
            id="lower-case patch",
        ),
        pytest.param(
            {"max_age": 86_401},
            "max_age: 86401 is longer than any browser allows; use 86400",
            id="long max_age",
        ),
        pytest.param(
            {"allow_origins": ["http://a.example"], "allow_credentials": True},
            "allow_origins: 'http://a.example' is not encrypted, so anybody on the network can act"
            " as its visitors; use 'https://a.example'",
            id="http with credentials",
        ),
    ],
)
def test_a_policy_warns_about_useless_and_risky_options(
    options: Mapping[str, Any], warning: str
) -> None:
    with pytest.warns(ConfigurationWarning) as warned:
        CORSPolicy(**options)

    assert [str(each.message) for each in warned] == [f"CORS: {warning}"]
    # The warning points to the line that creates the policy.
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
def test_a_policy_does_not_warn_about_usual_options(
    options: Mapping[str, Any], recwarn: pytest.WarningsRecorder
) -> None:
    CORSPolicy(**options)

    assert recwarn.list == []


def test_a_policy_shows_its_options() -> None:
    assert repr(CORSPolicy(allow_origins=[A], allow_methods=["put"])) == (
        "CORSPolicy(allow_origins=('https://a.example',), allow_methods=('PUT',), allow_headers=(),"
        " allow_credentials=False, allow_origin_regex=None, allow_private_network=False,"
        " expose_headers=(), max_age=600, allow_origin_func=None)"
    )


def test_a_policy_is_frozen_and_comparable() -> None:
    policy = CORSPolicy(allow_origins=[A], allow_methods=["put"], allow_headers=["X-A"])

    assert policy == CORSPolicy(allow_origins=(A,), allow_methods=["PUT"], allow_headers=["x-a"])
    assert hash(policy) == hash(
        CORSPolicy(allow_origins=[A], allow_methods=["PUT"], allow_headers=["x-a"])
    )
    assert policy != CORSPolicy(allow_origins=[A])
    with pytest.raises(dataclasses.FrozenInstanceError):
        policy.max_age = 1  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
