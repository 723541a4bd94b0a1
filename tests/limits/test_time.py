"""Requests whose response does not begin in time."""

import asyncio
import logging
from contextvars import ContextVar
from functools import partial
from typing import Any

import pytest

from asgi_middleware import RequestIDFilter, RequestIDMiddleware
from asgi_middleware.limits import RequestTimeoutMiddleware
from asgi_middleware.testing import recording, request, stream, websocket
from asgi_middleware.types import Message, Receive, Scope, Send

from ..apps import BODY, START, hello

timed = partial(RequestTimeoutMiddleware, timeout=0.02)


async def until_the_client_leaves(scope: Scope, receive: Receive, send: Send) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def test_a_response_in_time_passes() -> None:
    response = await request(timed(hello, timeout=10.0))

    assert (response.status, response.text) == (200, "hello")


async def test_a_late_response_becomes_a_504_that_says_why() -> None:
    response = await request(timed(until_the_client_leaves))

    assert response.status == 504
    assert response.text == "The server did not respond in time.\n"
    assert response.get(b"cache-control") == b"no-store"


async def test_a_late_app_receives_a_disconnect_whenever_it_asks() -> None:
    asked = asyncio.Event()

    async def late(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0.1)
        for _ in range(3):
            assert (await receive())["type"] == "http.disconnect"
        asked.set()

    response = await request(timed(late))

    assert response.status == 504
    assert asked.is_set()


async def test_a_late_response_is_dropped() -> None:
    async def late(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0.1)
        await hello(scope, receive, send)

    response = await request(timed(late))

    assert response.status == 504
    assert len(response.messages) == 2


async def test_a_late_stream_ends() -> None:
    async def late(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0.1)
        await send(START)
        while True:
            await send({"type": "http.response.body", "body": b"x", "more_body": True})

    assert (await request(timed(late))).status == 504


async def test_the_504_does_not_wait_for_the_app() -> None:
    ends = asyncio.Event()

    async def stuck(scope: Scope, receive: Receive, send: Send) -> None:
        await ends.wait()

    async with stream(timed(stuck)) as opened:
        assert (await opened.message())["status"] == 504
        assert (await opened.message())["type"] == "http.response.body"
        ends.set()


async def test_a_response_that_has_begun_is_not_limited() -> None:
    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        await asyncio.sleep(0.1)
        await send(BODY)

    response = await request(timed(slow))

    assert (response.status, response.complete) == (200, True)


async def test_a_websocket_is_not_limited() -> None:
    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await asyncio.sleep(0.1)
        await send({"type": "websocket.accept"})
        await receive()

    async with websocket(timed(slow)):
        pass


@pytest.mark.parametrize(
    ("target", "status"),
    [("/", 504), ("/reports/", 200), ("/reports", 200), ("/reportage/", 504), ("/events/", 200)],
)
async def test_a_prefix_has_a_timeout_of_its_own(target: str, status: int) -> None:
    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0.1)
        await hello(scope, receive, send)

    app = timed(slow, paths={"/reports/": 10.0, "/events/": None})

    assert (await request(app, target=target)).status == status


async def test_prefixes_of_timeouts_are_relative_to_root_path() -> None:
    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0.1)
        await hello(scope, receive, send)

    app = timed(slow, paths={"/reports/": None})
    response = await request(app, target="/app/reports/", scope={"root_path": "/app"})

    assert response.status == 200


@pytest.mark.parametrize("kind", [RuntimeError, ConnectionError])
async def test_an_exception_of_a_late_app_does_not_reach_the_server(kind: type[Exception]) -> None:
    async def raises(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await receive()
        raise kind

    assert (await request(timed(raises))).status == 504


async def test_an_exception_of_an_app_in_time_reaches_the_server() -> None:
    async def raises(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError("its own")

    with pytest.raises(RuntimeError, match="its own"):
        await request(timed(raises))


async def test_a_cancellation_by_the_server_passes() -> None:
    app = recording(until_the_client_leaves)

    response = await request(timed(app, timeout=10.0), cancel_at=2, raise_app_exceptions=False)

    assert isinstance(response.exception, asyncio.CancelledError)
    assert response.status is None


async def test_each_request_has_a_deadline_of_its_own() -> None:
    """A request expires by its own start, even if requests before it have ended or expired."""
    app = timed(until_the_client_leaves, timeout=0.1)

    async def after(delay: float) -> int | None:
        await asyncio.sleep(delay)
        return (await request(app)).status

    quick = [request(timed(hello, timeout=10.0)) for _ in range(3)]
    statuses = await asyncio.gather(*map(after, (0, 0.03, 0.15)))

    assert statuses == [504, 504, 504]
    assert [(await each).status for each in quick] == [200, 200, 200]


async def test_a_504_is_logged_with_the_path(caplog: pytest.LogCaptureFixture) -> None:
    await request(timed(until_the_client_leaves), target="/slow%0Aline/")

    [record] = [each for each in caplog.records if each.levelno == logging.WARNING]
    assert record.name == "asgi_middleware.limits"
    assert record.getMessage() == (
        r"GET '/slow\nline/' (unmatched) got a 504: no response had begun after 0.02 s"
    )


async def test_the_log_line_of_a_504_has_the_id_of_its_own_request(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """One timer expires all requests, but each is logged in its own context."""
    app = RequestIDMiddleware(timed(until_the_client_leaves, timeout=0.05))

    with caplog.filtering(RequestIDFilter()):
        await asyncio.gather(
            *(request(app, target=f"/{n}/", headers={"x-request-id": f"id-{n}"}) for n in range(3))
        )

    lines = [record for record in caplog.records if "got a 504" in record.getMessage()]
    assert [vars(record)["request_id"] for record in lines] == ["id-0", "id-1", "id-2"]


async def test_a_504_is_sent_in_the_context_of_its_own_request() -> None:
    of_request: ContextVar[int] = ContextVar("of_request", default=-1)
    seen: list[int] = []

    async def call(number: int) -> None:
        of_request.set(number)

        async def receive() -> Message:
            await asyncio.Event().wait()
            raise AssertionError

        async def send(message: Message) -> None:
            seen.append(of_request.get())

        scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
        await app(scope, receive, send)

    app = timed(until_the_client_leaves)
    await asyncio.gather(*(asyncio.create_task(call(number)) for number in range(3)))

    assert sorted(seen) == [0, 0, 1, 1, 2, 2]


async def test_all_late_requests_get_their_504_even_if_logging_fails() -> None:
    class Failing(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:
            raise RuntimeError("of the filter")

    errors: list[object] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: errors.append(context.get("exception")))
    failing = Failing()
    logger = logging.getLogger("asgi_middleware.limits")
    logger.addFilter(failing)
    try:
        app = timed(until_the_client_leaves)
        responses = await asyncio.gather(*(request(app) for _ in range(3)))
    finally:
        logger.removeFilter(failing)
        loop.set_exception_handler(None)

    assert [response.status for response in responses] == [504] * 3
    assert len(errors) == 3


async def test_a_thousand_requests_that_expire_at_the_same_time_all_get_a_504() -> None:
    app = timed(until_the_client_leaves, timeout=0.2)

    responses = await asyncio.gather(*(request(app) for _ in range(1000)))

    assert [response.status for response in responses] == [504] * 1000


async def test_requests_in_time_share_one_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    timers: list[object] = []
    call_at = loop.call_at

    def counting(when: float, callback: Any, *args: Any, **named: Any) -> Any:
        if "limits" in getattr(callback, "__module__", ""):
            timers.append(callback)
        return call_at(when, callback, *args, **named)

    monkeypatch.setattr(loop, "call_at", counting)
    app = timed(hello, timeout=60.0)

    for _ in range(10):
        await request(app)

    assert len(timers) == 1


async def test_scopes_other_than_http_pass_through_the_timeout() -> None:
    seen: list[object] = []

    async def app(*given: Any) -> None:
        seen.extend(given)

    async def receive() -> Message:
        raise AssertionError

    async def send(message: Message) -> None: ...

    for kind in ("lifespan", "websocket", "other"):
        scope = {"type": kind}
        await timed(app)(scope, receive, send)
        assert seen[0] is scope
        seen.clear()
