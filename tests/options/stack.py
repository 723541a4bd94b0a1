"""Options of the whole stack."""

from functools import partial

from asgi_middleware import (
    Drain,
    LifespanMiddleware,
    TimingMiddleware,
    stack,
)
from tests.apps import hello

from .row import Row

POLICY = "CORSPolicy(allow_origins=['https://app.example'])"


def client(state: object) -> None: ...


def foreign(app: object) -> object:
    return app


ROWS: list[Row] = [
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
            "slow_threshold: 1.0 does not reach foreign, which stands in place of"
            " TimingMiddleware; use None, and give it the option yourself",
        ),
    ),
    (
        stack,
        {"timing": partial(TimingMiddleware, slow_threshold=2.0), "slow_threshold": 1.0},
        ("slow_threshold: 1.0 is also an option of what timing is given; use None",),
    ),
    (
        stack,
        {"lifespan": partial(LifespanMiddleware, drain=Drain()), "drain": Drain(grace=5)},
        ("drain: Drain(grace=5, hold=0.0) is also an option of what lifespan is given; use None",),
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
