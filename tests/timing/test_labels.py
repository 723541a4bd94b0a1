"""Whatever clients send, the number of time series stays small."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_middleware import OpenTelemetryMetrics, PrometheusMetrics, TimingMiddleware
from asgi_middleware.testing import request
from tests.apps import hello

prometheus_client = pytest.importorskip(
    "prometheus_client", reason="needs prometheus-client, from the `prometheus` extra"
)
sdk = pytest.importorskip(
    "opentelemetry.sdk.metrics", reason="needs opentelemetry-sdk, from the `test` extra"
)
export = pytest.importorskip("opentelemetry.sdk.metrics.export")

METHODS = {
    *("CONNECT", "DELETE", "GET", "HEAD", "OPTIONS"),
    *("PATCH", "POST", "PUT", "QUERY", "TRACE", "_OTHER"),
}
SCHEMES = {"http", "https", "ws", "wss", "_OTHER"}

REGISTRY = prometheus_client.CollectorRegistry()
READER = export.InMemoryMetricReader()
PROVIDER = sdk.MeterProvider([READER])
APP = TimingMiddleware(
    hello,
    observers=[PrometheusMetrics(REGISTRY), OpenTelemetryMetrics(PROVIDER.get_meter("test"))],
)


def labels_of_prometheus() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for metric in REGISTRY.collect():
        for sample in metric.samples:
            for name, value in sample.labels.items():
                found.setdefault(name, set()).add(value)
    return found


def attributes_of_opentelemetry() -> dict[str, set[Any]]:
    found: dict[str, set[Any]] = {}
    for metric in READER.get_metrics_data().resource_metrics[0].scope_metrics[0].metrics:
        for point in metric.data.data_points:
            for name, value in point.attributes.items():
                found.setdefault(name, set()).add(value)
    return found


@given(
    method=st.text(min_size=1) | st.sampled_from(["GET", "get", "QUERY", "_OTHER"]),
    scheme=st.text() | st.sampled_from(["https", "HTTPS"]),
    path=st.text(),
    host=st.text(st.characters(codec="latin-1")),
)
def test_metrics_have_few_label_values_whatever_a_client_sends(
    method: str, scheme: str, path: str, host: str
) -> None:
    asyncio.run(
        request(
            APP,
            headers={"host": host, "x-forwarded-proto": host, "user-agent": host},
            scope={"method": method, "scheme": scheme, "path": path},
        )
    )

    prometheus = labels_of_prometheus()
    assert prometheus.pop("method") <= METHODS
    assert len(prometheus.pop("le")) == 15
    assert prometheus == {"status": {"200"}, "route": {"unmatched"}}
    opentelemetry = attributes_of_opentelemetry()
    assert opentelemetry.pop("http.request.method") <= METHODS
    assert opentelemetry.pop("url.scheme") <= SCHEMES
    assert opentelemetry == {"http.response.status_code": {200}}
