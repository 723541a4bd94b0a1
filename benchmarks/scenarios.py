"""The scenarios: each a request, a bare app, the arms that wrap it, and the right response.

Every runner takes its rows from here. The name of a row says which middleware wraps the app and
which request is sent. The arms of a row do the same job with the same options. If an arm does
less or more, a comment says so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from types import SimpleNamespace
from typing import Any, cast
from uuid import uuid4

from asgi_middleware import (
    CORSMiddleware,
    LifespanMiddleware,
    RequestBodyLimitMiddleware,
    RequestIDMiddleware,
    RequestTimeoutMiddleware,
    compose,
)
from asgi_middleware.timing import TimingMiddleware
from asgi_middleware.types import ASGIApp, Header, Middleware, Receive, Scope, Send

from .limit import fused

OURS = "asgi-middleware"

# The headers of a fetch() by a page in Chromium, after a proxy.
REQUEST_HEADERS: tuple[Header, ...] = (
    (b"host", b"api.example"),
    (b"connection", b"keep-alive"),
    (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/140.0.0.0"),
    (b"accept", b"application/json, text/plain, */*"),
    (b"accept-encoding", b"gzip, deflate, br, zstd"),
    (b"accept-language", b"en-GB,en;q=0.9,de;q=0.8"),
    (b"cookie", b"csrftoken=PrD2bWw0tYx5Vq8kqzJm; sessionid=3yq0m2l8v5k1x9c7b6n4"),
    (b"referer", b"https://app.example/invoices/"),
    (b"sec-fetch-dest", b"empty"),
    (b"sec-fetch-mode", b"cors"),
    (b"sec-fetch-site", b"same-site"),
    (b"x-forwarded-for", b"203.0.113.7"),
)
# The response headers of Django with its stock middleware, in its spelling.
RESPONSE_HEADERS: tuple[Header, ...] = (
    (b"Content-Type", b"text/html; charset=utf-8"),
    (b"X-Frame-Options", b"DENY"),
    (b"Vary", b"Cookie"),
    (b"X-Content-Type-Options", b"nosniff"),
    (b"Referrer-Policy", b"same-origin"),
    (b"Cross-Origin-Opener-Policy", b"same-origin"),
)


def bare_app(chunks: Sequence[bytes]) -> ASGIApp:
    """Return the bare app. It makes new messages each time, because some middleware edit them."""
    count = len(chunks)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        if scope["type"] == "lifespan":
            await send({"type": "lifespan.startup.complete"})
            await receive()
            return await send({"type": "lifespan.shutdown.complete"})
        headers = list(RESPONSE_HEADERS)
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for sent, chunk in enumerate(chunks, 1):
            await send({"type": "http.response.body", "body": chunk, "more_body": sent < count})

    return app


@dataclass(frozen=True)
class Arm:
    """One way to do the job: the packages that it needs, and further headers that it sends."""

    name: str
    wrap: Middleware
    needs: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True)
class Scenario:
    """A row: a request with *extra* headers, and patterns for its response.

    In *headers*, the pattern '' means that the header is not sent.
    """

    name: str
    arms: tuple[Arm, ...]
    extra: tuple[Header, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    method: str = "GET"
    status: str = "200"
    chunks: Sequence[bytes] = (b"hello",)
    most_rounds: int = 201  # fewer if one request takes long


def peer(module: str, name: str, **options: Any) -> Middleware:
    """Return another project's middleware, which is imported only when it wraps an app."""
    return lambda app: getattr(import_module(module), name)(app, **options)


def base_http(app: ASGIApp) -> ASGIApp:
    """Wrap *app* in request IDs, written like the middleware in Starlette's documentation."""
    from starlette.middleware.base import BaseHTTPMiddleware

    class RequestID(BaseHTTPMiddleware):
        async def dispatch(self, request: Any, call_next: Any) -> Any:
            request_id = request.headers.get("x-request-id") or uuid4().hex
            response = await call_next(request)
            response.headers["x-request-id"] = request_id
            return response

    return cast("ASGIApp", RequestID(app))


def with_context(app: ASGIApp) -> ASGIApp:
    """Wrap *app* in starlette-context, with its plugin for request IDs."""
    from starlette_context.middleware import RawContextMiddleware
    from starlette_context.plugins import RequestIdPlugin

    return cast("ASGIApp", RawContextMiddleware(app, plugins=[RequestIdPlugin()]))


policy: dict[str, Any] = {
    "allow_origins": ["https://app.example", "https://admin.example", "http://localhost:3000"],
    "allow_methods": ["GET", "POST", "PUT", "DELETE"],
    "allow_headers": ["x-csrftoken", "authorization"],
    "allow_credentials": True,
}
cors = partial(CORSMiddleware, **policy)
# With an observer, because timing-asgi has a client.
timing = partial(TimingMiddleware, server_timing=True, observers=[lambda _: None])
client = SimpleNamespace(timing=lambda *_, tags: None)  # noqa: ARG005
server_timing = {"server-timing": r"app;dur=\d+\.\d"}
starlette_cors = peer("starlette.middleware.cors", "CORSMiddleware", **policy)
correlation_id = peer("asgi_correlation_id", "CorrelationIdMiddleware")
timing_asgi = peer("timing_asgi", "TimingMiddleware", client=client)
body_limit = partial(RequestBodyLimitMiddleware, max_body_size=1_000_000)
starlette_limit = peer(
    "starlette.middleware.body_limit", "RequestBodyLimitMiddleware", max_body_size=1_000_000
)
asgi_cors = peer("asgi_cors", "asgi_cors", hosts=policy["allow_origins"])

REQUEST_ID = (
    Arm(OURS, RequestIDMiddleware),
    Arm("asgi-correlation-id", correlation_id, needs=("asgi-correlation-id",)),
    Arm("starlette-context", with_context, needs=("starlette-context",)),
    Arm("BaseHTTPMiddleware", base_http, needs=("starlette",)),
)
TIMING = (
    Arm(OURS, timing, headers=server_timing),
    # timing-asgi sends no header, and measures the CPU time as well.
    Arm("timing-asgi", timing_asgi, needs=("timing-asgi",)),
)
# Starlette's middleware limits only bodies, and copies nothing.
LIMITS = (
    Arm(OURS, compose(body_limit, partial(RequestTimeoutMiddleware, timeout=30.0))),
    Arm("starlette", starlette_limit, needs=("starlette",)),
)
BODY_LIMIT = (Arm(OURS, body_limit), Arm("starlette", starlette_limit, needs=("starlette",)))
PREFLIGHT = (Arm(OURS, cors), Arm("starlette", starlette_cors, needs=("starlette",)))
# asgi-cors has no credentials, sends no Vary, and leaves preflights to the app.
CORS = (*PREFLIGHT, Arm("asgi-cors", asgi_cors, needs=("asgi-cors",)))
peers = compose(correlation_id, timing_asgi, starlette_cors)
STACK = (
    Arm(OURS, compose(RequestIDMiddleware, timing, cors, LifespanMiddleware), (), server_timing),
    Arm("the three peers", peers, ("asgi-correlation-id", "timing-asgi", "starlette")),
    Arm("the limit", partial(fused, policy=policy), (), server_timing),
)


def with_origins(origins: Sequence[str]) -> tuple[Arm, ...]:
    """Return arms that do CORS for *origins*, a list that Starlette searches from the start."""
    grown = {**policy, "allow_origins": list(origins)}
    starlette = peer("starlette.middleware.cors", "CORSMiddleware", **grown)
    return (
        Arm(OURS, partial(CORSMiddleware, **grown)),
        Arm("starlette", starlette, needs=("starlette",)),
    )


MANY_ORIGINS = with_origins(
    [*policy["allow_origins"], *(f"https://{n}.example" for n in range(10_000))]
)

INBOUND = (b"x-request-id", b"7f9c24e8-3b12-4fef-91e0-4d7c0a1b2c3d")
ALLOWED = (b"origin", b"https://app.example")
REFUSED = (b"origin", b"https://evil.example")
HUNDRED = tuple((b"x-header-%d" % number, b"value") for number in range(100))
ASKS = (
    (b"access-control-request-method", b"PUT"),
    (b"access-control-request-headers", b"content-type,x-csrftoken"),
)
made = {"x-request-id": "[0-9a-f]{32}"}
granted = {"access-control-allow-origin": "https://app.example"}
denied = {"access-control-allow-origin": ""}
permitted = {**granted, "access-control-allow-methods": ".*PUT.*"}
preflight = partial(Scenario, method="OPTIONS", status="2..")
streamed = partial(Scenario, chunks=[b"data: 42\n\n"] * 1000)

SCENARIOS: tuple[Scenario, ...] = (
    Scenario("mw=request-id/req=without-id", REQUEST_ID, (), made),
    Scenario(
        "mw=request-id/req=with-id", REQUEST_ID, (INBOUND,), {"x-request-id": INBOUND[1].decode()}
    ),
    Scenario("mw=timing/req=plain", TIMING),
    Scenario("mw=cors/req=no-origin", CORS, (), denied),
    Scenario("mw=cors/req=simple-allowed", CORS, (ALLOWED,), granted),
    Scenario("mw=cors/req=simple-refused", CORS, (REFUSED,), denied),
    preflight("mw=cors/req=preflight-allowed", PREFLIGHT, (ALLOWED, *ASKS), permitted),
    preflight("mw=cors/req=preflight-refused", PREFLIGHT, (REFUSED, *ASKS), denied, status="4.."),
    Scenario("mw=limits/req=plain", LIMITS),
    Scenario("mw=body-limit/req=body", BODY_LIMIT, ((b"content-length", b"100"),), method="POST"),
    Scenario("mw=lifespan/req=plain", (Arm(OURS, LifespanMiddleware),)),
    Scenario("mw=stack/req=no-origin", STACK, (), {**made, **denied}),
    Scenario("mw=stack/req=simple-allowed", STACK, (ALLOWED,), {**made, **granted}),
    preflight("mw=stack/req=preflight-allowed", STACK, (ALLOWED, *ASKS), {**made, **permitted}),
    # Requests that only an attacker sends.
    Scenario("mw=stack/req=1MB-header", STACK, ((b"x-large", b"x" * 1_000_000),), made),
    Scenario("mw=stack/req=100-headers", STACK, HUNDRED, made),
    Scenario("mw=stack/req=1MB-id", STACK[:1], ((b"x-request-id", b"x" * 1_000_000),), made),
    Scenario("mw=cors/req=10000-origins", MANY_ORIGINS, (ALLOWED,), granted),
    streamed("mw=request-id/req=streamed", REQUEST_ID),
    streamed("mw=timing/req=streamed", TIMING),
    streamed("mw=cors/req=streamed", CORS, (ALLOWED,)),
    streamed("mw=stack/req=streamed", STACK, (ALLOWED,)),
    streamed(
        "mw=stack/req=100000-messages",
        STACK,
        (ALLOWED,),
        chunks=[b"data: 42\n\n"] * 100_000,
        most_rounds=5,
    ),
)
