"""The ID of the request that code runs for."""

from collections.abc import Generator
from contextlib import contextmanager, suppress
from contextvars import ContextVar

from .ids import FLOOR, FLOOR_IN_WORDS, generate_request_id

DEFAULT_HEADER = "X-Request-ID"

# The ID, and the lower-case name of the header that takes it to other services.
current_id: ContextVar[tuple[str, str] | None] = ContextVar("request_id", default=None)


def get_request_id() -> str | None:
    """Return the ID of the request that this code runs for, or None outside a request."""
    current = current_id.get()
    return None if current is None else current[0]


@contextmanager
def request_id_context(request_id: str | None = None) -> Generator[str]:
    """Give an ID to code that no request has called: a command, a task, a test.

        with request_id_context(task.headers.get("request_id")) as request_id: ...

    None makes a new ID. After the block, the ID is again what it was before. Raises ValueError
    for an ID that is not 1 to 200 visible ASCII characters.
    """
    chosen = generate_request_id() if request_id is None else request_id
    if not FLOOR.fullmatch(chosen):
        raise ValueError(
            f"request_id_context: {chosen!r:.200} is not {FLOOR_IN_WORDS}; use None for a new ID"
        )
    before = current_id.get()
    header = DEFAULT_HEADER.lower() if before is None else before[1]
    token = current_id.set((chosen, header))
    try:
        yield chosen
    finally:
        # A ValueError says that this is another context: the garbage collector closes a coroutine
        # that nobody awaits anymore, during some other request. Nothing is to be restored there.
        with suppress(ValueError):
            current_id.reset(token)
