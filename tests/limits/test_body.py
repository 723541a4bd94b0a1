"""Request bodies that are too large, or too slow."""

import asyncio
import logging
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from typing import Any

import pytest

from asgi_middleware.limits import RequestBodyLimitMiddleware
from asgi_middleware.testing import Response, recording, request, stream
from asgi_middleware.types import ASGIApp, Message, Receive, Scope, Send

from ..apps import BODY, START, hello

limited = partial(RequestBodyLimitMiddleware, max_body_size=10)


async def reads(scope: Scope, receive: Receive, send: Send) -> None:
    """Read the body to its end, and respond with its size. A client that leaves gets nothing."""
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        size += len(message.get("body", b""))
        if not message.get("more_body", False):
            break
    await send(START)
    await send({"type": "http.response.body", "body": str(size).encode()})


async def posted(
    app: ASGIApp, body: bytes | Iterable[bytes], target: str = "/", **scope: Any
) -> Response:
    return await request(app, "POST", target, body=body, scope=scope)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 200),
        (b"x" * 10, 200),
        (b"x" * 11, 413),
        ([b"x" * 5, b"x" * 5], 200),
        ([b"x" * 5, b"x" * 5, b""], 200),
        ([b"x" * 5, b"x" * 6], 413),
        ([b"x" * 11, b""], 413),
        ([b"x"] * 10, 200),
        ([b"x"] * 11, 413),
    ],
    ids=lambda value: repr(value) if len(repr(value)) < 40 else f"{len(value)} parts",
)
async def test_a_body_over_the_limit_gets_a_413(body: bytes | list[bytes], status: int) -> None:
    assert (await posted(limited(reads), body)).status == status


async def test_a_content_length_over_the_limit_is_refused_before_the_app_is_called() -> None:
    app = recording(reads)

    response = await posted(limited(app), b"x" * 11)

    assert (response.status, app.calls, response.receives) == (413, [], 0)
    assert response.text == "The request body is larger than this server accepts.\n"


@pytest.mark.parametrize(
    ("length", "status"),
    [
        (b"10", 200),
        (b" 10 ", 200),
        (b"11", 413),
        (b"9" * 5000, 413),
        (b"0011", 413),
        (b"-1", 200),
        (b"ten", 200),
    ],
)
async def test_only_a_valid_content_length_over_the_limit_is_refused(
    length: bytes, status: int
) -> None:
    response = await request(
        limited(hello), "POST", headers=[(b"content-length", length)], body=b""
    )

    assert response.status == status


async def test_a_body_longer_than_its_content_length_is_still_limited() -> None:
    app = recording(reads)

    response = await request(
        limited(app), "POST", headers={"content-length": "5"}, body=[b"x" * 8, b"x" * 8]
    )

    assert response.status == 413
    assert [message.get("body") for message in app.calls[0].received] == [b"x" * 8, None]


async def test_the_app_receives_a_disconnect_and_no_byte_beyond_the_limit() -> None:
    app = recording(reads)

    await posted(limited(app), [b"x" * 9, b"x" * 9, b"x"])

    assert app.calls[0].received == [
        {"type": "http.request", "body": b"x" * 9, "more_body": True},
        {"type": "http.disconnect"},
    ]


async def test_a_refused_app_receives_the_disconnect_at_every_call() -> None:
    async def insists(scope: Scope, receive: Receive, send: Send) -> None:
        for _ in range(100):
            await receive()

    response = await posted(limited(insists), [b"x" * 11, b"x"])

    assert response.status == 413
    assert response.complete


@pytest.mark.parametrize("kind", [RuntimeError, ConnectionError, ValueError])
async def test_an_exception_of_a_refused_app_does_not_reach_the_server(
    kind: type[Exception],
) -> None:
    """Starlette raises ClientDisconnect, and a server would log its traceback each time."""

    async def raises(scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        raise kind

    response = await posted(limited(raises), [b"x" * 11, b"x"])

    assert response.status == 413


async def test_an_exception_of_an_app_within_the_limit_reaches_the_server() -> None:
    async def raises(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError("its own")

    with pytest.raises(RuntimeError, match="its own"):
        await posted(limited(raises), b"x")


async def test_the_response_of_a_refused_app_is_dropped() -> None:
    async def responds(scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        await hello(scope, receive, send)

    response = await posted(limited(responds), [b"x" * 11, b"x"])

    assert (response.status, response.complete) == (413, True)


async def test_a_stream_of_a_refused_app_ends() -> None:
    async def streams(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(START)
        while True:
            await send({"type": "http.response.body", "body": b"x", "more_body": True})

    response = await posted(limited(streams), [b"x" * 11, b"x"])

    assert response.status == 413


async def test_a_response_that_has_begun_is_completed_instead_of_a_413() -> None:
    async def early(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        while (await receive())["type"] != "http.disconnect":
            pass
        await send(BODY)

    response = await posted(limited(early), [b"x" * 11, b"x"])

    assert [message["type"] for message in response.messages] == [
        "http.response.start",
        "http.response.body",
    ]
    assert response.status == 200


@pytest.mark.parametrize(
    ("target", "size", "status"),
    [
        ("/", 11, 413),
        ("/upload/", 1000, 200),
        ("/upload", 1000, 200),
        ("/upload/photo/", 1000, 200),
        ("/upload/photo/", 1001, 413),
        ("/uploads/", 11, 413),
        ("/upload/small/", 6, 413),
        ("/any/", 100_000, 200),
    ],
)
async def test_a_prefix_has_a_limit_of_its_own(target: str, size: int, status: int) -> None:
    paths = {"/upload/": 1000, "/upload/small/": 5, "/any": None}

    response = await posted(limited(reads, paths=paths), b"x" * size, target)

    assert response.status == status


async def test_prefixes_of_limits_are_relative_to_root_path() -> None:
    app = limited(reads, paths={"/upload/": 1000})

    response = await posted(app, b"x" * 11, "/app/upload/", root_path="/app")

    assert response.status == 200


async def test_a_body_within_the_limit_reaches_the_app_unchanged_part_by_part() -> None:
    app = recording(reads)
    parts: list[Message] = [
        {"type": "http.request", "body": b"abc", "more_body": True, "other": 1},
        {"type": "http.request"},
    ]
    messages = iter(parts)

    async def receive() -> Message:
        return next(messages)

    async def send(message: Message) -> None: ...

    scope = {"type": "http", "method": "POST", "path": "/", "headers": []}
    await limited(app)(scope, receive, send)

    assert all(got is sent for got, sent in zip(app.calls[0].received, parts, strict=True))
    assert app.calls[0].scope is scope


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "DELETE"])
async def test_a_request_without_a_body_passes_with_the_same_three_objects(method: str) -> None:
    seen: list[object] = []

    async def app(*given: Any) -> None:
        seen.extend(given)

    async def receive() -> Message:
        raise AssertionError

    async def send(message: Message) -> None: ...

    scope = {"type": "http", "method": method, "path": "/", "headers": [], "http_version": "1.1"}
    await limited(app)(scope, receive, send)

    assert [*map(id, seen)] == [id(scope), id(receive), id(send)]


@pytest.mark.parametrize("version", ["1.0", "1.1", "2", "3"])
async def test_a_413_closes_the_connection_of_http_1(version: str) -> None:
    response = await posted(limited(reads), b"x" * 11, http_version=version)

    assert response.getall(b"connection") == ([b"close"] if version.startswith("1") else [])


async def test_an_http_2_body_without_a_content_length_is_limited() -> None:
    async with stream(limited(reads), scope={"http_version": "2"}) as upload:
        upload.send_body(b"x" * 11, more_body=False)
        start = await upload.message()
        await upload.message()

    assert start["status"] == 413


async def test_a_client_that_pauses_for_too_long_gets_a_408() -> None:
    async with stream(limited(reads, timeout=0.01), "POST") as upload:
        upload.send_body(b"x")
        start = await upload.message()
        body = await upload.message()

    assert start["status"] == 408
    assert body["body"] == b"The request body did not arrive in time.\n"


async def test_a_client_that_sends_below_the_minimum_rate_gets_a_408() -> None:
    app = limited(reads, timeout=0.2, min_rate=1000)
    async with stream(app, "POST", headers={"content-length": "10"}) as upload:

        async def trickle() -> None:
            for _ in range(8):
                upload.send_body(b"x")
                await asyncio.sleep(0.05)

        trickling = asyncio.create_task(trickle())
        start = await upload.message()
        await upload.message()
        trickling.cancel()

    assert start["status"] == 408


async def test_the_time_that_the_app_takes_does_not_count_against_the_client() -> None:
    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await asyncio.sleep(0.6)
        await receive()
        await hello(scope, receive, send)

    response = await posted(limited(slow, timeout=0.4, min_rate=10_000), [b"x"] * 2)

    assert response.status == 200


async def test_a_client_may_wait_for_long_after_its_body() -> None:
    async def waits(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        assert (await receive())["type"] == "http.disconnect"

    async with stream(limited(waits, timeout=0.01), "POST") as upload:
        upload.send_body(b"x", more_body=False)
        await asyncio.sleep(0.05)
        upload.disconnect()
        response = await upload.finish()

    assert response.status is None


async def test_the_app_receives_the_disconnect_of_a_client_that_leaves() -> None:
    app = recording(reads)

    async with stream(limited(app), "POST") as upload:
        upload.send_body(b"x")
        upload.disconnect()
        response = await upload.finish()

    assert response.status is None
    assert app.calls[0].received[-1]["type"] == "http.disconnect"


async def test_a_flood_of_large_bodies_is_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "asgi_middleware")
    app = limited(reads)

    for size in (11, 12, 13):
        await posted(app, b"x" * size, "/line%0Abreak/")
        await posted(app, [b"x" * size, b"x"])

    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert "refused with 413" in record.getMessage()
    assert "\n" not in record.getMessage()


async def test_scopes_other_than_http_pass_through_the_body_limit() -> None:
    seen: list[object] = []

    async def app(*given: Any) -> None:
        seen.extend(given)

    async def receive() -> Message:
        raise AssertionError

    async def send(message: Message) -> None: ...

    for kind in ("lifespan", "websocket", "other"):
        scope = {"type": kind}
        await limited(app)(scope, receive, send)
        assert seen[0] is scope
        seen.clear()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        pytest.param(
            [(b"content-length", b"0" * 30 + b"11")], 413, id="leading zeros, over the limit"
        ),
        pytest.param(
            [(b"content-length", b"0" * 30 + b"10")], 200, id="leading zeros, within the limit"
        ),
        pytest.param(
            [(b"content-length", b"0"), (b"transfer-encoding", b"chunked")], 413, id="0 and chunked"
        ),
        pytest.param(
            [(b"transfer-encoding", b"chunked"), (b"content-length", b"0")], 413, id="chunked and 0"
        ),
        pytest.param(
            [(b"content-length", b"99"), (b"transfer-encoding", b"chunked")],
            413,
            id="over the limit and chunked",
        ),
        pytest.param([(b"content-length", b"")], 413, id="an empty value"),
        pytest.param([(b"content-length", b"0_0")], 413, id="an underscore in a number"),
        pytest.param([(b"content-length", b"5, 5")], 413, id="a list"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_no_header_gets_a_body_past_the_limit(
    headers: list[tuple[bytes, bytes]], status: int, method: str
) -> None:
    parts = iter([b"x" * 6, b"x" * (5 if status == 413 else 4)])
    sent: list[Message] = []

    async def receive() -> Message:
        part = next(parts)
        return {"type": "http.request", "body": part, "more_body": len(part) == 6}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": method, "path": "/", "headers": headers}
    await limited(reads)(scope, receive, send)

    assert sent[0]["status"] == status


async def test_an_app_that_polls_with_a_short_timeout_gives_the_client_no_more_time() -> None:
    async def polls(scope: Scope, receive: Receive, send: Send) -> None:
        for _ in range(1000):
            with suppress(TimeoutError):
                async with asyncio.timeout(0.01):
                    if (await receive())["type"] == "http.disconnect":
                        return

    async with stream(limited(polls, timeout=0.1), "POST") as upload:
        upload.send_body(b"x")
        start = await upload.message()
        await upload.message()

    assert start["status"] == 408


async def test_a_client_is_not_slow_once_another_task_has_received_the_whole_body() -> None:
    async def waits_twice(scope: Scope, receive: Receive, send: Send) -> None:
        first = asyncio.ensure_future(receive())
        await asyncio.sleep(0)
        assert not (await receive()).get("more_body")
        await asyncio.wait({first}, timeout=0.2)
        assert not first.done()
        await hello(scope, receive, send)
        await first

    parts = [{"type": "http.request", "body": b"x"}]
    waiting = [asyncio.Event(), asyncio.Event()]

    async def receive() -> Message:
        waiting.pop(0).set()
        if waiting:
            await over.wait()
            return {"type": "http.disconnect"}
        return parts.pop()

    async def send(message: Message) -> None:
        sent.append(message)
        over.set()

    over = asyncio.Event()
    sent: list[Message] = []
    scope = {"type": "http", "method": "POST", "path": "/", "headers": []}
    await limited(waits_twice, timeout=0.02)(scope, receive, send)

    assert [message.get("status") for message in sent] == [200, None]


async def test_a_timeout_error_of_the_server_passes_through() -> None:
    async def receive() -> Message:
        raise TimeoutError("of the server")

    async def send(message: Message) -> None:
        raise AssertionError

    scope = {"type": "http", "method": "POST", "path": "/", "headers": []}
    with pytest.raises(TimeoutError, match="of the server"):
        await limited(reads, timeout=10.0)(scope, receive, send)


async def test_no_413_is_logged_for_a_response_that_has_begun(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def early(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        while (await receive())["type"] != "http.disconnect":
            pass
        await send(BODY)

    await posted(limited(early), [b"x" * 11, b"x"])

    assert [record for record in caplog.records if record.levelno >= logging.INFO] == []


async def test_a_slow_client_gets_its_408_even_if_logging_fails() -> None:
    class Failing(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:
            raise RuntimeError("of the filter")

    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda *_: None)
    failing, logger = Failing(), logging.getLogger("asgi_middleware.limits")
    logger.addFilter(failing)
    try:
        async with stream(limited(reads, timeout=0.05), "POST") as upload:
            upload.send_body(b"x")
            start = await upload.message()
    finally:
        logger.removeFilter(failing)
        loop.set_exception_handler(None)

    assert start["status"] == 408
