import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import pytest

from asgi_middleware import ConfigurationError, PrometheusMetrics, TimingMiddleware
from asgi_middleware.testing import ASGIViolation, HandshakeRefused, request, websocket
from asgi_middleware.types import ASGIApp, Receive, Scope, Send
from tests.apps import answering, doing, echo, hello

prometheus_client = pytest.importorskip(
    "prometheus_client", reason="needs prometheus-client, from the `prometheus` extra"
)

REQUESTS = "http_server_request_duration_seconds"
ACTIVE = "http_server_active_requests"
SOCKETS = "websocket_server_connection_duration_seconds"
FAILED = "websocket_server_failed_handshakes"
ACTIVE_SOCKETS = "websocket_server_active_connections"


@pytest.fixture
def registry() -> Any:
    return prometheus_client.CollectorRegistry()


def counted(app: ASGIApp, registry: Any, **options: Any) -> ASGIApp:
    return TimingMiddleware(app, observers=[PrometheusMetrics(registry)], **options)


def samples(registry: Any, name: str) -> dict[tuple[str, ...], float]:
    """Return the values of *name* by its label values, in the order of the label names."""
    return {
        tuple(value for _, value in sorted(sample.labels.items())): sample.value
        for metric in registry.collect()
        for sample in metric.samples
        if sample.name == name
    }


async def gives_up(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()


async def fails(scope: Scope, receive: Receive, send: Send) -> None:
    raise KeyError("mine")


async def refuses(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.close", "code": 4001})


async def denies(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.http.response.start", "status": 401, "headers": []})
    await send({"type": "websocket.http.response.body", "body": b"no"})


@pytest.mark.parametrize(
    ("app", "options", "labels"),
    [
        pytest.param(hello, {}, ("GET", "unmatched", "200"), id="complete"),
        pytest.param(
            answering(status=404), {"method": "HEAD"}, ("HEAD", "unmatched", "404"), id="status"
        ),
        pytest.param(
            hello, {"method": "BREW"}, ("_OTHER", "unmatched", "200"), id="unknown method"
        ),
        pytest.param(hello, {"method": "QUERY"}, ("QUERY", "unmatched", "200"), id="QUERY"),
        pytest.param(fails, {}, ("GET", "unmatched", "500"), id="raised"),
        pytest.param(gives_up, {"disconnect_at": 1}, ("GET", "unmatched", "499"), id="client left"),
        pytest.param(gives_up, {"cancel_at": 1}, ("GET", "unmatched", "-"), id="cancelled"),
    ],
)
async def test_a_request_is_counted_by_method_route_and_status(
    app: ASGIApp, options: Mapping[str, Any], labels: tuple[str, ...], registry: Any
) -> None:
    await request(counted(app, registry), raise_app_exceptions=False, **options)

    assert samples(registry, f"{REQUESTS}_count") == {labels: 1}


async def test_the_route_comes_from_the_record(registry: Any) -> None:
    def view(scope: Scope) -> None:
        scope["state"]["timing"].route = "notes/<int:pk>/"

    await request(counted(doing(view), registry), "GET", "/notes/7/")

    assert samples(registry, f"{REQUESTS}_count") == {("GET", "notes/<int:pk>/", "200"): 1}


async def test_durations_are_in_seconds_and_in_opentelemetrys_buckets(registry: Any) -> None:
    ticks = iter([0, 1, 3])

    await request(counted(hello, registry, clock=lambda: next(ticks)))

    assert samples(registry, f"{REQUESTS}_sum") == {("GET", "unmatched", "200"): 3}
    buckets = samples(registry, f"{REQUESTS}_bucket")
    assert [(float(labels[0]), value) for labels, value in buckets.items()] == [
        *((bound, 0) for bound in (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75)),
        *((bound, 0) for bound in (1, 2.5)),
        *((bound, 1) for bound in (5, 7.5, 10, float("inf"))),
    ]


async def test_active_requests_are_counted(registry: Any) -> None:
    during: list[object] = []
    app = doing(lambda _: during.append(samples(registry, ACTIVE)))

    await request(counted(app, registry), "POST")

    assert during == [{("POST",): 1}]
    assert samples(registry, ACTIVE) == {("POST",): 0}


async def test_websockets_have_metrics_of_their_own(registry: Any) -> None:
    app = counted(echo, registry)

    async with websocket(app):
        assert samples(registry, ACTIVE_SOCKETS) == {(): 1}

    assert samples(registry, ACTIVE_SOCKETS) == {(): 0}
    assert samples(registry, f"{SOCKETS}_count") == {("ok", "unmatched"): 1}
    assert samples(registry, f"{REQUESTS}_count") == {}


@pytest.mark.parametrize(
    ("app", "labels"),
    [
        pytest.param(refuses, ("refused", "unmatched", "403"), id="closed"),
        pytest.param(denies, ("refused", "unmatched", "401"), id="denied"),
        pytest.param(gives_up, ("error", "unmatched", "500"), id="left unanswered"),
        pytest.param(fails, ("error", "unmatched", "500"), id="raised"),
    ],
)
async def test_a_websocket_that_was_never_open_is_counted_in_a_metric_of_its_own(
    app: ASGIApp, labels: tuple[str, ...], registry: Any
) -> None:
    with suppress(HandshakeRefused, ASGIViolation, KeyError):
        async with websocket(counted(app, registry)):
            pass

    assert samples(registry, f"{FAILED}_total") == {labels: 1}
    assert samples(registry, f"{SOCKETS}_count") == {}
    assert samples(registry, ACTIVE_SOCKETS) == {(): 0}


async def test_a_request_is_not_active_while_the_app_still_works_after_its_response(
    registry: Any,
) -> None:
    seen: list[object] = []

    async def lingers(scope: Scope, receive: Receive, send: Send) -> None:
        await hello(scope, receive, send)
        seen.extend((samples(registry, ACTIVE), samples(registry, f"{REQUESTS}_count")))

    await request(counted(lingers, registry))

    assert seen == [{("GET",): 0}, {("GET", "unmatched", "200"): 1}]
    assert samples(registry, f"{REQUESTS}_count") == {("GET", "unmatched", "200"): 1}


async def test_the_label_of_a_long_route_is_cut(registry: Any) -> None:
    def view(scope: Scope) -> None:
        scope["state"]["timing"].route = "r" * 3000

    await request(counted(doing(view), registry))

    [(_, route, _)] = samples(registry, f"{REQUESTS}_count")
    assert (len(route), route[-4:]) == (2048, "r...")


async def test_a_site_can_choose_its_buckets(registry: Any) -> None:
    ticks = iter([0, 1, 90])
    metrics = PrometheusMetrics(registry, buckets=[60, 120])

    await request(TimingMiddleware(hello, observers=[metrics], clock=lambda: next(ticks)))

    buckets = samples(registry, f"{REQUESTS}_bucket")
    assert {float(labels[0]): value for labels, value in buckets.items()} == {
        60: 0,
        120: 1,
        float("inf"): 1,
    }


def test_two_observers_with_the_same_registry_need_the_same_buckets(registry: Any) -> None:
    PrometheusMetrics(registry, buckets=[60, 120])
    PrometheusMetrics(registry, buckets=(60.0, 120.0))

    with pytest.raises(ConfigurationError) as refused:
        PrometheusMetrics(registry)

    assert str(refused.value).endswith(
        " differ from those of the first PrometheusMetrics with this registry; use (60, 120)"
    )
    assert str(refused.value).startswith("PrometheusMetrics: buckets: (0.005, 0.01, ")


async def test_two_observers_with_the_same_registry_share_its_metrics(registry: Any) -> None:
    for _ in range(2):
        await request(counted(hello, registry))

    assert samples(registry, f"{REQUESTS}_count") == {("GET", "unmatched", "200"): 2}


async def test_two_registries_have_separate_metrics(registry: Any) -> None:
    other = prometheus_client.CollectorRegistry()
    await request(counted(hello, registry))
    counted(hello, other)

    assert samples(other, f"{REQUESTS}_count") == {}


async def test_the_default_registry_is_that_of_the_library() -> None:
    # The process has only one, which counts the requests of other tests too.
    app = TimingMiddleware(hello, observers=[PrometheusMetrics()])
    await request(app)
    before = samples(prometheus_client.REGISTRY, f"{REQUESTS}_count")
    await request(app)
    after = samples(prometheus_client.REGISTRY, f"{REQUESTS}_count")

    key = ("GET", "unmatched", "200")
    assert after == {**before, key: before[key] + 1}


def test_the_observer_shows_its_registry(registry: Any) -> None:
    assert repr(PrometheusMetrics(registry, buckets=[1, 5])) == (
        f"PrometheusMetrics(registry={registry!r}, buckets=(1, 5))"
    )


def test_the_error_names_the_missing_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)

    with pytest.raises(ConfigurationError) as refused:
        PrometheusMetrics()

    assert str(refused.value) == (
        "PrometheusMetrics: prometheus-client is not installed; run: pip install prometheus-client"
    )
