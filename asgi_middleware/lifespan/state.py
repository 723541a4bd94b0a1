"""The state that startup fills and requests see."""

from collections.abc import Mapping
from typing import Any

from ..types import Scope

State = dict[str, Any]

# Keys that layers set, with their owners: some once for all requests, some for each.
RESERVED = {
    "request_id": "RequestIDMiddleware",
    "tasks": "LifespanMiddleware",
    "timing": "TimingMiddleware",
}


def state_of(scope: Scope) -> State:
    """Return the state that a server has put into *scope*, not a copy; an empty one if it has not.

    https://asgi.readthedocs.io/en/latest/specs/lifespan.html#lifespan-state
    """
    state: State | None = scope.get("state")
    return {} if state is None else state


def merge(state: State, owners: dict[str, str], yielded: Mapping[str, Any], *, source: str) -> None:
    """Add to *state* what *source* yielded, and to *owners* whose keys they are.

    Raises ValueError if another source has set one of the keys, and then changes nothing.
    """
    taken = [
        f"{owners.get(key, 'another')} and {source} both set {key!r} in the state; rename one"
        for key in yielded
        if key in owners or key in state
    ]
    if taken:
        raise ValueError(", ".join(taken))
    state.update(yielded)
    owners.update(dict.fromkeys(yielded, source))
