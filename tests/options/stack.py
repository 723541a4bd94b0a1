"""Options of the whole stack."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial

from asgi_middleware import (
    AccessLog,
    CORSMiddleware,
    CORSPolicy,
    Drain,
    HealthMiddleware,
    LifespanMiddleware,
    RequestIDMiddleware,
    RequestTimeoutMiddleware,
    ThreadPool,
    ThreadPoolMiddleware,
    TimingMiddleware,
    WebSocketOriginMiddleware,
    stack,
)
from tests.apps import hello

from .row import Row

POLICY = "CORSPolicy(allow_origins=['https://app.example'])"


def client(state: object, other: object) -> None: ...


def foreign(app: object) -> object:
    return app


@asynccontextmanager
async def opened(state: object) -> AsyncGenerator[None]:
    yield


class Named:
    """An object whose repr is always the same."""

    def __repr__(self) -> str:
        return "<a thing>"


POOL, OTHER_POOL = ThreadPool(size=1), ThreadPool(size=2)
A = "https://app.example"

# Objects that are valid, but not for this option.
MISPLACED: list[Row] = [
    (stack, {option: value}, (problem,))
    for option, value, problem in (
        ("health", "/healthz", "health: '/healthz' is not a layer; use HealthMiddleware or None"),
        ("health", False, "health: False is not a layer; use HealthMiddleware or None"),
        (
            "health",
            RequestIDMiddleware,
            "health: RequestIDMiddleware is another layer; use HealthMiddleware or None",
        ),
        (
            "health",
            HealthMiddleware(hello),
            "health: a HealthMiddleware already has an app; use HealthMiddleware,"
            " or partial(HealthMiddleware, ...)",
        ),
        (
            "request_id",
            "X-Correlation-ID",
            "request_id: 'X-Correlation-ID' is not a layer; use RequestIDMiddleware or None",
        ),
        (
            "timing",
            AccessLog(),
            "timing: AccessLog(logger='asgi_middleware.access', skip_paths=[]) is not a layer;"
            " use TimingMiddleware or None",
        ),
        ("cors", A, f"cors: {A!r} is not a layer; use {POLICY} or None"),
        ("cors", CORSPolicy, f"cors: CORSPolicy is a class; use {POLICY}"),
        (
            "cors",
            WebSocketOriginMiddleware,
            f"cors: WebSocketOriginMiddleware is another layer; use {POLICY} or None",
        ),
        ("cors", {"/": A}, f"cors: {A!r} is not a CORSPolicy; use {POLICY} or None"),
        (
            "websocket_origins",
            CORSMiddleware,
            "websocket_origins: CORSMiddleware is another layer;"
            " use WebSocketOriginMiddleware or None",
        ),
        (
            "max_body_size",
            partial(RequestTimeoutMiddleware, timeout=1.0),
            "max_body_size: RequestTimeoutMiddleware is another layer;"
            " use RequestBodyLimitMiddleware or None",
        ),
        (
            "pool",
            LifespanMiddleware,
            "pool: LifespanMiddleware is another layer; use ThreadPool() or None",
        ),
        (
            "pool",
            ThreadPoolMiddleware(hello),
            "pool: a ThreadPoolMiddleware already has an app; use ThreadPoolMiddleware,"
            " or partial(ThreadPoolMiddleware, ...)",
        ),
        ("pool", False, "pool: False is not a layer; use ThreadPool() or None"),
        (
            "checks",
            {"threads": OTHER_POOL.check},
            "checks: 'threads' asks a pool that serves no requests; use pool=pool too",
        ),
        (
            "lifespan",
            [OTHER_POOL],
            f"lifespan: {OTHER_POOL!r} serves no requests; use pool=pool instead",
        ),
    )
]

# Options that stack() passes on to a layer, which refuses them.
REFUSED_BY_A_LAYER: list[Row] = [
    (stack, {option: value}, (problem,))
    for option, value, problem in (
        (
            "checks",
            {"db": True},
            "checks: 'db': True cannot be called; use a function without arguments",
        ),
        ("checks", [Named()], "checks: [<a thing>] is not a dict; use {'database': ping} or None"),
        ("observers", [AccessLog], "observers: AccessLog is a class; use AccessLog()"),
        (
            "observers",
            "asgi_middleware.access",
            "observers: 'asgi_middleware.access' is not a list; use [AccessLog()]",
        ),
        (
            "observers",
            [Named()],
            "observers: <a thing> is not an observer; use AccessLog() or a function of the record",
        ),
        ("server_timing", [A], f"server_timing: [{A!r}] is a list; use True or False"),
        (
            "server_timing",
            client,
            f"server_timing: {client!r} takes the wrong arguments; use attrgetter('expose')",
        ),
        (
            "checks",
            {"database": client},
            f"checks: 'database': {client!r} takes the wrong arguments;"
            " use a function without arguments",
        ),
        (
            "slow_threshold",
            "1s",
            "slow_threshold: '1s' is not a number of seconds above 0; use 1.0 or None",
        ),
        (
            "cors",
            {"/api/": [A]},
            f"cors: [{A!r}] is not a CORSPolicy; use {POLICY} or None",
        ),
        (
            "cors",
            {"api/": CORSPolicy(allow_origins=[A])},
            "cors: 'api/' does not start with a slash; use '/api/'",
        ),
        (
            "cors",
            {"/api/*": CORSPolicy(allow_origins=[A])},
            "cors: '/api/*' has an asterisk, which means nothing here; use '/api/'",
        ),
        (
            "websocket_origins",
            ["https://app.example/chat/"],
            "websocket_origins: 'https://app.example/chat/' has a path; use 'https://app.example'",
        ),
        (
            "websocket_origins",
            ["wss://app.example"],
            "websocket_origins: 'wss://app.example' is a WebSocket's address, not a page's"
            " origin; use 'https://app.example'",
        ),
        (
            "websocket_origins",
            ["app.example"],
            "websocket_origins: 'app.example' has no scheme; use 'https://app.example'",
        ),
        (
            "websocket_origins",
            True,
            "websocket_origins: True is not a list; use ['https://app.example']",
        ),
        (
            "max_body_size",
            "10MB",
            "max_body_size: '10MB' is not a whole number at or above 0; use 1000000",
        ),
        (
            "request_timeout",
            "30",
            "request_timeout: '30' is not a number of seconds above 0; use 30.0",
        ),
        ("lifespan", [opened({})], "lifespan: opened() was called already; use opened"),
        (
            "lifespan",
            [ThreadPool],
            f"lifespan: {ThreadPool!r} serves no requests; use pool=pool instead",
        ),
        (
            "lifespan",
            [Drain()],
            "lifespan: Drain(grace=10.0, hold=0.0) cannot be called; use a function that takes the"
            " state and returns a context manager",
        ),
        ("drain", True, "drain: True is not a Drain; use Drain() or None"),
    )
]

ROWS: list[Row] = [
    *MISPLACED,
    *REFUSED_BY_A_LAYER,
    (stack, {"health": True}, ("health: True is not a layer; use HealthMiddleware or None",)),
    (stack, {"timing": 1.5}, ("timing: 1.5 is not a layer; use TimingMiddleware or None",)),
    (stack, {"cors": True}, (f"cors: True is not a layer; use {POLICY} or None",)),
    (
        stack,
        {"cors": ["https://app.example"]},
        (f"cors: ['https://app.example'] is not a layer; use {POLICY} or None",),
    ),
    (stack, {"pool": 8}, ("pool: 8 is not a layer; use ThreadPool() or None",)),
    (stack, {"lifespan": client}, ("lifespan: client is not in a list; use [client]",)),
    (
        stack,
        {"health": None, "checks": {"database": hello}},
        (
            f"checks: {{'database': {hello!r}}} has no effect because health is None;"
            " use checks=None",
        ),
    ),
    (
        stack,
        {"timing": foreign, "slow_threshold": 1.0},
        (
            "slow_threshold: 1.0 does not reach foreign, which replaces TimingMiddleware;"
            " use None, and pass it the option yourself",
        ),
    ),
    (
        stack,
        {"timing": partial(TimingMiddleware, slow_threshold=2.0), "slow_threshold": 1.0},
        ("slow_threshold: 1.0 is also set in timing; use None",),
    ),
    (
        stack,
        {"lifespan": partial(LifespanMiddleware, drain=Drain()), "drain": Drain(grace=5)},
        ("drain: Drain(grace=5, hold=0.0) is also set in lifespan; use None",),
    ),
    (
        stack,
        {"lifespan": None, "drain": Drain()},
        (
            "drain: Drain(grace=10.0, hold=0.0) has no effect because lifespan is None;"
            " use drain=None",
        ),
    ),
    (
        stack,
        {"health": 1, "cors": 2, "pool": 3},
        (
            "health: 1 is not a layer; use HealthMiddleware or None",
            f"cors: 2 is not a layer; use {POLICY} or None",
            "pool: 3 is not a layer; use ThreadPool() or None",
        ),
    ),
    (stack, {"server_timing": "yes"}, ("server_timing: 'yes' is a string; use True",)),
    (
        stack,
        {"slow_threshold": 0},
        ("slow_threshold: 0 is not a number of seconds above 0; use 1.0 or None",),
    ),
]
