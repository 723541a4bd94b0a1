"""The figures that Prometheus collects."""

import asyncio
import os
from typing import Any

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_GET
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    generate_latest,
    multiprocess,
)

from asgi_middleware import measure

# The folder through which the processes of a server share their figures. prometheus_client
# reads the same variable: https://prometheus.github.io/client_python/multiprocess/
SHARED = "PROMETHEUS_MULTIPROC_DIR"


@require_GET
async def metrics(request: HttpRequest) -> HttpResponse:
    """Show the figures of PrometheusMetrics to staff or, if METRICS_PUBLIC is set, to everybody.

    For everybody else, the page does not exist. A Prometheus server has no session, so it needs
    METRICS_PUBLIC. The web server should then let only Prometheus in.
    """
    if not (settings.METRICS_PUBLIC or await _is_staff(request)):
        raise Http404
    with measure("collect"):
        # Several processes share their figures in files, and files must not block the event loop.
        text = await asyncio.to_thread(_collected)
    return HttpResponse(text, content_type=CONTENT_TYPE_LATEST)


async def _is_staff(request: HttpRequest) -> bool:
    user: Any = await request.auser()
    return bool(user.is_staff)


def _collected() -> bytes:
    if SHARED not in os.environ:
        return generate_latest(REGISTRY)
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)
