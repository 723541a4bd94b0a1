"""Our middleware and Starlette's, with the same options and the same requests.

The tests list every difference between the responses. ``docs/migrating.md`` gives the reasons.
"""

from collections.abc import Mapping
from typing import Any

import pytest
from starlette.middleware.cors import CORSMiddleware as StarletteCORSMiddleware

from asgi_middleware import CORSMiddleware
from asgi_middleware.testing import Response, recording, request
from asgi_middleware.types import Receive, Scope, Send
from tests.apps import answering

from .browser import Page, check, extracted, readable_headers

A = "https://a.example"
B = "https://b.example"

CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "one": {"allow_origins": [A], "allow_methods": ["GET", "PUT"], "allow_headers": ["x-a"]},
    "credentials": {
        "allow_origins": [A],
        "allow_credentials": True,
        "allow_methods": ["PUT"],
        "allow_headers": ["*"],
        "expose_headers": ["x-b"],
    },
    "everybody": {"allow_origins": ["*"], "allow_headers": ["*"], "expose_headers": ["x-b"]},
    "regex": {"allow_origin_regex": r"https://[ab]\.example", "max_age": 60},
}
ACTUAL: dict[str, dict[str, str]] = {
    "no origin": {},
    "allowed": {"origin": A},
    "other": {"origin": B},
    "null": {"origin": "null"},
}
PREFLIGHTS: dict[str, tuple[str, str, str | None]] = {
    "listed method": (A, "PUT", None),
    "safelisted method": (A, "GET", None),
    "unlisted method": (A, "DELETE", None),
    "listed header": (A, "PUT", "x-a"),
    "safelisted header": (A, "PUT", "content-type"),
    "unlisted header": (A, "PUT", "x-z"),
    "other origin": (B, "PUT", "x-a"),
}


async def both(
    options: Mapping[str, Any], method: str, headers: Mapping[str, str]
) -> tuple[Response, Response]:
    ours = CORSMiddleware(answering((b"x-b", b"1")), **options)
    # `recording` allows its spelling of header names.
    theirs = recording(StarletteCORSMiddleware(_fresh, **options))
    return (
        await request(ours, method, headers=headers),
        await request(theirs, method, headers=headers),
    )


async def _fresh(scope: Scope, receive: Receive, send: Send) -> None:
    # Starlette's middleware edits the app's list of headers, so each request needs a new list.
    await answering((b"x-b", b"1"))(scope, receive, send)


def about_cors(response: Response) -> dict[str, list[str]]:
    return {
        name: sorted(extracted(response, name.encode()))
        for name in (
            "access-control-allow-origin",
            "access-control-allow-credentials",
            "access-control-expose-headers",
            "vary",
        )
    }


@pytest.mark.parametrize("asked", ACTUAL)
@pytest.mark.parametrize("configuration", CONFIGURATIONS)
async def test_a_response_is_the_same_as_starlettes(configuration: str, asked: str) -> None:
    ours, theirs = await both(CONFIGURATIONS[configuration], "GET", ACTUAL[asked])
    expected = about_cors(theirs)
    if configuration == "everybody":
        # Everybody gets the same response, without Vary, even without an Origin: a CDN stores
        # one copy, and a page on another origin can use that copy later.
        expected |= {
            "access-control-allow-origin": ["*"],
            "access-control-expose-headers": ["x-b"],
            "vary": [],
        }
    if (configuration, asked) in {("credentials", "other"), ("credentials", "null")}:
        # A refused origin gets none of these headers, because alone they permit nothing.
        expected |= {
            "access-control-allow-credentials": [],
            "access-control-expose-headers": [],
        }

    assert about_cors(ours) == expected


@pytest.mark.parametrize("credentials", [True, False])
@pytest.mark.parametrize("asked", [name for name in ACTUAL if name != "no origin"])
@pytest.mark.parametrize("configuration", CONFIGURATIONS)
async def test_a_browser_shows_a_page_the_same_response(
    configuration: str, asked: str, credentials: bool
) -> None:
    ours, theirs = await both(CONFIGURATIONS[configuration], "GET", ACTUAL[asked])
    page = Page(ACTUAL[asked]["origin"], credentials=credentials)

    assert check(page, ours) == check(page, theirs)
    if check(page, ours):
        assert readable_headers(page, ours) == readable_headers(page, theirs)


@pytest.mark.parametrize("asked", PREFLIGHTS)
@pytest.mark.parametrize("configuration", CONFIGURATIONS)
async def test_a_preflight_succeeds_if_starlettes_does(configuration: str, asked: str) -> None:
    origin, method, names = PREFLIGHTS[asked]
    headers = {"origin": origin, "access-control-request-method": method}
    if names is not None:
        headers["access-control-request-headers"] = names

    ours, theirs = await both(CONFIGURATIONS[configuration], "OPTIONS", headers)

    # Our statuses are 204 and 403. Starlette's are 200 and 400.
    assert ours.status == {200: 204, 400: 403}[theirs.status or 0]
