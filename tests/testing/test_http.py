import asyncio
from typing import Any

import pytest

from asgi_middleware.testing import ASGIViolation, recording, request, stream
from asgi_middleware.types import Receive, Scope, Send
from tests.apps import BODY, START, hello, sending


async def test_request_returns_the_whole_response() -> None:
    response = await request(hello)

    assert response.status == 200
    assert response.headers == ((b"content-type", b"text/plain"),)
    assert response.body == b"hello"
    assert response.text == "hello"
    assert response.complete


async def test_the_scope_is_like_that_of_a_server() -> None:
    app = recording(hello)

    await request(app, "POST", "/caf%C3%A9?a=1", headers={"X-Name": "v"}, body=b"ab")

    assert app.calls[0].scope == {
        "type": "http",
        "method": "POST",
        "asgi": {"version": "3.0", "spec_version": "2.5"},
        "http_version": "1.1",
        "scheme": "http",
        "path": "/café",
        "raw_path": b"/caf%C3%A9",
        "query_string": b"a=1",
        "root_path": "",
        "headers": [(b"host", b"testserver"), (b"content-length", b"2"), (b"x-name", b"v")],
        "client": ("127.0.0.1", 50000),
        "server": ("testserver", 80),
    }


async def test_a_caller_can_change_the_scope() -> None:
    app = recording(hello)

    await request(app, scope={"root_path": "/mounted", "headers": []})

    assert app.calls[0].scope["root_path"] == "/mounted"
    assert app.calls[0].scope["headers"] == []


async def test_the_app_receives_the_body_once_and_a_disconnect_after_the_response() -> None:
    log: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def listen() -> None:
            log.append((await receive())["type"])

        log.append((await receive())["type"])
        listener = asyncio.create_task(listen())
        await send(START)
        await asyncio.sleep(0)
        log.append("responding")
        await send(BODY)
        await listener

    await request(app, body=b"one")

    assert log == ["http.request", "responding", "http.disconnect"]


async def test_a_body_in_parts_arrives_in_as_many_messages() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        parts = [await receive(), await receive()]
        await send(START)
        await send({"type": "http.response.body", "body": repr(parts).encode()})

    response = await request(app, "POST", body=[b"a", b"b"])

    assert response.text == repr(
        [
            {"type": "http.request", "body": b"a", "more_body": True},
            {"type": "http.request", "body": b"b", "more_body": False},
        ]
    )


async def test_a_stream_passes_messages_in_both_directions_at_the_same_time() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        more = True
        while more:
            message = await receive()
            more = message["more_body"]
            await send({"type": "http.response.body", "body": message["body"], "more_body": more})

    async with stream(app, "POST") as exchange:
        assert (await exchange.message())["status"] == 200
        exchange.send_body(b"a")
        assert (await exchange.message())["body"] == b"a"
        exchange.send_body(b"b", more_body=False)
        assert (await exchange.message())["body"] == b"b"


async def test_the_app_receives_a_disconnect_when_the_client_leaves_a_stream() -> None:
    heard: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        heard.append((await receive())["type"])

    async with stream(app) as exchange:
        await exchange.message()

    assert heard == ["http.disconnect"]


async def test_a_cancelled_app_receives_no_disconnect_at_the_end_of_the_stream() -> None:
    heard: list[object] = []
    listening = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def listen() -> None:
            listening.set()
            heard.append(await receive())

        listener = asyncio.create_task(listen())
        try:
            await asyncio.Event().wait()
        finally:
            listener.cancel()
            await asyncio.wait([listener])

    async with stream(app) as exchange:
        await listening.wait()
        exchange.cancel()

    assert heard == []


async def reading(scope: Scope, receive: Receive, send: Send) -> None:
    """Await receive twice and send twice. Return at a disconnect, as Django does."""
    for _ in range(2):
        if (await receive())["type"] == "http.disconnect":
            return
    await send(START)
    await send(BODY)


@pytest.mark.parametrize(
    ("point", "sent"),
    [(1, 0), (2, 0), (3, 2), (4, 2)],
    ids=["first receive", "second receive", "first send", "second send"],
)
async def test_the_client_can_leave_at_any_await(point: int, sent: int) -> None:
    response = await request(reading, "POST", body=[b"a", b"b"], disconnect_at=point)

    assert len(response.messages) == sent


@pytest.mark.parametrize("point", [1, 2, 3, 4])
async def test_the_server_can_cancel_the_app_at_any_await(point: int) -> None:
    response = await request(
        reading, "POST", body=[b"a", b"b"], cancel_at=point, raise_app_exceptions=False
    )

    assert isinstance(response.exception, asyncio.CancelledError)
    assert response.awaits == point


async def test_request_raises_the_exception_of_the_app() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        await request(app)


async def test_the_response_keeps_what_was_sent_before_the_app_raised() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        raise KeyError("mine")

    response = await request(app, raise_app_exceptions=False)

    assert response.status == 200
    assert not response.complete
    assert isinstance(response.exception, KeyError)


async def test_an_app_that_hangs_is_stopped_and_the_error_says_how_far_it_got() -> None:
    ended: list[bool] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await receive()
            await receive()
        finally:
            ended.append(True)

    with pytest.raises(TimeoutError, match=r"it sent nothing and called receive\(\) 2 times"):
        await request(app, timeout=0.05)
    assert ended == [True]


async def test_get_raises_for_several_headers_of_one_name() -> None:
    start = {**START, "headers": [(b"a", b"1"), (b"a", b"2")]}

    response = await request(sending(start, BODY))

    assert response.getall(b"A") == [b"1", b"2"]
    with pytest.raises(ValueError, match="2 headers"):
        response.get(b"a")


OFFERED: dict[str, Any] = {"http.response.trailers": {}, "http.response.pathsend": {}}
TRAILERS = {"type": "http.response.trailers", "headers": [(b"x-sum", b"1")]}


@pytest.mark.parametrize(
    ("messages", "rule"),
    [
        pytest.param([["type"]], "a message must be a dict, not a list", id="not a dict"),
        pytest.param([{}], "needs a 'type'", id="no type"),
        pytest.param(
            [{"type": "http.request"}], "not a message that an app sends", id="a message to receive"
        ),
        pytest.param([BODY], "before http.response.start", id="body first"),
        pytest.param([START, START], "was sent twice", id="two starts"),
        pytest.param([START, BODY, BODY], "after the response was complete", id="after the end"),
        pytest.param([], "without sending http.response.start", id="no message"),
        pytest.param([START], "without completing the response", id="no body"),
        pytest.param(
            [START, {**BODY, "more_body": True}],
            "without completing",
            id="more_body without an end",
        ),
        pytest.param([{**START, "status": "200"}], "status must be of type int", id="status str"),
        pytest.param([{**START, "status": True}], "status must be of type int", id="status bool"),
        pytest.param([{"type": START["type"]}], "status must be of type int", id="no status"),
        pytest.param([{**START, "status": 101}], "final response", id="status 101"),
        pytest.param([{**START, "headers": ["a"]}], "not a pair", id="header not a pair"),
        pytest.param([{**START, "headers": [("a", b"b")]}], "must be bytes", id="name str"),
        pytest.param([{**START, "headers": [(b"a", "b")]}], "must be bytes", id="value str"),
        pytest.param([{**START, "headers": [(b"A", b"b")]}], "in lower case", id="upper case"),
        pytest.param(
            [{**START, "headers": [(b"a b", b"")]}], "not a valid header name", id="not a token"
        ),
        pytest.param(
            [{**START, "headers": [(b"", b"")]}], "not a valid header name", id="empty name"
        ),
        pytest.param([{**START, "headers": [(b"a", b"\r\nb")]}], "a line break", id="line break"),
        pytest.param([{**START, "headers": [(b"a", b"\0")]}], "NUL", id="NUL"),
        pytest.param(
            [{**START, "trailers": 1}], "trailers must be of type bool", id="trailers not a bool"
        ),
        pytest.param([START, {**BODY, "body": "a"}], "body must be of type bytes", id="body str"),
        pytest.param([START, {**BODY, "more_body": 0}], "must be of type bool", id="more_body"),
        pytest.param(
            [START, {"type": "http.response.push", "path": "/", "headers": []}],
            "does not offer it",
            id="extension not offered",
        ),
        pytest.param([START, TRAILERS], "did not have trailers=True", id="trailers unannounced"),
        pytest.param(
            [{**START, "trailers": True}, TRAILERS],
            "before the end of the body",
            id="trailers before the end of the body",
        ),
        pytest.param(
            [{**START, "trailers": True}, BODY], "without completing", id="trailers missing"
        ),
        pytest.param(
            [{**START, "trailers": True}, BODY, BODY], "after the end of the body", id="body twice"
        ),
    ],
)
async def test_a_violation_names_the_broken_rule(messages: list[Any], rule: str) -> None:
    with pytest.raises(ASGIViolation, match=rule) as violation:
        await request(sending(*messages), scope={"extensions": OFFERED})
    assert violation.value.section.startswith("https://asgi.readthedocs.io/en/latest/")


@pytest.mark.parametrize(
    "messages",
    [
        pytest.param([START, {"type": "http.response.body"}], id="body by default"),
        pytest.param([{"type": START["type"], "status": 204}, BODY], id="headers by default"),
        pytest.param([START, {**BODY, "more_body": True}, BODY], id="two parts"),
        pytest.param([{**START, "trailers": True}, BODY, TRAILERS], id="trailers"),
        pytest.param([START, {"type": "http.response.pathsend", "path": "/a"}], id="pathsend"),
        pytest.param([{**START, "headers": iter([(b"a", b"b")])}, BODY], id="iterator"),
        pytest.param([{**START, "headers": [[b"a", b"b"]]}, BODY], id="pairs as lists"),
        pytest.param([{**START, "unknown": object()}, BODY], id="unknown field"),
    ],
)
async def test_allowed_messages_are_accepted(messages: list[Any]) -> None:
    response = await request(sending(*messages), scope={"extensions": OFFERED})

    assert response.complete


async def test_a_violation_that_the_app_swallows_is_raised() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await send(BODY)
        except ASGIViolation:
            await hello(scope, receive, send)

    with pytest.raises(ASGIViolation, match=r"before http.response.start"):
        await request(app)


async def test_a_scope_edited_in_place_is_a_violation() -> None:
    async def app(scope: Any, receive: Receive, send: Send) -> None:
        scope["headers"].append((b"a", b"b"))
        await hello(scope, receive, send)

    with pytest.raises(ASGIViolation, match="the scope that the server gave was edited"):
        await request(app)


async def test_a_received_message_edited_in_place_is_a_violation() -> None:
    async def app(scope: Scope, receive: Any, send: Send) -> None:
        message = await receive()
        message["body"] = b"other"
        await hello(scope, receive, send)

    with pytest.raises(ASGIViolation, match=r"the http\.request that the server gave was edited"):
        await request(app)


async def test_an_app_may_fill_the_state() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"]["user"] = "me"
        await hello(scope, receive, send)

    assert (await request(app, scope={"state": {}})).complete


async def test_the_response_counts_calls_of_receive_after_a_disconnect() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for _ in range(3):
            await receive()

    response = await request(app, disconnect_at=1)

    assert response.receives == 3
    assert response.receives_after_disconnect == 2
