"""Apps, servers and clients of other packages that our types must accept without a cast.

Type checkers read this file. Nothing runs it.
"""

from collections.abc import AsyncGenerator, Awaitable, Generator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import Any

import asgiref.typing
import httpx
import starlette.types
import uvicorn
from django.core.asgi import get_asgi_application
from django.core.handlers.asgi import ASGIHandler
from starlette.applications import Starlette
from starlette.middleware import Middleware as StarletteMiddleware
from starlette.routing import Mount
from uvicorn._types import ASGI3Application

import asgi_middleware
from asgi_middleware import (
    AccessLog,
    CORSMiddleware,
    CORSPolicy,
    Drain,
    HealthMiddleware,
    LifespanMiddleware,
    RequestIDMiddleware,
    RequestTimeoutMiddleware,
    RequestTiming,
    ThreadPool,
    ThreadPoolMiddleware,
    TimingMiddleware,
    WebSocketOriginMiddleware,
    compose,
)
from asgi_middleware.testing import recording, request
from asgi_middleware.types import ASGIApp, Message, Middleware, Receive, Scope, Send

stack = compose(
    RequestIDMiddleware,
    partial(TimingMiddleware, server_timing=True),
    partial(CORSMiddleware, allow_origins=["https://app.example"]),
    partial(LifespanMiddleware, lifespan=[]),
)
each: list[Middleware] = [
    RequestIDMiddleware,
    TimingMiddleware,
    CORSMiddleware,
    LifespanMiddleware,
    recording,
    stack,
]


class Theirs:
    """A middleware with Starlette's types."""

    def __init__(self, app: starlette.types.ASGIApp) -> None:
        self.app = app

    async def __call__(
        self,
        scope: starlette.types.Scope,
        receive: starlette.types.Receive,
        send: starlette.types.Send,
    ) -> None:
        await self.app(scope, receive, send)


class Yours:
    """A middleware with our types, like one that a user writes."""

    def __init__(self, app: ASGIApp, *, name: bytes = b"x-yours") -> None:
        self.app = app
        self._name = name

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        def named(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), (self._name, b"")]}
            return send(message)

        async def heard() -> Message:
            return await receive()

        state = {**scope.get("state", {}), "yours": True}
        await self.app({**scope, "state": state}, heard, named)


def around_django(handler: ASGIHandler) -> list[ASGIApp]:
    wrapped: list[ASGIApp] = [each_one(get_asgi_application()) for each_one in each]
    return [*wrapped, RequestIDMiddleware(handler), stack(handler), Yours(handler)]


def around_starlette(app: starlette.types.ASGIApp) -> list[starlette.types.ASGIApp]:
    return [
        Starlette(),
        RequestIDMiddleware(Starlette()),
        TimingMiddleware(app),
        CORSMiddleware(app),
        LifespanMiddleware(app),
        Yours(app),
        Theirs(RequestIDMiddleware(Theirs(app))),
        compose(Theirs, RequestIDMiddleware, Theirs)(app),
    ]


def within_starlette() -> Starlette:
    app = Starlette(
        routes=[Mount("/django", app=RequestIDMiddleware(get_asgi_application()))],
        middleware=[
            StarletteMiddleware(RequestIDMiddleware),
            StarletteMiddleware(TimingMiddleware, server_timing=True),
            StarletteMiddleware(CORSMiddleware, allow_origins=["https://app.example"]),
            StarletteMiddleware(Yours, name=b"x-mine"),
        ],
    )
    app.add_middleware(RequestIDMiddleware)
    app.add_middleware(LifespanMiddleware, lifespan=[])
    app.add_middleware(Yours, name=b"x-mine")
    return app


def in_httpx() -> httpx.ASGITransport:
    httpx.ASGITransport(stack(get_asgi_application()))
    httpx.ASGITransport(app=Yours(Starlette()))
    return httpx.ASGITransport(app=RequestIDMiddleware(Starlette()))


def in_uvicorn(app: ASGI3Application) -> list[uvicorn.Config]:
    theirs: list[ASGI3Application] = [RequestIDMiddleware(app), stack(app), Yours(app)]
    return [uvicorn.Config(each_one) for each_one in theirs] + [uvicorn.Config(stack(app))]


def with_asgirefs_types(app: asgiref.typing.ASGI3Application) -> asgiref.typing.ASGI3Application:
    return RequestIDMiddleware(Yours(app))


async def called_with_starlettes_types(
    scope: starlette.types.Scope,
    receive: starlette.types.Receive,
    send: starlette.types.Send,
) -> None:
    await RequestIDMiddleware(Starlette())(scope, receive, send)


async def called_with_uvicorns_types(
    scope: asgiref.typing.Scope,
    receive: asgiref.typing.ASGIReceiveCallable,
    send: asgiref.typing.ASGISendCallable,
) -> None:
    await RequestIDMiddleware(Starlette())(scope, receive, send)


@asynccontextmanager
async def client(state: dict[str, Any]) -> AsyncGenerator[dict[str, httpx.AsyncClient]]:
    async with httpx.AsyncClient() as opened:
        yield {"client": opened}


@contextmanager
def journal(state: dict[str, Any]) -> Generator[None]:
    yield


async def ping() -> bool:
    return True


def is_slow(record: RequestTiming) -> bool:
    return record.duration is not None and record.duration > 1


def whole_stacks() -> list[ASGIApp]:
    policy = CORSPolicy(allow_origins=["https://app.example"])
    pool = ThreadPool(size=8)
    application = asgi_middleware.stack(
        get_asgi_application(),
        checks={"database": ping, "threads": pool.check},
        observers=[AccessLog(), print],
        server_timing=is_slow,
        slow_threshold=1,
        cors={"/api/": policy, "/admin/": None},
        websocket_origins=("same-origin", "https://app.example"),
        max_body_size=1_000_000,
        request_timeout=30,
        lifespan=[client, journal, pool],
        drain=Drain(grace=5),
        pool=pool,
    )
    print(application.layers)
    uvicorn.Config(application)
    httpx.ASGITransport(application)
    return [
        application,
        asgi_middleware.stack(Starlette(), lifespan=[client, journal], server_timing=True),
        asgi_middleware.stack(Yours(Starlette()), cors=policy, drain=None, pool=None),
        asgi_middleware.stack(
            get_asgi_application(),
            health=partial(HealthMiddleware, ready_path="/ready"),
            request_id=compose(Theirs, RequestIDMiddleware),
            timing=None,
            cors=CORSMiddleware,
            websocket_origins=partial(WebSocketOriginMiddleware, allow_missing=True),
            request_timeout=partial(RequestTimeoutMiddleware, timeout=30.0),
            lifespan=partial(LifespanMiddleware, startup_timeout=60.0),
            pool=partial(ThreadPoolMiddleware, pool=pool),
        ),
        compose(recording, partial(asgi_middleware.stack, cors=policy))(Starlette()),
    ]


async def in_our_client() -> None:
    for app in (get_asgi_application(), Starlette(), Yours(Starlette())):
        await request(recording(app))
