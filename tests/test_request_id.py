import asyncio
import gc
import logging
import logging.handlers
import queue
import random
import re
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context, copy_context
from typing import Any

import pytest

from asgi_middleware import (
    ConfigurationError,
    RequestIDFilter,
    RequestIDMiddleware,
    TraceContextMiddleware,
    compose,
    generate_request_id,
    get_request_id,
    install_record_factory,
    is_uuid,
    outgoing_headers,
    request_id_context,
    uuid7_hex,
)
from asgi_middleware.testing import HandshakeRefused, recording, request, websocket
from asgi_middleware.types import Message, Receive, Scope, Send

from .apps import BODY, START, answering, doing, echo, hello, sending

NEW = re.compile(rb"[0-9a-f]{32}")


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """Return what is logged, with IDs."""
    caplog.set_level(logging.DEBUG, logger="app")
    caplog.set_level(logging.DEBUG, logger="asgi_middleware")
    with caplog.filtering(RequestIDFilter()):
        yield caplog


# --- which ID: sent, valid, trusted ---


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        pytest.param("abc-123", True, id="plain token"),
        pytest.param("7f9c24e8-3b12-4fef-91e0-4d7c0a1b2c3d", True, id="UUID"),
        pytest.param("01ARZ3NDEKTSV4RRFFQ69G5FAV", True, id="ULID"),
        pytest.param("0ujtsYcgvSTl8PAuAdqWYSMnLOv", True, id="KSUID"),
        pytest.param("Root=1-67891233-abcdef012345678912345678", True, id="AWS"),
        pytest.param("9f7c2d3e4b5a6978-FRA", True, id="Cloudflare"),
        pytest.param("\t abc \t", True, id="blanks around it"),
        pytest.param("a" * 128, True, id="longest"),
        pytest.param("a" * 129, False, id="too long"),
        pytest.param("", False, id="empty"),
        pytest.param("abc\r\nset-cookie: x", False, id="line break"),
        pytest.param("a b", False, id="blank within"),
        pytest.param("<script>", False, id="markup"),
        pytest.param("-rf", False, id="begins like an option"),
        pytest.param("caf\xe9", False, id="not ASCII"),
    ],
)
async def test_adopts_only_a_safe_incoming_id(sent: str, kept: bool) -> None:
    response = await request(RequestIDMiddleware(hello), headers={"x-request-id": sent})

    assert kept == (response.getall(b"x-request-id") == [sent.strip(" \t").encode("latin-1")])


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(b"", b"", id="alone"),
        pytest.param(b"", b"b", id="first"),
        pytest.param(b"a", b"", id="last"),
        pytest.param(b"a", b"b", id="within"),
    ],
)
async def test_no_byte_but_visible_ascii_gets_through(
    before: bytes, after: bytes, lines: pytest.LogCaptureFixture
) -> None:
    app = recording(doing(lambda _: logging.getLogger("app").info("hello")))
    middleware = RequestIDMiddleware(app, validator=None)

    for byte in range(256):
        sent = before + bytes([byte]) + after
        lines.clear()
        response = await request(middleware, headers=[(b"x-request-id", sent)])

        found = {
            *response.getall(b"x-request-id"),
            dict(app.calls[-1].scope["headers"])[b"x-request-id"],
            app.calls[-1].scope["state"]["request_id"].encode("latin-1"),
            *(record.__dict__["request_id"].encode("latin-1") for record in lines.records),
        }
        assert len(found) == 1
        assert (sent in found) == (0x21 <= byte <= 0x7E)
        assert re.fullmatch(rb"[!-~]+", found.pop())
        assert re.fullmatch(r"[ -~\n]*", lines.text)


async def test_a_header_name_with_an_underscore_is_another_one() -> None:
    response = await request(RequestIDMiddleware(hello), headers={"x_request_id": "abc"})

    assert response.get(b"x-request-id") != b"abc"


async def test_makes_an_id_for_a_request_without_one() -> None:
    first = await request(RequestIDMiddleware(hello))
    second = await request(RequestIDMiddleware(hello))

    assert re.fullmatch(rb"[0-9a-f]{32}", first.get(b"x-request-id") or b"")
    assert first.get(b"x-request-id") != second.get(b"x-request-id")


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        pytest.param(["abc", "abc"], True, id="twice the same"),
        pytest.param(["abc", " abc"], True, id="twice the same but for a blank"),
        pytest.param(["abc", "def"], False, id="two different ones"),
        pytest.param(["abc", ""], False, id="one of them empty"),
        pytest.param(["abc", "def", "abc"], False, id="one of three different"),
    ],
)
async def test_several_headers_of_the_name(sent: list[str], kept: bool) -> None:
    headers = [("x-request-id", value) for value in sent]

    response = await request(RequestIDMiddleware(hello), headers=headers)

    assert (response.get(b"x-request-id") == b"abc") == kept


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        pytest.param({"x-request-id": "main", "x-amzn-trace-id": "first"}, b"main", id="main"),
        pytest.param({"cf-ray": "second", "x-amzn-trace-id": "first"}, b"first", id="in order"),
        pytest.param({"cf-ray": "second"}, b"second", id="second"),
        pytest.param({"x-request-id": "<id>", "cf-ray": "second"}, b"second", id="first valid"),
        pytest.param({"x-correlation-id": "other"}, b"new", id="not named"),
    ],
)
async def test_fallback_headers(sent: Mapping[str, str], kept: bytes) -> None:
    names = ["X-Amzn-Trace-Id", "CF-Ray"]
    app = RequestIDMiddleware(hello, fallback_headers=names, generator=lambda: "new")

    response = await request(app, headers=sent)

    assert response.getall(b"x-request-id") == [kept]


async def test_a_fallback_header_reaches_the_app_as_it_was_sent() -> None:
    app = recording(hello)

    await request(
        RequestIDMiddleware(app, fallback_headers=["CF-Ray"]), headers={"cf-ray": " ray "}
    )

    headers = app.calls[0].scope["headers"]
    assert headers[1:] == [(b"cf-ray", b" ray "), (b"x-request-id", b"ray")]


PROXY = ("10.0.0.7", 1)


@pytest.mark.parametrize(
    ("trusted", "client", "kept"),
    [
        pytest.param(True, PROXY, True, id="everybody"),
        pytest.param(False, PROXY, False, id="nobody"),
        pytest.param([], PROXY, False, id="nobody listed"),
        pytest.param(["10.0.0.7"], PROXY, True, id="address"),
        pytest.param(["10.0.0.8"], PROXY, False, id="another address"),
        pytest.param(["192.0.2.0/24", "10.0.0.0/8"], PROXY, True, id="network"),
        pytest.param(["192.0.2.0/24"], PROXY, False, id="another network"),
        pytest.param(["10.0.0.0/8"], ["10.0.0.7", "1"], True, id="granian's client"),
        pytest.param(["10.0.0.0/8"], ("::ffff:10.0.0.7", 1), True, id="IPv4-mapped client"),
        pytest.param(["2001:db8::/32"], ("2001:db8::7", 1), True, id="IPv6"),
        pytest.param(["fe80::/10"], ("fe80::1%eth0", 1), True, id="IPv6 with a zone"),
        pytest.param(["::/0"], PROXY, False, id="IPv4 is not within IPv6"),
        pytest.param(["unix"], None, True, id="Unix socket"),
        pytest.param(["unix"], ("", "0"), True, id="Unix socket of granian"),
        pytest.param(["unix"], PROXY, False, id="TCP is not a Unix socket"),
        pytest.param(["0.0.0.0/0"], None, False, id="a Unix socket has no address"),
        pytest.param(["0.0.0.0/0"], ("testclient", 1), False, id="a name is no address"),
        pytest.param(lambda scope: scope["client"] == PROXY, PROXY, True, id="callable"),
        pytest.param(lambda scope: False, PROXY, False, id="callable that does not"),
        pytest.param(lambda scope: scope["no such key"], PROXY, False, id="callable that raises"),
    ],
)
async def test_adopts_the_id_of_a_trusted_client_only(
    trusted: Any, client: object, kept: bool
) -> None:
    app = RequestIDMiddleware(hello, trusted=trusted)

    response = await request(app, headers={"x-request-id": "abc"}, scope={"client": client})

    assert (response.get(b"x-request-id") == b"abc") == kept


# --- what the app and the client get ---


@pytest.mark.parametrize("kind", ["lifespan", "something.else"])
async def test_passes_what_is_no_request_on_with_the_same_objects(kind: str) -> None:
    given: list[object] = []

    async def app(*arguments: object) -> None:
        given.extend(arguments)

    scope: Scope = {"type": kind}
    await RequestIDMiddleware(app)(scope, receive, send)

    assert [id(argument) for argument in given] == [id(scope), id(receive), id(send)]


async def test_the_app_finds_one_id_everywhere() -> None:
    seen: dict[str, Any] = {}

    def look(scope: Scope) -> None:
        seen["context"] = get_request_id()
        seen["state"] = scope["state"]["request_id"]
        seen["headers"] = [value for name, value in scope["headers"] if name == b"x-request-id"]

    headers = [("x-request-id", "abc"), ("x-request-id", "abc")]
    await request(RequestIDMiddleware(doing(look)), headers=headers)

    assert seen == {"context": "abc", "state": "abc", "headers": [b"abc"]}


async def test_keeps_the_state_of_the_server() -> None:
    app = recording(hello)
    state = {"client": "open"}

    await request(RequestIDMiddleware(app, generator=lambda: "abc"), scope={"state": state})

    assert app.calls[0].scope["state"] == {"client": "open", "request_id": "abc"}
    assert state == {"client": "open"}


async def test_makes_a_state_where_the_server_has_none() -> None:
    app = recording(hello)
    scope: Scope = {"type": "http", "headers": [(b"x-request-id", b"abc")]}

    await RequestIDMiddleware(app)(scope, receive, send)

    assert app.calls[0].scope["state"] == {"request_id": "abc"}
    assert scope == {"type": "http", "headers": [(b"x-request-id", b"abc")]}


async def test_headers_that_can_be_read_only_once_reach_the_app() -> None:
    app = recording(hello)
    headers = iter([(b"accept", b"*/*"), (b"x-request-id", b"abc")])

    await RequestIDMiddleware(app, update_request_header=False)(
        {"type": "http", "headers": headers}, receive, send
    )

    assert app.calls[0].scope["headers"] == [(b"accept", b"*/*"), (b"x-request-id", b"abc")]


async def test_replaces_the_apps_own_header_whatever_its_spelling() -> None:
    app = recording(answering((b"X-Request-ID", b"stale"), (b"x-request-id", b"stale")))

    response = await request(RequestIDMiddleware(app), headers={"x-request-id": "abc"})

    assert response.headers == ((b"x-request-id", b"abc"),)


async def test_echoes_on_a_websocket_handshake() -> None:
    async with websocket(RequestIDMiddleware(echo), headers={"x-request-id": "abc"}) as socket:
        assert socket.headers == ((b"x-app", b"echo"), (b"x-request-id", b"abc"))


async def test_echoes_on_a_refused_handshake() -> None:
    denying = sending(
        {"type": "websocket.http.response.start", "status": 401, "headers": []},
        {"type": "websocket.http.response.body"},
    )

    with pytest.raises(HandshakeRefused) as refused:
        async with websocket(RequestIDMiddleware(denying), headers={"x-request-id": "abc"}):
            pass

    assert refused.value.headers == ((b"x-request-id", b"abc"),)


async def test_keeps_what_else_is_in_the_message_that_it_changes() -> None:
    trailers = {"type": "http.response.trailers", "headers": [(b"x-checksum", b"1")]}
    app = sending({**START, "trailers": True}, BODY, trailers)
    offered: dict[str, Any] = {"extensions": {"http.response.trailers": {}}}

    response = await request(RequestIDMiddleware(app), scope=offered)

    assert response.messages[0]["trailers"] is True


async def test_passes_every_other_message_on_as_it_is() -> None:
    parts = [{"type": "http.response.body", "body": b"a", "more_body": True}, dict(BODY)]

    response = await request(RequestIDMiddleware(sending(START, *parts)))

    assert [id(message) for message in response.messages[1:]] == [id(part) for part in parts]


async def test_leaves_it_to_cors_to_expose_the_header() -> None:
    app = answering((b"access-control-expose-headers", b"x-app"))

    response = await request(RequestIDMiddleware(app), headers={"origin": "https://a.example"})

    assert response.getall(b"access-control-expose-headers") == [b"x-app"]


async def test_another_header_name() -> None:
    app = RequestIDMiddleware(hello, header_name="X-Correlation-ID")

    response = await request(app, headers={"x-correlation-id": "abc", "x-request-id": "other"})

    assert response.getall(b"x-correlation-id") == [b"abc"]
    assert response.getall(b"x-request-id") == []


async def test_leaves_the_request_header_when_told_to() -> None:
    app = recording(hello)

    await request(RequestIDMiddleware(app, update_request_header=False))

    assert b"x-request-id" not in dict(app.calls[0].scope["headers"])


async def test_leaves_the_response_when_told_to() -> None:
    response = await request(RequestIDMiddleware(hello, response_header=False))

    assert response.getall(b"x-request-id") == []


@pytest.mark.parametrize(
    ("validator", "kept"),
    [
        pytest.param(None, True, id="none but the floor"),
        pytest.param(lambda value: value == "<id>", True, id="accepts"),
        pytest.param(lambda value: False, False, id="refuses"),
        pytest.param(lambda value: 1 / 0, False, id="raises"),
    ],
)
async def test_another_validator(validator: Callable[[str], bool] | None, kept: bool) -> None:
    app = RequestIDMiddleware(hello, validator=validator)

    response = await request(app, headers={"x-request-id": "<id>"})

    assert (response.get(b"x-request-id") == b"<id>") == kept


def raising(*_: object) -> str:
    raise RuntimeError("no more numbers")


async def coroutine(*_: object) -> Any:
    return "abc"


async def test_a_transformer_changes_ids_of_both_kinds() -> None:
    app = RequestIDMiddleware(hello, generator=lambda: "new", transformer=str.upper)

    made = await request(app)
    accepted = await request(app, headers={"x-request-id": "abc"})

    assert (made.get(b"x-request-id"), accepted.get(b"x-request-id")) == (b"NEW", b"ABC")


@pytest.mark.parametrize("option", ["generator", "transformer"])
@pytest.mark.parametrize(
    ("function", "logged"),
    [
        pytest.param(lambda *_: "a\r\nb", "returned 'a\\r\\nb'", id="line break"),
        pytest.param(lambda *_: "", "returned ''", id="empty"),
        pytest.param(lambda *_: "a" * 129, "returned 'aaaa", id="too long"),
        pytest.param(lambda *_: "caf\xe9", "returned 'caf", id="not ASCII"),
        pytest.param(lambda *_: None, "failed", id="no string"),
        pytest.param(raising, "failed", id="raises"),
    ],
)
async def test_a_bad_generator_or_transformer_fails_no_request(
    option: str, function: Callable[..., Any], logged: str, lines: pytest.LogCaptureFixture
) -> None:

    options: dict[str, Any] = {option: function}
    response = await request(RequestIDMiddleware(hello, **options))

    assert NEW.fullmatch(response.get(b"x-request-id") or b"")
    [record] = lines.records
    assert record.levelno == logging.ERROR
    assert f"the {option} of request IDs {logged}" in record.getMessage()
    assert record.__dict__["request_id"].encode() == response.get(b"x-request-id")


def quoting(request_id: str) -> bool:
    raise ValueError(f"{request_id} is none of ours")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({}, "refused the ID in x-request-id, cf-ray", id="not valid"),
        pytest.param(
            {"validator": quoting}, "refused the ID in x-request-id, cf-ray", id="validator raises"
        ),
        pytest.param(
            {"trusted": False}, "the peer is not trusted with a request ID", id="not trusted"
        ),
    ],
)
async def test_never_logs_what_it_rejects(
    options: Mapping[str, Any], message: str, lines: pytest.LogCaptureFixture
) -> None:
    app = RequestIDMiddleware(hello, fallback_headers=["CF-Ray"], **options)

    response = await request(app, headers={"x-request-id": "<forged>", "cf-ray": "<forged>"})

    [record] = lines.records
    assert (record.levelno, record.getMessage()) == (logging.DEBUG, message)
    assert "forged" not in lines.text
    assert record.__dict__["request_id"].encode() == response.get(b"x-request-id")


# --- the context ---


async def receive() -> Message:
    return {"type": "http.disconnect"}


async def send(message: Message) -> None:
    pass


async def test_a_stale_id_of_the_context_never_shows() -> None:
    seen: list[str | None] = []
    app = RequestIDMiddleware(doing(lambda _: seen.append(get_request_id())))

    async def connection() -> None:
        # As a server that serves a kept-alive connection in one context.
        await app_once("first")
        await app_once("second")

    async def app_once(request_id: str) -> None:
        await app(
            {"type": "http", "headers": [(b"x-request-id", request_id.encode())]}, receive, send
        )

    await asyncio.create_task(connection())

    assert seen == ["first", "second"]


async def test_a_stale_id_does_not_show_while_the_new_one_is_made() -> None:
    seen: list[str | None] = []

    def generator() -> str:
        seen.append(get_request_id())
        return "new"

    with request_id_context("stale"):
        await request(RequestIDMiddleware(hello, generator=generator))

    assert seen == [None]


async def test_a_hundred_requests_at_once_see_their_own_ids() -> None:
    async def part(seen: set[str | None]) -> None:
        await asyncio.sleep(random.random() / 100)
        seen.add(get_request_id())

    async def busy(scope: Scope, receive: Receive, send: Send) -> None:
        seen: set[str | None] = {scope["state"]["request_id"]}
        await part(seen)
        await asyncio.create_task(part(seen))
        await asyncio.gather(part(seen), part(seen))
        seen.add(await asyncio.to_thread(get_request_id))
        await part(seen)
        assert len(seen) == 1
        await answering((b"x-seen", str(*seen).encode()))(scope, receive, send)

    app = RequestIDMiddleware(busy)

    async def answered(number: int) -> tuple[bytes | None, bytes | None]:
        headers = {} if number % 2 else {"x-request-id": f"id-{number}"}
        response = await request(app, headers=headers)
        return response.get(b"x-request-id"), response.get(b"x-seen")

    answers = await asyncio.gather(*(answered(number) for number in range(100)))

    assert all(sent == seen for sent, seen in answers)
    assert len({seen for _, seen in answers}) == 100


async def test_an_abandoned_request_leaves_nothing_behind() -> None:
    async def waiting(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.get_running_loop().create_future()

    scope: dict[str, Any] = {"type": "http", "headers": [(b"x-request-id", b"abandoned")]}
    coroutine = RequestIDMiddleware(waiting)(scope, receive, send)
    # As a loop that is gone: it ran the first step, and never comes back.
    Context().run(coroutine.send, None)
    gone = weakref.ref(coroutine)

    with request_id_context("another"):
        del coroutine
        gc.collect()
        seen = get_request_id()

    assert (gone(), seen, get_request_id()) == (None, "another", None)


@pytest.mark.parametrize(
    "start",
    [
        pytest.param(
            lambda: asyncio.get_running_loop().run_in_executor(None, get_request_id),
            id="run_in_executor",
        ),
        pytest.param(
            lambda: asyncio.wrap_future(ThreadPoolExecutor(1).submit(get_request_id)),
            id="ThreadPoolExecutor",
        ),
        pytest.param(lambda: in_thread(get_request_id), id="Thread"),
    ],
)
@pytest.mark.skipif(
    getattr(sys.flags, "thread_inherit_context", 0) == 1, reason="threads inherit the context here"
)
async def test_does_not_go_along_into_a_thread_that_is_started_bare(
    start: Callable[[], asyncio.Future[str | None]],
) -> None:
    with request_id_context("abc"):
        assert await start() is None


@pytest.mark.parametrize(
    "start",
    [
        pytest.param(lambda: asyncio.to_thread(get_request_id), id="to_thread"),
        pytest.param(
            lambda: asyncio.get_running_loop().run_in_executor(
                None, copy_context().run, get_request_id
            ),
            id="run_in_executor",
        ),
        pytest.param(lambda: in_thread(copy_context().run, get_request_id), id="Thread"),
    ],
)
async def test_goes_along_into_a_thread_that_is_given_the_context(
    start: Callable[[], asyncio.Future[str | None]],
) -> None:
    with request_id_context("abc"):
        assert await start() == "abc"


def in_thread(function: Callable[..., Any], *arguments: Any) -> asyncio.Future[str | None]:
    result: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
    loop = asyncio.get_running_loop()

    def run() -> None:
        loop.call_soon_threadsafe(result.set_result, function(*arguments))

    threading.Thread(target=run).start()
    return result


async def test_an_app_within_an_app_gives_the_id_back() -> None:
    seen: list[str | None] = []

    async def outer(scope: Scope, receive: Receive, send: Send) -> None:
        inner_scope = {**scope, "headers": [(b"x-request-id", b"inner")]}
        await RequestIDMiddleware(hello)(inner_scope, receive, send)
        seen.append(get_request_id())

    await request(RequestIDMiddleware(outer), headers={"x-request-id": "outer"})

    assert seen == ["outer"]


async def test_the_id_is_still_set_when_the_server_logs_an_exception() -> None:
    async def failing(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError("broken")

    seen: list[str | None] = []

    async def server(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await RequestIDMiddleware(failing)(scope, receive, send)
        except RuntimeError:
            seen.append(get_request_id())
            await hello(scope, receive, send)

    await request(server, headers={"x-request-id": "abc"})

    assert seen == ["abc"]


# --- IDs outside of requests, and for other services ---


def test_gives_an_id_to_code_outside_of_a_request() -> None:
    with request_id_context("abc") as outer:
        with request_id_context() as inner:
            seen = [outer, get_request_id()]
        seen.append(get_request_id())

    assert seen == ["abc", inner, "abc"]
    assert NEW.fullmatch(inner.encode())
    assert get_request_id() is None


def test_restores_the_id_when_the_block_fails() -> None:
    with pytest.raises(ZeroDivisionError), request_id_context("abc"):
        _ = 1 / 0

    assert get_request_id() is None


def test_a_block_that_is_thrown_away_elsewhere_changes_nothing_there() -> None:
    def waiting() -> Iterator[None]:
        with request_id_context("thrown-away"):
            yield

    generator = waiting()
    copy_context().run(next, generator)

    with request_id_context("another"):
        del generator
        gc.collect()
        seen = get_request_id()

    assert seen == "another"


@pytest.mark.parametrize("request_id", ["", "a b", "a\r\nb", "caf\xe9", "a" * 129])
def test_refuses_to_set_an_id_that_may_not_be_logged(request_id: str) -> None:
    with (
        pytest.raises(ValueError, match="is not 1 to 128 characters of visible ASCII"),
        request_id_context(request_id),
    ):
        pass


def test_there_are_no_headers_to_hand_on_outside_of_a_request() -> None:
    assert outgoing_headers() == {}


async def test_hands_the_id_on_in_the_header_that_it_came_in() -> None:
    seen: list[dict[str, str]] = []
    app = RequestIDMiddleware(
        doing(lambda _: seen.append(outgoing_headers())), header_name="X-Correlation-ID"
    )

    await request(app, headers={"x-correlation-id": "abc"})

    assert seen == [{"x-correlation-id": "abc"}]


def test_hands_the_id_of_a_command_on() -> None:
    with request_id_context("abc"):
        assert outgoing_headers() == {"x-request-id": "abc"}


async def test_hands_the_trace_on_as_well() -> None:
    seen: list[dict[str, str]] = []
    layers = compose(RequestIDMiddleware, TraceContextMiddleware)
    trace_id, parent_id = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    headers = {
        "x-request-id": "abc",
        "traceparent": f"00-{trace_id}-{parent_id}-01",
        "tracestate": "congo=t61rcWkgMzE",
    }

    await request(layers(doing(lambda _: seen.append(outgoing_headers()))), headers=headers)

    traceparent = seen[0].pop("traceparent")
    assert re.fullmatch(f"00-{trace_id}-[0-9a-f]{{16}}-01", traceparent)
    assert parent_id not in traceparent
    assert seen == [{"x-request-id": "abc", "tracestate": "congo=t61rcWkgMzE"}]


# --- generators and validators ---


def test_generated_ids_differ() -> None:
    assert len({generate_request_id() for _ in range(1000)}) == 1000


@pytest.mark.skipif(not hasattr(sys.modules["os"], "fork"), reason="there is no fork here")
def test_generated_ids_differ_after_a_fork() -> None:
    code = (
        "import os; from asgi_middleware import generate_request_id;"
        "generate_request_id(); child = os.fork();"
        "os.write(1, f'{generate_request_id()}\\n'.encode()); child and os.wait()"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )

    first, second = done.stdout.split()
    assert first != second


def test_uuid7_is_a_uuid_of_version_7() -> None:
    assert re.fullmatch("[0-9a-f]{12}7[0-9a-f]{3}[89ab][0-9a-f]{15}", uuid7_hex())


def test_uuid7_begins_with_the_time_in_milliseconds() -> None:
    before = time.time_ns() // 1_000_000
    made = int(uuid7_hex()[:12], 16)

    assert before <= made <= time.time_ns() // 1_000_000


def test_uuid7_differs_within_a_millisecond() -> None:
    assert len({uuid7_hex() for _ in range(1000)}) == 1000


@pytest.mark.parametrize(
    ("request_id", "accepted"),
    [
        pytest.param("7f9c24e83b124fef91e04d7c0a1b2c3d", True, id="hex"),
        pytest.param("7f9c24e8-3b12-4fef-91e0-4d7c0a1b2c3d", True, id="dashes"),
        pytest.param("7F9C24E8-3B12-4FEF-91E0-4D7C0A1B2C3D", True, id="upper case"),
        pytest.param("7f9c24e8-3b124fef-91e0-4d7c0a1b2c3d", False, id="a dash missing"),
        pytest.param("{7f9c24e83b124fef91e04d7c0a1b2c3d}", False, id="braces"),
        pytest.param("urn:uuid:7f9c24e8-3b12-4fef-91e0-4d7c0a1b2c3d", False, id="URN"),
        pytest.param("7f9c24e83b124fef91e04d7c0a1b2c3d\n", False, id="line break"),
        pytest.param("7f9c24e83b124fef91e04d7c0a1b2c3g", False, id="no hexadecimal digit"),
        pytest.param("7f9c24e83b124fef91e04d7c0a1b2c3", False, id="too short"),
        pytest.param("\u0667f9c24e83b124fef91e04d7c0a1b2c3d", False, id="digit of another script"),
        pytest.param("-" * 100_000 + "7f9c24e83b124fef91e04d7c0a1b2c3d", False, id="100 kB"),
    ],
)
def test_is_uuid(request_id: str, accepted: bool) -> None:
    assert is_uuid(request_id) is accepted


# --- options ---


@pytest.mark.parametrize(
    ("options", "problems"),
    [
        pytest.param(
            {"header_name": "X Request"},
            ["header_name: 'X Request' is no header name; write 'X-Request-ID'"],
            id="no token",
        ),
        pytest.param(
            {"header_name": b"X-Request-ID"},
            ["header_name: b'X-Request-ID' is no header name; write 'X-Request-ID'"],
            id="bytes",
        ),
        pytest.param(
            {"header_name": "X_REQUEST_ID"},
            [
                "header_name: 'X_REQUEST_ID' holds '_', which servers drop or take for '-';"
                " write 'X-REQUEST-ID'"
            ],
            id="underscore",
        ),
        pytest.param(
            {"fallback_headers": "CF-Ray"},
            ["fallback_headers: 'CF-Ray' is a string; write ['CF-Ray']"],
            id="a string for a list",
        ),
        pytest.param(
            {"fallback_headers": None},
            ["fallback_headers: None is no list; write ['X-Correlation-ID']"],
            id="no list",
        ),
        pytest.param(
            {"fallback_headers": ["CF_Ray", ""]},
            [
                "fallback_headers: 'CF_Ray' holds '_', which servers drop or take for '-';"
                " write 'CF-Ray'",
                "fallback_headers: '' is no header name; write 'X-Request-ID'",
            ],
            id="fallback headers",
        ),
        pytest.param(
            {"generator": "uuid7_hex", "validator": True, "transformer": "lower"},
            [
                "generator: 'uuid7_hex' cannot be called; write the function, as in uuid7_hex",
                "validator: True cannot be called; write the function, as in is_uuid",
                "transformer: 'lower' cannot be called; write the function, as in str.lower",
            ],
            id="no functions",
        ),
        pytest.param(
            {"generator": coroutine, "validator": coroutine, "transformer": coroutine},
            [
                f"{option}: {coroutine!r} is async; write a plain function"
                for option in ("generator", "validator", "transformer")
            ],
            id="async functions",
        ),
        pytest.param(
            {"update_request_header": "false", "response_header": 0},
            [
                "update_request_header: 'false' is no bool; write True or False",
                "response_header: 0 is no bool; write True or False",
            ],
            id="no switches",
        ),
        pytest.param(
            {"trusted": "10.0.0.0/8"},
            ["trusted: '10.0.0.0/8' is a string; write ['10.0.0.0/8']"],
            id="a string for networks",
        ),
        pytest.param(
            {"trusted": "*"},
            ["trusted: '*' is a string; write True"],
            id="a star",
        ),
        pytest.param(
            {"trusted": None},
            [
                "trusted: None is not what can be trusted; write True, False, a list such as"
                " ['10.0.0.0/8', 'unix'], or a function of the scope"
            ],
            id="nothing to trust",
        ),
        pytest.param(
            {"trusted": coroutine},
            [f"trusted: {coroutine!r} is async; write a plain function of the scope"],
            id="async trust",
        ),
        pytest.param(
            {"trusted": ["localhost", "10.0.0.1/8", "::ffff:10.0.0.0/104", 10, "10.0.0.0/33"]},
            [
                "trusted: 'localhost' is no address, no network and not 'unix'; write '10.0.0.0/8'",
                "trusted: '10.0.0.1/8' has bits set beyond its prefix; write '10.0.0.0/8'",
                "trusted: '::ffff:10.0.0.0/104' is IPv4 written as IPv6, which matches no client;"
                " write '10.0.0.0/8'",
                "trusted: 10 is no string; write '10.0.0.0/8'",
                "trusted: '10.0.0.0/33' is no address, no network and not 'unix';"
                " write '10.0.0.0/8'",
            ],
            id="networks",
        ),
        pytest.param(
            {"header_name": "", "trusted": ["localhost"]},
            [
                "header_name: '' is no header name; write 'X-Request-ID'",
                "trusted: 'localhost' is no address, no network and not 'unix'; write '10.0.0.0/8'",
            ],
            id="all at once",
        ),
    ],
)
def test_refuses_bad_options(options: Mapping[str, Any], problems: Sequence[str]) -> None:
    with pytest.raises(ConfigurationError) as refused:
        RequestIDMiddleware(hello, **options)

    assert str(refused.value) == "\n".join(f"RequestIDMiddleware: {each}" for each in problems)


# --- logging ---


def record(**extra: object) -> logging.LogRecord:
    made = logging.makeLogRecord({"msg": "hello"})
    made.__dict__.update(extra)
    return made


def test_the_filter_keeps_records_from_outside_a_request() -> None:
    line = record()

    assert RequestIDFilter().filter(line) is True
    assert line.__dict__["request_id"] == "-"


async def test_the_filter_adds_the_id_cut_to_length() -> None:
    lines = [record(), record(request_id="given by extra")]

    def log(scope: Scope) -> None:
        for line in lines:
            RequestIDFilter(length=8).filter(line)

    headers = {"x-request-id": "0123456789"}
    await request(RequestIDMiddleware(doing(log)), headers=headers)

    assert [line.__dict__["request_id"] for line in lines] == ["01234567", "given by extra"]


@pytest.mark.parametrize(
    ("make", "subject"),
    [
        pytest.param(RequestIDFilter, "RequestIDFilter", id="filter"),
        pytest.param(install_record_factory, "install_record_factory", id="record factory"),
    ],
)
def test_refuses_bad_options_of_logging(make: Callable[..., object], subject: str) -> None:
    factory = logging.getLogRecordFactory()

    with pytest.raises(ConfigurationError) as refused:
        make(default_value=None, length=0)

    assert str(refused.value) == (
        f"{subject}: default_value: None is no string; write '-'\n"
        f"{subject}: length: 0 is not 1 or more; write 8, or None for the whole ID"
    )
    assert logging.getLogRecordFactory() is factory


@pytest.fixture
def as_before() -> Iterator[Callable[..., logging.LogRecord]]:
    """Return the record factory, and put it back."""
    factory = logging.getLogRecordFactory()
    yield factory
    logging.setLogRecordFactory(factory)


def made_record() -> logging.LogRecord:
    """Return a record that logging makes for a line."""
    return logging.getLogger("app").makeRecord("app", logging.INFO, "f", 1, "hello", (), None)


def id_of(line: logging.LogRecord) -> object:
    return line.__dict__.get("request_id", "none at all")


def test_the_factory_adds_the_id_to_every_record(as_before: object) -> None:
    install_record_factory(default_value="none", length=8)

    outside = made_record()
    with request_id_context("0123456789"):
        inside = made_record()

    assert (id_of(outside), id_of(inside)) == ("none", "01234567")


def test_the_factory_that_was_there_still_makes_the_record(as_before: object) -> None:
    class Record(logging.LogRecord):
        pass

    logging.setLogRecordFactory(Record)
    install_record_factory()

    line = made_record()

    assert (type(line), id_of(line)) == (Record, "-")


def test_the_factory_undone_leaves_what_was_there(
    as_before: Callable[..., logging.LogRecord],
) -> None:
    install_record_factory(default_value="first")
    undo = install_record_factory(default_value="second")

    installed_twice = id_of(made_record())
    undo()
    undo()

    assert installed_twice == "second"
    assert logging.getLogRecordFactory() is as_before


def test_the_factory_stays_while_another_is_over_it(as_before: object) -> None:
    undo = install_record_factory()
    ours = logging.getLogRecordFactory()

    def over_it(*args: Any, **kwargs: Any) -> logging.LogRecord:
        return ours(*args, **kwargs)

    logging.setLogRecordFactory(over_it)

    undo()

    assert id_of(made_record()) == "-"


def test_the_factory_reaches_handlers_of_another_thread(as_before: object) -> None:
    install_record_factory()
    seen: list[object] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(id_of(record))

    lines: queue.SimpleQueue[Any] = queue.SimpleQueue()
    listener = logging.handlers.QueueListener(lines, Handler())

    with request_id_context("abc"):
        logging.handlers.QueueHandler(lines).handle(made_record())
    listener.start()
    listener.stop()

    assert seen == ["abc"]


def test_with_the_factory_extra_may_not_name_the_id(as_before: object) -> None:
    install_record_factory()

    with pytest.raises(KeyError, match="request_id"):
        logging.getLogger("app").error("hello", extra={"request_id": "mine"})
