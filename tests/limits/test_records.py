"""What the timing record of a request shows if a limit has ended the request."""

import asyncio
import logging
from functools import partial
from typing import Any

import prometheus_client
import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from asgi_middleware import (
    AccessLog,
    OpenTelemetryMetrics,
    PrometheusMetrics,
    RequestBodyLimitMiddleware,
    RequestTimeoutMiddleware,
    RequestTiming,
    TimingMiddleware,
)
from asgi_middleware.types import ASGIApp, Middleware, Receive, Scope, Send

from ..apps import BODY, START

REFUSED = "http_server_refused_requests_total"


async def listens(scope: Scope, receive: Receive, send: Send) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def listens_after_its_start(scope: Scope, receive: Receive, send: Send) -> None:
    await send(START)
    await listens(scope, receive, send)


async def completes_after_its_start(scope: Scope, receive: Receive, send: Send) -> None:
    await listens_after_its_start(scope, receive, send)
    await send(BODY)


async def says_413_itself(scope: Scope, receive: Receive, send: Send) -> None:
    await send({**START, "status": 413})
    await send(BODY)


small = partial(RequestBodyLimitMiddleware, max_body_size=10)
patient = partial(RequestBodyLimitMiddleware, max_body_size=1000, timeout=0.05)
short = partial(RequestTimeoutMiddleware, timeout=0.05)

ROWS = [
    pytest.param(small, listens, b"x" * 11, "refused", 413, id="too large, announced"),
    pytest.param(small, listens, [b"x" * 11], "refused", 413, id="too large"),
    pytest.param(patient, listens, [b"x"], "refused", 408, id="too slow"),
    pytest.param(short, listens, b"", "timeout", 504, id="too late"),
    pytest.param(small, says_413_itself, b"x", "ok", 413, id="a 413 of the app"),
    pytest.param(
        small,
        listens_after_its_start,
        [b"x" * 11],
        "disconnect",
        200,
        id="too large after the start",
    ),
    pytest.param(
        small, completes_after_its_start, [b"x" * 11], "ok", 200, id="too large, then completed"
    ),
]


@pytest.mark.parametrize(("limit", "app", "body", "outcome", "status"), ROWS)
async def test_each_observer_can_tell_why_a_request_ended(
    limit: Middleware,
    app: ASGIApp,
    body: bytes | list[bytes],
    outcome: str,
    status: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "asgi_middleware.access")
    records: list[Any] = []
    registry = prometheus_client.CollectorRegistry()
    reader = InMemoryMetricReader()
    meter = MeterProvider([reader]).get_meter("tests")
    timed = TimingMiddleware(
        limit(app),
        observers=[
            AccessLog(),
            PrometheusMetrics(registry),
            OpenTelemetryMetrics(meter),
            records.append,
        ],
    )

    await _posted(timed, body)

    [record] = records
    refusal = outcome if outcome in ("refused", "timeout") else None
    assert isinstance(record, RequestTiming)
    assert (record.outcome, record.status, record.refusal) == (outcome, status, refusal)
    assert record.exception is None
    [line] = [each for each in caplog.records if each.name == "asgi_middleware.access"]
    assert (vars(line)["outcome"], vars(line)["status"]) == (outcome, status)
    labels = {"outcome": outcome, "status": str(status), "route": "unmatched"}
    assert registry.get_sample_value(REFUSED, labels) == (None if refusal is None else 1)
    assert _error_type(reader) == refusal


async def _posted(app: ASGIApp, body: bytes | list[bytes]) -> None:
    """Send a body with its length, or parts of a body that does not end. Then wait."""
    announced = isinstance(body, bytes)
    headers = [(b"content-length", str(len(body)).encode())] if announced else []
    parts = [body] if isinstance(body, bytes) else [*body]

    async def receive() -> dict[str, Any]:
        if not parts:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": parts.pop(0), "more_body": not announced}

    async def send(message: object) -> None: ...

    await app({"type": "http", "method": "POST", "path": "/", "headers": headers}, receive, send)


def _error_type(reader: InMemoryMetricReader) -> object:
    data: Any = reader.get_metrics_data()
    [point] = [
        point
        for metric in data.resource_metrics[0].scope_metrics[0].metrics
        if metric.name == "http.server.request.duration"
        for point in metric.data.data_points
    ]
    return point.attributes.get("error.type")


async def test_a_request_has_the_outcome_timeout_even_if_the_client_does_not_take_the_504() -> None:
    records: list[Any] = []

    async def receive() -> dict[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: object) -> None:
        raise ConnectionResetError

    scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
    await TimingMiddleware(short(listens), observers=[records.append])(scope, receive, send)

    assert [(record.outcome, record.status) for record in records] == [("timeout", 504)]
