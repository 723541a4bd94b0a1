"""Responses that a layer sends instead of the app."""

from collections.abc import Awaitable
from typing import Any

import pytest

from asgi_middleware._responses import (
    close_websocket,
    refuse_handshake,
    send_response,
    send_text,
    send_unavailable,
)
from asgi_middleware.types import Message, Send


def into(sent: list[Message]) -> Send:
    async def send(message: Message) -> None:
        sent.append(message)

    return send


async def connect() -> Message:
    return {"type": "websocket.connect"}


async def test_send_response_sends_a_whole_response() -> None:
    sent: list[Message] = []

    await send_response(into(sent), 403, [(b"a", b"b")], b"no")

    assert sent == [
        {"type": "http.response.start", "status": 403, "headers": [(b"a", b"b")]},
        {"type": "http.response.body", "body": b"no"},
    ]


async def test_a_line_of_text_is_sent_with_its_type_and_length() -> None:
    sent: list[Message] = []

    await send_text(into(sent), 403, [(b"a", b"b")], "n\u00f6")

    assert sent == [
        {
            "type": "http.response.start",
            "status": 403,
            "headers": [
                (b"content-type", b"text/plain; charset=utf-8"),
                (b"content-length", b"3"),
                (b"a", b"b"),
            ],
        },
        {"type": "http.response.body", "body": b"n\xc3\xb6"},
    ]


async def test_a_503_must_not_be_stored_by_caches() -> None:
    sent: list[Message] = []

    await send_unavailable(into(sent), "Later.", retry_after=7)

    assert sent[0]["status"] == 503
    assert sent[0]["headers"][2:] == [(b"retry-after", b"7"), (b"cache-control", b"no-store")]
    assert sent[1]["body"] == b"Later."


async def test_a_handshake_is_refused_with_a_status_where_the_server_can_send_one() -> None:
    sent: list[Message] = []
    scope: dict[str, Any] = {"type": "websocket", "extensions": {"websocket.http.response": {}}}

    await refuse_handshake(scope, connect, into(sent), 403, "no")

    assert [message["type"] for message in sent] == [
        "websocket.http.response.start",
        "websocket.http.response.body",
    ]
    assert sent[0]["status"] == 403


@pytest.mark.parametrize("extensions", [{}, {"extensions": None}, {"extensions": {}}])
async def test_a_handshake_is_refused_with_a_close_where_the_server_cannot_send_a_status(
    extensions: dict[str, Any],
) -> None:
    sent: list[Message] = []

    await refuse_handshake({"type": "websocket", **extensions}, connect, into(sent), 403, "no")

    assert sent == [{"type": "websocket.close", "code": 1008}]


@pytest.mark.parametrize(("sends", "codes"), [(True, [1012]), (False, [1000])])
async def test_a_websocket_is_closed_with_a_code_that_the_server_sends(
    sends: bool, codes: list[int]
) -> None:
    closed: list[int] = []

    def send(message: Message) -> Awaitable[None]:
        if message["code"] != 1000 and not sends:
            raise Exception("invalid close code")  # noqa: TRY002 -- as autobahn does
        closed.append(message["code"])
        return _nothing()

    await close_websocket(send, 1012)

    assert closed == codes


async def _nothing() -> None:
    pass
