"""The recipes in docs/recipes.md, and the files in deploy/ that it explains."""

import inspect
import re
import shutil
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from asgi_middleware import Drain, HealthMiddleware, LifespanMiddleware, PrometheusMetrics

from .process import ROOT, output_of

PAGE = (ROOT / "docs" / "recipes.md").read_text()
DEPLOY = ROOT / "deploy"
SITE = """
from django.conf import settings
settings.configure(
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF="__main__",
    CELERY_BROKER_URL="memory://",
    CELERY_RESULT_BACKEND="cache+memory://",
    CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP=True,
)
"""


def recipe(heading: str) -> str:
    """Return the first example under *heading*."""
    found = re.search(rf"^## {heading}\n.*?```python\n(.*?)```", PAGE, re.DOTALL | re.MULTILINE)
    assert found is not None
    return found[1]


def parsed(name: str) -> list[Any]:
    return list(yaml.safe_load_all((DEPLOY / name).read_text()))


def default(function: Callable[..., object], option: str) -> float:
    found: float = inspect.signature(function).parameters[option].default
    return found


def test_the_celery_recipe_passes_the_id_to_tasks_and_to_the_tasks_that_they_send() -> None:
    pytest.importorskip("celery", reason="needs celery")
    use = """
import asyncio
from celery.contrib.testing.worker import start_worker
from asgi_middleware import RequestIDMiddleware
from asgi_middleware.testing import request
from tests.apps import doing

@app.task
def inner():
    return get_request_id()

@app.task
def outer():
    return get_request_id(), inner.delay().id

def view(_):
    global sent
    sent = outer.delay()

asyncio.run(request(RequestIDMiddleware(doing(view)), headers={"x-request-id": "abc"}))
with start_worker(app, perform_ping_check=False, loglevel="ERROR", pool="solo"):
    found, id_of_inner = sent.get(timeout=30)
    print(found, app.AsyncResult(id_of_inner).get(timeout=30))
    alone = outer.delay().get(timeout=30)[0]
    print(len(alone), alone != found)
print(get_request_id())
"""

    written = output_of(SITE + recipe("Celery") + use)

    assert written.splitlines()[-3:] == ["abc abc", "32 True", "None"]


def test_the_recipe_for_django_tasks_passes_the_id_as_an_argument() -> None:
    pytest.importorskip("django.tasks", reason="needs Django 6")
    use = """
import asyncio, sys
from asgi_middleware import RequestIDFilter, RequestIDMiddleware
from asgi_middleware.testing import request

handler = logging.StreamHandler(sys.stdout)
handler.addFilter(RequestIDFilter())
handler.setFormatter(logging.Formatter("[%(request_id)s] %(message)s"))
logging.getLogger(__name__).addHandler(handler)
logging.getLogger(__name__).setLevel("INFO")

async def app(scope, receive, send):
    await order(None)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body"})

asyncio.run(request(RequestIDMiddleware(app), headers={"x-request-id": "abc"}))
"""
    module = (
        "import sys, types; sys.modules['mysite.tasks'] = sys.modules['__main__']\n"
        + SITE
        + "import django; django.setup()\n"
        + recipe("django.tasks")
        + use
    )

    assert output_of(module) == "[abc] receipt 7\n"


def test_the_opentelemetry_recipe_uses_the_trace_id_as_the_request_id() -> None:
    pytest.importorskip(
        "opentelemetry.instrumentation.asgi", reason="needs OpenTelemetry's instrumentation"
    )
    before = """
from django.http import HttpResponse
from django.urls import path
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

exporter = InMemorySpanExporter()
trace.set_tracer_provider(TracerProvider())
trace.get_tracer_provider().add_span_processor(SimpleSpanProcessor(exporter))
urlpatterns = [path("hello/", lambda request: HttpResponse("hello"))]
"""
    use = """
import asyncio
from asgi_middleware.testing import lifespan, request

async def main():
    async with lifespan(application) as running:
        headers = {"host": "localhost"}
        page = await request(running, target="/hello/", headers=headers)
        probe = await request(running, target="/readyz")
        return page, probe

page, probe = asyncio.run(main())
spans = exporter.get_finished_spans()
print(page.status, probe.status, {span.attributes.get("http.target") for span in spans} - {None})
[trace_id] = {format(span.context.trace_id, "032x") for span in spans}
print(trace_id == page.get(b"x-request-id").decode())
"""

    written = output_of(SITE + before + recipe("OpenTelemetry") + use)

    assert written.splitlines()[-2:] == ["200 200 {'/hello/'}", "True"]


# --- Kubernetes ---


def test_a_pod_has_more_time_to_stop_than_a_drain_takes() -> None:
    deployment, _ = parsed("kubernetes.yaml")
    pod = deployment["spec"]["template"]["spec"]
    [web] = pod["containers"]
    before = web["lifecycle"]["preStop"]["sleep"]["seconds"]
    [bound] = re.findall(r"--timeout-graceful-shutdown=(\d+)", " ".join(web["args"]))
    grace = default(Drain, "grace")

    assert int(bound) > grace + 2
    assert default(Drain, "hold") == 0
    takes = before + max(grace, int(bound)) + default(LifespanMiddleware, "shutdown_timeout")
    assert pod["terminationGracePeriodSeconds"] > takes


def test_the_probes_of_a_pod_fit_the_defaults() -> None:
    deployment, service = parsed("kubernetes.yaml")
    pod = deployment["spec"]["template"]
    [web] = pod["spec"]["containers"]
    startup, ready, live = web["startupProbe"], web["readinessProbe"], web["livenessProbe"]

    assert startup["periodSeconds"] * startup["failureThreshold"] > default(
        LifespanMiddleware, "startup_timeout"
    )
    assert ready["timeoutSeconds"] > default(HealthMiddleware, "timeout")
    assert ready["httpGet"]["path"] == default(HealthMiddleware, "ready_path")
    for probe in (startup, live):
        assert probe["httpGet"]["path"] == default(HealthMiddleware, "live_path")
    [port] = web["ports"]
    assert {probe["httpGet"]["port"] for probe in (startup, ready, live)} == {port["containerPort"]}
    assert service["spec"]["ports"][0]["targetPort"] == port["containerPort"]
    assert service["spec"]["selector"] == pod["metadata"]["labels"]


def test_the_table_on_the_page_shows_the_values_of_the_deployment() -> None:
    deployment, _ = parsed("kubernetes.yaml")
    pod = deployment["spec"]["template"]["spec"]
    [web] = pod["containers"]
    rows = dict(re.findall(r"^\| `(\S+?)` \| (.+?) \|", PAGE, re.MULTILINE))

    def probe(name: str, path: str = "") -> str:
        return f"{path}{web[name]['periodSeconds']} s, {web[name]['failureThreshold']} times"

    assert rows["preStop"] == f"{web['lifecycle']['preStop']['sleep']['seconds']} s"
    assert rows["terminationGracePeriodSeconds"] == f"{pod['terminationGracePeriodSeconds']} s"
    assert rows["startupProbe"] == probe("startupProbe")
    assert rows["readinessProbe"] == probe("readinessProbe", "`/readyz`, ")
    assert rows["livenessProbe"] == probe("livenessProbe", "`/livez`, ")
    assert rows["maxUnavailable"] == str(
        deployment["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"]
    )


# --- Docker ---


def test_compose_gives_the_service_more_time_to_stop_than_a_drain_takes() -> None:
    [compose] = parsed("compose.yaml")
    web = compose["services"]["web"]
    [seconds] = re.findall(r"^(\d+)s$", web["stop_grace_period"])
    [start] = re.findall(r"^(\d+)s$", web["healthcheck"]["start_period"])

    takes = default(Drain, "grace") + default(LifespanMiddleware, "shutdown_timeout")
    assert int(seconds) > takes
    assert int(start) > default(LifespanMiddleware, "startup_timeout")


def test_docker_accepts_the_compose_file() -> None:
    docker = shutil.which("docker")
    if (
        docker is None
        or subprocess.run(
            [docker, "compose", "version"], capture_output=True, check=False
        ).returncode
    ):
        pytest.skip("needs docker compose")

    checked = subprocess.run(
        [docker, "compose", "--file", str(DEPLOY / "compose.yaml"), "config", "--quiet"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (checked.returncode, checked.stderr) == (0, "")


# --- Alerts ---


def exported() -> dict[str, set[str]]:
    """Return the metrics of :class:`PrometheusMetrics` with their labels."""
    prometheus = pytest.importorskip("prometheus_client", reason="needs prometheus-client")
    registry = prometheus.CollectorRegistry()
    kept = PrometheusMetrics(registry)
    found: dict[str, set[str]] = {"up": {"job", "instance"}}
    for collector, names in registry._collector_to_names.items():
        for name in names:
            found[name] = {*collector._labelnames, *(["le"] if name.endswith("_bucket") else [])}
    assert kept is not None
    return found


def test_the_alerts_use_metrics_and_labels_that_exist() -> None:
    metrics = exported()
    rules = [rule for group in parsed("alerts.yaml")[0]["groups"] for rule in group["rules"]]

    for rule in rules:
        expression = rule["expr"]
        named = re.findall(r"\b((?:http|websocket)_server_\w+|up)\b", expression)
        assert named, rule
        assert set(named) <= metrics.keys(), rule
        for name, selectors in re.findall(r"(\w+)\{(.*?)\}", expression):
            assert set(re.findall(r"(\w+)[!=]", selectors)) <= metrics[name], rule
        for grouped in re.findall(r"by \((.*?)\)", expression):
            assert {label.strip() for label in grouped.split(",")} <= metrics[named[0]], rule
        assert expression.count("(") == expression.count(")"), rule


def test_the_table_on_the_page_has_every_alert() -> None:
    rules = [rule for group in parsed("alerts.yaml")[0]["groups"] for rule in group["rules"]]

    assert re.findall(r"^\| `(Site\w+)` \|", PAGE, re.MULTILINE) == [
        rule["alert"] for rule in rules
    ]
