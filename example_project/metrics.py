"""What Prometheus collects."""

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

# The folder where several processes of one server add up their figures; prometheus_client
# reads the same variable. https://prometheus.github.io/client_python/multiprocess/
SHARED = "PROMETHEUS_MULTIPROC_DIR"


@require_GET
async def metrics(request: HttpRequest) -> HttpResponse:
    """The figures of PrometheusMetrics, for staff, or for everybody by METRICS_PUBLIC.

    To others it does not exist. A Prometheus server has no session: it needs METRICS_PUBLIC,
    and then it is the web server's job to let only that one in.
    """
    if not (settings.METRICS_PUBLIC or await _is_staff(request)):
        raise Http404
    with measure("collect"):
        # Several processes share files, which no event loop should wait for.
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
