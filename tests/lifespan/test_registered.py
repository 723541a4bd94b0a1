"""Contexts that apps register, and that the project's stack() opens."""

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any

import pytest

from asgi_middleware import (
    ConfigurationWarning,
    LifespanMiddleware,
    ThreadPool,
    register_lifespan,
    stack,
)
from asgi_middleware.lifespan import registered
from asgi_middleware.testing import lifespan
from tests.apps import hello

log: list[str] = []
Context = Callable[[dict[str, Any]], AbstractAsyncContextManager[Any]]


def logging_context(name: str) -> Context:
    @asynccontextmanager
    async def context(state: dict[str, Any]) -> AsyncGenerator[dict[str, str]]:
        log.append(f"+{name}")
        yield {name: "open"}
        log.append(f"-{name}")

    return context


first, second, own = map(logging_context, ("first", "second", "own"))


@pytest.fixture(autouse=True)
def _no_apps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registered, "_registered", [])
    monkeypatch.setattr(registered, "_taken", False)
    log.clear()


def contexts_of(application: Any) -> list[object]:
    [layer] = [each for each in application.layers if isinstance(each, LifespanMiddleware)]
    return list(layer.lifespan)


async def test_a_stack_opens_registered_contexts_in_their_order_before_its_own() -> None:
    register_lifespan(first)
    register_lifespan(second)

    async with lifespan(stack(hello, lifespan=[own])) as running:
        assert running.state.keys() >= {"first", "second", "own"}

    assert log == ["+first", "+second", "+own", "-own", "-second", "-first"]


def test_a_context_that_is_registered_twice_is_entered_once() -> None:
    register_lifespan(first)
    register_lifespan(second)
    register_lifespan(first)

    assert contexts_of(stack(hello, pool=None)) == [first, second]


def test_the_pool_comes_before_registered_contexts() -> None:
    register_lifespan(first)
    pool = ThreadPool()

    assert contexts_of(stack(hello, pool=pool, lifespan=[own])) == [pool, first, own]


def test_a_pool_keeps_its_place_in_the_list() -> None:
    register_lifespan(first)
    pool = ThreadPool()

    assert contexts_of(stack(hello, pool=pool, lifespan=[own, pool])) == [own, pool, first]


def test_a_registered_context_that_asgi_py_lists_keeps_its_place_there() -> None:
    register_lifespan(first)
    register_lifespan(second)

    application = stack(hello, pool=None, lifespan=[own, first])

    assert contexts_of(application) == [second, own, first]


def test_a_lifespan_middleware_passed_to_stack_gets_registered_contexts_too() -> None:
    register_lifespan(first)

    layers = (LifespanMiddleware, partial(LifespanMiddleware, lifespan=[own]))
    found = [contexts_of(stack(hello, pool=None, lifespan=each)) for each in layers]

    assert found == [[first], [first, own]]


def test_two_stacks_open_the_same_contexts() -> None:
    register_lifespan(first)

    assert contexts_of(stack(hello, pool=None)) == contexts_of(stack(hello, pool=None)) == [first]


def test_a_context_registered_after_the_stack_causes_a_warning() -> None:
    stack(hello)

    with pytest.warns(ConfigurationWarning) as caught:
        register_lifespan(ThreadPool())

    assert str(caught[0].message) == (
        "register_lifespan: ThreadPool is not opened because stack() was called before; use"
        " register_lifespan(ThreadPool) in AppConfig.ready(), and stack(get_asgi_application())"
    )
    assert caught[0].filename == __file__


def test_a_context_that_the_stack_already_has_causes_no_warning() -> None:
    register_lifespan(first)
    stack(hello)

    register_lifespan(first)


def test_a_stack_without_lifespan_warns_about_registered_contexts() -> None:
    register_lifespan(ThreadPool())

    with pytest.warns(ConfigurationWarning) as caught:
        stack(hello, lifespan=None, drain=None)

    assert [str(each.message) for each in caught] == [
        "stack: nothing opens ThreadPool, which apps have registered; use lifespan=[]"
    ]
    assert caught[0].filename == __file__
