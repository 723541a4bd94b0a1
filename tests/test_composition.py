from collections.abc import Callable
from functools import partial

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware as StarletteMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from asgi_middleware import ConfigurationError, RequestIDMiddleware, TimingMiddleware, compose
from asgi_middleware.testing import recording, request
from asgi_middleware.types import ASGIApp, Receive, Scope, Send

from .apps import hello
from .lifespan.server import forever


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


def test_an_empty_stack_is_the_app_itself() -> None:
    assert compose()(hello) is hello


def test_one_stack_wraps_several_apps() -> None:
    stack = compose(RequestIDMiddleware)

    first, second = stack(hello), stack(hello)

    assert first is not second


PROBLEMS: list[tuple[Callable[[], object], str]] = [
    (
        lambda: compose([RequestIDMiddleware, TimingMiddleware]),  # type: ignore[arg-type]
        "middleware is given one by one, not in a list; use compose(*[...])",
    ),
    (lambda: compose(hello), "hello is an app, not a middleware; use compose(...)(hello)"),  # type: ignore[arg-type]
    (
        lambda: compose(TimingMiddleware(hello)),  # type: ignore[arg-type]
        "TimingMiddleware is an app, not a middleware; use compose(...)(TimingMiddleware)",
    ),
    (
        lambda: compose(None),  # type: ignore[arg-type]
        "None cannot be called; use a class or a function that takes an app",
    ),
    (
        lambda: compose(Tag),  # type: ignore[arg-type]
        "Tag cannot be called with only an app (missing a required argument: 'name');"
        " use partial(Tag, ...)",
    ),
    (
        lambda: compose(RequestIDMiddleware)({}, forever, forever),  # type: ignore[call-arg, arg-type]
        "the result is a middleware, not an app; use compose(...)(app)",
    ),
    (
        # As uvicorn calls an application that is not async.
        lambda: compose(RequestIDMiddleware)({"type": "http"}),  # type: ignore[arg-type]
        "the result is a middleware, not an app; use compose(...)(app)",
    ),
]


@pytest.mark.parametrize(
    ("misuse", "problem"),
    PROBLEMS,
    ids=["a list", "an app", "an instance", "None", "options missing", "as an app", "as ASGI 2"],
)
def test_compose_refuses_at_once_and_says_what_to_use(
    misuse: Callable[[], object], problem: str
) -> None:
    with pytest.raises(ConfigurationError) as refused:
        misuse()

    assert str(refused.value) == f"compose: {problem}"


def test_compose_lists_all_problems_at_once() -> None:
    with pytest.raises(ConfigurationError) as refused:
        compose(hello, RequestIDMiddleware, None)  # type: ignore[arg-type]

    assert len(refused.value.problems) == 2


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
async def test_layers_work_without_compose(make: "partial[ASGIApp]") -> None:
    # Starlette writes into the scope, which a recorded app may do.
    response = await request(recording(make()), headers={"x-request-id": "abc"})

    assert response.getall(b"x-request-id") == [b"abc"]
    assert len(response.getall(b"server-timing")) == 1
