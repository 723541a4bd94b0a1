"""Measure how the cost of a call grows with its input, by counting work and never by time.

    assert_linear(lambda size: parse(b"x," * size))

Work is what Python runs and copies. Each line counts 1. A string or collection counts its length
when it is assigned to a variable, and when one of its built-in methods is called. A nested loop
therefore shows, and so does ``text += part``. The work inside a regular expression does not.
"""

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, cast

# Methods whose cost does not depend on the length of their object.
_AT_ONCE = {"append", "add", "get"}
_SIZED = (bytes, bytearray, str, list, tuple, dict, set, frozenset)


def assert_linear(call: Callable[[int], object], size: int = 500) -> None:
    """Fail if *call* with ten times the *size* costs more than about ten times as much."""
    small, large = (work(lambda each=each: call(each)) for each in (size, 10 * size))  # type: ignore[misc]
    assert large <= 12 * small, f"{size}: {small} steps, {10 * size}: {large} steps"


def work(call: Callable[[], object]) -> int:
    """Return how much work *call* does in this thread. *call* may run an event loop."""
    count = 0

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        seen: dict[str, object] = {}
        # Reading a variable that an inner function uses can crash Python 3.13.0 if a comprehension
        # has one of the same name.
        names = {*frame.f_code.co_varnames} - {*frame.f_code.co_cellvars}

        def inside(frame: FrameType, event: str, argument: object) -> Any:
            nonlocal count
            count += 1  # also once for each iteration of a loop on one line
            if event == "line":
                variables = frame.f_locals
                for name in names:
                    value = variables.get(name)
                    if seen.get(name) is not value:
                        seen[name] = value
                        count += _length(value)
            return inside

        return inside

    def profile(frame: FrameType, event: str, called: object) -> None:
        nonlocal count
        if event == "c_call" and getattr(called, "__name__", "") not in _AT_ONCE:
            count += _length(getattr(called, "__self__", None))

    before = sys.gettrace(), sys.getprofile()
    sys.settrace(trace)
    sys.setprofile(profile)
    try:
        call()
    finally:
        sys.setprofile(before[1])
        sys.settrace(before[0])
    return count


def _length(value: object) -> int:
    return len(cast("Any", value)) if isinstance(value, _SIZED) else 0
