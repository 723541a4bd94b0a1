"""What Django does under ASGI: the facts that this package is designed around."""

import asyncio
import gc
from collections.abc import Iterator
from typing import TYPE_CHECKING

import django
import pytest
from django.core.signals import request_finished

from asgi_middleware.testing import ASGIViolation, request, stream
from asgi_middleware.testing.recording import RecordedApp
from asgi_middleware.types import ASGIApp, Message, Receive, Scope, Send

from .urls import Visit, set_by_a_view

if TYPE_CHECKING:
    import threading

# Before Django 6.1, the view runs in a child of the task that called Django. Since then, it runs
# in that task itself.
IN_A_CHILD_TASK = django.VERSION < (6, 1)


@pytest.fixture
def finished() -> Iterator[list[object]]:
    """The senders of each request_finished signal, in order."""
    senders: list[object] = []

    def note(sender: object, **kwargs: object) -> None:
        senders.append(sender)

    request_finished.connect(note)
    yield senders
    request_finished.disconnect(note)


# --- header names ---


async def test_django_sends_header_names_in_mixed_case(bare_django: RecordedApp) -> None:
    response = await request(bare_django, target="/varied/")

    assert [name for name, _ in response.headers] == [b"Content-Type", b"Vary", b"Set-Cookie"]


async def test_the_specification_wants_header_names_in_lower_case(bare_django: RecordedApp) -> None:
    with pytest.raises(ASGIViolation, match="header names must be in lower case"):
        await request(bare_django.app, target="/varied/")


# --- cancellation, and a disconnect instead ---


@pytest.fixture
def _open_file(bare_django: RecordedApp) -> Iterator[None]:
    """Collect the file with the request's body, which Django before 6.1 leaves open."""
    yield
    bare_django.calls.clear()
    gc.collect()


@pytest.mark.usefixtures("_open_file")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("target", ["/waiting/", "/streaming/"])
async def test_when_cancelled_django_never_finishes_the_request(
    target: str, bare_django: RecordedApp, finished: list[object]
) -> None:
    visit = Visit()

    await _cancelled(bare_django, target, visit)

    assert visit.cancelled == (not IN_A_CHILD_TASK)
    visit.let_go.set()
    await _others_to_end()
    assert finished == []
    assert not visit.closed


@pytest.mark.usefixtures("_open_file")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize(
    ("target", "at_first", "later"),
    [
        pytest.param("/waiting/", [], ["start", "body"], id="before the response"),
        pytest.param("/streaming/", ["start", "body"], ["body", "body"], id="during the response"),
    ],
)
async def test_when_cancelled_django_sends_nothing_more_but_before_6_1_the_view_goes_on(
    target: str, at_first: list[str], later: list[str], bare_django: RecordedApp
) -> None:
    visit = Visit()

    await _cancelled(bare_django, target, visit)

    assert _sent(bare_django) == at_first
    visit.let_go.set()
    await _others_to_end()
    assert _sent(bare_django) == [*at_first, *(later if IN_A_CHILD_TASK else [])]


@pytest.mark.parametrize(
    ("target", "closed"),
    [
        pytest.param("/waiting/", False, id="before the response, so there is none to close"),
        pytest.param("/streaming/", True, id="during the response"),
    ],
)
async def test_on_a_disconnect_django_finishes_the_request(
    target: str, closed: bool, bare_django: RecordedApp, finished: list[object]
) -> None:
    visit = Visit()

    async with stream(bare_django, target=target, scope={"state": {"visit": visit}}) as exchange:
        exchange.send_body(b"", more_body=False)
        await visit.waits.wait()
        exchange.disconnect()

    assert visit.cancelled
    assert visit.closed == closed
    assert len(finished) == 1


async def _cancelled(app: ASGIApp, target: str, visit: Visit) -> None:
    """Cancel a request while its view is waiting."""
    async with stream(app, target=target, scope={"state": {"visit": visit}}) as exchange:
        exchange.send_body(b"", more_body=False)
        await visit.waits.wait()
        exchange.cancel()


async def _others_to_end() -> None:
    """Wait for the tasks that Django has left running."""
    if others := asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.wait(others, timeout=10)


def _sent(app: RecordedApp) -> list[str]:
    return [message["type"].rpartition(".")[2] for message in app.sent]


# --- receive() during the response ---


async def test_django_receives_once_more_during_the_response(bare_django: RecordedApp) -> None:
    visit = Visit()
    asked = 0

    async def counting(scope: Scope, receive: Receive, send: Send) -> None:
        async def counted() -> Message:
            nonlocal asked
            asked += 1
            return await receive()

        await bare_django(scope, counted, send)

    async with stream(
        counting, target="/streaming/", scope={"state": {"visit": visit}}
    ) as exchange:
        exchange.send_body(b"", more_body=False)
        await visit.waits.wait()
        assert asked == 2
        visit.let_go.set()
        messages = [await exchange.message() for _ in range(4)]

    assert [message.get("body") for message in messages] == [None, b"first", b"late", None]
    assert asked == 2


async def test_django_rejects_any_message_but_a_disconnect_during_the_response(
    bare_django: RecordedApp,
) -> None:
    visit = Visit()

    async def surprised() -> None:
        scope = {"state": {"visit": visit}}
        async with stream(bare_django, target="/waiting/", scope=scope) as exchange:
            exchange.send_body(b"", more_body=False)
            await visit.waits.wait()
            exchange.send_body(b"more", more_body=False)
            await exchange.message()

    with pytest.raises(AssertionError, match="Invalid ASGI message after request body"):
        await surprised()
    # Before Django 6.1, this view is left running as well.
    assert visit.cancelled == (not IN_A_CHILD_TASK)
    visit.let_go.set()
    await _others_to_end()


# --- the task of the view ---


@pytest.mark.parametrize("view", ["sync", "async"])
async def test_before_6_1_a_context_variable_set_in_a_view_does_not_reach_the_caller(
    view: str, bare_django: RecordedApp
) -> None:
    seen, _ = await _left_behind(bare_django, view)

    # Since Django 6.1 it does, unless code in between creates a task. Nothing promises that.
    assert seen == (not IN_A_CHILD_TASK)


@pytest.mark.parametrize("view", ["sync", "async"])
async def test_what_a_view_puts_into_a_shared_object_reaches_the_caller(
    view: str, bare_django: RecordedApp
) -> None:
    _, box = await _left_behind(bare_django, view)

    assert box == ["from the view"]


async def _left_behind(app: ASGIApp, view: str) -> tuple[bool, list[str]]:
    """Return what a view leaves for code around Django: the context variable, and the box."""
    box: list[str] = []
    seen: list[bool] = []

    async def looking(scope: Scope, receive: Receive, send: Send) -> None:
        await app(scope, receive, send)
        seen.append(set_by_a_view.get())

    await request(looking, target=f"/leaving/{view}/", scope={"state": {"box": box}})
    return seen[0], box


# --- threads ---


async def test_django_starts_a_thread_for_every_request(bare_django: RecordedApp) -> None:
    # Keeping the threads ensures that no two of them have the same identity.
    threads: list[threading.Thread] = []

    for _ in range(5):
        await request(bare_django, target="/in-thread/", scope={"state": {"threads": threads}})

    assert len({id(thread) for thread in threads}) == 5
    for thread in threads:
        thread.join(10)
    assert [thread for thread in threads if thread.is_alive()] == []


# --- scopes that Django does not handle ---


@pytest.mark.parametrize("kind", ["lifespan", "websocket", "x-of-tomorrow"])
async def test_django_raises_an_exception_for_every_scope_but_http(
    kind: str, bare_django: RecordedApp
) -> None:
    async def receive() -> Message:
        raise AssertionError("not called")

    async def send(message: Message) -> None:
        raise AssertionError("not called")

    with pytest.raises(ValueError, match=f"can only handle ASGI/HTTP connections, not {kind}"):
        await bare_django({"type": kind}, receive, send)
