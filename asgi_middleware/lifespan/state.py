"""The state that startup fills and requests see."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar, Token
from typing import Any

from ..types import Scope

State = dict[str, Any]

# Keys that layers set, with their owners: some once for all requests, some for each.
RESERVED = {
    "request_id": "RequestIDMiddleware",
    "tasks": "LifespanMiddleware",
    "timing": "TimingMiddleware",
}

# What get_state() returns: for a request, the dict that the app finds in its scope.
current_state: ContextVar[State | None] = ContextVar("state", default=None)


def state_of(scope: Scope) -> State:
    """Return the state that a server has put into *scope*, not a copy; an empty one if it has not.

    https://asgi.readthedocs.io/en/latest/specs/lifespan.html#lifespan-state
    """
    state: State | None = scope.get("state")
    return {} if state is None else state


@contextmanager
def as_current(state: State) -> Generator[None]:
    """Make *state* what :func:`get_state` returns; afterwards it is what it was before."""
    token = current_state.set(state)
    try:
        yield
    finally:
        restore(token)


def restore(token: "Token[State | None]") -> None:
    """Undo what has set the current state.

    A ValueError says that this is another context: the garbage collector closes a coroutine that
    nobody awaits anymore, during some other request. Nothing is to be restored there.
    """
    try:  # noqa: SIM105 -- suppress() costs three times as much, and every request comes here
        current_state.reset(token)
    except ValueError:
        pass


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
