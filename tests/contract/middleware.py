"""Every middleware of this package, and the changes that its documentation promises.

The tests in this folder run for each row. For a new middleware, add one line to ``EACH``.
"""
# ruff: noqa: E501 -- a table: one line for each row

import warnings
from collections.abc import AsyncGenerator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from asgi_middleware import (
    ConfigurationWarning,
    CORSMiddleware,
    Drain,
    HealthMiddleware,
    LifespanMiddleware,
    RequestBodyLimitMiddleware,
    RequestIDMiddleware,
    RequestTimeoutMiddleware,
    ThreadPoolMiddleware,
    TimingMiddleware,
    TraceContextMiddleware,
    WebSocketOriginMiddleware,
    compose,
)
from asgi_middleware.types import Middleware

ORIGIN = "https://app.example"
KINDS = ("http", "websocket", "lifespan")


@dataclass(frozen=True, slots=True)
class Row:
    """A middleware with typical options, and its documented changes.

    * ``scopes``: the types of scope that it handles, each with the keys that it adds
      to ``scope["state"]``. Other types pass through unchanged.
    * ``sets_in_request``: the request headers that it sets.
    * ``sets_in_response``: the response headers that it sets, each at most once.
    * ``extends``: the response headers with a list, to which it adds members after the app's own.
    """

    name: str
    make: Middleware
    scopes: Mapping[str, AbstractSet[str]]
    sets_in_request: AbstractSet[bytes] = frozenset()
    sets_in_response: AbstractSet[bytes] = frozenset()
    extends: AbstractSet[bytes] = frozenset()


@asynccontextmanager
async def opened(state: dict[str, Any]) -> AsyncGenerator[dict[str, Any]]:
    yield {"opened": True}


REQUEST_ID = b"x-request-id"
GRANTS = {b"access-control-allow-origin", b"access-control-allow-credentials"}
EXPOSED = b"access-control-expose-headers"

# error_responses has its own tests in tests/cors/.
cors = partial(CORSMiddleware, expose_headers=["x-total"], error_responses=False)
one_origin = partial(cors, allow_origins=[ORIGIN], allow_credentials=True)
any_origin = partial(cors, allow_origins=["*"])

# Allows every origin in the exchanges, because the contract is about what passes through.
guard = partial(
    WebSocketOriginMiddleware, allow_origins=[ORIGIN, "https://evil.example"], allow_missing=True
)

# In the order of a stack, outermost first.
# fmt: off
EACH = [
    Row("health", HealthMiddleware, {"http": set()}),
    Row("request-id", RequestIDMiddleware, {"http": {"request_id"}, "websocket": {"request_id"}}, sets_in_request={REQUEST_ID}, sets_in_response={REQUEST_ID}),
    Row("trace-context", TraceContextMiddleware, {"http": set(), "websocket": set()}, sets_in_request={b"traceparent", b"tracestate"}),
    Row("timing", partial(TimingMiddleware, server_timing=True), {"http": {"timing"}, "websocket": {"timing"}}, extends={b"server-timing"}),
    Row("cors", one_origin, {"http": set()}, sets_in_response=GRANTS, extends={b"vary", EXPOSED}),
    Row("cors-any-origin", any_origin, {"http": set()}, sets_in_response=GRANTS, extends={EXPOSED}),
    Row("websocket-origin", guard, {"websocket": set()}),
    Row("body-limit", partial(RequestBodyLimitMiddleware, max_body_size=10**9), {"http": set()}),
    Row("request-timeout", partial(RequestTimeoutMiddleware, timeout=60.0), {"http": set()}),
    Row("drain", partial(LifespanMiddleware, when_missing="warn", drain=Drain()), {kind: {"tasks"} for kind in KINDS}),
    Row("lifespan", partial(LifespanMiddleware, lifespan=[opened], when_missing="warn"), {kind: {"opened", "tasks"} for kind in KINDS}),
    Row("thread-pool", ThreadPoolMiddleware, {"http": set(), "websocket": set()}),
]
# fmt: on


def stacked(rows: list[Row]) -> Row:
    """Return one row for the stack of *rows*, outermost first, with the changes of all of them."""
    kinds = {kind for row in rows for kind in row.scopes}
    with warnings.catch_warnings():
        # The warnings ask for objects that the layers share, but these would outlive one test.
        warnings.simplefilter("ignore", ConfigurationWarning)
        make = compose(*(row.make for row in rows))
    return Row(
        "stack",
        make,
        {kind: {key for row in rows for key in row.scopes.get(kind, ())} for kind in kinds},
        sets_in_request={name for row in rows for name in row.sets_in_request},
        sets_in_response={name for row in rows for name in row.sets_in_response},
        extends={name for row in rows for name in row.extends},
    )


# A stack has one CORS policy and one lifespan, so it leaves out the second row of each.
ROWS = [*EACH, stacked([row for row in EACH if row.name not in ("cors-any-origin", "drain")])]

every_row = pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
