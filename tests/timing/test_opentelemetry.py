import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import pytest

from asgi_middleware import ConfigurationError, OpenTelemetryMetrics, TimingMiddleware
from asgi_middleware.testing import ASGIViolation, HandshakeRefused, request, websocket
from asgi_middleware.types import ASGIApp, Receive, Scope, Send
from tests.apps import answering, doing, echo, hello

sdk = pytest.importorskip(
    "opentelemetry.sdk.metrics", reason="needs opentelemetry-sdk, from the `test` extra"
)
export = pytest.importorskip("opentelemetry.sdk.metrics.export")

REQUESTS = "http.server.request.duration"
ACTIVE = "http.server.active_requests"
SOCKETS = "websocket.server.connection.duration"
FAILED = "websocket.server.failed_handshakes"
ACTIVE_SOCKETS = "websocket.server.active_connections"


class ReadableMeter:
    """A meter whose values a test can read."""

    def __init__(self) -> None:
        self.reader = export.InMemoryMetricReader()
        self.provider = sdk.MeterProvider([self.reader])
        self.meter = self.provider.get_meter("test")

    def metrics(self) -> dict[str, Any]:
        data = self.reader.get_metrics_data()
        if data is None:
            return {}
        [resource] = data.resource_metrics
        [scope] = resource.scope_metrics
        return {metric.name: metric for metric in scope.metrics}

    def attributes(self, name: str) -> list[dict[str, Any]]:
        return [dict(point.attributes) for point in self.metrics()[name].data.data_points]

    def values(self, name: str) -> list[float]:
        return [point.value for point in self.metrics()[name].data.data_points]

    def around(self, app: ASGIApp, **options: Any) -> ASGIApp:
        return TimingMiddleware(app, observers=[OpenTelemetryMetrics(self.meter)], **options)


@pytest.fixture
def meter() -> ReadableMeter:
    return ReadableMeter()


async def gives_up(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()


async def fails(scope: Scope, receive: Receive, send: Send) -> None:
    raise KeyError("mine")


async def refuses(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.close", "code": 4001})


def routed(scope: Scope) -> None:
    scope["state"]["timing"].route = "notes/<int:pk>/"


GET = {"http.request.method": "GET", "url.scheme": "http"}


@pytest.mark.parametrize(
    ("app", "options", "attributes"),
    [
        pytest.param(hello, {}, {**GET, "http.response.status_code": 200}, id="complete"),
        pytest.param(
            doing(routed),
            {},
            {**GET, "http.response.status_code": 200, "http.route": "notes/<int:pk>/"},
            id="route",
        ),
        pytest.param(
            hello,
            {"method": "BREW"},
            {**GET, "http.request.method": "_OTHER", "http.response.status_code": 200},
            id="unknown method",
        ),
        pytest.param(
            hello,
            {"scope": {"scheme": "https"}},
            {**GET, "url.scheme": "https", "http.response.status_code": 200},
            id="https",
        ),
        pytest.param(
            hello,
            {"scope": {"scheme": "gopher"}},
            {**GET, "url.scheme": "_OTHER", "http.response.status_code": 200},
            id="unknown scheme",
        ),
        pytest.param(
            answering(status=503),
            {},
            {**GET, "http.response.status_code": 503, "error.type": "503"},
            id="status of an error",
        ),
        pytest.param(
            fails,
            {},
            {**GET, "http.response.status_code": 500, "error.type": "KeyError"},
            id="raised",
        ),
        pytest.param(
            gives_up,
            {"disconnect_at": 1},
            {**GET, "http.response.status_code": 499},
            id="client left",
        ),
        pytest.param(gives_up, {"cancel_at": 1}, GET, id="cancelled"),
    ],
)
async def test_a_request_is_counted_by_the_attributes_of_the_semantic_conventions(
    app: ASGIApp, options: Mapping[str, Any], attributes: dict[str, Any], meter: ReadableMeter
) -> None:
    await request(meter.around(app), raise_app_exceptions=False, **options)

    assert meter.attributes(REQUESTS) == [attributes]


async def test_durations_are_in_seconds_and_in_the_recommended_buckets(
    meter: ReadableMeter,
) -> None:
    ticks = iter([0, 1, 3])

    await request(meter.around(hello, clock=lambda: next(ticks)))

    metric = meter.metrics()[REQUESTS]
    [point] = metric.data.data_points
    assert (metric.unit, point.sum, point.count) == ("s", 3, 1)
    assert point.explicit_bounds == (
        *(0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75),
        *(1, 2.5, 5, 7.5, 10),
    )


async def test_active_requests_are_counted(meter: ReadableMeter) -> None:
    during: list[object] = []

    def look(scope: Scope) -> None:
        during.append((meter.values(ACTIVE), meter.attributes(ACTIVE)))

    await request(meter.around(doing(look)), "POST")

    assert during == [([1], [{**GET, "http.request.method": "POST"}])]
    assert meter.values(ACTIVE) == [0]


async def test_websockets_have_metrics_of_their_own(meter: ReadableMeter) -> None:
    async with websocket(meter.around(echo)):
        assert meter.values(ACTIVE_SOCKETS) == [1]

    assert meter.values(ACTIVE_SOCKETS) == [0]
    assert meter.attributes(SOCKETS) == [{"url.scheme": "ws"}]
    assert REQUESTS not in meter.metrics()


@pytest.mark.parametrize(
    ("app", "attributes"),
    [
        pytest.param(refuses, {"http.response.status_code": 403}, id="refused"),
        pytest.param(
            gives_up,
            {"http.response.status_code": 500, "error.type": "500"},
            id="left unanswered",
        ),
        pytest.param(
            fails, {"http.response.status_code": 500, "error.type": "KeyError"}, id="raised"
        ),
    ],
)
async def test_a_websocket_that_was_never_open_is_counted_in_a_metric_of_its_own(
    app: ASGIApp, attributes: dict[str, Any], meter: ReadableMeter
) -> None:
    with suppress(HandshakeRefused, ASGIViolation, KeyError):
        async with websocket(meter.around(app)):
            pass

    assert meter.attributes(FAILED) == [{"url.scheme": "ws", **attributes}]
    assert meter.values(FAILED) == [1]
    assert meter.values(ACTIVE_SOCKETS) == [0]
    assert SOCKETS not in meter.metrics()


async def test_a_request_is_not_active_while_the_app_still_works_after_its_response(
    meter: ReadableMeter,
) -> None:
    seen: list[object] = []

    async def lingers(scope: Scope, receive: Receive, send: Send) -> None:
        await hello(scope, receive, send)
        seen.extend((meter.values(ACTIVE), meter.attributes(REQUESTS)))

    await request(meter.around(lingers))

    assert seen == [[0], [{**GET, "http.response.status_code": 200}]]


async def test_the_attribute_of_a_long_route_is_cut(meter: ReadableMeter) -> None:
    def view(scope: Scope) -> None:
        scope["state"]["timing"].route = "r" * 3000

    await request(meter.around(doing(view)))

    [attributes] = meter.attributes(REQUESTS)
    assert len(attributes["http.route"]) == 2048


async def test_a_site_can_choose_its_buckets(meter: ReadableMeter) -> None:
    metrics = OpenTelemetryMetrics(meter.meter, buckets=[60, 120])

    await request(TimingMiddleware(hello, observers=[metrics]))

    [point] = meter.metrics()[REQUESTS].data.data_points
    assert point.explicit_bounds == (60, 120)


async def test_the_default_meter_comes_from_the_global_provider() -> None:
    # No SDK is set up here, so the meter does nothing. The request must succeed anyway.
    response = await request(TimingMiddleware(hello, observers=[OpenTelemetryMetrics()]))

    assert response.complete


def test_the_observer_shows_its_meter(meter: ReadableMeter) -> None:
    assert repr(OpenTelemetryMetrics(meter.meter, buckets=[1, 5])) == (
        f"OpenTelemetryMetrics(meter={meter.meter!r}, buckets=(1, 5))"
    )


def test_the_error_names_the_missing_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.metrics", None)

    with pytest.raises(ConfigurationError) as refused:
        OpenTelemetryMetrics()

    assert str(refused.value) == (
        "OpenTelemetryMetrics: opentelemetry-api is not installed;"
        " run: pip install opentelemetry-api"
    )
