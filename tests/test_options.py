"""How options are checked, and what the error says about one that cannot work."""

from collections.abc import Iterable
from typing import Any

import pytest

from asgi_middleware import ConfigurationError, Drain
from asgi_middleware import _options as options


@pytest.mark.parametrize(
    ("problems", "expected"),
    [
        pytest.param(options.boolean("on", True), [], id="a bool"),
        pytest.param(
            options.boolean("on", "false"), ["on: 'false' is a string; use False"], id="'false'"
        ),
        pytest.param(options.boolean("on", "Yes"), ["on: 'Yes' is a string; use True"], id="'Yes'"),
        pytest.param(
            options.boolean("on", "maybe"),
            ["on: 'maybe' is a string; use True or False"],
            id="another string",
        ),
        pytest.param(options.boolean("on", 1), ["on: 1 is a number; use True"], id="1"),
        pytest.param(options.boolean("on", None), ["on: None is not a bool; use False"], id="None"),
        pytest.param(options.strings("names", ["a"], ["b"]), [], id="a list"),
        pytest.param(options.strings("names", (), ["b"]), [], id="an empty tuple"),
        pytest.param(options.strings("names", {"a"}, ["b"]), [], id="a set"),
        pytest.param(
            options.strings("names", None, ["b"], optional=True), [], id="None for an optional list"
        ),
        pytest.param(
            options.strings("names", "a", ["b"]),
            ["names: 'a' is one string; use ['a']"],
            id="one string",
        ),
        pytest.param(
            options.strings("names", "a, b", ["b"]),
            ["names: 'a, b' is one string; use ['a', 'b']"],
            id="a string with commas",
        ),
        pytest.param(
            options.strings("names", '["a", "b"]', ["b"]),
            ["names: '[\"a\", \"b\"]' is one string; use ['a', 'b']"],
            id="a list as JSON",
        ),
        pytest.param(
            options.strings("names", {"a": 1}, ["b"]),
            ["names: {'a': 1} is not a list; use ['b']"],
            id="a dict",
        ),
        pytest.param(
            options.strings("names", None, ["b"]),
            ["names: None is not a list; use ['b']"],
            id="None for a list",
        ),
        pytest.param(
            options.strings("names", ["a", 1], ["b"]),
            ["names: 1 is not a string; use 'b'"],
            id="a number in a list",
        ),
        pytest.param(options.function("make", len, "len"), [], id="a function"),
        pytest.param(
            options.function("make", None, "len", optional=True),
            [],
            id="None for an optional function",
        ),
        pytest.param(
            options.function("make", 1, "len"),
            ["make: 1 cannot be called; use len"],
            id="a number for a function",
        ),
        pytest.param(options.seconds("wait", 1), [], id="seconds"),
        pytest.param(options.seconds("wait", 0, zero=True), [], id="0 seconds"),
        pytest.param(
            options.seconds("wait", None, optional=True), [], id="None for an optional time"
        ),
        *(
            pytest.param(
                options.seconds("wait", value),
                [f"wait: {value!r} is not a number of seconds above 0; use 1.0"],
                id=f"{value!r} seconds",
            )
            for value in (0, -1, "5", True, None, float("nan"), float("inf"))
        ),
        pytest.param(options.whole_number("size", 2, 1, example=8), [], id="a whole number"),
        *(
            pytest.param(
                options.whole_number("size", value, 1, 9, example=8, optional=True),
                [f"size: {value!r} is not a whole number from 1 to 9; use 8 or None"],
                id=f"{value!r} as a whole number",
            )
            for value in (0, 10, 1.5, "5", True)
        ),
        pytest.param(options.path("at", "/x", "/y"), [], id="a path"),
        pytest.param(
            options.path("at", "x", "/y"),
            ["at: 'x' does not start with a slash; use '/x'"],
            id="a path without a slash",
        ),
        pytest.param(
            options.path("at", None, "/y"),
            ["at: None is not a path; use '/y'"],
            id="None for a path",
        ),
        pytest.param(options.paths("at", ["/x"], ["/y"]), [], id="paths"),
        pytest.param(
            options.paths("at", ["x", 1], ["/y"]),
            ["at: 1 is not a string; use '/y'"],
            id="a number among paths",
        ),
        pytest.param(options.header_name("name", "X-A", "X-B"), [], id="a header name"),
        pytest.param(
            options.header_name("name", "x y", "X-B"),
            ["name: 'x y' is not a valid header name; use 'X-B'"],
            id="a header name with a space",
        ),
        pytest.param(options.mapping("by", {}, "{}"), [], id="a mapping"),
        pytest.param(
            options.mapping("by", [1], "{'a': 1}"),
            ["by: [1] is not a dict; use {'a': 1}"],
            id="a list for a mapping",
        ),
        pytest.param(options.instance("drain", Drain(), Drain, "Drain()"), [], id="an instance"),
        pytest.param(
            options.instance("drain", Drain, Drain, "Drain()", optional=True),
            ["drain: Drain is a class; use Drain() or None"],
            id="a class for an instance",
        ),
        pytest.param(
            options.instance("drain", 5, Drain, "Drain()"),
            ["drain: 5 is not a Drain; use Drain()"],
            id="something else for an instance",
        ),
        pytest.param(
            options.choice("how", "x", ("a", "b", "c")),
            ["how: 'x' is not known; use 'a', 'b' or 'c'"],
            id="an unknown word",
        ),
        pytest.param(options.text("name", "", "x"), ["name: '' is not a name; use 'x'"], id="''"),
    ],
)
def test_an_option_that_cannot_work_is_named_with_its_value_and_a_way_out(
    problems: Iterable[str], expected: list[str]
) -> None:
    assert list(problems) == expected


class Callable:
    async def __call__(self) -> None: ...


async def coroutine_function() -> None: ...


@pytest.mark.parametrize("value", [coroutine_function, Callable()])
def test_an_async_function_is_refused_where_nobody_would_await_it(value: Any) -> None:
    [problem] = options.function("make", value, "len")

    assert problem.startswith("make: ")
    assert problem.endswith("is async, but must be a plain function; use len")
    assert list(options.function("make", value, "len", may_be_async=True)) == []


def test_the_way_out_for_one_string_is_a_list_that_is_accepted() -> None:
    def each(option: str, value: str) -> Iterable[str]:
        return options.path(option, value, "/y")

    assert list(options.strings("at", "x", ["/y"], each=each)) == [
        "at: 'x' is one string; use ['/y']"
    ]
    assert list(options.strings("at", "/x", ["/y"], each=each)) == [
        "at: '/x' is one string; use ['/x']"
    ]


def test_the_repr_of_a_layer_is_the_call_that_builds_it() -> None:
    class Layer:
        pass

    assert options.repr_of(Layer(), by=len, at="/x", no=None) == "Layer(by=len, at='/x', no=None)"


def test_a_long_value_is_cut_in_the_error() -> None:
    [problem] = options.boolean("on", "x" * 10_000)

    assert len(problem) < 300


def test_all_problems_are_raised_together() -> None:
    with pytest.raises(ConfigurationError) as refused:
        options.check("Layer", options.boolean("a", "no"), iter(()), options.boolean("b", "on"))

    assert str(refused.value) == (
        "Layer: a: 'no' is a string; use False\nLayer: b: 'on' is a string; use True"
    )


def test_check_raises_nothing_if_there_is_no_problem() -> None:
    options.check("Layer", options.boolean("a", True))
