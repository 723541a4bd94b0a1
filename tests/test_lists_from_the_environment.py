"""Options recognize a list from an environment variable that nobody split."""

import ast
import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from asgi_middleware import (
    AccessLog,
    ConfigurationError,
    CORSPolicy,
    RequestIDMiddleware,
    TimingMiddleware,
    WebSocketOriginMiddleware,
)
from tests.apps import hello

ORIGINS = ["https://a.example", "http://[::1]:8000", "capacitor://localhost"]

OPTIONS: list[tuple[Callable[..., object], str, list[str]]] = [
    (CORSPolicy, "allow_origins", ORIGINS),
    (CORSPolicy, "allow_methods", ["GET", "POST"]),
    (CORSPolicy, "allow_headers", ["x-a", "x-b"]),
    (CORSPolicy, "expose_headers", ["x-a", "x-b"]),
    (WebSocketOriginMiddleware, "allow_origins", ["same-origin", *ORIGINS]),
    (WebSocketOriginMiddleware, "allowed_hosts", [".a.example", "[::1]", "127.0.0.1"]),
    (TimingMiddleware, "timing_allow_origin", ORIGINS),
    (RequestIDMiddleware, "fallback_headers", ["X-A", "X-B"]),
    (RequestIDMiddleware, "trusted", ["10.0.0.0/8", "unix"]),
    (AccessLog, "skip_paths", ["/a", "/b/*"]),
]

FORMS: dict[str, Callable[[Sequence[str]], str]] = {
    "commas": ",".join,
    "commas and spaces": " , ".join,
    "semicolons": ";".join,
    "lines": "\n".join,
    "a comma at the end": lambda each: f"{','.join(each)},",
    "JSON": json.dumps,
    "JSON, indented": lambda each: json.dumps(each, indent=2),
    "the repr of a list": repr,
    "the repr of a tuple": lambda each: repr(tuple(each)),
    "brackets without quotes": lambda each: f"[{', '.join(each)}]",
    "quotes around each": lambda each: ", ".join(f"'{one}'" for one in each),
}


def problem(constructor: Callable[..., object], option: str, value: Any) -> str:
    app = [hello] if str(constructor).endswith("Middleware'>") else []
    with pytest.raises(ConfigurationError) as refused:
        constructor(*app, **{option: value})
    [found] = refused.value.problems
    return found


def way_out(problem: str) -> Any:
    return ast.literal_eval(problem.rpartition("; use ")[2])


def each_option(*but: str) -> pytest.MarkDecorator:
    rows = [row for row in OPTIONS if row[1] not in but]
    return pytest.mark.parametrize(
        ("constructor", "option", "wanted"),
        [pytest.param(*row, id=f"{row[0].__name__}.{row[1]}") for row in rows],
    )


each_form = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)


@each_form
@each_option()
def test_the_error_for_one_string_shows_the_list_that_was_meant(
    constructor: Callable[..., object], option: str, wanted: list[str], form: Callable[..., str]
) -> None:
    found = problem(constructor, option, form(wanted))

    assert "is one string" in found
    assert way_out(found) == wanted


@each_form
@each_option("skip_paths")  # a path may have commas and quotes
def test_the_error_for_a_list_in_one_string_shows_its_elements(
    constructor: Callable[..., object], option: str, wanted: list[str], form: Callable[..., str]
) -> None:
    found = problem(constructor, option, [form(wanted)])

    assert "is a list in one string" in found
    assert list(way_out(found)) == wanted


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        pytest.param("", "'' is one string", id="not set"),
        pytest.param([""], "[''] is what an empty string splits into", id="not set, and split"),
        pytest.param([" "], "[' '] is what an empty string splits into", id="blank, and split"),
    ],
)
@each_option("trusted")  # where "" stands for False, because it may be a bool too
def test_the_error_for_an_empty_variable_shows_an_empty_list(
    constructor: Callable[..., object],
    option: str,
    wanted: list[str],
    value: object,
    fault: str,
) -> None:
    assert problem(constructor, option, value) == f"{option}: {fault}; use []"
