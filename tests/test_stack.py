"""The whole stack in one call."""

import logging
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from functools import partial, update_wrapper
from importlib import import_module
from typing import Any, cast

import pytest

from asgi_middleware import (
    AccessLog,
    ConfigurationError,
    ConfigurationWarning,
    CORSPolicy,
    Drain,
    HealthMiddleware,
    LifespanMiddleware,
    Readiness,
    RequestIDMiddleware,
    RequestTiming,
    Stack,
    ThreadPool,
    ThreadPoolMiddleware,
    TimingMiddleware,
    WebSocketOriginMiddleware,
    compose,
    stack,
)
from asgi_middleware.testing import HandshakeRefused, lifespan, recording, request, websocket
from asgi_middleware.types import ASGIApp, Receive, Scope, Send

from .apps import hello

POLICY = CORSPolicy(allow_origins=["https://app.example"])
POOL = ThreadPool(size=1)


async def accepting(scope: Scope, receive: Receive, send: Send) -> None:
    """Accept every WebSocket, and fail for any other scope."""
    assert scope["type"] == "websocket"
    await receive()
    await send({"type": "websocket.accept"})
    await receive()


@pytest.fixture(autouse=True)
def without_django(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tests in this process may have set Django up."""
    module = import_module("asgi_middleware.stack")  # `asgi_middleware.stack` is the function
    monkeypatch.setattr(module, "allowed_hosts", lambda: None)


def names(application: Stack) -> list[str]:
    return [type(layer).__name__ for layer in application.layers[:-1]]


def test_the_layers_are_in_the_order_that_the_docs_give() -> None:
    application = stack(hello, cors=POLICY)

    assert names(application) == [
        "HealthMiddleware",
        "RequestIDMiddleware",
        "TimingMiddleware",
        "CORSMiddleware",
        "WebSocketOriginMiddleware",
        "LifespanMiddleware",
        "ThreadPoolMiddleware",
    ]
    assert application.layers[-1] is hello


@pytest.mark.parametrize(
    ("option", "layer"),
    [
        ("health", "HealthMiddleware"),
        ("request_id", "RequestIDMiddleware"),
        ("timing", "TimingMiddleware"),
        ("websocket_origins", "WebSocketOriginMiddleware"),
        ("lifespan", "LifespanMiddleware"),
        ("pool", "ThreadPoolMiddleware"),
    ],
)
async def test_an_option_that_is_none_leaves_its_layer_out(option: str, layer: str) -> None:
    options: dict[str, Any] = {option: None}

    application = stack(hello, **options)

    assert layer not in names(application)
    assert (await request(application)).status == 200


def test_the_stack_shows_each_layer_with_its_options_on_its_own_line() -> None:
    class Theirs(DaphneLifespan):
        """A layer without a repr of its own."""

    application = stack(
        hello,
        cors=POLICY,
        max_body_size=0,
        request_id=compose(Theirs, RequestIDMiddleware),
        drain=None,
        pool=ThreadPool(size=3),
    )

    pool = "ThreadPool(size=3, max_overflow=None, timeout=30, streams='keep')"
    assert str(application).splitlines() == [
        "HealthMiddleware(readiness=<Readiness: starting>)",
        f"{Theirs.__qualname__}",
        "RequestIDMiddleware()",
        "TimingMiddleware(observers=[AccessLog()])",
        "CORSMiddleware(allow_origins=('https://app.example',))",
        "WebSocketOriginMiddleware()",
        "RequestBodyLimitMiddleware(max_body_size=0)",
        f"LifespanMiddleware(lifespan=[{pool}], readiness=<Readiness: starting>)",
        f"ThreadPoolMiddleware(pool={pool})",
        "hello",
    ]


async def test_the_readiness_probe_follows_startup_and_shutdown() -> None:
    application = stack(hello)

    async with lifespan(application):
        assert (await request(application, target="/readyz")).status == 200

    assert (await request(application, target="/readyz")).status == 503


async def test_the_pool_opens_before_the_contexts_and_closes_after_them() -> None:
    @asynccontextmanager
    async def client(state: object) -> AsyncGenerator[dict[str, str]]:
        yield {"client": "ready"}

    application = stack(recording(hello), lifespan=[client], pool=ThreadPool(size=1))

    assert "lifespan=[ThreadPool(size=1" in str(application)
    async with lifespan(application) as running:
        assert running.state["client"] == "ready"


async def test_one_policy_applies_to_every_path() -> None:
    response = await request(
        stack(hello, cors=POLICY), target="/any/", headers={"origin": "https://app.example"}
    )

    assert response.get(b"access-control-allow-origin") == b"https://app.example"


async def test_policies_apply_to_their_paths() -> None:
    application = stack(hello, cors={"/api/": POLICY, "/admin/": None})
    origin = {"origin": "https://app.example"}

    api = await request(application, target="/api/", headers=origin)
    admin = await request(application, target="/admin/", headers=origin)

    assert api.get(b"access-control-allow-origin") == b"https://app.example"
    assert admin.get(b"access-control-allow-origin") is None


async def test_a_policy_for_the_root_applies_to_all_other_paths() -> None:
    application = stack(hello, cors={"/": POLICY, "/admin/": None})
    origin = {"origin": "https://app.example"}

    page = await request(application, target="/page/", headers=origin)
    admin = await request(application, target="/admin/", headers=origin)

    assert page.get(b"access-control-allow-origin") == b"https://app.example"
    assert admin.get(b"access-control-allow-origin") is None


async def test_limits_are_inside_cors_and_outside_lifespan() -> None:
    application = stack(hello, cors=POLICY, max_body_size=10, request_timeout=30.0)

    response = await request(
        application, "POST", body=b"x" * 11, headers={"origin": "https://app.example"}
    )

    assert names(application)[5:7] == ["RequestBodyLimitMiddleware", "RequestTimeoutMiddleware"]
    assert response.status == 413
    assert response.get(b"access-control-allow-origin") == b"https://app.example"


async def test_websockets_of_other_sites_are_refused() -> None:
    application = stack(accepting)
    headers = {"host": "site.example", "origin": "https://evil.example"}

    with pytest.raises(HandshakeRefused):
        async with websocket(application, headers=headers):
            pass
    async with websocket(application, headers={**headers, "origin": "https://site.example"}):
        pass


async def test_clients_without_an_origin_may_open_websockets_only_if_you_allow_it() -> None:
    headers = {"host": "site.example"}

    with pytest.raises(HandshakeRefused):
        async with websocket(stack(accepting), headers=headers):
            pass
    own = partial(WebSocketOriginMiddleware, allow_missing=True)
    async with websocket(stack(accepting, websocket_origins=own), headers=headers):
        pass


async def test_large_uploads_and_head_requests_pass_through_the_stack() -> None:
    async def counting(scope: Scope, receive: Receive, send: Send) -> None:
        received, more = 0, True
        while more:
            message = await receive()
            received += len(message.get("body", b""))
            more = message.get("more_body", False)
        body = f"{scope['method']} {received}".encode()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})

    large = b"x" * 20_000_000

    assert (await request(stack(counting), "POST", body=large)).text == "POST 20000000"
    assert (await request(stack(counting), "HEAD")).status == 200


async def test_listed_origins_may_open_websockets() -> None:
    application = stack(accepting, websocket_origins=["https://app.example"])

    async with websocket(application, headers={"origin": "https://app.example"}):
        pass


def test_around_django_allowed_hosts_apply_to_websockets(monkeypatch: pytest.MonkeyPatch) -> None:
    module = import_module("asgi_middleware.stack")
    monkeypatch.setattr(module, "allowed_hosts", lambda: ["site.example"])

    assert "allowed_hosts=['site.example']" in str(stack(hello))
    assert "allowed_hosts=['site.example']" in str(stack(hello, websocket_origins=["same-origin"]))


async def test_a_layer_that_you_pass_gets_what_the_layers_share() -> None:
    application = stack(
        hello,
        health=partial(HealthMiddleware, ready_path="/ready"),
        checks={"database": lambda: True},
        lifespan=partial(LifespanMiddleware, startup_timeout=5.0),
    )

    async with lifespan(application):
        response = await request(application, target="/ready")

    assert response.json() == {"status": "ready", "checks": {"database": "ok"}}
    assert "lifespan=[ThreadPool(" in str(application)
    assert "drain=Drain(grace=10.0" in str(application)


@pytest.mark.parametrize("layer", ["health", "lifespan"])
async def test_a_readiness_given_to_one_layer_is_given_to_the_other(layer: str) -> None:
    readiness = Readiness()
    kind = {"health": HealthMiddleware, "lifespan": LifespanMiddleware}[layer]
    options: dict[str, Any] = {layer: partial(kind, readiness=readiness)}
    application = stack(hello, **options)

    async with lifespan(application):
        assert readiness.ready
        assert (await request(application, target="/readyz")).status == 200


async def test_a_composition_can_replace_a_layer() -> None:
    seen: list[str] = []

    class Outside:
        def __init__(self, app: ASGIApp) -> None:
            self.app = app

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            seen.append(scope["type"])
            await self.app(scope, receive, send)

    application = stack(hello, request_id=compose(Outside, RequestIDMiddleware))
    response = await request(application)

    assert names(application)[1:3] == ["Outside", "RequestIDMiddleware"]
    assert seen == ["http"]
    assert response.get(b"x-request-id") is not None


async def test_a_layer_of_another_package_can_replace_ours() -> None:
    def foreign(app: ASGIApp) -> ASGIApp:
        return RequestIDMiddleware(app, header_name="X-Other")

    response = await request(stack(hello, request_id=foreign))

    assert response.get(b"x-other") is not None


def test_a_long_grace_makes_the_shutdown_timeout_longer() -> None:
    assert "shutdown_timeout=40" in str(stack(hello, drain=Drain(grace=30)))


def test_a_drain_can_be_left_out() -> None:
    [layer] = [
        each for each in stack(hello, drain=None).layers if isinstance(each, LifespanMiddleware)
    ]

    assert layer.drain is None


def test_two_stacks_share_nothing() -> None:
    first, second = stack(hello), stack(hello)

    assert not {id(each) for each in first.layers[:-1]} & {id(each) for each in second.layers[:-1]}


async def test_observers_do_not_replace_the_access_log(
    capsys: pytest.CaptureFixture[str],
) -> None:
    records: list[object] = []

    with logging_not_set_up():
        await request(stack(hello, observers=[records.append]))

    assert [type(each) for each in records] == [RequestTiming]
    assert "GET / 200" in capsys.readouterr().err


async def test_an_access_log_among_the_observers_replaces_ours(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with logging_not_set_up():
        await request(stack(hello, observers=[AccessLog(skip_paths=["/"])]))

    assert "GET / 200" not in capsys.readouterr().err


async def test_the_access_log_is_seen_where_logging_is_not_set_up(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with logging_not_set_up():
        await request(stack(hello))

    assert capsys.readouterr().err.startswith("INFO: GET / 200 ttfb_ms=")


async def test_the_access_log_leaves_logging_alone_where_it_is_set_up(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with logging_not_set_up() as logger:
        logger.addHandler(logging.NullHandler())
        await request(stack(hello))

        assert logger.level == logging.NOTSET
    assert "GET / 200" not in capsys.readouterr().err


def test_all_problems_of_all_layers_are_listed_at_once() -> None:
    with pytest.raises(ConfigurationError) as refused:
        stack(
            hello,
            health=partial(HealthMiddleware, live_path="live"),
            websocket_origins="https://app.example",
            drain=5,  # type: ignore[arg-type]
        )

    assert refused.value.problems == (
        "drain: 5 is not a Drain; use Drain() or None",
        "websocket_origins: 'https://app.example' is one string; use ['https://app.example']",
        "HealthMiddleware: live_path: 'live' does not start with a slash; use '/live'",
    )


def test_a_problem_with_allowed_hosts_names_the_django_setting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = import_module("asgi_middleware.stack")
    monkeypatch.setattr(module, "allowed_hosts", lambda: ["a.example,b.example"])

    with pytest.raises(ConfigurationError) as refused:
        stack(hello)

    assert refused.value.problems == (
        "ALLOWED_HOSTS: 'a.example,b.example' is a list in one string; use 'a.example',"
        " 'b.example'",
    )


def makes_an_app() -> ASGIApp:
    return hello


def wsgi(environ: object, start_response: object) -> list[bytes]:
    return []


class DaphneLifespan:
    """Has the name and the signature of ours, which would need Daphne."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


class Endpoint:
    """An instance is the app for one request, like an endpoint of Starlette."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._response = hello(scope, receive, send)

    def __await__(self) -> Generator[Any, None, None]:
        return self._response.__await__()


class Consumer:
    """An instance is the app for one request, like a consumer of Channels."""

    @classmethod
    def as_asgi(cls) -> ASGIApp:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await cls()(scope, receive, send)

        # The app has the signature of the class.
        return cast("ASGIApp", update_wrapper(app, cls, updated=()))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await hello(scope, receive, send)


@pytest.mark.parametrize("app", [Endpoint, Consumer.as_asgi()], ids=["an endpoint", "a consumer"])
async def test_a_class_that_serves_each_request_is_an_app(app: Any) -> None:
    response = await request(stack(app, pool=None), target="/")

    assert (response.status, response.body) == (200, b"hello")


@pytest.mark.parametrize(
    ("app", "problem"),
    [
        (None, "None cannot be called; use get_asgi_application()"),
        (
            "mysite.asgi:application",
            "'mysite.asgi:application' cannot be called; use get_asgi_application()",
        ),
        (makes_an_app, "makes_an_app is not called; use makes_an_app()"),
        (
            wsgi,
            "wsgi cannot be called with scope, receive and send; use get_asgi_application()",
        ),
        (DaphneLifespan, "DaphneLifespan is a class; use an instance of it"),
        (
            LifespanMiddleware,
            "LifespanMiddleware is a middleware, not an app; use get_asgi_application()",
        ),
        (
            compose(RequestIDMiddleware),
            "Composition is a middleware, not an app; use get_asgi_application()",
        ),
        (stack(hello), "it already has a stack around it; use stack() once"),
        (
            DaphneLifespan(hello),
            "DaphneLifespan must be outermost; use DaphneLifespan(stack(app))",
        ),
    ],
    ids=lambda value: value.partition(" ")[0] if isinstance(value, str) else "",
)
def test_something_that_is_not_an_app_is_refused(app: Any, problem: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        stack(app)

    assert refused.value.problems == (f"app: {problem}",)


@asynccontextmanager
async def client(state: object) -> AsyncGenerator[None]:
    yield


@pytest.mark.parametrize(
    ("app", "options", "problems"),
    [
        pytest.param(
            hello,
            {"websocket_origins": []},
            ["websocket_origins: [] lets nobody in; use ['same-origin'], or None for no guard"],
            id="no origins",
        ),
        pytest.param(
            hello,
            {"observers": [AccessLog(), AccessLog(skip_paths=["/static/*"])]},
            ["two observers log each request to 'asgi_middleware.access'; use one AccessLog()"],
            id="two access logs",
        ),
        pytest.param(
            hello,
            {"lifespan": [client, client]},
            ["client appears twice among the contexts of LifespanMiddleware; use it once"],
            id="the same context twice",
        ),
        pytest.param(
            RequestIDMiddleware(hello),
            {},
            ["RequestIDMiddleware appears twice; use it once"],
            id="the app has the layer already",
        ),
    ],
)
def test_stack_warns_about_likely_mistakes_at_the_line_of_its_call(
    app: ASGIApp, options: dict[str, Any], problems: list[str]
) -> None:
    with pytest.warns(ConfigurationWarning) as warned:
        stack(app, **options)

    assert [str(each.message) for each in warned] == [f"stack: {each}" for each in problems]
    assert {each.filename for each in warned} == {__file__}


@pytest.mark.parametrize(
    "pool",
    [ThreadPoolMiddleware, partial(ThreadPoolMiddleware, pool=POOL), ThreadPool],
    ids=["the layer", "the layer with a pool", "the class"],
)
async def test_a_pool_is_among_the_contexts_however_it_is_given(pool: Any) -> None:
    application = stack(hello, pool=pool)

    *_, lifespan_layer, pool_layer, _ = application.layers
    assert isinstance(lifespan_layer, LifespanMiddleware)
    assert isinstance(pool_layer, ThreadPoolMiddleware)
    assert list(lifespan_layer.lifespan) == [pool_layer.pool]


async def test_two_stacks_may_share_a_pool_and_a_readiness() -> None:
    readiness, pool = Readiness(), ThreadPool(size=1)
    health = partial(HealthMiddleware, readiness=readiness)
    first, second = (stack(hello, health=health, pool=pool) for _ in range(2))

    async with lifespan(first):
        async with lifespan(second):
            pass
        assert (await request(first, target="/readyz")).status == 200
    assert (await request(first, target="/readyz")).status == 503


def test_the_timing_options_reach_the_timing_layer() -> None:
    shown = str(stack(hello, server_timing=True, slow_threshold=2.0))

    assert "server_timing=True" in shown
    assert "slow_threshold=2.0" in shown
    assert "server_timing=True" in str(
        stack(hello, timing=partial(TimingMiddleware, server_timing=True))
    )


@contextmanager
def logging_not_set_up() -> Generator[logging.Logger]:
    """Yield the access log's logger, without the handlers that pytest has on the root logger."""
    logger = logging.getLogger("asgi_middleware.access")
    before = logger.propagate, logger.handlers[:], logger.level
    logger.propagate = False
    logger.handlers.clear()
    logger.setLevel(logging.NOTSET)
    try:
        yield logger
    finally:
        logger.propagate, logger.handlers[:] = before[:2]
        logger.setLevel(before[2])
