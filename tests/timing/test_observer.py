import asyncio
import logging
import subprocess
import sys
from contextlib import suppress
from typing import Any

import pytest

from asgi_middleware import TimingMiddleware
from asgi_middleware.testing import request, websocket
from asgi_middleware.types import ASGIApp, Receive, Scope, Send
from tests.apps import hello


class Diary:
    """An observer that notes its calls, and raises if it is *broken*."""

    def __init__(self, *, broken: bool = False) -> None:
        self.log: list[str] = []
        self.broken = broken

    def started(self, record: Any) -> None:
        self._note(f"{type(record).__name__} started, {record.outcome}")

    def finished(self, record: Any) -> None:
        self._note(f"{type(record).__name__} finished, {record.outcome}")

    def _note(self, line: str) -> None:
        self.log.append(line)
        if self.broken:
            raise KeyError("mine")


async def fails(scope: Scope, receive: Receive, send: Send) -> None:
    raise KeyError("mine")


async def waits(scope: Scope, receive: Receive, send: Send) -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize(
    ("app", "options", "ending"),
    [
        pytest.param(hello, {}, "finished, ok", id="complete"),
        pytest.param(fails, {}, "finished, error", id="raises"),
        pytest.param(waits, {"timeout": 0.05}, "finished, cancelled", id="ended by force"),
    ],
)
async def test_every_start_has_one_end(app: ASGIApp, options: dict[str, Any], ending: str) -> None:
    diary = Diary()

    with suppress(KeyError, TimeoutError):
        await request(TimingMiddleware(app, observers=[diary]), **options)

    assert diary.log == ["RequestTiming started, None", f"RequestTiming {ending}"]


async def test_a_websocket_goes_to_the_same_observers() -> None:
    diary = Diary()

    async with websocket(TimingMiddleware(hello, observers=[diary])):
        pass

    assert diary.log == ["WebSocketTiming started, None", "WebSocketTiming finished, ok"]


async def test_a_function_is_called_at_the_end_only() -> None:
    outcomes: list[str] = []

    await request(
        TimingMiddleware(hello, observers=[lambda record: outcomes.append(str(record.outcome))])
    )

    assert outcomes == ["ok"]


async def test_an_observer_that_raises_is_logged_and_the_next_one_runs(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broken, sound = Diary(broken=True), Diary()

    response = await request(TimingMiddleware(hello, observers=[broken, sound]))

    assert response.complete
    assert sound.log == broken.log == ["RequestTiming started, None", "RequestTiming finished, ok"]
    assert [line.levelno for line in caplog.records] == [logging.ERROR] * 2


async def test_the_record_has_the_exception_at_the_end() -> None:
    seen: list[BaseException | None] = []

    def look(record: Any) -> None:
        seen.append(record.exception)

    with pytest.raises(KeyError) as raised:
        await request(TimingMiddleware(fails, observers=[look]))

    assert seen == [raised.value]


async def test_an_abandoned_request_has_an_end() -> None:
    # As when a loop is closed with a request in it.
    diary = Diary()

    async def receive() -> Any: ...
    async def send(message: Any) -> None: ...

    app = TimingMiddleware(waits, observers=[diary])
    call = app({"type": "http", "method": "GET", "path": "/"}, receive, send)
    call.send(None)
    call.close()

    assert diary.log == ["RequestTiming started, None", "RequestTiming finished, cancelled"]


def test_importing_the_observers_loads_no_metrics_library() -> None:
    code = (
        "import sys; from asgi_middleware import OpenTelemetryMetrics, PrometheusMetrics;"
        "print(sorted({'opentelemetry', 'prometheus_client'} & sys.modules.keys()))"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )

    assert done.stdout == "[]\n"
