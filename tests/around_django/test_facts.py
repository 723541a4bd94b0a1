"""What Django does under ASGI, and the design of this package rests on."""

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

# Before 6.1 the view runs in a child of the task that called Django, then in that task itself.
IN_A_CHILD_TASK = django.VERSION < (6, 1)


@pytest.fixture
def finished() -> Iterator[list[object]]:
    """Return the senders of request_finished, as they come."""
    senders: list[object] = []

    def note(sender: object, **kwargs: object) -> None:
        senders.append(sender)

    request_finished.connect(note)
    yield senders
    request_finished.disconnect(note)


# --- 1: names of headers ---


async def test_it_writes_header_names_in_mixed_case(bare_django: RecordedApp) -> None:
    response = await request(bare_django, target="/varied/")

    assert [name for name, _ in response.headers] == [b"Content-Type", b"Vary", b"Set-Cookie"]


async def test_the_specification_wants_them_in_lower_case(bare_django: RecordedApp) -> None:
    with pytest.raises(ASGIViolation, match="header names are lower case"):
        await request(bare_django.app, target="/varied/")


# --- 2: cancelling it, and telling it that the client is gone ---


@pytest.fixture
def _open_file(bare_django: RecordedApp) -> Iterator[None]:
    """Before 6.1 a cancelled request leaves the file with its body open: collect that here."""
    yield
    bare_django.calls.clear()
    gc.collect()


@pytest.mark.usefixtures("_open_file")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("target", ["/waiting/", "/streaming/"])
async def test_cancelled_it_never_finishes_the_request(
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
        pytest.param("/waiting/", [], ["start", "body"], id="before its answer"),
        pytest.param("/streaming/", ["start", "body"], ["body", "body"], id="within its answer"),
    ],
)
async def test_cancelled_it_sends_nothing_more_but_before_6_1_its_view_goes_on(
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
        pytest.param("/waiting/", False, id="before its answer, there is none to close"),
        pytest.param("/streaming/", True, id="within its answer"),
    ],
)
async def test_told_of_a_disconnect_it_finishes_the_request(
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
    """Cancel a request while its view waits."""
    async with stream(app, target=target, scope={"state": {"visit": visit}}) as exchange:
        exchange.send_body(b"", more_body=False)
        await visit.waits.wait()
        exchange.cancel()


async def _others_to_end() -> None:
    """Wait for the tasks that nobody waits for."""
    if others := asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.wait(others, timeout=10)


def _sent(app: RecordedApp) -> list[str]:
    return [message["type"].rpartition(".")[2] for message in app.sent]


# --- 3: receive() while the response is on its way ---


async def test_it_receives_once_more_while_it_answers(bare_django: RecordedApp) -> None:
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


async def test_it_takes_anything_but_a_disconnect_there_for_an_error(
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
    # Before 6.1 this view, too, is left alone.
    assert visit.cancelled == (not IN_A_CHILD_TASK)
    visit.let_go.set()
    await _others_to_end()


# --- 4: the task of the view ---


@pytest.mark.parametrize("view", ["sync", "async"])
async def test_before_6_1_a_value_set_in_a_view_does_not_travel_up(
    view: str, bare_django: RecordedApp
) -> None:
    seen, _ = await _left_behind(bare_django, view)

    # Now it does, for as long as nothing in between makes a task: no promise.
    assert seen == (not IN_A_CHILD_TASK)


@pytest.mark.parametrize("view", ["sync", "async"])
async def test_what_a_view_puts_into_an_object_is_there(
    view: str, bare_django: RecordedApp
) -> None:
    _, box = await _left_behind(bare_django, view)

    assert box == ["from the view"]


async def _left_behind(app: ASGIApp, view: str) -> tuple[bool, list[str]]:
    """Return what there is around Django, when it has answered, of what a view set."""
    box: list[str] = []
    seen: list[bool] = []

    async def looking(scope: Scope, receive: Receive, send: Send) -> None:
        await app(scope, receive, send)
        seen.append(set_by_a_view.get())

    await request(looking, target=f"/leaving/{view}/", scope={"state": {"box": box}})
    return seen[0], box


# --- 5: threads ---


async def test_it_starts_a_thread_for_every_request(bare_django: RecordedApp) -> None:
    # Kept alive, so that no two have the same identity.
    threads: list[threading.Thread] = []

    for _ in range(5):
        await request(bare_django, target="/in-thread/", scope={"state": {"threads": threads}})

    assert len({id(thread) for thread in threads}) == 5
    for thread in threads:
        thread.join(10)
    assert [thread for thread in threads if thread.is_alive()] == []


# --- and what it does not handle ---


@pytest.mark.parametrize("kind", ["lifespan", "websocket", "x-of-tomorrow"])
async def test_it_raises_for_every_scope_but_http(kind: str, bare_django: RecordedApp) -> None:
    async def receive() -> Message:
        raise AssertionError("not called")

    async def send(message: Message) -> None:
        raise AssertionError("not called")

    with pytest.raises(ValueError, match=f"can only handle ASGI/HTTP connections, not {kind}"):
        await bare_django({"type": kind}, receive, send)
