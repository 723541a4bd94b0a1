from collections.abc import Callable
from functools import partial
from itertools import combinations
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware as StarletteMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from asgi_middleware import (
    ConfigurationError,
    ConfigurationWarning,
    CORSMiddleware,
    HealthMiddleware,
    LifespanMiddleware,
    Readiness,
    RequestBodyLimitMiddleware,
    RequestIDMiddleware,
    RequestTimeoutMiddleware,
    ThreadPool,
    ThreadPoolMiddleware,
    TimingMiddleware,
    TraceContextMiddleware,
    WebSocketOriginMiddleware,
    compose,
)
from asgi_middleware.testing import recording, request
from asgi_middleware.types import ASGIApp, Receive, Scope, Send

from .apps import hello
from .lifespan.server import forever


class Tag:
    """Notes each request on its way in."""

    def __init__(self, app: ASGIApp, *, name: str, log: list[str]) -> None:
        self.app = app
        self.name = name
        self.log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.log.append(self.name)
        await self.app(scope, receive, send)


def tag(name: str, log: list[str]) -> "partial[Tag]":
    return partial(Tag, name=name, log=log)


async def test_the_first_layer_is_the_outermost() -> None:
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


def forgets_to_return(app: ASGIApp) -> None:
    RequestIDMiddleware(app)


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
        lambda: compose(RequestIDMiddleware)({}, forever, forever),  # type: ignore[arg-type]
        "the result is a middleware, not an app; use compose(...)(app)",
    ),
    (
        # As uvicorn calls an application that is not async.
        lambda: compose(RequestIDMiddleware)({"type": "http"}),  # type: ignore[arg-type]
        "the result is a middleware, not an app; use compose(...)(app)",
    ),
    (
        lambda: compose(RequestIDMiddleware)(nested),  # type: ignore[arg-type]
        "app: nested is not called; use nested()",
    ),
    (
        lambda: compose(RequestIDMiddleware)(Starlette),  # type: ignore[arg-type]
        "app: Starlette is a class; use an instance of it",
    ),
    (
        lambda: compose(forgets_to_return)(hello),  # type: ignore[arg-type]
        "forgets_to_return returned None; use a middleware that returns an ASGI app",
    ),
]


@pytest.mark.parametrize(
    ("misuse", "problem"),
    PROBLEMS,
    ids=[
        *("a list", "an app", "an instance", "None", "options missing", "as an app", "as ASGI 2"),
        *("around a function that makes an app", "around a class", "returns None"),
    ],
)
def test_compose_refuses_a_misuse_and_says_what_to_use(
    misuse: Callable[[], object], problem: str
) -> None:
    with pytest.raises(ConfigurationError) as refused:
        misuse()

    assert str(refused.value) == f"compose: {problem}"


def test_compose_lists_all_problems_at_once() -> None:
    with pytest.raises(ConfigurationError) as refused:
        compose(hello, RequestIDMiddleware, None)  # type: ignore[arg-type]

    assert len(refused.value.problems) == 2


def test_compose_lists_all_layers_that_cannot_be_built_at_once() -> None:
    with pytest.raises(ConfigurationError) as refused:
        compose(
            partial(HealthMiddleware, live_path="live"), partial(TimingMiddleware, precision=10)
        )(hello)

    assert refused.value.problems == (
        "TimingMiddleware: precision: 10 is not a whole number from 0 to 9; use 1",
        "HealthMiddleware: live_path: 'live' does not start with a slash; use '/live'",
    )


READINESS = Readiness()
POOL = ThreadPool()
ALL: list[Any] = [
    partial(HealthMiddleware, readiness=READINESS),
    RequestIDMiddleware,
    TraceContextMiddleware,
    TimingMiddleware,
    partial(CORSMiddleware, allow_origins=["https://app.example"]),
    WebSocketOriginMiddleware,
    partial(RequestBodyLimitMiddleware, max_body_size=1_000_000),
    partial(RequestTimeoutMiddleware, timeout=30.0),
    partial(LifespanMiddleware, lifespan=[POOL], readiness=READINESS),
    partial(ThreadPoolMiddleware, pool=POOL),
]


def test_compose_does_not_warn_about_the_order_in_the_docs(
    recwarn: pytest.WarningsRecorder,
) -> None:
    compose(*ALL)
    compose(*ALL[:3], compose(*ALL[3:]))

    assert recwarn.list == []


@pytest.mark.parametrize(("outer", "inner"), [*combinations(range(len(ALL)), 2)])
def test_compose_warns_about_a_layer_that_is_too_far_inside(outer: int, inner: int) -> None:
    right = {getattr(ALL[i], "func", ALL[i]).__name__: i for i in (outer, inner)}
    first, second = right

    with pytest.warns(ConfigurationWarning, match=f"{first} is inside {second}; move it outside"):
        compose(ALL[inner], ALL[outer])


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (
            lambda: compose(RequestIDMiddleware)(RequestIDMiddleware(hello)),
            "RequestIDMiddleware appears twice; use it once",
        ),
        (
            lambda: compose(TimingMiddleware)(HealthMiddleware(hello)),
            "HealthMiddleware is inside TimingMiddleware; move it outside, so that probes are"
            " not logged, and do not wait for other requests",
        ),
    ],
    ids=["twice", "order"],
)
def test_compose_also_checks_the_layers_that_the_app_already_has(
    make: Callable[[], ASGIApp], told: str
) -> None:
    with pytest.warns(ConfigurationWarning) as warned:
        make()

    assert [str(each.message) for each in warned] == [f"compose: {told}"]
    assert warned[0].filename == __file__


@pytest.mark.parametrize("layer", ALL, ids=lambda each: getattr(each, "func", each).__name__)
def test_compose_warns_about_a_layer_that_appears_twice(layer: "partial[ASGIApp]") -> None:
    with pytest.warns(ConfigurationWarning, match="appears twice; use it once"):
        compose(layer, compose(layer))


def test_compose_refuses_different_readiness_objects_for_health_and_lifespan() -> None:
    with pytest.raises(
        ConfigurationError, match="so /readyz would be 503 forever; use readiness ="
    ):
        compose(
            partial(HealthMiddleware, readiness=Readiness()),
            partial(LifespanMiddleware, readiness=Readiness()),
        )


@pytest.mark.parametrize(
    "lifespan",
    [LifespanMiddleware, partial(LifespanMiddleware, readiness=Readiness())],
    ids=["neither has one", "lifespan has one"],
)
def test_compose_warns_if_health_does_not_have_the_readiness_of_lifespan(
    lifespan: "partial[ASGIApp]",
) -> None:
    with pytest.warns(ConfigurationWarning, match="/readyz would ignore startup"):
        compose(HealthMiddleware, lifespan)


@pytest.mark.parametrize(
    "pool",
    [ThreadPoolMiddleware, partial(ThreadPoolMiddleware, pool=ThreadPool())],
    ids=["its own", "another"],
)
def test_compose_warns_about_a_pool_that_is_not_among_the_contexts(
    pool: "partial[ASGIApp]",
) -> None:
    with pytest.warns(ConfigurationWarning, match=r"pool=pool and lifespan=\[pool\]"):
        compose(partial(LifespanMiddleware, lifespan=[ThreadPool()]), pool)


def test_compose_accepts_other_layers_in_any_position(
    recwarn: pytest.WarningsRecorder,
) -> None:
    log: list[str] = []

    compose(tag("a", log), ALL[0], tag("b", log), RequestIDMiddleware, tag("c", log))

    assert recwarn.list == []


def test_a_composition_shows_what_it_is_made_of() -> None:
    shown = repr(compose(RequestIDMiddleware, partial(TimingMiddleware, server_timing=True)))

    assert shown == "compose(RequestIDMiddleware, TimingMiddleware(server_timing=True))"


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
    # FastAPI inherits this method.
    app = Starlette(routes=[Route("/", page)])
    app.add_middleware(TimingMiddleware, server_timing=True)
    app.add_middleware(RequestIDMiddleware)
    return app


@pytest.mark.parametrize(
    "make", [nested, reassigned, in_starlette, added_to_starlette], ids=lambda make: make.__name__
)
async def test_layers_work_without_compose(make: "partial[ASGIApp]") -> None:
    # Starlette edits its scope, and `recording` allows that.
    response = await request(recording(make()), headers={"x-request-id": "abc"})

    assert response.getall(b"x-request-id") == [b"abc"]
    assert len(response.getall(b"server-timing")) == 1
