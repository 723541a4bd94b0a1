from typing import Any

import pytest

from asgi_middleware.testing import ASGIViolation, recording, request
from asgi_middleware.types import Message, Receive, Scope, Send
from tests.apps import BODY, START, hello, sending

MIXED = {**START, "headers": [(b"Content-Type", b"text/plain")]}


def passing(app: Any, edit: Any) -> Any:
    """Return a middleware that passes each message to *edit* and sends what it returns."""

    async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
        async def edited(message: Message) -> None:
            await send(edit(message))

        await app(scope, receive, edited)

    return middleware


async def test_a_recorded_call_keeps_the_three_objects_and_the_messages() -> None:
    app = recording(hello)
    seen: list[object] = []

    async def outer(scope: Scope, receive: Receive, send: Send) -> None:
        seen.extend((scope, receive, send))
        await app(scope, receive, send)

    await request(outer)

    [call] = app.calls
    assert [call.scope, call.receive, call.send] == seen
    assert call.sent == [START, BODY]
    assert app.sent == [START, BODY]


async def test_a_recorded_call_keeps_what_the_app_received() -> None:
    async def reading(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await hello(scope, receive, send)

    app = recording(reading)

    await request(app, body=b"a")

    assert app.calls[0].received == [{"type": "http.request", "body": b"a", "more_body": False}]


async def test_a_recorded_app_may_send_header_names_in_mixed_case() -> None:
    assert (await request(recording(sending(MIXED, BODY)))).complete


async def test_a_middleware_around_a_recorded_app_may_not_send_header_names_in_mixed_case() -> None:
    def add(message: Message) -> Message:
        if message["type"] != "http.response.start":
            return message
        return {**message, "headers": [*message["headers"], (b"X-Mine", b"1")]}

    with pytest.raises(ASGIViolation, match="X-Mine"):
        await request(passing(recording(sending(MIXED, BODY)), add))


@pytest.mark.parametrize("what", ["message", "headers"])
async def test_a_middleware_that_edits_a_recorded_message_in_place_is_a_violation(
    what: str,
) -> None:
    def edit(message: Any) -> Message:
        if message["type"] == "http.response.start":
            if what == "message":
                message["status"] = 201
            else:
                message["headers"].append((b"x-mine", b"1"))
        return message  # type: ignore[no-any-return]

    start = {**START, "headers": []}
    with pytest.raises(ASGIViolation, match="that the app had sent was edited in place"):
        await request(passing(recording(sending(start, BODY)), edit))


async def test_a_recorded_app_may_edit_its_scope() -> None:
    async def app(scope: Any, receive: Receive, send: Send) -> None:
        scope["path_params"] = {}
        await hello(scope, receive, send)

    assert (await request(recording(app))).complete
