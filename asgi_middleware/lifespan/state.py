"""The state that startup fills and requests see."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar, Token
from typing import Any

from ..types import Scope

State = dict[str, Any]

# Keys that layers set, with their owners. Some are set once, others for each request.
RESERVED = {
    "request_id": "RequestIDMiddleware",
    "tasks": "LifespanMiddleware",
    "timing": "TimingMiddleware",
}

# What get_state() returns: for a request, the dict that the app finds in its scope.
current_state: ContextVar[State | None] = ContextVar("state", default=None)


def state_of(scope: Scope) -> State:
    """Return the state that the server has put into *scope*, not a copy; else an empty one.

    https://asgi.readthedocs.io/en/latest/specs/lifespan.html#lifespan-state
    """
    state: State | None = scope.get("state")
    return {} if state is None else state


@contextmanager
def as_current(state: State) -> Generator[None]:
    """Within it, :func:`get_state` returns *state*."""
    token = current_state.set(state)
    try:
        yield
    finally:
        restore(token)


def restore(token: "Token[State | None]") -> None:
    """Set the current state back to what it was before *token*.

    A ValueError means that this is another context: the garbage collector is closing an abandoned
    coroutine during some other request. There is nothing to restore then.
    """
    try:  # noqa: SIM105 -- runs for every request, and suppress() costs three times as much
        current_state.reset(token)
    except ValueError:
        pass


def merge(state: State, owners: dict[str, str], yielded: Mapping[str, Any], *, source: str) -> None:
    """Merge what *source* has yielded into *state*, and record in *owners* who set each key.

    Raises ValueError, and changes nothing, if another source has set one of the keys.
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
