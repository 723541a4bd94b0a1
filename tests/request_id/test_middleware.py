"""Which ID a request gets, and where that ID appears."""

import asyncio
import gc
import logging
import re
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextvars import Context
from typing import Any

import pytest
from hypothesis import given
from hypothesis.strategies import DataObject, data, lists, sampled_from, tuples

from asgi_middleware import (
    RequestIDFilter,
    RequestIDMiddleware,
    get_request_id,
    request_id_context,
    uuid7_hex,
)
from asgi_middleware.testing import HandshakeRefused, recording, request, websocket
from asgi_middleware.testing.recording import RecordedApp
from asgi_middleware.types import Header, Message, Receive, Scope, Send
from tests.apps import answering, doing, echo, hello, sending
from tests.growth import assert_linear

from .formats import FORMATS

NEW = re.compile(rb"[0-9a-f]{32}")


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """Capture the log records, with their request IDs."""
    caplog.set_level(logging.DEBUG, logger="app")
    caplog.set_level(logging.DEBUG, logger="asgi_middleware")
    with caplog.filtering(RequestIDFilter()):
        yield caplog


# --- which ID: sent, valid, trusted ---


async def test_an_id_of_each_known_source_is_kept_in_full() -> None:
    app = recording(hello)
    middleware = RequestIDMiddleware(app)

    for _, request_id in FORMATS:
        response = await request(middleware, headers={"x-request-id": request_id})

        assert response.getall(b"x-request-id") == [request_id.encode()]
        assert (b"x-request-id", request_id.encode()) in app.calls[-1].scope["headers"]
        assert app.calls[-1].scope["state"]["request_id"] == request_id


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        pytest.param("\t abc \t", True, id="whitespace around it"),
        pytest.param("a" * 200, True, id="longest"),
        pytest.param("a" * 201, False, id="too long"),
        pytest.param("", False, id="empty"),
        pytest.param(" \t", False, id="only whitespace"),
        pytest.param("abc\r\nset-cookie: x", False, id="line break"),
        pytest.param("<id>", False, id="what the validator refuses"),
    ],
)
async def test_an_id_is_kept_or_replaced_as_a_whole(sent: str, kept: bool) -> None:
    response = await request(RequestIDMiddleware(hello), headers={"x-request-id": sent})

    [request_id] = response.getall(b"x-request-id")
    assert (request_id == sent.strip(" \t").encode()) == kept
    assert kept or NEW.fullmatch(request_id)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(b"", b"", id="alone"),
        pytest.param(b"", b"b", id="first"),
        pytest.param(b"a", b"", id="last"),
        pytest.param(b"a", b"b", id="within"),
    ],
)
async def test_only_visible_ascii_gets_through(
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


@pytest.mark.parametrize("name", ["X_Request_ID", "x_request-id", "x-request_id", "x_request_id"])
@pytest.mark.parametrize("sent", [{}, {"x-request-id": "abc"}, {"x-request-id": "<id>"}])
async def test_a_name_with_an_underscore_neither_gives_an_id_nor_reaches_the_app(
    name: str, sent: Mapping[str, str]
) -> None:
    app = recording(hello)
    headers = [(name.encode(), b"evil"), *((k.encode(), v.encode()) for k, v in sent.items())]

    response = await request(RequestIDMiddleware(app, generator=lambda: "new"), headers=headers)

    kept = b"abc" if sent == {"x-request-id": "abc"} else b"new"
    assert response.getall(b"x-request-id") == [kept]
    assert named_like(b"x-request-id", app) == [(b"x-request-id", kept)]


def named_like(name: bytes, app: RecordedApp) -> list[Header]:
    """Return the headers that Django 5.2.0 would join with *name* into one."""
    return [
        header for header in app.calls[-1].scope["headers"] if mangled(header[0]) == mangled(name)
    ]


def mangled(name: bytes) -> str:
    return name.decode("latin-1").upper().replace("-", "_")


@given(data())
async def test_exactly_one_header_becomes_the_request_id_in_djangos_meta(given: DataObject) -> None:
    header = given.draw(sampled_from(["X-Request-ID", "X-Session-Pass-ID", "RequestID"]))
    spellings = [
        sampled_from([letter.lower(), letter.upper(), *("-_" if letter == "-" else "")])
        for letter in header
    ]
    drawn = given.draw(lists(tuples(*spellings).map("".join), max_size=3))
    names = [name.replace("ss", given.draw(sampled_from(["ss", "ß"]))) for name in drawn]
    app = recording(hello)
    own = given.draw(sampled_from([[], [(header.lower().encode(), b"abc")]]))
    sent = [*((name.encode("latin-1"), b"abc") for name in names), (b"accept", b"*/*"), *own]

    await request(RequestIDMiddleware(app, header_name=header), headers=sent)

    assert [name for name, _ in named_like(header.encode(), app)] == [header.lower().encode()]
    assert (b"accept", b"*/*") in app.calls[-1].scope["headers"]


async def test_a_request_without_an_id_gets_a_new_one() -> None:
    first = await request(RequestIDMiddleware(hello))
    second = await request(RequestIDMiddleware(hello))

    assert NEW.fullmatch(first.get(b"x-request-id") or b"")
    assert first.get(b"x-request-id") != second.get(b"x-request-id")


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        pytest.param(["abc", "abc"], True, id="the same one twice"),
        pytest.param(["abc", " abc"], True, id="the same one twice, except for a space"),
        pytest.param(["abc", "def"], False, id="two that differ"),
        pytest.param(["abc", ""], False, id="one of them empty"),
        pytest.param(["abc", "def", "abc"], False, id="one of three differs"),
    ],
)
async def test_several_headers_of_the_same_name_must_agree(sent: list[str], kept: bool) -> None:
    headers = [("x-request-id", value) for value in sent]

    response = await request(RequestIDMiddleware(hello), headers=headers)

    assert (response.get(b"x-request-id") == b"abc") == kept


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        pytest.param(
            {"x-request-id": "main", "x-amzn-trace-id": "first"}, b"main", id="the main header wins"
        ),
        pytest.param(
            {"cf-ray": "second", "x-amzn-trace-id": "first"}, b"first", id="the first fallback wins"
        ),
        pytest.param({"cf-ray": "second"}, b"second", id="the second fallback alone"),
        pytest.param(
            {"x-request-id": "<id>", "cf-ray": "second"}, b"second", id="an invalid ID is skipped"
        ),
        pytest.param({"x-correlation-id": "other"}, b"new", id="a header that is not listed"),
    ],
)
async def test_the_first_valid_id_in_the_order_of_the_headers_is_adopted(
    sent: Mapping[str, str], kept: bytes
) -> None:
    names = ["X-Amzn-Trace-Id", "CF-Ray"]
    app = RequestIDMiddleware(hello, fallback_headers=names, generator=lambda: "new")

    response = await request(app, headers=sent)

    assert response.getall(b"x-request-id") == [kept]


async def test_a_fallback_header_reaches_the_app_unchanged() -> None:
    app = recording(hello)

    await request(
        RequestIDMiddleware(app, fallback_headers=["CF-Ray"]), headers={"cf-ray": " ray "}
    )

    headers = app.calls[0].scope["headers"]
    assert headers[1:] == [(b"cf-ray", b" ray "), (b"x-request-id", b"ray")]


@pytest.mark.parametrize(("trusted", "kept"), [(["127.0.0.1"], True), (["10.0.0.0/8"], False)])
async def test_only_the_id_of_a_trusted_client_is_adopted(trusted: list[str], kept: bool) -> None:
    app = RequestIDMiddleware(hello, trusted=trusted)

    response = await request(app, headers={"x-request-id": "abc"})

    assert (response.get(b"x-request-id") == b"abc") == kept


# --- what the app and the client get ---


async def receive() -> Message:
    return {"type": "http.disconnect"}


async def send(message: Message) -> None:
    pass


async def test_the_app_finds_the_same_id_everywhere() -> None:
    seen: dict[str, Any] = {}

    def look(scope: Scope) -> None:
        seen["context"] = get_request_id()
        seen["state"] = scope["state"]["request_id"]
        seen["headers"] = [value for name, value in scope["headers"] if name == b"x-request-id"]

    headers = [("x-request-id", "abc"), ("x-request-id", "abc")]
    await request(RequestIDMiddleware(doing(look)), headers=headers)

    assert seen == {"context": "abc", "state": "abc", "headers": [b"abc"]}


async def test_the_state_of_the_server_is_kept() -> None:
    app = recording(hello)
    state = {"client": "open"}

    await request(RequestIDMiddleware(app, generator=lambda: "abc"), scope={"state": state})

    assert app.calls[0].scope["state"] == {"client": "open", "request_id": "abc"}
    assert state == {"client": "open"}


async def test_a_state_that_is_none_is_replaced() -> None:
    app = recording(hello)

    await request(RequestIDMiddleware(app, generator=lambda: "abc"), scope={"state": None})

    assert app.calls[0].scope["state"] == {"request_id": "abc"}


async def test_headers_that_can_be_read_only_once_reach_the_app() -> None:
    app = recording(hello)
    headers = iter([(b"accept", b"*/*"), (b"x-request-id", b"abc")])

    await RequestIDMiddleware(app, update_request_header=False)(
        {"type": "http", "headers": headers}, receive, send
    )

    assert app.calls[0].scope["headers"] == [(b"accept", b"*/*"), (b"x-request-id", b"abc")]


async def test_the_apps_own_id_header_is_replaced_whatever_its_case() -> None:
    app = recording(answering((b"X-Request-ID", b"stale"), (b"x-request-id", b"stale")))

    response = await request(RequestIDMiddleware(app), headers={"x-request-id": "abc"})

    assert response.headers == ((b"x-request-id", b"abc"),)


async def test_the_response_to_a_websocket_handshake_has_the_id() -> None:
    async with websocket(RequestIDMiddleware(echo), headers={"x-request-id": "abc"}) as socket:
        assert socket.headers == ((b"x-app", b"echo"), (b"x-request-id", b"abc"))


async def test_the_response_to_a_refused_handshake_has_the_id() -> None:
    denying = sending(
        {"type": "websocket.http.response.start", "status": 401, "headers": []},
        {"type": "websocket.http.response.body"},
    )

    with pytest.raises(HandshakeRefused) as refused:
        async with websocket(RequestIDMiddleware(denying), headers={"x-request-id": "abc"}):
            pass

    assert refused.value.headers == ((b"x-request-id", b"abc"),)


async def test_the_middleware_leaves_exposing_the_header_to_cors() -> None:
    app = answering((b"access-control-expose-headers", b"x-app"))

    response = await request(RequestIDMiddleware(app), headers={"origin": "https://a.example"})

    assert response.getall(b"access-control-expose-headers") == [b"x-app"]


async def test_the_header_name_can_be_changed() -> None:
    app = RequestIDMiddleware(hello, header_name="X-Correlation-ID")

    response = await request(app, headers={"x-correlation-id": "abc", "x-request-id": "other"})

    assert response.getall(b"x-correlation-id") == [b"abc"]
    assert response.getall(b"x-request-id") == []


async def test_the_request_header_can_be_left_alone() -> None:
    app = recording(hello)

    await request(RequestIDMiddleware(app, update_request_header=False))

    assert b"x-request-id" not in dict(app.calls[0].scope["headers"])


async def test_the_response_can_be_left_alone() -> None:
    response = await request(RequestIDMiddleware(hello, response_header=False))

    assert response.getall(b"x-request-id") == []


@pytest.mark.parametrize(
    ("validator", "kept"),
    [
        pytest.param(None, True, id="no validator"),
        pytest.param(lambda value: value == "<id>", True, id="accepts"),
        pytest.param(lambda value: False, False, id="refuses"),
        pytest.param(lambda value: 1 / 0, False, id="raises"),
    ],
)
async def test_a_validator_decides_what_is_adopted(
    validator: Callable[[str], bool] | None, kept: bool
) -> None:
    app = RequestIDMiddleware(hello, validator=validator)

    response = await request(app, headers={"x-request-id": "<id>"})

    assert (response.get(b"x-request-id") == b"<id>") == kept


def raising(*_: object) -> str:
    raise RuntimeError("out of numbers")


async def test_a_transformer_changes_accepted_and_generated_ids() -> None:
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
        pytest.param(lambda *_: "a" * 201, "returned 'aaaa", id="too long"),
        pytest.param(lambda *_: "caf\xe9", "returned 'caf", id="not ASCII"),
        pytest.param(lambda *_: None, "failed", id="not a string"),
        pytest.param(raising, "failed", id="raises"),
    ],
)
async def test_a_request_survives_a_broken_generator_or_transformer(
    option: str, function: Callable[..., Any], logged: str, lines: pytest.LogCaptureFixture
) -> None:
    options: dict[str, Any] = {option: function}
    response = await request(RequestIDMiddleware(hello, **options))

    assert NEW.fullmatch(response.get(b"x-request-id") or b"")
    [record] = lines.records
    assert record.levelno == logging.ERROR
    assert record.getMessage().startswith(f"the request ID {option} {logged}")
    assert record.getMessage().endswith("; using a random ID")
    assert record.__dict__["request_id"].encode() == response.get(b"x-request-id")


def quoting(request_id: str) -> bool:
    raise ValueError(f"{request_id} is not one of ours")


def refuses_all(request_id: str) -> bool:
    return False


REFUSED: list[tuple[dict[str, Any], list[bytes], str]] = [
    ({}, [b""], "it is empty"),
    ({}, [b"forged" * 100], "it is longer than 200 characters"),
    ({}, [b"forged\x1b"], "it is not visible ASCII"),
    ({}, [b"<forged>"], "is_valid_request_id refused it"),
    ({}, [b"forged", b"forged-too"], "its lines differ"),
    ({"validator": refuses_all}, [b"forged"], "refuses_all refused it"),
    ({"validator": quoting}, [b"forged"], "quoting refused it"),
    ({"validator": None}, [b"forged it"], "it is not visible ASCII"),
    ({"trusted": False}, [b"forged"], "its sender is not trusted"),
]


@pytest.mark.parametrize(("options", "sent", "why"), REFUSED, ids=[why for _, _, why in REFUSED])
async def test_a_replaced_id_is_logged_with_the_reason_and_without_its_value(
    options: Mapping[str, Any], sent: list[bytes], why: str, lines: pytest.LogCaptureFixture
) -> None:
    app = RequestIDMiddleware(hello, **options)
    headers = [(b"x-request-id", value) for value in sent]

    responses = [await request(app, headers=headers) for _ in range(3)]

    line = f"ignored the request ID in x-request-id: {why}"
    assert [(record.levelno, record.getMessage()) for record in lines.records] == [
        (logging.INFO, f"{line}; further lines like this are logged at DEBUG"),
        (logging.DEBUG, line),
        (logging.DEBUG, line),
    ]
    assert "forged" not in lines.text
    for record, response in zip(lines.records, responses, strict=True):
        assert record.__dict__["request_id"].encode() == response.get(b"x-request-id")


async def test_the_first_replaced_id_of_each_header_is_logged_at_info(
    lines: pytest.LogCaptureFixture,
) -> None:
    app = RequestIDMiddleware(hello, fallback_headers=["CF-Ray"])

    for headers in ({"x-request-id": "<a>"}, {"x-request-id": "<a>", "cf-ray": "<b>"}):
        await request(app, headers=headers)

    assert [(record.levelname, record.args and record.args[0]) for record in lines.records] == [  # type: ignore[index]
        ("INFO", "x-request-id"),
        ("DEBUG", "x-request-id"),
        ("INFO", "cf-ray"),
    ]


async def test_ids_after_the_accepted_one_are_not_logged(
    lines: pytest.LogCaptureFixture,
) -> None:
    app = RequestIDMiddleware(hello, fallback_headers=["CF-Ray", "X-Amzn-Trace-Id"])

    await request(app, headers={"x-request-id": "<a>", "cf-ray": "b", "x-amzn-trace-id": "<c>"})

    [line] = lines.messages
    assert line.startswith("ignored the request ID in x-request-id: ")


async def test_an_id_under_a_name_with_an_underscore_is_logged(
    lines: pytest.LogCaptureFixture,
) -> None:
    app = RequestIDMiddleware(hello)

    await request(app, headers=[(b"x_request_id", b"abc")])
    await request(app, headers=[(b"x_request_id", b"abc"), (b"x-request-id", b"abc")])

    [line] = lines.messages
    assert line.startswith("ignored the request ID in x-request-id: its name has '_' instead of")


async def test_a_request_whose_id_is_kept_is_not_logged(lines: pytest.LogCaptureFixture) -> None:
    for headers in ({}, {"x-request-id": "abc"}):
        await request(RequestIDMiddleware(hello), headers=headers)

    assert lines.messages == []


async def test_the_id_is_restored_after_an_app_inside_the_app() -> None:
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
            seen.append(get_request_id())  # where a server logs the exception
            await hello(scope, receive, send)

    await request(server, headers={"x-request-id": "abc"})

    assert seen == ["abc"]


async def test_a_stale_id_in_the_context_is_never_seen() -> None:
    seen: list[str | None] = []
    app = RequestIDMiddleware(doing(lambda _: seen.append(get_request_id())))

    async def connection() -> None:
        # Like a server that serves a kept-alive connection in one context.
        await app_once("first")
        await app_once("second")

    async def app_once(request_id: str) -> None:
        await app(
            {"type": "http", "headers": [(b"x-request-id", request_id.encode())]}, receive, send
        )

    await asyncio.create_task(connection())

    assert seen == ["first", "second"]


async def test_the_generator_does_not_see_a_stale_id() -> None:
    seen: list[str | None] = []

    def generator() -> str:
        seen.append(get_request_id())
        return "new"

    with request_id_context("stale"):
        await request(RequestIDMiddleware(hello, generator=generator))

    assert seen == [None]


async def test_an_abandoned_request_leaves_nothing_behind() -> None:
    async def waiting(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.get_running_loop().create_future()

    scope: dict[str, Any] = {"type": "http", "headers": [(b"x-request-id", b"abandoned")]}
    coroutine = RequestIDMiddleware(waiting)(scope, receive, send)
    # Like an event loop that ran the first step and then went away.
    Context().run(coroutine.send, None)
    gone = weakref.ref(coroutine)

    with request_id_context("another"):
        del coroutine
        gc.collect()
        seen = get_request_id()

    assert (gone(), seen, get_request_id()) == (None, "another", None)


def test_the_middleware_shows_its_options() -> None:
    app = RequestIDMiddleware(hello, fallback_headers=["CF-Ray"], generator=uuid7_hex)

    assert repr(app) == (
        "RequestIDMiddleware(header_name='X-Request-ID', fallback_headers=['CF-Ray'],"
        " generator=uuid7_hex, validator=is_valid_request_id, transformer=None, trusted=True,"
        " update_request_header=True, response_header=True)"
    )


# --- what a client can send ---


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param(lambda size: [(b"x-request-id", b"a")] * size, id="equal lines"),
        pytest.param(
            lambda size: [(b"x-request-id", b"%d" % each) for each in range(size)],
            id="different lines",
        ),
        pytest.param(lambda size: [(b"x_request_id", b"a")] * size, id="underscores"),
        pytest.param(lambda size: [(b"X-Request-Id", b"a")] * size, id="capitals"),
        pytest.param(lambda size: [(b"cf-ray", b"<a>")] * size, id="lines of a fallback"),
        pytest.param(lambda size: [(b"x-request-id", b"a" * size)], id="a long ID"),
        pytest.param(lambda size: [(b"x-request-id", b" " * size)], id="a long blank ID"),
        pytest.param(lambda size: [(b"cf-ray", b"a" * size)] * 10, id="long lines of a fallback"),
        pytest.param(lambda size: [(b"x" * size, b"a")], id="a long name"),
        pytest.param(lambda size: [(b"content-type", b"a")] * size, id="names of the same length"),
    ],
)
def test_the_work_for_a_request_grows_no_faster_than_its_headers(
    headers: Callable[[int], list[Header]],
) -> None:
    app = RequestIDMiddleware(hello, fallback_headers=["CF-Ray"])

    def serve(size: int) -> None:
        calling = app({"type": "http", "headers": headers(size)}, receive, send)
        with pytest.raises(StopIteration):
            Context().run(calling.send, None)

    assert_linear(serve)
