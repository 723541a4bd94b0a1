"""Figures of several processes, which share a folder."""

from pathlib import Path

import pytest

from .server import python

pytest.importorskip(
    "prometheus_client", reason="needs prometheus-client, see the extra `prometheus`"
)
pytestmark = pytest.mark.process

WORKER = """
import asyncio, sys
from asgi_middleware import PrometheusMetrics, TimingMiddleware
from asgi_middleware.testing import request
from tests.apps import hello

async def serve():
    app = TimingMiddleware(hello, observers=[PrometheusMetrics()])
    for _ in range(int(sys.argv[1])):
        await request(app)

asyncio.run(serve())
"""
SCRAPE = """
from prometheus_client import CollectorRegistry, generate_latest, multiprocess

registry = CollectorRegistry()
multiprocess.MultiProcessCollector(registry)
print(generate_latest(registry).decode())
"""


def test_the_figures_of_several_processes_are_added_up(tmp_path: Path) -> None:
    def run(code: str, *arguments: str) -> str:
        ended = python("-c", code, *arguments, PROMETHEUS_MULTIPROC_DIR=str(tmp_path))
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    run(WORKER, "2")
    run(WORKER, "3")
    lines = run(SCRAPE).splitlines()

    count = (
        'http_server_request_duration_seconds_count{method="GET",route="unmatched",status="200"}'
    )
    assert f"{count} 5.0" in lines
    assert 'http_server_active_requests{method="GET"} 0.0' in lines
