"""What a LifespanMiddleware shows."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from asgi_middleware import Drain, LifespanMiddleware, Readiness
from tests.apps import hello


@asynccontextmanager
async def client(state: dict[str, Any]) -> AsyncGenerator[None]:
    yield


def test_a_lifespan_middleware_shows_its_app_and_its_options() -> None:
    app = LifespanMiddleware(
        hello, lifespan=[client], readiness=Readiness(), drain=Drain(grace=5.0)
    )

    assert app.app is hello
    assert repr(app) == (
        "LifespanMiddleware(lifespan=[client], startup_timeout=30.0, shutdown_timeout=20.0,"
        " when_missing='start', readiness=<Readiness: starting>,"
        " drain=Drain(grace=5.0, hold=0.0), max_requests=None, max_requests_jitter=0)"
    )
