"""Every middleware of this package, and what it is documented to change.

The tests in this folder run over each row. A new middleware joins by one line in ``EACH``.
"""
# ruff: noqa: E501 -- a table: one line for each row

from collections.abc import AsyncGenerator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from asgi_middleware import (
    CORSMiddleware,
    Drain,
    HealthMiddleware,
    LifespanMiddleware,
    RequestIDMiddleware,
    ThreadPoolMiddleware,
    TimingMiddleware,
    TraceContextMiddleware,
    WebSocketOriginMiddleware,
    compose,
)
from asgi_middleware.types import Middleware

ORIGIN = "https://app.example"


@dataclass(frozen=True, slots=True)
class Row:
    """A middleware with typical options, and its documented changes.

    * ``scopes``: the types of scope that it handles, each with the keys that it adds
      to ``scope["state"]``. Every other type passes through it untouched.
    * ``asks``: request headers that it sets.
    * ``answers``: response headers that it sets; there is never more than one of each.
    * ``extends``: response headers to whose list it adds, and leaves what the app sent.
    """

    name: str
    make: Middleware
    scopes: Mapping[str, AbstractSet[str]]
    asks: AbstractSet[bytes] = frozenset()
    answers: AbstractSet[bytes] = frozenset()
    extends: AbstractSet[bytes] = frozenset()


@asynccontextmanager
async def opened(state: dict[str, Any]) -> AsyncGenerator[dict[str, Any]]:
    yield {"opened": True}


REQUEST_ID = b"x-request-id"
GRANTS = {b"access-control-allow-origin", b"access-control-allow-credentials"}
EXPOSED = b"access-control-expose-headers"

# What it answers in the place of an app that raises is in tests/cors/.
cors = partial(CORSMiddleware, expose_headers=["x-total"], error_responses=False)
one_origin = partial(cors, allow_origins=[ORIGIN], allow_credentials=True)
any_origin = partial(cors, allow_origins=["*"])

# Lets in every origin of the exchanges: the contract is about what gets through.
guard = partial(
    WebSocketOriginMiddleware, allow_origins=[ORIGIN, "https://evil.example"], allow_missing=True
)

# In the order of a stack.
# fmt: off
EACH = [
    Row("health", HealthMiddleware, {"http": set()}),
    Row("request-id", RequestIDMiddleware, {"http": {"request_id"}, "websocket": {"request_id"}}, asks={REQUEST_ID}, answers={REQUEST_ID}),
    Row("trace-context", TraceContextMiddleware, {"http": set(), "websocket": set()}, asks={b"traceparent", b"tracestate"}),
    Row("timing", partial(TimingMiddleware, server_timing=True), {"http": {"timing"}, "websocket": {"timing"}}, extends={b"server-timing"}),
    Row("cors", one_origin, {"http": set()}, answers=GRANTS, extends={b"vary", EXPOSED}),
    Row("cors-any-origin", any_origin, {"http": set()}, answers=GRANTS, extends={EXPOSED}),
    Row("websocket-origin", guard, {"websocket": set()}),
    Row("drain", partial(LifespanMiddleware, when_missing="warn", drain=Drain()), {"http": set(), "websocket": set(), "lifespan": {"tasks"}}),
    Row("lifespan", partial(LifespanMiddleware, lifespan=[opened], when_missing="warn"), {"http": set(), "websocket": set(), "lifespan": {"opened", "tasks"}}),
    Row("thread-pool", ThreadPoolMiddleware, {"http": set(), "websocket": set()}),
]
# fmt: on


def stacked(rows: list[Row]) -> Row:
    """Return the row of them all, the first outermost: it changes what they change."""
    kinds = {kind for row in rows for kind in row.scopes}
    return Row(
        "stack",
        compose(*(row.make for row in rows)),
        {kind: {key for row in rows for key in row.scopes.get(kind, ())} for kind in kinds},
        asks={name for row in rows for name in row.asks},
        answers={name for row in rows for name in row.answers},
        extends={name for row in rows for name in row.extends},
    )


# An app has one policy for all origins and one lifespan, so a stack has one of each two.
ROWS = [*EACH, stacked([row for row in EACH if row.name not in ("cors-any-origin", "drain")])]

every_row = pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
