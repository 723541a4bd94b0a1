"""Sites for a browser, each with the requests whose response a page may read.

Half of them are policies of ours. The others are written by hand, and most of those are wrong:
what a browser blocks shows more than what it allows.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from asgi_middleware import CORSMiddleware, CORSPolicy
from asgi_middleware.types import ASGIApp, Header, Receive, Scope, Send

# What a page fetches: a name, and the arguments of `Page` in tests/cors/browser.py.
REQUESTS: Mapping[str, Mapping[str, Any]] = {
    "get": {},
    "get-credentials": {"credentials": True},
    "post-text": {"method": "POST", "headers": {"content-type": "text/plain"}},
    "post-json": {"method": "POST", "headers": {"content-type": "application/json"}},
    "put": {"method": "put"},
    "put-credentials": {"method": "PUT", "credentials": True},
    "patch": {"method": "PATCH"},
    "patch-lower": {"method": "patch"},
    "x-a": {"headers": {"X-A": "1"}},
    "x-a-credentials": {"headers": {"X-A": "1"}, "credentials": True},
    "authorization": {"headers": {"Authorization": "Basic eA=="}},
}
SIMPLE = {"get", "post-text"}
EVERY = set(REQUESTS)
CREDENTIALED = {"get-credentials", "put-credentials", "x-a-credentials"}

_ORIGIN = "{origin}"


@dataclass(frozen=True)
class Site:
    """``allowed`` names the requests whose response a page of ``{origin}`` may read.

    ``chromium_allows`` names requests that Chromium allows although the standard does not.
    """

    allowed: set[str]
    # Of a CORSPolicy. None if the site is written by hand, with the three fields below.
    options: Mapping[str, Any] | None = None
    preflight: tuple[tuple[str, str], ...] = ()
    preflight_status: int = 204
    actual: tuple[tuple[str, str], ...] = (("access-control-allow-origin", _ORIGIN),)
    # The response headers that scripts see, if they may read the response.
    readable: set[str] = field(default_factory=lambda: {"content-type", "content-length"})
    chromium_allows: set[str] = field(default_factory=set[str])


POLICIES = {
    "nobody": Site(set(), {"allow_origins": ["https://other.example"]}),
    "another-port": Site(set(), {"allow_origins": ["http://localhost:1"]}),
    "defaults": Site(SIMPLE, {"allow_origins": [_ORIGIN]}),
    "everybody": Site(SIMPLE, {"allow_origins": ["*"]}),
    "pattern": Site(SIMPLE, {"allow_origins": ["http://localhost:*"]}),
    "regex": Site(SIMPLE, {"allow_origin_regex": r"http://localhost:\d+"}),
    "methods": Site(
        {*SIMPLE, "post-json", "put", "patch"},
        {"allow_origins": [_ORIGIN], "allow_methods": ["post", "put", "PATCH"]},
    ),
    "headers": Site({*SIMPLE, "x-a"}, {"allow_origins": [_ORIGIN], "allow_headers": ["X-A"]}),
    "authorization": Site(
        {*SIMPLE, "authorization"},
        {"allow_origins": [_ORIGIN], "allow_headers": ["authorization"]},
    ),
    "everything": Site(
        EVERY - CREDENTIALED,
        {"allow_origins": ["*"], "allow_methods": ["*"], "allow_headers": ["*"]},
    ),
    "credentials": Site(
        {*SIMPLE, "get-credentials", "put", "put-credentials"},
        {"allow_origins": [_ORIGIN], "allow_methods": ["PUT"], "allow_credentials": True},
    ),
    "everything-with-credentials": Site(
        EVERY,
        {
            "allow_origins": [_ORIGIN],
            "allow_methods": ["*"],
            "allow_headers": ["*"],
            "allow_credentials": True,
        },
    ),
    "exposing": Site(
        SIMPLE,
        {"allow_origins": [_ORIGIN], "expose_headers": ["X-A", "x-c"]},
        readable={"content-type", "content-length", "x-a"},
    ),
    "exposing-all": Site(
        SIMPLE,
        {"allow_origins": ["*"], "expose_headers": ["*"]},
        readable={
            *("content-type", "content-length", "x-a", "x-b"),
            *("access-control-allow-origin", "access-control-expose-headers"),
        },
    ),
}

_ALLOW = ("access-control-allow-origin", _ORIGIN)
_CREDENTIALS = ("access-control-allow-credentials", "true")
_ANYTHING = (("access-control-allow-methods", "*"), ("access-control-allow-headers", "*"))

BY_HAND = {
    "two-lines": Site(set(), actual=(_ALLOW, _ALLOW)),
    "list": Site(set(), actual=(("access-control-allow-origin", "{origin}, https://b.example"),)),
    "upper-case-origin": Site(set(), actual=(("access-control-allow-origin", "HTTP://LOCALHOST"),)),
    "null": Site(set(), actual=(("access-control-allow-origin", "null"),)),
    "slash": Site(set(), actual=(("access-control-allow-origin", "{origin}/"),)),
    "no-preflight": Site(SIMPLE),
    "preflight-403": Site(SIMPLE, preflight=(_ALLOW, *_ANYTHING), preflight_status=403),
    # https://fetch.spec.whatwg.org/#cors-non-wildcard-request-header-name says that `*` does
    # not cover Authorization. In Chromium it does.
    "wildcards": Site(
        EVERY - CREDENTIALED - {"authorization"},
        preflight=(_ALLOW, *_ANYTHING),
        chromium_allows={"authorization"},
    ),
    "preflight-200": Site(
        {*SIMPLE, "put"},
        preflight=(_ALLOW, ("access-control-allow-methods", "PUT")),
        preflight_status=200,
    ),
    "preflight-301": Site(
        SIMPLE, preflight=(_ALLOW, *_ANYTHING, ("location", "/")), preflight_status=301
    ),
    "origin-in-preflight-only": Site(set(), preflight=(_ALLOW, *_ANYTHING), actual=()),
    # With credentials, `*` is not a wildcard, but the name of a method or a header.
    "wildcards-with-credentials": Site(
        EVERY - {"put-credentials", "x-a-credentials", "authorization"},
        preflight=(_ALLOW, _CREDENTIALS, *_ANYTHING),
        actual=(_ALLOW, _CREDENTIALS),
        chromium_allows={"authorization"},
    ),
    "everybody-with-credentials": Site(
        SIMPLE, actual=(("access-control-allow-origin", "*"), _CREDENTIALS)
    ),
    "credentials-in-capitals": Site(
        SIMPLE, actual=(_ALLOW, ("access-control-allow-credentials", "TRUE"))
    ),
    "credentials-twice": Site(SIMPLE, actual=(_ALLOW, _CREDENTIALS, _CREDENTIALS)),
    "methods-in-two-lines": Site(
        {*SIMPLE, "put", "patch"},
        preflight=(
            _ALLOW,
            ("access-control-allow-methods", "PUT"),
            ("access-control-allow-methods", "PATCH"),
        ),
    ),
    "method-in-lower-case": Site(
        {*SIMPLE, "patch-lower"},
        preflight=(_ALLOW, ("access-control-allow-methods", "put, patch")),
    ),
    "no-methods": Site(
        {*SIMPLE, "post-json", "x-a"},
        preflight=(_ALLOW, ("access-control-allow-headers", "Content-Type,X-A")),
    ),
}

SITES = {**POLICIES, **BY_HAND}


def application(origin: str) -> ASGIApp:
    """Return an app with each site below ``/sites/<its name>/``, for pages of *origin*."""
    policies = {
        f"/sites/{name}": None
        if site.options is None
        else CORSPolicy(**{key: _for(origin, value) for key, value in site.options.items()})
        for name, site in SITES.items()
    }

    async def by_hand(scope: Scope, receive: Receive, send: Send) -> None:
        site = SITES[scope["path"].split("/")[2]]
        if scope["method"] == "OPTIONS":
            status, headers, body = site.preflight_status, site.preflight, b""
        else:
            status, headers, body = 200, () if site.options is not None else site.actual, b"hello"
        start = {"type": "http.response.start", "status": status}
        await send({**start, "headers": [*_about(body), *_headers(origin, headers)]})
        await send({"type": "http.response.body", "body": body})

    return CORSMiddleware(by_hand, allow_origins=["https://other.example"], policies=policies)


def _for(origin: str, value: Any) -> Any:
    """Return an option with *origin* filled in."""
    return [each.format(origin=origin) for each in value] if isinstance(value, list) else value


def _about(body: bytes) -> tuple[Header, ...]:
    if not body:
        return ()
    return (
        (b"content-type", b"text/plain"),
        (b"content-length", str(len(body)).encode()),
        (b"x-a", b"a"),
        (b"x-b", b"b"),
    )


def _headers(origin: str, headers: tuple[tuple[str, str], ...]) -> list[Header]:
    return [(name.encode(), value.format(origin=origin).encode()) for name, value in headers]
