"""assert_linear accepts linear functions and fails for quadratic ones."""

from collections.abc import Callable

import pytest

from tests.growth import assert_linear


def joined(size: int) -> bytes:
    return b",".join([b"x" for _ in range(size)])


def split_once(size: int) -> list[bytes]:
    return [part.strip() for part in (b"x, " * size).split(b",")]


def appended(size: int) -> bytes:
    value = b""
    for _ in range(size):
        value = value + b"x"
    return value


def searched(size: int) -> list[int]:
    return [number for number in range(size) if all(number != other for other in range(size))]


def split_again_and_again(size: int) -> int:
    value = b"x," * size
    return sum(len(value.split(b",")) for _ in range(size))


@pytest.mark.parametrize("call", [joined, split_once])
def test_a_linear_function_passes(call: Callable[[int], object]) -> None:
    assert_linear(call)


@pytest.mark.parametrize("call", [appended, searched, split_again_and_again])
def test_a_quadratic_function_fails(call: Callable[[int], object]) -> None:
    with pytest.raises(AssertionError, match="steps"):
        assert_linear(call, size=30)
