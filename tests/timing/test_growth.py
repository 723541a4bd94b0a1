"""The cost of a request grows no faster than what a client or an app sends."""

import logging
from collections.abc import Iterator
from contextvars import Context
from typing import Any

import pytest

from asgi_middleware import AccessLog, TimingMiddleware, measure
from asgi_middleware._paths import Paths
from asgi_middleware.timing.server_timing import entry
from asgi_middleware.types import ASGIApp, Receive, Scope, Send
from tests.apps import BODY, START, doing, sending
from tests.growth import assert_linear


@pytest.fixture(autouse=True)
def _visible() -> Iterator[None]:
    logger, handler = logging.getLogger("asgi_middleware.access"), logging.Handler()
    handler.emit = lambda record: None  # type: ignore[method-assign]
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    yield
    logger.removeHandler(handler)
    logger.setLevel(logging.NOTSET)
    logger.propagate = True


def called(app: ASGIApp, **scope: Any) -> None:
    """Call *app* in a layer that measures and logs, without the extra work of an event loop."""

    async def receive() -> Any: ...
    async def send(message: Any) -> None: ...

    stack = TimingMiddleware(
        app, observers=[AccessLog(skip_paths=["/static/*"])], server_timing=True
    )
    call = stack({"type": "http", "method": "GET", "path": "/", **scope}, receive, send)
    with pytest.raises(StopIteration):
        Context().run(call.send, None)


def long_path(size: int) -> None:
    called(sending(START, BODY), path="/" + "\udcff" * size)


def long_root(size: int) -> None:
    called(sending(START, BODY), path="/a" * size, root_path="/a" * size)


def long_method(size: int) -> None:
    called(sending(START, BODY), method="\n" * size)


def long_client(size: int) -> None:
    called(sending(START, BODY), client=("\n" * size, 1))


def long_route(size: int) -> None:
    def view(scope: Scope) -> None:
        scope["state"]["timing"].route = "r" * size

    called(doing(view))


def many_parts(size: int) -> None:
    called(sending(START, *[{**BODY, "more_body": True}] * size, BODY))


def many_headers(size: int) -> None:
    start = {**START, "headers": [(b"vary", b"a")] * size}
    called(sending(start, {"type": "http.response.pathsend", "path": "/a"}))


def many_phases(size: int) -> None:
    def view(scope: Scope) -> None:
        for _ in range(size):
            with measure("phase", "what it is"):
                pass

    called(doing(view))


def phases_after_the_start(size: int) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        for _ in range(size):
            with measure("phase"):
                await send({**BODY, "more_body": True})
        await send(BODY)

    called(app)


def long_description(size: int) -> None:
    entry("n\n" * size, 1, '"\\\n' * size, 1)


def many_skipped_paths(size: int) -> None:
    assert {"path": "/b"} not in Paths([f"/a{number}*" for number in range(size)])


@pytest.mark.parametrize(
    "call",
    [
        *(long_path, long_root, long_method, long_client, long_route, many_parts, many_headers),
        *(many_phases, phases_after_the_start, long_description, many_skipped_paths),
    ],
    ids=lambda call: call.__name__,
)
def test_the_cost_of_a_request_grows_no_faster_than_its_input(call: Any) -> None:
    assert_linear(call)
