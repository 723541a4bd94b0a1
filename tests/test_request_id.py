import asyncio
import logging
import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from asgi_middleware import (
    ConfigurationError,
    RequestIDFilter,
    RequestIDMiddleware,
    generate_request_id,
    get_request_id,
)
from asgi_middleware.testing import recording, request, websocket
from asgi_middleware.types import Message, Receive, Scope, Send

from .apps import answering, doing, echo, hello


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


async def test_makes_an_id_for_a_request_without_one() -> None:
    first = await request(RequestIDMiddleware(hello))
    second = await request(RequestIDMiddleware(hello))

    assert re.fullmatch(rb"[0-9a-f]{32}", first.get(b"x-request-id") or b"")
    assert first.get(b"x-request-id") != second.get(b"x-request-id")


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        pytest.param(["abc", "abc"], b"abc", id="twice the same"),
        pytest.param(["abc", "def"], None, id="two different ones"),
    ],
)
async def test_several_headers_of_the_name(sent: list[str], kept: bytes | None) -> None:
    headers = [("x-request-id", value) for value in sent]

    response = await request(RequestIDMiddleware(hello), headers=headers)

    assert (response.get(b"x-request-id") == b"abc") == (kept == b"abc")


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


async def test_replaces_the_apps_own_header_whatever_its_spelling() -> None:
    app = recording(answering((b"X-Request-ID", b"stale"), (b"x-request-id", b"stale")))

    response = await request(RequestIDMiddleware(app), headers={"x-request-id": "abc"})

    assert response.headers == ((b"x-request-id", b"abc"),)


async def test_echoes_on_a_websocket_handshake() -> None:
    async with websocket(RequestIDMiddleware(echo), headers={"x-request-id": "abc"}) as socket:
        assert socket.headers == ((b"x-app", b"echo"), (b"x-request-id", b"abc"))


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


def raising() -> str:
    raise RuntimeError("no more numbers")


@pytest.mark.parametrize(
    ("generator", "logged"),
    [
        pytest.param(lambda: "a\r\nb", "returned 'a\\r\\nb'", id="line break"),
        pytest.param(lambda: "", "returned ''", id="empty"),
        pytest.param(lambda: None, "failed", id="no string"),
        pytest.param(raising, "failed", id="raises"),
    ],
)
async def test_a_bad_generator_fails_no_request(
    generator: Callable[[], Any], logged: str, caplog: pytest.LogCaptureFixture
) -> None:
    response = await request(RequestIDMiddleware(hello, generator=generator))

    assert re.fullmatch(rb"[0-9a-f]{32}", response.get(b"x-request-id") or b"")
    [record] = caplog.records
    assert record.levelno == logging.ERROR
    assert logged in record.getMessage()


async def test_never_logs_what_it_rejects(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="asgi_middleware")

    await request(RequestIDMiddleware(hello), headers={"x-request-id": "<forged>"})

    [record] = caplog.records
    assert record.levelno == logging.DEBUG
    assert "forged" not in record.getMessage()


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

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        pass

    await asyncio.create_task(connection())

    assert seen == ["first", "second"]


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


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        pytest.param(
            {"header_name": "X Request"},
            "RequestIDMiddleware: header_name: 'X Request' is no header name; write 'X-Request-ID'",
            id="no token",
        ),
        pytest.param(
            {"header_name": "X_REQUEST_ID"},
            "RequestIDMiddleware: header_name: 'X_REQUEST_ID' holds '_', which servers drop or"
            " take for '-'; write 'X-REQUEST-ID'",
            id="underscore",
        ),
    ],
)
def test_refuses_bad_options(options: Mapping[str, Any], problem: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        RequestIDMiddleware(hello, **options)

    assert str(refused.value) == problem


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


def test_generated_ids_differ() -> None:
    assert len({generate_request_id() for _ in range(1000)}) == 1000
