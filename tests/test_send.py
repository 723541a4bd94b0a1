from typing import Any

import pytest

from asgi_middleware._headers import replaced
from asgi_middleware._send import editing_headers, send_response
from asgi_middleware.types import Header, Headers, Message


async def collect(messages: list[Message], message: Message) -> None:
    messages.append(message)


def tagged(headers: Headers) -> list[Header]:
    return replaced(headers, b"x-tag", b"1")


@pytest.mark.parametrize(
    "kind", ["http.response.start", "websocket.accept", "websocket.http.response.start"]
)
async def test_edits_the_headers_of_a_copy(kind: str) -> None:
    sent: list[Message] = []
    headers = [(b"a", b"b")]
    message = {"type": kind, "status": 200, "headers": headers, "unknown": object()}

    await editing_headers(lambda m: collect(sent, m), tagged)(message)

    assert sent == [{**message, "headers": [(b"a", b"b"), (b"x-tag", b"1")]}]
    assert headers == [(b"a", b"b")]


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="missing"),
        pytest.param({"headers": ()}, id="a tuple"),
        pytest.param({"headers": iter(())}, id="an iterator"),
    ],
)
async def test_takes_headers_of_every_kind(headers: dict[str, Any]) -> None:
    sent: list[Message] = []

    await editing_headers(lambda m: collect(sent, m), tagged)(
        {"type": "http.response.start", "status": 200, **headers}
    )

    assert sent[0]["headers"] == [(b"x-tag", b"1")]


async def test_passes_other_messages_as_they_are() -> None:
    sent: list[Message] = []
    message = {"type": "http.response.body", "body": b"", "headers": "none of ours"}

    await editing_headers(lambda m: collect(sent, m), tagged)(message)

    assert sent[0] is message


async def test_sends_a_whole_response() -> None:
    sent: list[Message] = []

    await send_response(lambda m: collect(sent, m), 403, [(b"a", b"b")], b"no")

    assert sent == [
        {"type": "http.response.start", "status": 403, "headers": [(b"a", b"b")]},
        {"type": "http.response.body", "body": b"no"},
    ]
