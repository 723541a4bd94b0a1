"""For any policy and request, a browser lets through exactly what a simple oracle allows."""

import asyncio
import re
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_middleware import CORSMiddleware
from asgi_middleware.testing import recording, request
from tests.apps import answering, hello

from .browser import Cache, Page, check, extracted, fetch, normalize, unsafe_header_names

pytestmark = pytest.mark.filterwarnings("ignore::asgi_middleware.ConfigurationWarning")

ORIGINS = [
    "https://a.example",
    "https://b.a.example",
    "https://c.b.a.example",
    "https://evil-a.example",
    "https://a.example.evil.example",
    "http://a.example",
    "https://a.example:8443",
    "http://localhost",
    "http://localhost:3000",
    "http://localhost:8000",
    "null",
]
LISTED = ["https://a.example", "http://localhost:3000", "https://*.a.example", "http://localhost:*"]
METHODS = ["GET", "HEAD", "POST", "PUT", "put", "PATCH", "patch", "DELETE", "QUERY"]
NAMES = ["x-a", "X-B", "authorization", "content-type", "accept"]

policies = st.fixed_dictionaries(
    {
        "allow_methods": st.lists(st.sampled_from([*METHODS, "*"]), max_size=3),
        "allow_headers": st.lists(st.sampled_from([*NAMES, "*"]), max_size=3),
        "expose_headers": st.lists(st.sampled_from(["x-a", "x-b"]), max_size=2),
        "max_age": st.sampled_from([None, 0, 600]),
    }
).flatmap(
    lambda options: st.one_of(
        st.just({**options, "allow_origins": ["*"]}),
        st.builds(
            lambda origins, regex, credentials: {
                **options,
                "allow_origins": origins,
                "allow_origin_regex": regex,
                "allow_credentials": credentials,
            },
            st.lists(st.sampled_from(LISTED), max_size=2),
            st.sampled_from([None, r"https://[a-z]+\.a\.example", r"https?://a\.example"]),
            st.booleans(),
        ),
    )
)
pages = st.builds(
    Page,
    origin=st.sampled_from(ORIGINS),
    method=st.sampled_from(METHODS),
    headers=st.dictionaries(
        st.sampled_from(NAMES), st.sampled_from(["1", "text/plain", "application/json"]), max_size=3
    ),
    credentials=st.booleans(),
)

# What each entry stands for, as a regex written by hand.
STANDS_FOR = {
    "https://a.example": r"https://a\.example",
    "http://localhost:3000": r"http://localhost:3000",
    "https://*.a.example": r"https://([a-z-]+\.)+a\.example",
    "http://localhost:*": r"http://localhost(:[0-9]+)?",
}


def origin_allowed(options: Mapping[str, Any], origin: str) -> bool:
    if "*" in options["allow_origins"]:
        return True
    regexes = [STANDS_FOR[entry] for entry in options["allow_origins"]]
    if options.get("allow_origin_regex"):
        regexes.append(options["allow_origin_regex"])
    return any(re.fullmatch(regex, origin) for regex in regexes)


def allowed(options: Mapping[str, Any], page: Page) -> bool:
    """Return whether the page may read the response, derived from the options alone."""
    method = normalize(page.method)
    unsafe = unsafe_header_names(page.headers)
    methods = {normalize(each) for each in options["allow_methods"]}
    names = {each.lower() for each in options["allow_headers"]}
    is_asked_about = method not in ("GET", "HEAD", "POST") or bool(unsafe)
    method_allowed = not is_asked_about or method in methods or "*" in methods
    always = {"accept", "accept-language", "content-language", "content-type", "range"}
    names_allowed = all(name in names | always or "*" in names for name in unsafe)
    credentials_allowed = options.get("allow_credentials", False) or not page.credentials
    return (
        origin_allowed(options, page.origin)
        and credentials_allowed
        and (method_allowed and names_allowed)
    )


@given(policies, pages)
def test_a_browser_lets_through_what_the_policy_allows(options: Any, page: Page) -> None:
    app = recording(hello)

    response = asyncio.run(fetch(CORSMiddleware(app, **options), page))

    assert (response is not None) == allowed(options, page)


@given(policies, pages)
def test_only_an_allowed_origin_gets_allow_origin(options: Any, page: Page) -> None:
    response = asyncio.run(
        request(CORSMiddleware(hello, **options), headers={"origin": page.origin})
    )

    granted = response.getall(b"access-control-allow-origin")
    assert bool(granted) == origin_allowed(options, page.origin)
    assert granted in ([], [b"*"], [page.origin.encode()])
    if granted == [b"*"]:
        assert response.getall(b"access-control-allow-credentials") == []


@given(policies, st.lists(st.sampled_from([*ORIGINS, None]), min_size=2, max_size=6))
def test_a_cache_never_serves_the_response_of_one_origin_to_another(
    options: Any, origins: list[str | None]
) -> None:
    app = CORSMiddleware(recording(answering((b"Vary", b"Accept-Encoding"))), **options)

    async def visit() -> None:
        cache = Cache(app)
        for origin in origins:
            headers = {} if origin is None else {"origin": origin}
            cached, direct = await cache.get(headers), await request(app, headers=headers)
            if origin is not None:
                page = Page(origin, credentials=options.get("allow_credentials", False))
                assert check(page, cached) == check(page, direct)
                assert cached.headers == direct.headers

    asyncio.run(visit())


@given(policies)
def test_a_response_that_depends_on_the_origin_varies_on_it(options: Any) -> None:
    app = CORSMiddleware(hello, **options)

    async def compare() -> None:
        responses = [await request(app, headers={"origin": origin}) for origin in ORIGINS]
        depends = len({response.headers for response in responses}) > 1
        for response in responses:
            assert ("Origin" in extracted(response, b"vary")) or not depends

    asyncio.run(compare())


raw_values = st.binary(max_size=40) | st.sampled_from(
    [b"https://a.example", b"null", b"*", b"https://*.a.example", b"GET", b"x-a", b"x-a," * 50_000]
)
raw_headers = st.lists(
    st.tuples(
        st.sampled_from(
            [
                b"origin",
                b"access-control-request-method",
                b"access-control-request-headers",
                b"access-control-request-private-network",
                b"vary",
            ]
        ),
        raw_values,
    ),
    max_size=8,
)


@given(policies, raw_headers, st.sampled_from(["OPTIONS", "GET"]))
def test_raw_bytes_in_headers_do_no_harm(
    options: Any, headers: list[tuple[bytes, bytes]], method: str
) -> None:
    app = CORSMiddleware(hello, allow_private_network=True, **options)

    # The client raises for a line break or NUL in the response, so this also tests for an echo.
    response = asyncio.run(request(app, method, scope={"headers": headers}))

    assert response.status in (200, 204, 403)
    assert sum(len(name) + len(value) for name, value in response.headers) < 6000
    sent = [value for name, value in headers if name == b"origin"]
    for granted in response.getall(b"access-control-allow-origin"):
        assert granted == b"*" or sent == [granted]
        assert origin_allowed(options, granted.decode("latin-1")) or granted == b"*"
