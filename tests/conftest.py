"""Settings for Hypothesis, and for clients."""

import gc
import inspect
import os
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from asgi_middleware.testing import lifespan, request, stream, websocket

# Hypothesis generates the same examples each time, so a new failure comes from a change and not
# from chance. There is no deadline, because a busy machine is not a bug.
settings.register_profile(
    "tests",
    deadline=None,
    derandomize=True,
    max_examples=100,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("tests")

# No test needs the public certificates, and httpx would load all of them for each client, which
# takes longer than most tests. This folder has none.
os.environ.pop("SSL_CERT_FILE", None)
os.environ["SSL_CERT_DIR"] = str(Path(__file__).parent)

# Our own apps and layers follow ASGI to the letter. For others, a test says strict=False, or wraps
# them in `recording`. The timeout suits a busy machine; only a failing test waits that long.
for client in (lifespan, request, stream, websocket):
    inspect.unwrap(client).__kwdefaults__.update(strict=True, timeout=30.0)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    # Thousands of tests are many objects, and each garbage collection would visit them all.
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()
