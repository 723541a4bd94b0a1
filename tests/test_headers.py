"""Functions for lists of headers."""

import pytest

from asgi_middleware._headers import elements, is_token, replaced, values, vary_on
from asgi_middleware.types import Header


def test_values_finds_a_name_in_any_case() -> None:
    headers = [(b"Vary", b"a"), (b"x", b"y"), (b"vary", b"b")]

    assert values(headers, b"vary") == [b"a", b"b"]


def test_replaced_replaces_all_lines_of_a_name_with_one() -> None:
    headers = [(b"X-Id", b"1"), (b"other", b"2"), (b"x-id", b"3")]

    assert replaced(headers, b"x-id", b"4") == [(b"other", b"2"), (b"x-id", b"4")]


def test_vary_on_accepts_an_iterator() -> None:
    assert vary_on(iter([(b"a", b"b")]), b"Origin") == [(b"a", b"b"), (b"vary", b"Origin")]


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        pytest.param([], [(b"vary", b"Origin")], id="none yet"),
        pytest.param(
            [(b"Vary", b"Cookie"), (b"x", b"y")],
            [(b"x", b"y"), (b"vary", b"Cookie, Origin")],
            id="added to the app's",
        ),
        pytest.param([(b"Vary", b"a,origin")], [(b"vary", b"a,origin")], id="listed already"),
        pytest.param(
            [(b"vary", b"x-origin")], [(b"vary", b"x-origin, Origin")], id="a longer name"
        ),
        pytest.param([(b"vary", b"*")], [(b"vary", b"*")], id="a star includes all names"),
        pytest.param([(b"vary", b"a, *")], [(b"vary", b"a, *")], id="a star among others"),
        pytest.param(
            [(b"vary", b"a"), (b"x", b"y"), (b"Vary", b"b, c")],
            [(b"x", b"y"), (b"vary", b"a, b, c, Origin")],
            id="several lines become one",
        ),
        pytest.param([(b"vary", b"")], [(b"vary", b"Origin")], id="an empty line"),
    ],
)
def test_vary_on_keeps_the_names_that_are_listed_already(
    headers: list[Header], expected: list[Header]
) -> None:
    before = list(headers)

    assert vary_on(headers, b"Origin") == expected
    assert headers == before


def test_elements_splits_a_list_and_skips_empty_elements() -> None:
    assert elements(b"a, b, ,\tc ,") == [b"a", b"b", b"c"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"x-request-id", True),
        (b"!#$%&'*+-.^_`|~", True),
        (b"", False),
        (b"a b", False),
        (b"a:", False),
        (b"\xe9", False),
    ],
)
def test_is_token_accepts_only_tokens(value: bytes, expected: bool) -> None:
    assert is_token(value) is expected
