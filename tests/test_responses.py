from asgi_middleware._responses import send_response, send_text
from asgi_middleware.types import Message


async def collect(messages: list[Message], message: Message) -> None:
    messages.append(message)


async def test_sends_a_whole_response() -> None:
    sent: list[Message] = []

    await send_response(lambda m: collect(sent, m), 403, [(b"a", b"b")], b"no")

    assert sent == [
        {"type": "http.response.start", "status": 403, "headers": [(b"a", b"b")]},
        {"type": "http.response.body", "body": b"no"},
    ]


async def test_sends_a_line_of_text() -> None:
    sent: list[Message] = []

    await send_text(lambda m: collect(sent, m), 403, [(b"a", b"b")], "n\u00f6")

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
