"""Options of the lifespan, and what a list of contexts may hold."""

import asyncio
from collections.abc import AsyncGenerator, Generator
from contextlib import ContextDecorator, asynccontextmanager, contextmanager, nullcontext
from functools import partial
from typing import Any, cast
from unittest.mock import patch

from asgi_middleware import Drain, LifespanMiddleware, Readiness, ThreadPool, register_lifespan
from asgi_middleware.lifespan import registered

from .row import Row


@asynccontextmanager
async def client() -> AsyncGenerator[None]:
    yield


@contextmanager
def journal(state: Any, path: str) -> Generator[None]:
    yield


async def pool(state: Any) -> object:
    raise NotImplementedError


async def undecorated(state: Any) -> AsyncGenerator[None]:
    yield


def undecorated_sync(state: Any) -> Generator[None]:
    yield


sync_over_async = contextmanager(cast("Any", undecorated))
async_over_sync = asynccontextmanager(cast("Any", undecorated_sync))
without_yield = asynccontextmanager(cast("Any", pool))


class Plain:
    def __init__(self, state: Any) -> None: ...


class Cache:
    async def __aenter__(self) -> None: ...
    async def __aexit__(self, *error: object) -> None: ...


class Timer(ContextDecorator):
    def __init__(self, state: Any) -> None: ...
    def __enter__(self) -> None: ...
    def __exit__(self, *error: object) -> None: ...


def registering(context: object) -> None:
    """Register a context for this call only."""
    with patch.object(registered, "_registered", []), patch.object(registered, "_taken", False):
        register_lifespan(cast("Any", context))


ROWS: list[Row] = [
    (
        registering,
        {"context": undecorated},
        ("context: undecorated is not a context manager yet; use @asynccontextmanager above it",),
    ),
    (registering, {"context": ThreadPool}, ("context: ThreadPool is a class; use ThreadPool()",)),
    (
        registering,
        {"context": Cache()},
        ("context: Cache() was called already; use lambda state: Cache()",),
    ),
    (Drain, {"grace": "10"}, ("grace: '10' is not a number of seconds at or above 0; use 10.0",)),
    (Drain, {"grace": -1}, ("grace: -1 is not a number of seconds at or above 0; use 10.0",)),
    (
        Drain,
        {"grace": float("nan")},
        ("grace: nan is not a number of seconds at or above 0; use 10.0",),
    ),
    (
        Drain,
        {"grace": None, "hold": -0.5},
        (
            "grace: None is not a number of seconds at or above 0; use 10.0",
            "hold: -0.5 is not a number of seconds at or above 0; use 5.0",
        ),
    ),
    (
        LifespanMiddleware,
        {"lifespan": client},
        (f"lifespan: {client!r} is not a list; use [client]",),
    ),
    (
        LifespanMiddleware,
        {"lifespan": 3},
        ("lifespan: 3 is not a list; use a list of functions",),
    ),
    (
        LifespanMiddleware,
        {"lifespan": ["a"]},
        (
            "lifespan: 'a' cannot be called; use a function that takes the state and returns a"
            " context manager",
        ),
    ),
    (
        LifespanMiddleware,
        {"lifespan": [pool]},
        (
            f"lifespan: {pool!r} is async, but must be a plain function; use a function that takes"
            " the state and returns a context manager",
        ),
    ),
    (
        LifespanMiddleware,
        {"lifespan": [client]},
        (
            "lifespan: client cannot be called with the state; use def client(state), or lambda"
            " state: client()",
        ),
    ),
    (
        LifespanMiddleware,
        {"lifespan": [journal]},
        ("lifespan: journal cannot be called with the state; use def journal(state)",),
    ),
    (
        LifespanMiddleware,
        {"lifespan": [client(), journal(None, "a")]},
        (
            "lifespan: client() was called already; use client",
            "lifespan: journal() was called already; use journal",
        ),
    ),
    (
        LifespanMiddleware,
        {"lifespan": [undecorated, partial(undecorated_sync)]},
        (
            "lifespan: undecorated is not a context manager yet; use @asynccontextmanager above it",
            "lifespan: undecorated_sync is not a context manager yet; use @contextmanager above it",
        ),
    ),
    (
        LifespanMiddleware,
        {"lifespan": [undecorated(None), undecorated_sync(None)]},
        (
            "lifespan: undecorated() was called already; use undecorated",
            "lifespan: undecorated_sync() was called already; use undecorated_sync",
        ),
    ),
    (
        LifespanMiddleware,
        {"lifespan": [sync_over_async, async_over_sync, without_yield]},
        (
            "lifespan: undecorated is async, and @contextmanager is not; use @asynccontextmanager",
            "lifespan: undecorated_sync is not async, and @asynccontextmanager is; use"
            " @contextmanager",
            "lifespan: pool does not yield; use yield between its startup and its shutdown",
        ),
    ),
    (
        LifespanMiddleware,
        {"lifespan": [Cache(), nullcontext()]},
        (
            "lifespan: Cache() was called already; use lambda state: Cache()",
            "lifespan: nullcontext() was called already; use lambda state: nullcontext()",
        ),
    ),
    (
        LifespanMiddleware,
        {"lifespan": [lambda: Cache(*()), lambda state, size: Cache()]},
        ("lifespan: <lambda> cannot be called with the state; use lambda state: ...",) * 2,
    ),
    (
        LifespanMiddleware,
        {"lifespan": [Plain]},
        (
            "lifespan: Plain has no __aenter__ and __aexit__; use a class that has them, or a"
            " function that takes the state and returns a context manager",
        ),
    ),
    (
        LifespanMiddleware,
        {"lifespan": [asyncio.TaskGroup]},
        ("lifespan: TaskGroup cannot be called with the state; use lambda state: TaskGroup()",),
    ),
    (
        LifespanMiddleware,
        {"lifespan": [Timer(None)]},
        ("lifespan: Timer() was called already; use Timer",),
    ),
    (
        LifespanMiddleware,
        {"lifespan": [ThreadPool]},
        ("lifespan: ThreadPool is a class; use ThreadPool()",),
    ),
    (
        LifespanMiddleware,
        {"lifespan": [Cache]},
        ("lifespan: Cache cannot be called with the state; use lambda state: Cache()",),
    ),
    (
        LifespanMiddleware,
        {"startup_timeout": None, "shutdown_timeout": 0},
        (
            "startup_timeout: None is not a number of seconds above 0; use 30.0",
            "shutdown_timeout: 0 is not a number of seconds above 0; use 20.0",
        ),
    ),
    (
        LifespanMiddleware,
        {"when_missing": "ignore"},
        ("when_missing: 'ignore' is not known; use 'start', 'warn' or 'error'",),
    ),
    (
        LifespanMiddleware,
        {"readiness": True},
        ("readiness: True is not a Readiness; use Readiness() or None",),
    ),
    (
        LifespanMiddleware,
        {"readiness": Readiness},
        ("readiness: Readiness is a class; use Readiness() or None",),
    ),
    (
        LifespanMiddleware,
        {"drain": True},
        ("drain: True is not a Drain; use Drain() or None",),
    ),
    (
        LifespanMiddleware,
        {"drain": Drain(grace=30)},
        (
            "drain: a grace of 30 s does not end within the shutdown_timeout of 20 s; use a longer"
            " shutdown_timeout",
        ),
    ),
    (
        LifespanMiddleware,
        {"max_requests": 0, "max_requests_jitter": -1},
        (
            "max_requests: 0 is not a whole number at or above 1; use 10000 or None",
            "max_requests_jitter: -1 is not a whole number at or above 0; use 1000",
        ),
    ),
    (
        LifespanMiddleware,
        {"max_requests": True, "max_requests_jitter": None},
        (
            "max_requests: True is not a whole number at or above 1; use 10000 or None",
            "max_requests_jitter: None is not a whole number at or above 0; use 1000",
        ),
    ),
    (
        LifespanMiddleware,
        {"max_requests": 1000, "shutdown_timeout": 10.0},
        (
            "drain: a grace of 10 s does not end within the shutdown_timeout of 10 s; use a longer"
            " shutdown_timeout",
        ),
    ),
    (
        LifespanMiddleware,
        {"lifespan": [1, 2], "startup_timeout": 0, "drain": 0},
        (
            "lifespan: 1 cannot be called; use a function that takes the state and returns a"
            " context manager",
            "lifespan: 2 cannot be called; use a function that takes the state and returns a"
            " context manager",
            "startup_timeout: 0 is not a number of seconds above 0; use 30.0",
            "drain: 0 is not a Drain; use Drain() or None",
        ),
    ),
]
