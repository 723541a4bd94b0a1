"""The state that start-up fills and requests see."""

from collections.abc import Mapping
from typing import Any

State = dict[str, Any]

# Set by other layers for each request; a context's value would be lost behind theirs.
RESERVED = frozenset({"request_id", "tasks", "timing"})


def merge(state: State, yielded: Mapping[str, Any], source: str) -> None:
    """Add to *state* what the context named *source* yielded.

    Raises ValueError for a key that is there already, or that a middleware sets.
    """
    for key in yielded:
        if key in RESERVED:
            raise ValueError(f"{source} yields {key!r}, which a middleware sets; rename it")
        if key in state:
            raise ValueError(f"{source} yields {key!r}, which is in the state already; rename it")
    state.update(yielded)
