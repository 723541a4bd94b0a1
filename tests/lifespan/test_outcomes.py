"""The message that the server gets, and what runs, for each way a lifespan can go."""

import asyncio
import logging
import signal
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, cast

import pytest

from asgi_middleware import Drain, LifespanMiddleware, Readiness
from asgi_middleware.testing import request
from asgi_middleware.types import ASGIApp
from tests.apps import hello

from .server import (
    COMPLETE,
    SIGNALS,
    STOPPED,
    Server,
    context,
    forever,
    start_failed,
    stop_failed,
    until,
)

# --- every outcome of startup, crossed with every end and every outcome of shutdown ---


@dataclass(frozen=True)
class Start:
    """How entering ``b``, the second of three contexts, goes, and which contexts are entered."""

    error: BaseException | None
    message: str = ""
    raises: type[BaseException] | None = None
    log: tuple[str, ...] = ("+a", "+b")


STARTS = {
    "starts": Start(None, log=("+a", "+b", "+c")),
    "error": Start(OSError("no b"), "OSError: no b (in b)", OSError),
    "no text": Start(KeyError(), "KeyError:  (in b)", KeyError),
    "SystemExit": Start(SystemExit(3), "SystemExit: 3 (in b)", RuntimeError),
    "KeyboardInterrupt": Start(KeyboardInterrupt(), "KeyboardInterrupt:  (in b)", RuntimeError),
    "cancels itself": Start(asyncio.CancelledError(), "CancelledError:  (in b)", RuntimeError),
}
BODIES = ["shutdown", "cancelled"]
# The exits that fail, and the message that the server gets: that of the first failure.
ENDS: dict[str, tuple[dict[str, BaseException], str]] = {
    "closes": ({}, ""),
    "c fails": ({"c": OSError("no")}, "OSError: no (in c)"),
    "a fails": ({"a": OSError("no")}, "OSError: no (in a)"),
    "a and c fail": ({"c": OSError("no"), "a": KeyError("x")}, "OSError: no (in c)"),
    "SystemExit": ({"c": SystemExit(3)}, "SystemExit: 3 (in c)"),
    "cancels itself": ({"c": asyncio.CancelledError()}, "CancelledError:  (in c)"),
}


def app_of(start: str, end: str, log: list[str]) -> ASGIApp:
    exits = ENDS[end][0]
    contexts = [
        context("a", log, exit=exits.get("a")),
        context("b", log, enter=STARTS[start].error),
        context("c", log, exit=exits.get("c")),
    ]
    return LifespanMiddleware(hello, lifespan=contexts)


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("body", BODIES)
async def test_a_startup_that_succeeds(body: str, end: str) -> None:
    log: list[str] = []
    server = Server(app_of("starts", end, log))

    assert await server.start() == COMPLETE
    log.append(body)
    if body == "cancelled":
        assert isinstance(await server.cancel(), asyncio.CancelledError)
        expected: list[Any] = [COMPLETE]
    else:
        await server.stop()
        message = ENDS[end][1]
        expected = [COMPLETE, stop_failed(message) if message else STOPPED]
        assert server.task.exception() is None

    assert log == ["+a", "+b", "+c", body, "-c", "-b", "-a"]
    assert server.sent == expected


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("start", [start for start in STARTS if start != "starts"])
async def test_a_startup_that_fails(start: str, end: str) -> None:
    log: list[str] = []
    server = Server(app_of(start, end, log))

    assert await server.start() == start_failed(STARTS[start].message)
    error = await server.end()

    assert type(error) is STARTS[start].raises
    if isinstance(error, RuntimeError):
        assert error.__cause__ is STARTS[start].error
    else:
        assert error is STARTS[start].error
    # c is neither entered nor exited, and b is not exited.
    assert log == ["+a", "+b", "-a"]
    assert server.sent == [start_failed(STARTS[start].message)]


# --- what comes after the contexts ---


@pytest.mark.parametrize("drain", [None, Drain()], ids=["no drain", "drain"])
async def test_a_server_whose_state_cannot_be_filled_gets_a_failure_at_once(
    drain: Drain | None,
) -> None:
    log: list[str] = []
    app = LifespanMiddleware(hello, lifespan=[context("a", log, yields={"a": 1})], drain=drain)
    server = Server(app, state=cast("Any", MappingProxyType({})))

    failed = await server.start()

    assert failed
    assert failed["type"] == "lifespan.startup.failed"
    assert failed["message"].endswith("has no attribute 'update' (in LifespanMiddleware)")
    assert isinstance(await server.end(), AttributeError)
    assert log == ["+a", "-a"]


async def test_a_drain_that_cannot_handle_signals_is_a_failure_at_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    log: list[str] = []
    readiness, drain = Readiness(), Drain()
    handlers = [signal.getsignal(number) for number in SIGNALS]

    def refuse(number: int, handler: object) -> None:
        raise ValueError("signal only works in main thread of the main interpreter")

    app = LifespanMiddleware(hello, lifespan=[context("a", log)], readiness=readiness, drain=drain)
    with monkeypatch.context() as patched:
        patched.setattr(signal, "signal", refuse)
        failed = await Server(app).start()

    assert failed == start_failed(
        "ValueError: signal only works in main thread of the main interpreter"
        " (in LifespanMiddleware)"
    )
    assert log == ["+a", "-a"]
    assert readiness.reason == "startup failed"
    assert not drain.countdowns
    assert [signal.getsignal(number) for number in SIGNALS] == handlers
    assert caplog.messages == ["startup failed in LifespanMiddleware"]


async def test_a_failure_after_the_contexts_is_a_503_if_no_server_signals_startup(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log: list[str] = []

    def refuse(number: int, handler: object) -> None:
        raise ValueError("no signals here")

    app = LifespanMiddleware(hello, lifespan=[context("a", log)], drain=Drain())

    with monkeypatch.context() as patched:
        patched.setattr(signal, "signal", refuse)
        response = await request(app)

    assert (response.status, response.get(b"retry-after")) == (503, b"1")
    assert log == ["+a", "-a"]


async def test_a_drain_keeps_no_countdown_of_a_startup_that_never_happened() -> None:
    drain = Drain()
    server = Server(LifespanMiddleware(hello, drain=drain))
    await asyncio.sleep(0)

    await server.cancel()

    assert not drain.countdowns


# --- what is logged ---


async def test_a_failed_startup_is_logged_with_its_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    await Server(app_of("error", "a fails", [])).start()

    [startup, unwinding] = [record for record in caplog.records if record.levelname == "ERROR"]
    assert startup.getMessage() == "startup failed in b"
    assert startup.exc_info
    assert startup.exc_info[1] is STARTS["error"].error
    assert unwinding.getMessage() == "shutdown failed in a"


async def test_every_failed_exit_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    server = Server(app_of("starts", "a and c fail", []))
    await server.start()
    await server.stop()

    assert caplog.messages == ["shutdown failed in c", "shutdown failed in a"]
    assert all(record.exc_info for record in caplog.records)


async def test_a_lifespan_without_failures_logs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    server = Server(app_of("starts", "closes", []))
    await server.start()
    await server.stop()

    assert caplog.messages == []


# --- what send() raises ---


class LifespanFailureError(Exception):
    """Like hypercorn's."""


async def test_an_error_that_the_server_raises_at_a_failed_startup_passes_untouched() -> None:
    # Otherwise hypercorn would go on and serve requests.
    failure = LifespanFailureError()
    app = app_of("error", "closes", [])
    server = Server(app, refuses={"lifespan.startup.failed": failure})
    await server.start()

    assert await server.end() is failure


async def test_nothing_is_awaited_after_the_message_of_a_failed_startup() -> None:
    # Right after this message, hypercorn checks whether the app has ended.
    done: list[bool] = []
    app = app_of("error", "closes", [])

    async def send(message: object) -> None:
        asyncio.get_running_loop().call_soon(lambda: done.append(task.done()))

    async def receive() -> dict[str, str]:
        return {"type": "lifespan.startup"}

    task = asyncio.ensure_future(app({"type": "lifespan"}, receive, send))
    await asyncio.wait({task})
    await until(lambda: done)

    assert done == [True]


async def test_nothing_is_awaited_after_the_last_message() -> None:
    done: list[bool] = []
    app = app_of("starts", "closes", [])
    messages = iter(["lifespan.startup", "lifespan.shutdown"])

    async def send(message: dict[str, str]) -> None:
        if message == STOPPED:
            asyncio.get_running_loop().call_soon(lambda: done.append(task.done()))

    async def receive() -> dict[str, str]:
        return {"type": next(messages)}

    task = asyncio.ensure_future(app({"type": "lifespan"}, receive, send))
    await asyncio.wait({task})
    await until(lambda: done)

    assert done == [True]


async def test_a_startup_is_unwound_if_the_server_refuses_its_message() -> None:
    log: list[str] = []
    failure = LifespanFailureError()
    app = LifespanMiddleware(hello, lifespan=[context("a", log)])
    server = Server(app, refuses={"lifespan.startup.complete": failure})
    await server.start()

    assert await server.end() is failure
    assert log == ["+a", "-a"]


# --- cancellation ---


async def test_a_cancellation_during_startup_unwinds_and_propagates() -> None:
    log: list[str] = []
    contexts = [context("a", log), context("b", log, enter=forever)]
    server = Server(LifespanMiddleware(hello, lifespan=contexts))
    starting = asyncio.ensure_future(server.start())
    await until(lambda: "+b" in log)

    assert isinstance(await server.cancel(), asyncio.CancelledError)
    assert log == ["+a", "+b", "-a"]
    assert await starting is None


async def test_a_cancellation_during_shutdown_still_closes_the_rest() -> None:
    log: list[str] = []
    contexts = [context("a", log), context("b", log, exit=forever)]
    server = Server(LifespanMiddleware(hello, lifespan=contexts))
    await server.start()
    stopping = asyncio.ensure_future(server.stop())
    await until(lambda: "-b" in log)

    assert isinstance(await server.cancel(), asyncio.CancelledError)
    assert log == ["+a", "+b", "-b", "-a"]
    assert await stopping is None


def test_the_end_of_the_event_loop_unwinds() -> None:
    # After a second Ctrl-C, uvicorn skips shutdown.
    log: list[str] = []

    async def main() -> None:
        await Server(LifespanMiddleware(hello, lifespan=[context("a", log)])).start()

    asyncio.run(main())

    assert log == ["+a", "-a"]


# --- one instance, many lives ---


async def test_one_instance_can_start_and_stop_twice() -> None:
    log: list[str] = []
    app = LifespanMiddleware(hello, lifespan=[context("a", log, yields={"a": 1})])

    for _ in range(2):
        server = Server(app, state={})
        assert await server.start() == COMPLETE
        assert await server.stop() == STOPPED

    assert log == ["+a", "-a"] * 2


async def test_a_failed_startup_leaves_nothing_behind_for_the_next() -> None:
    attempts = iter([OSError("not yet"), None])

    async def enter() -> None:
        if error := next(attempts):
            raise error

    app = LifespanMiddleware(hello, lifespan=[context("a", enter=enter, yields={"a": 1})])

    assert await Server(app).start() == start_failed("OSError: not yet (in a)")
    assert await Server(app).start() == COMPLETE
