"""A browser's side of CORS, step by step as in the Fetch standard.

The code is slow and literal on purpose, so that you can compare it with the text of the standard.
It sends requests to an app through the testing client, and returns what a page's script would see.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from asgi_middleware.testing import Response, request
from asgi_middleware.types import ASGIApp

_OWS = " \t"


@dataclass(frozen=True)
class Page:
    """A script's request: ``fetch(target, {method, headers, credentials})``."""

    origin: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    credentials: bool = False


async def fetch(app: ASGIApp, page: Page, target: str = "/") -> Response | None:
    """Return the response that the page's script may read, or None for a network error.

    https://fetch.spec.whatwg.org/#http-fetch, for a request to another origin.
    """
    method = normalize(page.method)
    unsafe_names = unsafe_header_names(page.headers)
    if (method not in ("GET", "HEAD", "POST") or unsafe_names) and not await preflight_succeeds(
        app, page, method, unsafe_names, target
    ):
        return None
    response = await request(
        app,
        method,
        target,
        headers={"origin": page.origin, **page.headers},
        raise_app_exceptions=False,
    )
    return response if check(page, response) else None


async def preflight_succeeds(
    app: ASGIApp, page: Page, method: str, unsafe_names: list[str], target: str
) -> bool:
    """https://fetch.spec.whatwg.org/#cors-preflight-fetch-0"""
    asking = {"origin": page.origin, "accept": "*/*", "access-control-request-method": method}
    if unsafe_names:
        asking["access-control-request-headers"] = ",".join(unsafe_names)
    response = await request(app, "OPTIONS", target, headers=asking)

    if not check(page, response) or not 200 <= (response.status or 0) <= 299:
        return False
    methods = extracted(response, b"access-control-allow-methods")
    names = extracted(response, b"access-control-allow-headers")
    if (
        method not in methods
        and method not in ("GET", "HEAD", "POST")
        and (page.credentials or "*" not in methods)
    ):
        return False
    allowed = {name.lower() for name in names}
    # https://fetch.spec.whatwg.org/#cors-non-wildcard-request-header-name
    if any(name.lower() == "authorization" for name in page.headers) and (
        "authorization" not in allowed
    ):
        return False
    return all(
        name in allowed or ("*" in allowed and not page.credentials) for name in unsafe_names
    )


def check(page: Page, response: Response) -> bool:
    """https://fetch.spec.whatwg.org/#cors-check"""
    origin = got(response, b"access-control-allow-origin")
    if origin is None:
        return False
    if not page.credentials and origin == "*":
        return True
    if origin != page.origin:
        return False
    if not page.credentials:
        return True
    return got(response, b"access-control-allow-credentials") == "true"


def readable_headers(page: Page, response: Response) -> set[str]:
    """The names that a script sees: https://fetch.spec.whatwg.org/#concept-filtered-response-cors"""
    safelisted = {
        *("cache-control", "content-language", "content-length", "content-type"),
        *("expires", "last-modified", "pragma"),
    }
    exposed = {name.lower() for name in extracted(response, b"access-control-expose-headers")}
    sent = {name.decode().lower() for name, _ in response.headers}
    if "*" in exposed and not page.credentials:
        return sent
    return sent & (safelisted | exposed)


def got(response: Response, name: bytes) -> str | None:
    """Several lines are one value: https://fetch.spec.whatwg.org/#concept-header-list-get"""
    values = response.getall(name)
    return ", ".join(value.decode("latin-1").strip(_OWS) for value in values) if values else None


def extracted(response: Response, name: bytes) -> list[str]:
    """https://fetch.spec.whatwg.org/#extract-header-list-values"""
    return [
        part
        for value in response.getall(name)
        for each in value.decode("latin-1").split(",")
        if (part := each.strip(_OWS))
    ]


def normalize(method: str) -> str:
    """https://fetch.spec.whatwg.org/#concept-method-normalize"""
    upper = method.upper()
    return upper if upper in ("DELETE", "GET", "HEAD", "OPTIONS", "POST", "PUT") else method


def unsafe_header_names(headers: Mapping[str, str]) -> list[str]:
    """https://fetch.spec.whatwg.org/#cors-unsafe-request-header-names, sorted as there."""
    safe: dict[str, Callable[[str], bool]] = {
        "accept": lambda value: not any(char in value for char in '"():<>?@[\\]{}'),
        "accept-language": lambda value: True,
        "content-language": lambda value: True,
        "content-type": lambda value: (
            value.partition(";")[0].strip().lower()
            in ("application/x-www-form-urlencoded", "multipart/form-data", "text/plain")
        ),
    }

    def never(value: str) -> bool:
        return False

    return sorted(
        name.lower()
        for name, value in headers.items()
        if len(value) > 128 or not safe.get(name.lower(), never)(value)
    )


class Cache:
    """A shared cache that obeys only ``Vary``, and stores every response unless that is ``*``.

    https://www.rfc-editor.org/rfc/rfc9111#section-4.1
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._stored: list[tuple[dict[str, str | None], Response]] = []

    async def get(self, headers: Mapping[str, str]) -> Response:
        for nominated, response in self._stored:
            if all(headers.get(name) == value for name, value in nominated.items()):
                return response
        response = await request(self._app, headers=headers)
        names = _lower(extracted(response, b"vary"))
        if "*" not in names:
            self._stored.append(({name: headers.get(name) for name in names}, response))
        return response


def _lower(names: Iterable[str]) -> list[str]:
    return [name.lower() for name in names]
