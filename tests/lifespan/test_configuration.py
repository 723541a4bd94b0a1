"""Options of LifespanMiddleware that cannot work."""

from typing import Any

import pytest

from asgi_middleware import ConfigurationError, Drain, LifespanMiddleware
from tests.apps import hello


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        pytest.param(
            {"lifespan": ["a"]},
            "lifespan: 'a' cannot be called; write a function that takes the state and returns a"
            " context manager",
            id="lifespan",
        ),
        pytest.param(
            {"lifespan": LifespanMiddleware},
            f"lifespan: {LifespanMiddleware!r} is no list; write [LifespanMiddleware]",
            id="lifespan, one",
        ),
        pytest.param(
            {"lifespan": 3},
            "lifespan: 3 is no list; write a list of functions",
            id="lifespan, a number",
        ),
        pytest.param(
            {"startup_timeout": None},
            "startup_timeout: None leaves no time; write a number of seconds above 0",
            id="startup_timeout, none",
        ),
        pytest.param(
            {"startup_timeout": 0},
            "startup_timeout: 0 leaves no time; write a number of seconds above 0",
            id="startup_timeout",
        ),
        pytest.param(
            {"shutdown_timeout": -1},
            "shutdown_timeout: -1 leaves no time; write a number of seconds above 0",
            id="shutdown_timeout",
        ),
        pytest.param(
            {"when_missing": "ignore"},
            "when_missing: 'ignore'; write 'start', 'warn' or 'error'",
            id="when_missing",
        ),
        pytest.param({"drain": True}, "drain: True is no drain; write Drain() or None", id="drain"),
        pytest.param(
            {"drain": Drain(grace=30)},
            "drain: a grace of 30 s does not end within the shutdown_timeout of 20 s; write a"
            " longer shutdown_timeout",
            id="grace",
        ),
    ],
)
def test_refuses_with_the_way_out(options: Any, problem: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        LifespanMiddleware(hello, **options)

    assert str(error.value) == f"LifespanMiddleware: {problem}"


def test_lists_all_problems_at_once() -> None:
    options: Any = {"lifespan": [1, 2], "startup_timeout": 0, "drain": 0}

    with pytest.raises(ConfigurationError) as error:
        LifespanMiddleware(hello, **options)

    assert len(error.value.problems) == 4


def test_shows_the_app_that_it_wraps() -> None:
    assert LifespanMiddleware(hello).app is hello
