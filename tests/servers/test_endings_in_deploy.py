"""The files in deploy/ give a process the time that docs/deployment.md asks for."""

import re

import pytest

from asgi_middleware import Drain, LifespanMiddleware, stack
from example_project.settings.base import DRAIN_GRACE, DRAIN_HOLD
from tests.apps import hello

from .server import ROOT

PAGE = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
# The line in each file that says after how many seconds the process is killed. A Dockerfile has
# none.
STOPS = {
    "example.service": r"^TimeoutStopSec=(\d+)$",
    "supervisor.conf": r"^stopwaitsecs=(\d+)$",
    "compose.yaml": r"^    stop_grace_period: (\d+)s$",
    "kubernetes.yaml": r"^      terminationGracePeriodSeconds: (\d+)$",
}
# compose.yaml uses the command of the image.
COMMANDS = ["example.service", "supervisor.conf", "Dockerfile", "kubernetes.yaml"]
BOUND = r"--timeout-graceful-shutdown\W+(\d+)"


def number(name: str, pattern: str) -> int:
    """Return the number that matches *pattern* in deploy/*name*, outside of comments."""
    text = (ROOT / "deploy" / name).read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.lstrip().startswith(("#", ";"))]
    [found] = re.findall(pattern, "\n".join(lines), re.MULTILINE)
    return int(found)


@pytest.mark.parametrize("name", COMMANDS)
def test_uvicorn_waits_for_a_client_that_does_not_read_as_long_as_the_docs_say(name: str) -> None:
    [more] = re.findall(r"set `--timeout-graceful-shutdown` to (\d+) seconds more than", PAGE)

    assert number(name, BOUND) == DRAIN_GRACE + int(more)


@pytest.mark.parametrize("name", STOPS)
def test_a_process_gets_more_time_to_stop_than_the_sum_in_the_docs(name: str) -> None:
    site = stack(hello, drain=Drain(grace=DRAIN_GRACE, hold=DRAIN_HOLD))
    [layer] = [layer for layer in site.layers if isinstance(layer, LifespanMiddleware)]
    shutdown_timeout = layer._options.shutdown_timeout
    with_image = "Dockerfile" if name == "compose.yaml" else name
    before = number(name, r"sleep: {seconds: (\d+)}") if name == "kubernetes.yaml" else 0

    # If a client does not read, uvicorn waits longer than the grace.
    waits = max(DRAIN_GRACE, number(with_image, BOUND))
    assert number(name, STOPS[name]) >= before + DRAIN_HOLD + waits + shutdown_timeout + 5
    [total] = re.findall(r"That makes (\d+), so \d+ is safe\.", PAGE)
    assert DRAIN_HOLD + DRAIN_GRACE + shutdown_timeout == int(total)


@pytest.mark.parametrize("name", ["example.service", "supervisor.conf", "compose.yaml"])
def test_a_supervisor_waits_as_long_as_the_docs_call_safe(name: str) -> None:
    [safe] = re.findall(r"That makes \d+, so (\d+) is safe\.", PAGE)

    assert number(name, STOPS[name]) == int(safe)
