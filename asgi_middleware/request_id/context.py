"""The ID of the request that the current code runs for."""

from collections.abc import Generator
from contextlib import contextmanager, suppress
from contextvars import ContextVar

from .ids import FLOOR, FLOOR_IN_WORDS, generate_request_id

DEFAULT_HEADER = "X-Request-ID"

# The ID, and the lower-case name of the header that passes it on to other services.
current_id: ContextVar[tuple[str, str] | None] = ContextVar("request_id", default=None)


def get_request_id() -> str | None:
    """Return the ID of the request that this code runs for, or None outside a request."""
    current = current_id.get()
    return None if current is None else current[0]


@contextmanager
def request_id_context(request_id: str | None = None) -> Generator[str]:
    """Give an ID to code that runs outside a request: a command, a task, a test.

        with request_id_context(task.headers.get("request_id")) as request_id: ...

    None generates a new ID. After the block, the previous ID is back. Raises ValueError
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
        # A ValueError means that this is another context: the garbage collector is closing an
        # abandoned coroutine during some other request. There is nothing to restore there.
        with suppress(ValueError):
            current_id.reset(token)
