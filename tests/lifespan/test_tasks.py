"""Tasks that are supervised for as long as the process serves."""

import asyncio
import gc
import logging
import re
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from asgi_middleware import LifespanMiddleware, Readiness, RequestIDMiddleware, TaskSupervisor
from asgi_middleware.lifespan import tasks as module
from asgi_middleware.lifespan.timeouts import Deadline
from asgi_middleware.request_id import get_request_id
from asgi_middleware.testing import request
from asgi_middleware.types import Receive, Scope, Send
from tests.apps import doing, hello

from .server import (
    STOPPED,
    Server,
    Stubborn,
    context,
    forever,
    running,
    start_failed,
    stop_failed,
    until,
)

State = dict[str, Any]
# Restart delays that are long enough to observe, and short enough to wait for.
FAST = (0.001, 0.002)


def spawning(*arguments: Any, **options: Any) -> Callable[[State], Any]:
    @asynccontextmanager
    async def spawn(state: State) -> AsyncGenerator[None]:
        state["tasks"].spawn(*arguments, **options)
        yield

    return spawn


class Work:
    """Takes one of its *outcomes* each time it runs: raises, returns, or waits forever."""

    def __init__(self, *outcomes: BaseException | None) -> None:
        self.runs = 0
        self.cancelled = 0
        self._outcomes = iter(outcomes)

    async def __call__(self) -> None:
        self.runs += 1
        for outcome in self._outcomes:
            if outcome is not None:
                raise outcome
            return
        try:
            await forever()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise


def app_of(work: Callable[[], Awaitable[None]], **options: Any) -> LifespanMiddleware:
    return LifespanMiddleware(hello, lifespan=[spawning(work, **options)])


# --- who spawns ---


async def test_a_context_can_spawn_a_task() -> None:
    work = Work()

    async with running(Server(app_of(work))):
        await until(lambda: work.runs)

    assert (work.runs, work.cancelled) == (1, 1)


@pytest.mark.parametrize("sync", [False, True], ids=["async view", "sync view"])
async def test_a_view_can_spawn_a_task(sync: bool) -> None:
    work = Work()
    loops: list[object] = []

    async def noting() -> None:
        loops.append(asyncio.get_running_loop())
        await work()

    def spawn(scope: Scope) -> None:
        scope["state"]["tasks"].spawn(noting)

    async def view(scope: Scope) -> None:
        if scope["type"] == "http":
            if sync:
                await sync_to_async(spawn)(scope)
            else:
                spawn(scope)

    app = LifespanMiddleware(doing(view))
    async with running(Server(app)):
        assert (await request(app)).status == 200
        await until(lambda: work.runs)

    assert loops == [asyncio.get_running_loop()]


async def test_a_task_outlives_its_request_and_sees_nothing_of_it() -> None:
    seen: list[object] = []
    go_on = asyncio.Event()

    async def work() -> None:
        await go_on.wait()
        # Within a request, sync_to_async() has one thread.
        thread = await sync_to_async(threading.current_thread)()
        seen.append((get_request_id(), thread is not threading.current_thread()))

    def spawn(scope: Scope) -> None:
        if scope["type"] == "http":
            scope["state"]["tasks"].spawn(work)

    app = RequestIDMiddleware(LifespanMiddleware(doing(spawn)))
    async with running(Server(app)):
        await request(app)
        go_on.set()
        await until(lambda: seen)

    assert seen == [(None, True)]


async def test_a_task_is_kept_even_if_nothing_else_refers_to_it() -> None:
    log: list[str] = []

    async def work() -> None:
        waiting = asyncio.get_running_loop().create_future()
        log.append("begun")
        try:
            await waiting  # referenced by this task alone
        except asyncio.CancelledError:
            log.append("cancelled")
            raise

    async with running(Server(app_of(work, restart="always"))):
        await until(lambda: log)
        gc.collect()
        assert log == ["begun"]

    assert log == ["begun", "cancelled"]


# --- restarts ---

CRASH = OSError("connection lost")


@pytest.mark.parametrize(
    ("restart", "outcomes", "runs"),
    [
        pytest.param("never", [CRASH], 1, id="never, crash"),
        pytest.param("never", [None], 1, id="never, return"),
        pytest.param("on-failure", [CRASH, CRASH], 3, id="on-failure, crash"),
        pytest.param("on-failure", [None], 1, id="on-failure, return"),
        pytest.param("on-failure", [CRASH, None], 2, id="on-failure, crash and return"),
        pytest.param("on-failure", [SystemExit(1)], 2, id="on-failure, SystemExit"),
        pytest.param("on-failure", [asyncio.CancelledError()], 2, id="on-failure, cancels itself"),
        pytest.param("always", [CRASH], 2, id="always, crash"),
        pytest.param("always", [None, None], 3, id="always, return"),
    ],
)
async def test_the_option_restart_decides_when_a_task_is_restarted(
    restart: str, outcomes: list[BaseException | None], runs: int
) -> None:
    work = Work(*outcomes)

    async with running(Server(app_of(work, restart=restart, backoff=FAST))):
        await until(lambda: work.runs == runs)
        await asyncio.sleep(0.01)

    assert work.runs == runs


async def test_a_crash_is_logged_with_name_number_and_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    work = Work(CRASH, CRASH)

    # A run that lasts longer than the longest delay resets the count, even if it lasts only
    # because the machine is slow.
    async with running(Server(app_of(work, name="listen", backoff=(FAST[0], 60.0)))):
        await until(lambda: work.runs == 3)

    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.ERROR, "the task listen crashed (1 in a row); it is restarted"),
        (logging.ERROR, "the task listen crashed (2 in a row); it is restarted"),
    ]
    assert caplog.records[0].exc_info
    assert caplog.records[0].exc_info[1] is CRASH


async def test_a_task_is_named_after_its_function() -> None:
    names: list[str] = []

    async def listen() -> None:
        task = asyncio.current_task()
        names.append(task.get_name() if task else "")

    async with running(Server(app_of(listen))):
        await until(lambda: names)

    assert names == ["test_a_task_is_named_after_its_function.<locals>.listen"]


@pytest.mark.parametrize(
    ("crashes", "longest"),
    [(0, 1.0), (1, 1.0), (2, 2.0), (3, 4.0), (6, 32.0), (7, 60.0), (10_000, 60.0)],
)
def test_the_delay_before_a_restart_grows_and_is_random(crashes: int, longest: float) -> None:
    delays = [module._delay((1.0, 60.0), crashes) for _ in range(200)]

    assert longest / 2 <= min(delays) < max(delays) <= longest


async def test_a_run_that_lasts_long_enough_resets_the_count_of_crashes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    runs: list[int] = []

    async def work() -> None:
        runs.append(1)
        if len(runs) == 2:
            await asyncio.sleep(FAST[1] * 5)
        if len(runs) <= 2:
            raise CRASH
        await forever()

    async with running(Server(app_of(work, name="work", backoff=FAST))):
        await until(lambda: len(runs) == 3)

    assert [re.findall(r"\((.) in a row", message) for message in caplog.messages] == [["1"], ["1"]]


async def test_a_critical_task_that_crashes_is_not_restarted_and_ends_readiness_for_good(
    caplog: pytest.LogCaptureFixture,
) -> None:
    readiness = Readiness()
    work = Work(CRASH)
    spawn = spawning(work, name="consume", backoff=FAST, critical=True)
    app = LifespanMiddleware(hello, lifespan=[spawn], readiness=readiness)

    async with running(Server(app)):
        await until(lambda: not readiness.ready)
        await asyncio.sleep(0.01)
        assert readiness.reason == "the task consume has crashed"
        assert work.runs == 1
        # Not fatal: requests are still served.
        assert (await request(app)).status == 200

    assert caplog.messages == ["the task consume crashed (1 in a row); it stays down"]


async def test_a_critical_task_that_crashes_during_startup_ends_readiness() -> None:
    readiness = Readiness()
    crashed = asyncio.Event()

    async def work() -> None:
        crashed.set()
        raise CRASH

    contexts = [spawning(work, critical=True), context("a", enter=crashed.wait)]
    app = LifespanMiddleware(hello, lifespan=contexts, readiness=readiness)
    async with running(Server(app)):
        await asyncio.sleep(0)
        assert not readiness.ready


async def test_a_critical_task_that_returns_leaves_the_process_ready() -> None:
    readiness = Readiness()
    work = Work(None)
    app = LifespanMiddleware(hello, lifespan=[spawning(work, critical=True)], readiness=readiness)

    async with running(Server(app)):
        await until(lambda: work.runs)
        await asyncio.sleep(0.01)
        assert readiness.ready


# --- the end ---


@pytest.mark.parametrize("restart", ["never", "on-failure", "always"])
async def test_tasks_end_before_the_contexts_exit(restart: str) -> None:
    log: list[str] = []

    async def work() -> None:
        try:
            await forever()
        finally:
            await asyncio.sleep(0.01)
            log.append("task ended")

    contexts = [context("a", log), spawning(work, restart=restart)]
    async with running(Server(LifespanMiddleware(hello, lifespan=contexts))):
        await asyncio.sleep(0)

    assert log == ["+a", "task ended", "-a"]


async def test_tasks_end_after_the_requests_that_may_spawn_them() -> None:
    log: list[str] = []
    go_on = asyncio.Event()

    async def work() -> None:
        log.append("task")

    async def view(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            raise ValueError
        log.append("request")
        await go_on.wait()
        scope["state"]["tasks"].spawn(work)
        await hello(scope, receive, send)

    app = LifespanMiddleware(view, lifespan=[context("a", log)])
    server = Server(app)
    await server.start()
    slow = asyncio.ensure_future(request(app))
    await until(lambda: "request" in log)
    stopping = asyncio.ensure_future(server.stop())
    await asyncio.sleep(0)
    go_on.set()

    assert await stopping == STOPPED
    assert (await slow).status == 200
    assert log == ["+a", "request", "task", "-a"]


async def test_a_task_that_is_nearly_done_can_finish(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GRACE", 10.0)
    log: list[str] = []

    async def work() -> None:
        await asyncio.sleep(0.02)
        log.append("mail sent")

    async with running(Server(app_of(work))):
        pass

    assert log == ["mail sent"]


async def test_a_task_that_always_restarts_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "GRACE", 3600.0)
    work = Work()
    app = LifespanMiddleware(
        hello, lifespan=[spawning(work, restart="always")], shutdown_timeout=3600.0
    )

    async with running(Server(app)):
        await until(lambda: work.runs)

    assert work.cancelled == 1


async def test_a_startup_that_fails_ends_the_tasks_first() -> None:
    log: list[str] = []

    async def work() -> None:
        try:
            await forever()
        finally:
            log.append("task ended")

    contexts = [
        context("a", log),
        spawning(work, restart="always"),
        context("b", enter=lambda: asyncio.sleep(0.01)),
        context("c", enter=OSError("no")),
    ]
    server = Server(LifespanMiddleware(hello, lifespan=contexts))

    assert await server.start() == start_failed("OSError: no (in c)")
    await server.end()
    assert log == ["+a", "task ended", "-a"]


async def test_a_task_that_ignores_cancellation_is_named_and_abandoned(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log: list[str] = []
    stubborn = Stubborn()
    contexts = [context("a", log), spawning(stubborn, name="stubborn", restart="always")]
    app = LifespanMiddleware(hello, lifespan=contexts, shutdown_timeout=0.05)
    server = Server(app)
    await server.start()
    await asyncio.sleep(0)

    assert await server.stop() == stop_failed(
        "TimeoutError: shutdown took more than 0.05 s (in stubborn)"
    )
    assert log == ["+a", "-a"]
    assert "stubborn keeps running although it was cancelled; it is abandoned" in caplog.messages
    await stubborn.end()


async def test_a_task_that_crashes_at_the_end_is_logged_and_not_restarted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    work_runs: list[int] = []

    async def work() -> None:
        work_runs.append(1)
        try:
            await forever()
        except asyncio.CancelledError:
            raise OSError("no goodbye") from None

    async with running(Server(app_of(work, name="work", restart="always", backoff=FAST))):
        await until(lambda: work_runs)

    assert work_runs == [1]
    assert caplog.messages == ["the task work crashed (1 in a row); it stays down"]


async def test_nothing_is_spawned_after_the_end() -> None:
    state: State = {}
    work = Work()
    async with running(Server(LifespanMiddleware(hello), state=state)):
        pass

    with pytest.raises(
        RuntimeError, match="the task work is not started because the process is shutting down"
    ):
        state["tasks"].spawn(work, name="work")
    assert work.runs == 0


async def test_a_task_that_a_thread_spawns_too_late_is_not_started(
    caplog: pytest.LogCaptureFixture,
) -> None:
    supervisor = TaskSupervisor(lambda _: None, {})
    work = Work()
    thread = threading.Thread(target=supervisor.spawn, args=(work, "work"))
    thread.start()
    thread.join()  # the event loop has not started the task yet
    supervisor.stopping = True
    await until(lambda: caplog.messages)

    assert caplog.messages == ["the task work is not started because the process is shutting down"]
    assert work.runs == 0


async def test_a_supervisor_shows_the_names_of_its_tasks() -> None:
    supervisor = TaskSupervisor(lambda _: None, {})
    assert repr(supervisor) == "<TaskSupervisor: no tasks>"

    supervisor.spawn(Work(), name="listen")
    supervisor.spawn(Work(), name="tick")
    assert repr(supervisor) == "<TaskSupervisor: listen, tick>"
    await supervisor.stop(Deadline("shutdown", 1.0))


# --- options ---


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param(
            {"restart": "sometimes"},
            "restart: 'sometimes' is not known; use 'never', 'on-failure' or 'always'",
            id="restart",
        ),
        pytest.param(
            {"backoff": (0, 1)},
            r"backoff: \(0, 1\) is not a valid first and longest delay; use",
            id="no delay",
        ),
        pytest.param(
            {"backoff": (2, 1)},
            r"backoff: \(2, 1\) is not a valid first and longest delay; use",
            id="shortest exceeds longest",
        ),
    ],
)
async def test_spawn_refuses_options_that_cannot_work(options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TaskSupervisor(lambda _: None, {}).spawn(forever, **options)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: asyncio.sleep(0), r"fn: sleep\(\) was called already; use sleep"),
        (lambda: None, "fn: None cannot be called; use an async function"),
    ],
    ids=["a coroutine", "None"],
)
async def test_spawn_refuses_a_value_that_cannot_be_called_again(
    call: Callable[[], Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        TaskSupervisor(lambda _: None, {}).spawn(call())
