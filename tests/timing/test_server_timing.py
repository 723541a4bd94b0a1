import math
from collections.abc import Iterator

import pytest

from asgi_middleware.timing.server_timing import MAX_LENGTH, entry, joined


@pytest.mark.parametrize(
    ("name", "duration", "description", "expected"),
    [
        pytest.param("app", 0.0123, None, b"app;dur=12.3", id="milliseconds"),
        pytest.param("app", 0.00004, None, b"app;dur=0.0", id="fixed decimals"),
        pytest.param("app", 1e-12, None, b"app;dur=0.0", id="no exponent"),
        pytest.param("app", -0.5, None, b"app;dur=0.0", id="never negative"),
        pytest.param("app", math.nan, None, b"app", id="not a number"),
        pytest.param("app", math.inf, None, b"app", id="infinite"),
        pytest.param("a b,c", 0, None, b"a_b_c;dur=0.0", id="name that is not a token"),
        pytest.param("naïve", 0, None, b"na_ve;dur=0.0", id="name not ASCII"),
        pytest.param("db", 0, "sqlite", b"db;dur=0.0;desc=sqlite", id="token unquoted"),
        pytest.param("db", 0, "3 queries", b'db;dur=0.0;desc="3 queries"', id="quoted"),
        pytest.param("db", 0, 'a"b\\c', b'db;dur=0.0;desc="a\\"b\\\\c"', id="quotes escaped"),
        pytest.param("db", 0, "a\r\nb é", b'db;dur=0.0;desc="a??b ?"', id="line break"),
        pytest.param("db", 0, "", b'db;dur=0.0;desc=""', id="empty description"),
    ],
)
def test_an_entry_has_a_name_a_duration_and_a_description(
    name: str, duration: float, description: str | None, expected: bytes
) -> None:
    assert entry(name, duration, description, precision=1) == expected


def test_the_precision_is_the_number_of_decimals_of_the_milliseconds() -> None:
    assert entry("app", 0.0123456, None, precision=3) == b"app;dur=12.346"
    assert entry("app", 0.0123456, None, precision=0) == b"app;dur=12"


def test_entries_are_joined_in_order() -> None:
    assert joined([b"a", b"b"], 2) == b"a, b"


@pytest.mark.parametrize("number", [1000, 10**9])
def test_a_long_field_is_cut_and_says_how_many_entries_are_left_out(number: int) -> None:
    field = joined([b"x" * 100] * 1000, number)

    *entries, note = field.split(b", ")
    assert len(field) <= MAX_LENGTH
    assert set(entries) == {b"x" * 100}
    assert note == b'more;desc="%d left out"' % (number - len(entries))


def test_an_entry_that_is_too_long_is_left_out() -> None:
    assert joined([b"x" * 3000, b"y"], 2) == b'more;desc="2 left out"'


def test_a_field_ends_at_the_first_entry_that_does_not_fit() -> None:
    def entries() -> Iterator[bytes]:
        yield from [b"x" * 100] * 30
        raise AssertionError("an entry after the cut was generated")

    assert joined(entries(), 10_000).startswith(b"x")
