from functools import partial

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware as StarletteMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from asgi_middleware import RequestIDMiddleware, TimingMiddleware, compose
from asgi_middleware.testing import recording, request
from asgi_middleware.types import ASGIApp, Receive, Scope, Send

from .apps import hello


class Tag:
    """Notes when a request passes, on the way in."""

    def __init__(self, app: ASGIApp, *, name: str, log: list[str]) -> None:
        self.app = app
        self.name = name
        self.log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.log.append(self.name)
        await self.app(scope, receive, send)


def tag(name: str, log: list[str]) -> "partial[Tag]":
    return partial(Tag, name=name, log=log)


async def test_the_first_is_the_outermost() -> None:
    log: list[str] = []

    await request(compose(tag("a", log), tag("b", log), tag("c", log))(hello))

    assert log == ["a", "b", "c"]


async def test_stacks_nest() -> None:
    log: list[str] = []
    inner = compose(tag("b", log), tag("c", log))

    await request(compose(tag("a", log), inner, tag("d", log))(hello))

    assert log == ["a", "b", "c", "d"]


def test_nothing_composed_is_the_app_itself() -> None:
    assert compose()(hello) is hello


def test_one_stack_wraps_several_apps() -> None:
    stack = compose(RequestIDMiddleware)

    first, second = stack(hello), stack(hello)

    assert first is not second


async def page(_: object) -> PlainTextResponse:
    return PlainTextResponse("hello")


def nested() -> ASGIApp:
    return RequestIDMiddleware(TimingMiddleware(hello, server_timing=True))


def reassigned() -> ASGIApp:
    app: ASGIApp = hello
    app = TimingMiddleware(app, server_timing=True)
    return RequestIDMiddleware(app)


def in_starlette() -> ASGIApp:
    return Starlette(
        routes=[Route("/", page)],
        middleware=[
            StarletteMiddleware(RequestIDMiddleware),
            StarletteMiddleware(TimingMiddleware, server_timing=True),
        ],
    )


def added_to_starlette() -> ASGIApp:
    # FastAPI's `add_middleware` is this one, inherited.
    app = Starlette(routes=[Route("/", page)])
    app.add_middleware(TimingMiddleware, server_timing=True)
    app.add_middleware(RequestIDMiddleware)
    return app


@pytest.mark.parametrize(
    "make", [nested, reassigned, in_starlette, added_to_starlette], ids=lambda make: make.__name__
)
async def test_works_without_compose(make: "partial[ASGIApp]") -> None:
    # Starlette writes into the scope; as a recorded app it may.
    response = await request(recording(make()), headers={"x-request-id": "abc"})

    assert response.getall(b"x-request-id") == [b"abc"]
    assert len(response.getall(b"server-timing")) == 1
