"""The cost of what a client or an app sends grows at most linearly with its size."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from asgi_middleware import CORSMiddleware, CORSPolicy, WebSocketOriginMiddleware
from asgi_middleware._headers import elements, vary_on
from asgi_middleware._origins import MAX_LENGTH, Patterns, is_sendable, problem_with
from asgi_middleware.types import ASGIApp, Header, Receive, Scope, Send
from tests.growth import assert_linear, work

A = "https://a.example"
ORIGIN = (b"origin", A.encode())
ASKS = (b"access-control-request-method", b"PUT")

EVERYTHING = CORSMiddleware(
    lambda scope, receive, send: send({"type": "http.response.start", "status": 200}),
    allow_origins=[A, "https://*.b.example", "http://localhost:*"],
    allow_origin_regex=[r"https://c[0-9]+\.example", r"https://d\.example"],
    allow_methods=["*"],
    allow_headers=["*"],
    allow_credentials=True,
    allow_private_network=True,
    allow_origin_func=lambda origin, scope: False,
    policies={"/api/": CORSPolicy(allow_origins=[A], allow_headers=["x-a"]), "/admin/": None},
)
GUARD = WebSocketOriginMiddleware(
    lambda scope, receive, send: receive(),
    ["same-origin", "https://*.b.example"],
    allowed_hosts=[".a.example", "localhost"],
    allow_origin_func=lambda origin, scope: False,
    trusted_host_header="x-forwarded-host",
    trusted=True,
)


async def received() -> dict[str, str]:
    return {"type": "websocket.connect"}


async def sent(message: object) -> None:
    pass


def call(app: ASGIApp, headers: Sequence[Header], **scope: Any) -> None:
    kind = {"type": "http", "method": "GET", "path": "/x", "headers": headers, **scope}
    asyncio.run(app(kind, received, sent))  # type: ignore[arg-type]


def respond(*headers: Header) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": headers})

    call(CORSMiddleware(app, allow_origins=[A], expose_headers=["x-a"]), [ORIGIN])


def ask(*headers: Header, path: str = "/x") -> None:
    call(EVERYTHING, [ORIGIN, ASKS, *headers], method="OPTIONS", path=path)


def shake_hands(*headers: Header) -> None:
    call(GUARD, headers, type="websocket")


ASKED = b"access-control-request-headers"
CALLS: dict[str, Callable[[int], object]] = {
    "an app's Vary lines": lambda size: respond(*[(b"Vary", b"x-%d" % n) for n in range(size)]),
    "an app's Vary": lambda size: respond((b"Vary", b"x-a, " * size)),
    "an app's empty Vary": lambda size: respond((b"vary", b" ," * size)),
    "an app's headers": lambda size: respond(*[(b"X-%d" % n, b"1") for n in range(size)]),
    "an app's allow-origin lines": lambda size: respond(
        *[(b"Access-Control-Allow-Origin", b"*")] * size
    ),
    "a request's headers": lambda size: call(EVERYTHING, [(b"x-a", b"1")] * size),
    "Origin lines": lambda size: call(EVERYTHING, [ORIGIN] * size),
    "an Origin": lambda size: call(EVERYTHING, [(b"origin", b"https://" + b"b." * size)]),
    "an Origin of commas": lambda size: call(EVERYTHING, [(b"origin", b"," * size)]),
    "a preflight's Origin lines": lambda size: ask(*[ORIGIN] * size),
    "a preflight's method": lambda size: ask((ASKS[0], b"P" * size)),
    "a preflight's lines": lambda size: ask(*[(ASKED, b"x-a")] * size),
    "a preflight's names": lambda size: ask((ASKED, b"x-a," * size)),
    "a preflight's blanks": lambda size: ask((ASKED, b" \t" * size)),
    "a preflight's names below a prefix": lambda size: ask((ASKED, b",x-a" * size), path="/api/"),
    "a preflight's path": lambda size: ask(path="/a" * size),
    "a path of one segment": lambda size: ask(path="/" + "a" * size),
    "a handshake's headers": lambda size: shake_hands(*[(b"x-a", b"1")] * size),
    "a handshake's Origin": lambda size: shake_hands((b"origin", b"http://" + b"a" * size)),
    "a handshake's Origin lines": lambda size: shake_hands(*[ORIGIN] * size),
    "a handshake's Host": lambda size: shake_hands(ORIGIN, (b"host", b"a." * size)),
    "a handshake's Hosts": lambda size: shake_hands(ORIGIN, (b"host", b"a," * size)),
    "a handshake's Host lines": lambda size: shake_hands(ORIGIN, *[(b"host", b"a")] * size),
    "X-Forwarded-Host": lambda size: shake_hands(ORIGIN, (b"x-forwarded-host", b"a, " * size)),
    "vary_on": lambda size: vary_on([(b"Vary", b"a, b")] * size, b"Origin"),
    "vary_on, present already": lambda size: vary_on([(b"Vary", b"Origin")] * size, b"Origin"),
    "elements": lambda size: elements(b"a ,\t" * size),
    "is_sendable": lambda size: is_sendable("https://" + "a-." * size + "example:80"),
    "is_sendable, xn--": lambda size: is_sendable("https://xn--" + "a" * size),
    "is_sendable, IPv6": lambda size: is_sendable(f"http://[{':0' * size}]"),
    "is_sendable, a port": lambda size: is_sendable("http://a:" + "1" * size),
    "a pattern": lambda size: Patterns(["https://*.a"]).match("https://" + "b." * size + "a"),
    "problem_with": lambda size: problem_with("HTTPS://" + "Ä." * size + "/"),
}


@pytest.mark.parametrize("measured", CALLS.values(), ids=CALLS)
def test_the_cost_of_hostile_input_grows_at_most_linearly(
    measured: Callable[[int], object],
) -> None:
    assert_linear(measured)


@pytest.mark.parametrize(
    "origin",
    [
        pytest.param("https://" + "b." * 159, id="labels"),
        pytest.param("https://xn--" + "9" * 314, id="a long label"),
        pytest.param("https://" + f"xn--{'z9' * 29}." * 5, id="labels of another alphabet"),
        pytest.param("http://[" + ":0" * 158 + "]", id="an address"),
    ],
)
def test_checking_an_origin_of_the_greatest_length_is_cheap(origin: str) -> None:
    assert MAX_LENGTH - 10 < len(origin) <= MAX_LENGTH
    assert work(lambda: is_sendable(origin)) < 100_000  # a few tenths of a millisecond
