"""Settings for Hypothesis, and for clients."""

import gc
import inspect
import os
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import settings

from asgi_middleware.testing import lifespan, request, stream, websocket

# Hypothesis generates the same examples each time, so a new failure comes from a change and not
# from chance. There is no deadline, because a busy machine is not a bug.
settings.register_profile("tests", deadline=None, derandomize=True, max_examples=100)
settings.load_profile("tests")

# No test needs the public certificates, and httpx would load all of them for each client, which
# takes longer than most tests. This folder has none.
os.environ.pop("SSL_CERT_FILE", None)
os.environ["SSL_CERT_DIR"] = str(Path(__file__).parent)

# Our own apps and layers keep to the letter of ASGI. For others, a test says strict=False, or
# records them. And only a failing test waits for as long as this, on a busy machine too.
for client in (lifespan, request, stream, websocket):
    inspect.unwrap(client).__kwdefaults__.update(strict=True, timeout=30.0)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    # Thousands of tests are many objects, which each collection of garbage would look through.
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()
