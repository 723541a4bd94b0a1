"""What no middleware changes, and how every middleware makes its changes."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterable
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
import uvicorn
from asgiref.compatibility import is_double_callable
from asgiref.sync import iscoroutinefunction

from asgi_middleware._headers import values
from asgi_middleware.testing import (
    HandshakeRefused,
    lifespan,
    recording,
    request,
    stream,
    websocket,
)
from asgi_middleware.types import ASGIApp, Header, Message, Receive, Scope, Send
from tests.apps import BODY, START, answering, echo, hello, lives, sending

from .conftest import Serve
from .exchanges import GONE, HTTP_SCOPE, REFERENCES, WEBSOCKET_SCOPE, acting, call, members, traffic
from .middleware import EACH, ORIGIN, ROWS, Row, every_row

HEADERS = {"origin": ORIGIN, "x-request-id": "abc", "cookie": "a=1"}
SCOPES = {"http": HTTP_SCOPE, "websocket": WEBSOCKET_SCOPE}

every_protocol = pytest.mark.parametrize("kind", ["http", "websocket"])


def without_headers(messages: Iterable[Message]) -> list[dict[str, Any]]:
    return [
        {key: value for key, value in message.items() if key != "headers"} for message in messages
    ]


# --- the table itself ---


@every_row
async def test_a_middleware_adds_only_the_keys_that_it_documents_to_the_state(
    serve: Serve, row: Row
) -> None:
    async with lifespan(row.make(lives)) as running:
        assert running.state.keys() == row.scopes.get("lifespan", set())

    for kind, scope in SCOPES.items():
        app = recording(acting(REFERENCES[kind]))
        await call(await serve(row, app), REFERENCES[kind])
        seen = app.calls[0].scope
        assert seen.get("state", {}).keys() == row.scopes.get(kind, set())
        assert seen.keys() - {"state"} == scope.keys()


@pytest.mark.parametrize("row", EACH, ids=lambda row: row.name)
def test_a_middleware_has_the_app_that_it_wraps_as_an_attribute(row: Row) -> None:
    middleware: Any = row.make(hello)

    assert middleware.app is hello


@every_row
async def test_the_send_of_a_websocket_is_marked_as_async(serve: Serve, row: Row) -> None:
    # A sync consumer of Channels passes it to async_to_sync, which warns if it looks sync.
    app = recording(acting(REFERENCES["websocket"]))

    await call(await serve(row, app), REFERENCES["websocket"])

    assert iscoroutinefunction(app.calls[0].send)  # pyright: ignore[reportDeprecated]


# --- the scope ---


@every_row
@every_protocol
async def test_the_callers_scope_and_its_state_do_not_change(
    serve: Serve, row: Row, kind: str
) -> None:
    scope = {**deepcopy(SCOPES[kind]), "state": {"client": ["shared"]}}
    before = deepcopy(scope)
    exchange = replace(REFERENCES[kind], scope=scope)

    await call(await serve(row, acting(exchange)), exchange)

    assert scope == before


@every_row
@every_protocol
async def test_the_app_gets_everything_in_the_scope_that_is_not_documented_to_change(
    serve: Serve, row: Row, kind: str
) -> None:
    client = object()
    scope: dict[str, Any] = {**SCOPES[kind], "state": {"client": client}, "x-unknown": client}
    exchange = replace(REFERENCES[kind], scope=scope)
    app = recording(acting(exchange))

    await call(await serve(row, app), exchange)

    seen = app.calls[0].scope
    assert seen["state"]["client"] is client
    assert {k: v for k, v in seen.items() if k not in ("state", "headers")} == {
        k: v for k, v in scope.items() if k not in ("state", "headers")
    }
    assert _others(seen["headers"], row.sets_in_request) == _others(
        scope["headers"], row.sets_in_request
    )


def _others(headers: Iterable[Header], names: Iterable[bytes]) -> list[Header]:
    return [header for header in headers if header[0] not in names]


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        pytest.param(row, kind, id=f"{row.name}-{kind}")
        for row in ROWS
        for kind in ("http", "websocket", "lifespan", "x-of-tomorrow")
        if kind not in row.scopes
    ],
)
async def test_a_scope_of_another_type_is_passed_on_with_the_same_three_objects(
    row: Row, kind: str
) -> None:
    given = ({"type": kind}, _receive, _send)
    app = recording(sending())

    await row.make(app)(*given)

    [passed] = app.calls
    assert passed.scope is given[0]
    assert passed.receive is given[1]
    assert passed.send is given[2]


async def _receive() -> Message:
    raise AssertionError("receive was called")


async def _send(message: Message) -> None:
    raise AssertionError("send was called")


# --- what the app sends ---

TRAILERS: dict[str, Any] = {"type": "http.response.trailers", "headers": [(b"x-sum", b"1")]}
DENIAL: dict[str, Any] = {
    "type": "websocket.http.response.start",
    "status": 401,
    "headers": [(b"content-type", b"text/plain")],
    "x-unknown": 1,
}
SENT: dict[str, list[dict[str, Any]]] = {
    "response": [
        {**START, "trailers": True, "x-unknown": [1]},
        {**BODY, "x-unknown": [2]},
        {**TRAILERS, "x-unknown": [3]},
    ],
    "accept": [
        {"type": "websocket.accept", "subprotocol": "v1", "headers": [], "x-unknown": [1]},
        {"type": "websocket.send", "text": "a", "x-unknown": [2]},
        {"type": "websocket.close", "code": 1000, "x-unknown": [3]},
    ],
    "denial": [DENIAL, {"type": "websocket.http.response.body", "body": b"no", "x-unknown": [2]}],
}
everything_sent = pytest.mark.parametrize("sent", SENT.values(), ids=SENT)


async def converse(app: ASGIApp, sent: list[dict[str, Any]]) -> list[Message]:
    """Make *app* send its messages, and return what comes out of it."""
    outer = recording(app)
    if sent[0]["type"].startswith("http."):
        await request(outer, headers=HEADERS, scope={"extensions": HTTP_SCOPE["extensions"]})
        return outer.sent
    try:
        async with websocket(outer, headers=HEADERS, subprotocols=["v1"]):
            pass
    except HandshakeRefused:
        pass
    return outer.sent


@every_row
@everything_sent
async def test_the_apps_messages_do_not_change(
    serve: Serve, row: Row, sent: list[dict[str, Any]]
) -> None:
    before = deepcopy(sent)
    app = await serve(row, sending(*sent))

    await converse(app, sent)
    await converse(app, sent)

    assert sent == before


@every_row
@everything_sent
async def test_a_message_keeps_all_its_fields_but_the_headers(
    serve: Serve, row: Row, sent: list[dict[str, Any]]
) -> None:
    received = await converse(await serve(row, sending(*sent)), sent)

    assert without_headers(received) == without_headers(sent)


@every_row
@everything_sent
async def test_every_message_but_the_first_is_passed_on_as_the_same_object(
    serve: Serve, row: Row, sent: list[dict[str, Any]]
) -> None:
    received = await converse(await serve(row, sending(*sent)), sent)

    assert [a is b for a, b in zip(received[1:], sent[1:], strict=True)] == [True] * len(sent[1:])


@every_row
@everything_sent
async def test_the_names_of_added_headers_are_bytes_in_lower_case(
    serve: Serve, row: Row, sent: list[dict[str, Any]]
) -> None:
    [first, *_] = await converse(await serve(row, sending(*sent)), sent)

    for name, value in first["headers"]:
        assert (type(name), type(value)) == (bytes, bytes)
        assert name == name.lower()


# --- headers that the app sends as well ---


@every_row
@pytest.mark.parametrize(
    "lines",
    [
        pytest.param([], id="none"),
        pytest.param([(b"vary", b"Cookie")], id="lower case"),
        pytest.param([(b"Vary", b"Cookie, Accept-Language")], id="as Django spells it"),
        pytest.param([(b"VARY", b"cookie,origin")], id="with the origin"),
        pytest.param([(b"Vary", b"*")], id="star"),
        pytest.param([(b"Vary", b"Cookie"), (b"vary", b"Accept")], id="two lines"),
    ],
)
async def test_additions_to_vary_are_merged_into_the_apps_vary(
    serve: Serve, row: Row, lines: list[Header]
) -> None:
    app = recording(answering(*lines))

    response = await request(await serve(row, app), headers=HEADERS)

    sent = members(value for _, value in lines)
    listed = members(response.getall(b"vary"))
    assert len(response.getall(b"vary")) <= max(1, len(lines))
    assert listed[: len(sent)] == sent
    assert len(listed) == len({name.lower() for name in listed})


SINGLE = [
    b"Access-Control-Allow-Credentials",
    b"Access-Control-Allow-Origin",
    b"Access-Control-Max-Age",
    b"Content-Length",
    b"Content-Type",
    b"ETag",
    b"Location",
    b"Retry-After",
    b"Strict-Transport-Security",
    b"Traceresponse",
    b"X-Request-ID",
]


@every_row
async def test_a_response_header_that_may_appear_once_is_never_doubled(
    serve: Serve, row: Row
) -> None:
    app = recording(answering(*((name, b"0") for name in SINGLE)))

    response = await request(await serve(row, app), headers=HEADERS)

    count = {name: len(response.getall(name)) for name in SINGLE}
    assert max(count.values()) == 1
    # A middleware may also remove a header that it sets: CORS does so if every origin is allowed.
    assert {name.lower() for name in SINGLE if not count[name]} <= row.sets_in_response


@every_row
async def test_a_handshake_header_that_may_appear_once_is_never_doubled(
    serve: Serve, row: Row
) -> None:
    accept = {"type": "websocket.accept", "headers": [(name, b"0") for name in SINGLE]}
    app = recording(sending(accept))

    async with websocket(await serve(row, app), headers=HEADERS) as socket:
        count = {name: len(values(socket.headers, name.lower())) for name in SINGLE}

    assert max(count.values()) == 1
    assert {name.lower() for name in SINGLE if not count[name]} <= row.sets_in_response


# --- headers in any shape ---

SHAPES: dict[str, Callable[[list[Header]], Iterable[Header]]] = {
    "list": list,
    "tuple": tuple,
    "iterator": iter,
    "lists as pairs": lambda headers: [list(header) for header in headers],  # type: ignore[misc]
}
every_shape = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)


@every_row
@every_protocol
@every_shape
async def test_the_apps_headers_may_have_any_shape(
    serve: Serve, row: Row, kind: str, shape: Callable[[list[Header]], Iterable[Header]]
) -> None:
    app_headers = shape([(b"x-app", b"1"), (b"x-app", b"2")])

    if kind == "http":
        response = await request(
            await serve(row, sending({**START, "headers": app_headers}, BODY)), headers=HEADERS
        )
        assert response.getall(b"x-app") == [b"1", b"2"]
    else:
        accept = {"type": "websocket.accept", "headers": app_headers}
        async with websocket(await serve(row, sending(accept)), headers=HEADERS) as socket:
            assert values(socket.headers, b"x-app") == [b"1", b"2"]


@every_row
async def test_the_app_may_leave_out_the_headers(serve: Serve, row: Row) -> None:
    start = {"type": "http.response.start", "status": 204}

    response = await request(await serve(row, sending(start, BODY)), headers=HEADERS)

    assert {name for name, _ in response.headers} <= {*row.sets_in_response, *row.extends}


@every_row
@every_protocol
@every_shape
async def test_the_requests_headers_may_have_any_shape(
    serve: Serve, row: Row, kind: str, shape: Callable[[list[Header]], Iterable[Header]]
) -> None:
    scope = {**SCOPES[kind], "headers": shape([(b"x-a", b"1"), (b"x-a", b"2")])}
    exchange = replace(REFERENCES[kind], scope=scope)
    app = recording(acting(exchange))

    await call(await serve(row, app), exchange)

    assert values(app.calls[0].scope["headers"], b"x-a") == [b"1", b"2"]


@every_row
@every_protocol
async def test_the_scope_may_leave_out_the_headers(serve: Serve, row: Row, kind: str) -> None:
    scope = {key: value for key, value in SCOPES[kind].items() if key != "headers"}
    exchange = replace(REFERENCES[kind], scope=scope)
    app = recording(acting(exchange))

    await call(await serve(row, app), exchange)

    assert {name for name, _ in app.calls[0].scope.get("headers", ())} <= row.sets_in_request


# --- streaming ---


@every_row
async def test_each_part_of_a_response_is_sent_before_the_app_produces_the_next(
    serve: Serve, row: Row
) -> None:
    wanted: asyncio.Queue[bytes] = asyncio.Queue()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        while part := await wanted.get():
            await send({**BODY, "body": part, "more_body": True})
        await send({**BODY, "body": b""})

    async with stream(await serve(row, app), headers=HEADERS) as exchange:
        assert (await exchange.message())["type"] == "http.response.start"
        for part in (b"1", b"2", b"3"):
            wanted.put_nowait(part)
            assert (await exchange.message())["body"] == part
        wanted.put_nowait(b"")
        assert not (await exchange.message()).get("more_body", False)


@every_row
async def test_each_part_of_a_request_body_arrives_before_the_next_is_sent(
    serve: Serve, row: Row
) -> None:
    arrived: asyncio.Queue[Message] = asyncio.Queue()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        more = True
        while more:
            message = await receive()
            arrived.put_nowait(message)
            more = message["more_body"]
        await hello(scope, receive, send)

    async with stream(await serve(row, app), "POST", headers=HEADERS) as exchange:
        for part in (b"1", b"2"):
            exchange.send_body(part)
            assert (await _within_reason(arrived.get()))["body"] == part
        exchange.send_body(b"3", more_body=False)
        assert (await _within_reason(arrived.get()))["body"] == b"3"
        assert (await exchange.message())["status"] == 200


@every_row
async def test_each_message_of_a_websocket_passes_through_before_the_next(
    serve: Serve, row: Row
) -> None:
    async with websocket(await serve(row, echo), headers=HEADERS) as socket:
        for text in ("1", "2", "3"):
            await socket.send(text)
            assert await socket.receive() == text


async def _within_reason(what: Awaitable[Message]) -> Message:
    async with asyncio.timeout(10):
        return await what


# --- receive() ---


@every_row
@pytest.mark.parametrize("kind", REFERENCES)
async def test_a_middleware_receives_only_when_the_app_does(row: Row, kind: str) -> None:
    exchange = REFERENCES[kind]

    passed = await traffic(row.make, exchange)

    assert passed.receives == len(passed.received) == exchange.steps.count("receive")
    assert passed.receives_after_disconnect == 0


@every_row
@every_protocol
async def test_a_middleware_receives_nothing_after_a_disconnect(
    serve: Serve, row: Row, kind: str
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while not (await receive())["type"].endswith(".disconnect"):
            pass

    counted: list[Message] = []
    incoming = iter([*REFERENCES[kind].incoming[:1], GONE[kind]])

    async def receive() -> Message:
        counted.append(next(incoming))  # a third call fails
        return counted[-1]

    served = await serve(row, app)
    await served(SCOPES[kind], receive, _send)

    assert [message["type"] for message in counted][1:] == [f"{kind}.disconnect"]


@every_row
async def test_the_app_may_listen_for_a_disconnect_while_it_responds(
    serve: Serve, row: Row
) -> None:
    # Django listens while it responds, and treats any message but a disconnect as an error.
    heard: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def listen() -> None:
            heard.append(await receive())

        await receive()
        listener = asyncio.create_task(listen())
        await send({**START})
        await asyncio.sleep(0)
        assert heard == []
        await send(BODY)
        await listener

    response = await request(await serve(row, app), headers=HEADERS)

    assert heard == [GONE["http"]]
    assert response.receives == 2


@every_row
async def test_the_app_may_stop_listening_for_a_disconnect(serve: Serve, row: Row) -> None:
    cancelled: list[bool] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        listener = asyncio.ensure_future(receive())
        await asyncio.sleep(0)
        listener.cancel()
        await asyncio.wait([listener])
        cancelled.append(listener.cancelled())
        await hello(scope, receive, send)

    response = await request(await serve(row, app), headers=HEADERS)

    assert cancelled == [True]
    assert response.complete


# --- servers ---


@every_row
def test_servers_detect_a_middleware_as_an_asgi_3_app(row: Row) -> None:
    app: Any = row.make(hello)
    config = uvicorn.Config(app, log_config=None)
    config.load()

    assert inspect.iscoroutinefunction(app.__call__)
    assert not is_double_callable(app)  # type: ignore[no-untyped-call]
    assert config.interface == "asgi3"
