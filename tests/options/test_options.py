"""Every constructor refuses options that cannot work, and offers a way out that works.

The rows are in the modules beside this one, one for each part of the package.
"""

import ast
import importlib
import inspect
import pkgutil
import re
from typing import Any

import pytest

import asgi_middleware
import tests.options
from asgi_middleware import ConfigurationError, ThreadPool
from tests.apps import hello

from .row import Row

PARTS = [
    module.name
    for module in pkgutil.iter_modules(tests.options.__path__)
    if module.name not in ("row", "test_options")
]
ROWS: list[Row] = [
    row for part in PARTS for row in importlib.import_module(f"tests.options.{part}").ROWS
]


def built(row: Row, **changed: Any) -> object:
    """Call the constructor with the row's options. A middleware also gets an app."""
    constructor, options, _ = row
    is_middleware = "app" in inspect.signature(constructor).parameters
    return constructor(*([hello] if is_middleware else []), **{**options, **changed})


def name(row: Row) -> str:
    constructor, options, _ = row
    # Without addresses, so that the tests have the same names in each process.
    shown = re.sub(r" at 0x[0-9a-f]+", "", repr(options))
    return f"{getattr(constructor, '__name__', constructor)}-{shown:.80}"


every_row = pytest.mark.parametrize("row", ROWS, ids=name)


@every_row
def test_a_constructor_names_every_problem(row: Row) -> None:
    with pytest.raises(ConfigurationError) as refused:
        built(row)

    assert refused.value.problems == row[2]


# The names that a way out may use.
_NAMES: dict[str, Any] = {
    **{public: getattr(asgi_middleware, public) for public in asgi_middleware.__all__},
    "pool": ThreadPool(),
    "re": re,
    "str": str,
}


def ways_out(problem: str) -> list[Any]:
    """Return the values that a problem offers: the text after "; use ", without a comment."""
    offered = problem.rpartition("; use ")[2].rpartition("such as ")[2].partition(": ")[0]
    values: list[Any] = []
    for each in re.split(r",? or |, (?=['\d])", offered):
        try:
            # It is safe to evaluate these texts, because they are our own messages.
            tree = ast.parse(each.strip(), mode="eval")
            values.append(eval(compile(tree, "<way out>", "eval"), dict(_NAMES)))
        except (SyntaxError, NameError):
            continue  # a way out in words, not a value
    return values


@every_row
def test_a_way_out_is_accepted_by_the_same_constructor(row: Row) -> None:
    """The option then has no problem. A way out may also be an element of its list or dict."""
    for problem in row[2]:
        option = problem.partition(":")[0]
        for value in ways_out(problem):
            before = row[1].get(option)
            if not any(accepts(row, option, each) for each in candidates(before, value)):
                pytest.fail(f"{problem!r} offers {value!r}, which is refused as well")


def candidates(before: object, value: Any) -> list[object]:
    """Return the options that *value* may stand for: itself, or a list or dict that has it."""
    if not isinstance(before, dict):
        return [value, [value]]
    as_key = [{value: each} for each in before.values()] if isinstance(value, str) else []
    return [value, *as_key, *({key: value} for key in before)]


def accepts(row: Row, option: str, value: object) -> bool:
    try:
        built(row, **{option: value})
    except ConfigurationError as error:
        return not any(problem.startswith(f"{option}:") for problem in error.problems)
    return True
