"""Contexts: the order of entering and exiting, their tasks and threads, and their names."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator, Generator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest

from asgi_middleware import LifespanMiddleware
from asgi_middleware._names import qualified_name
from asgi_middleware.testing import LifespanFailed, lifespan
from tests.apps import hello

from .server import COMPLETE, STOPPED, Server, context, start_failed, until

State = dict[str, Any]


async def test_contexts_are_entered_in_order_and_exited_in_reverse() -> None:
    log: list[str] = []
    app = LifespanMiddleware(hello, lifespan=[context("a", log), context("b", log)])

    async with lifespan(app):
        log.append("serving")

    assert log == ["+a", "+b", "serving", "-b", "-a"]


async def test_a_class_whose_instances_are_context_managers_works() -> None:
    log: list[str] = []

    class Pool:
        def __init__(self, state: State) -> None:
            pass

        async def __aenter__(self) -> State:
            log.append("open")
            return {"pool": self}

        async def __aexit__(self, *exception: object) -> None:
            log.append(f"closed {exception}")

    async with lifespan(LifespanMiddleware(hello, lifespan=[Pool])) as running:
        assert isinstance(running.state["pool"], Pool)

    assert log == ["open", "closed (None, None, None)"]


async def test_a_class_that_takes_the_state_may_have_callable_instances() -> None:
    class Model(AbstractAsyncContextManager[None]):
        def __init__(self, state: State) -> None:
            pass

        def __call__(self, text: str) -> str:
            return text

        async def __aexit__(self, *exception: object) -> None:
            pass

    async with lifespan(LifespanMiddleware(hello, lifespan=[Model])):
        pass


async def test_all_contexts_run_in_one_task_that_is_not_the_servers() -> None:
    tasks: list[object] = []

    @asynccontextmanager
    async def noting(state: State) -> AsyncGenerator[None]:
        tasks.append(asyncio.current_task())
        yield
        tasks.append(asyncio.current_task())

    server = Server(LifespanMiddleware(hello, lifespan=[noting, noting]))
    await server.start()
    await server.stop()

    assert len(tasks) == 4
    assert len(set(tasks)) == 1
    assert server.task not in tasks


async def test_a_context_variable_that_is_set_on_entering_is_there_on_exiting() -> None:
    variable: ContextVar[str] = ContextVar("variable")
    seen: list[str] = []

    @asynccontextmanager
    async def setting(state: State) -> AsyncGenerator[None]:
        token = variable.set("set")
        yield
        seen.append(variable.get())
        variable.reset(token)

    async with lifespan(LifespanMiddleware(hello, lifespan=[setting])):
        pass

    assert seen == ["set"]


@pytest.mark.parametrize(
    "task_group",
    [
        pytest.param(anyio.create_task_group, id="anyio"),
        pytest.param(asyncio.TaskGroup, id="asyncio"),
    ],
)
async def test_a_task_group_lives_from_startup_to_shutdown(task_group: Any) -> None:
    log: list[str] = []

    async def work(stop: asyncio.Event) -> None:
        log.append("works")
        await stop.wait()
        log.append("is done")

    @asynccontextmanager
    async def group(state: State) -> AsyncGenerator[None]:
        stop = asyncio.Event()
        async with task_group() as tasks:
            getattr(tasks, "start_soon", lambda f, a: tasks.create_task(f(a)))(work, stop)
            yield
            stop.set()
        log.append("closed")

    server = Server(LifespanMiddleware(hello, lifespan=[group, context("b", log)]))
    assert await server.start() == COMPLETE
    await until(lambda: "works" in log)
    log.append("serving")

    assert await server.stop() == STOPPED
    assert sorted(log[:2]) == ["+b", "works"]
    assert log[2:] == ["serving", "-b", "is done", "closed"]


@pytest.mark.parametrize(
    "task_group",
    [
        pytest.param(anyio.create_task_group, id="anyio"),
        pytest.param(asyncio.TaskGroup, id="asyncio"),
    ],
)
async def test_a_task_group_that_fails_closes_everything(
    task_group: Any, caplog: pytest.LogCaptureFixture
) -> None:
    log: list[str] = []
    fail = asyncio.Event()

    async def work() -> None:
        await fail.wait()
        raise OSError("no connection")

    @asynccontextmanager
    async def group(state: State) -> AsyncGenerator[None]:
        async with task_group() as tasks:
            getattr(tasks, "start_soon", lambda f: tasks.create_task(f()))(work)
            yield

    server = Server(LifespanMiddleware(hello, lifespan=[context("a", log), group]))
    await server.start()
    fail.set()
    await until(lambda: "-a" in log)

    answer = await server.stop()

    assert answer is not None
    assert answer["type"] == "lifespan.shutdown.failed"
    assert "ExceptionGroup" in answer["message"]
    assert answer["message"].endswith("group)")
    assert "the task group of a context has failed; everything is closed now" in caplog.messages


# --- sync contexts ---


async def test_sync_contexts_have_a_thread_of_their_own() -> None:
    threads: list[threading.Thread] = []

    @contextmanager
    def sync(name: str, state: State) -> Generator[State]:
        threads.append(threading.current_thread())
        yield {name: True}
        threads.append(threading.current_thread())

    contexts = [partial(sync, "a"), partial(sync, "b")]
    async with lifespan(LifespanMiddleware(hello, lifespan=contexts)) as running:
        assert running.state.keys() == {"tasks", "a", "b"}

    a_enter, b_enter, b_exit, a_exit = threads
    assert a_enter is a_exit
    assert b_enter is b_exit
    assert len({a_enter, b_enter, threading.current_thread()}) == 3
    await until(lambda: not a_enter.is_alive())


async def test_sync_contexts_see_the_context_variables() -> None:
    variable: ContextVar[str] = ContextVar("variable")
    seen: list[str] = []

    @asynccontextmanager
    async def setting(state: State) -> AsyncGenerator[None]:
        variable.set("set")
        yield

    @contextmanager
    def sync(state: State) -> Generator[None]:
        seen.append(variable.get())
        yield

    async with lifespan(LifespanMiddleware(hello, lifespan=[setting, sync])):
        pass

    assert seen == ["set"]


@pytest.mark.parametrize(
    ("fails", "message"),
    [
        pytest.param("enter", start_failed("OSError: enter (in sync)"), id="enter"),
        pytest.param("exit", None, id="exit"),
    ],
)
async def test_sync_contexts_fail_like_async_ones(fails: str, message: object) -> None:
    @contextmanager
    def sync(state: State) -> Generator[None]:
        if fails == "enter":
            raise OSError(fails)
        yield
        raise OSError(fails)

    sync.__qualname__ = "sync"
    server = Server(LifespanMiddleware(hello, lifespan=[sync]))

    if message:
        assert await server.start() == message
        assert isinstance(await server.end(), OSError)
    else:
        await server.start()
        answer = await server.stop()
        assert answer is not None
        assert answer["message"] == "OSError: exit (in sync)"


def test_django_connections_of_a_sync_context_are_closed(tmp_path: Path) -> None:
    # In a process of its own, because Django can be configured only once.
    code = """
import asyncio, sys
from contextlib import contextmanager
from asgi_middleware import LifespanMiddleware
from asgi_middleware.testing import lifespan
assert not any(name.partition(".")[0] == "django" for name in sys.modules)

from django.conf import settings
sqlite = {"ENGINE": "django.db.backends.sqlite3", "NAME": sys.argv[1]}
settings.configure(DATABASES={"default": sqlite})
from django.db import connection, connections

@contextmanager
def warm(state):
    opened.append(connection.connect() or connections["default"])
    yield
    print("closed after enter:", opened[0].connection is None)
    opened.append(connection.connect() or connections["default"])

async def app(scope, receive, send):
    raise ValueError(scope["type"])

async def main():
    async with lifespan(LifespanMiddleware(app, lifespan=[warm])):
        pass
    print("closed after exit:", opened[1].connection is None)

opened = []
asyncio.run(main())
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "db")],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.stdout == "closed after enter: True\nclosed after exit: True\n", done.stderr


# --- functions that return no context manager, and names ---


async def generator(state: State) -> AsyncGenerator[None]:
    yield


@pytest.mark.parametrize(
    "factory",
    [
        pytest.param(lambda state: generator(state), id="generator"),  # noqa: PLW0108
        pytest.param(lambda state: 1, id="int"),
    ],
)
async def test_a_function_that_returns_no_context_manager_fails_with_the_way_out(
    factory: Any,
) -> None:
    with pytest.raises(LifespanFailed, match=r"is not a context manager; put @asynccontextmanager"):
        async with lifespan(LifespanMiddleware(hello, lifespan=[factory])):
            pytest.fail("it did not start")


@pytest.mark.parametrize(
    ("factory", "name"),
    [
        pytest.param(context("f"), "f", id="function"),
        pytest.param(partial(context("f")), "f", id="partial"),
        pytest.param(partial(partial(generator)), "generator", id="partial of a partial"),
        pytest.param(context, "context", id="by __qualname__"),
    ],
)
def test_a_context_is_named_after_its_function(factory: object, name: str) -> None:
    assert qualified_name(factory) == name


def test_an_object_is_named_after_its_class() -> None:
    class Pool:
        def __call__(self, state: State) -> AbstractAsyncContextManager[None]:
            raise NotImplementedError

    assert (
        qualified_name(Pool())
        == f"{test_an_object_is_named_after_its_class.__name__}.<locals>.Pool"
    )
