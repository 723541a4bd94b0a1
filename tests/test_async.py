"""Which functions count as async."""

import ast
from collections.abc import Awaitable
from functools import partial
from pathlib import Path

import pytest

import asgi_middleware
from asgi_middleware._async import as_async, is_async
from asgi_middleware.types import Message


async def coroutine_function() -> None: ...


def function() -> None: ...


def send(message: Message) -> Awaitable[None]:
    return coroutine_function()


class AsyncCall:
    async def __call__(self) -> None: ...


class SyncCall:
    def __call__(self) -> None: ...


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(coroutine_function, True, id="coroutine function"),
        pytest.param(partial(coroutine_function), True, id="partial of a coroutine function"),
        pytest.param(AsyncCall(), True, id="object with an async call"),
        pytest.param(as_async(send), True, id="marked"),
        pytest.param(function, False, id="function"),
        pytest.param(SyncCall(), False, id="object with a sync call"),
        pytest.param(AsyncCall, False, id="class of such objects"),
        pytest.param(None, False, id="not a function"),
    ],
)
def test_a_function_is_async_if_calling_it_returns_a_coroutine(
    value: object, expected: bool
) -> None:
    assert is_async(value) is expected


def test_only_one_module_checks_or_marks_which_functions_are_async() -> None:
    root = Path(asgi_middleware.__file__).parent
    asking = {
        path.relative_to(root).as_posix()
        for path in root.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom)
        and {"iscoroutinefunction", "markcoroutinefunction"} & {each.name for each in node.names}
    }

    assert asking == {"_async.py"}
