"""Starlette inside both limits: a request within the limits is not changed."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from asgi_middleware import RequestBodyLimitMiddleware, RequestTimeoutMiddleware
from asgi_middleware.testing import Response as Received
from asgi_middleware.testing import recording, request, websocket
from asgi_middleware.testing.recording import RecordedApp
from asgi_middleware.types import ASGIApp

ran: list[object] = []


def limited(app: ASGIApp, *, size: int = 100_000, timeout: float = 30.0) -> ASGIApp:
    inner = RequestTimeoutMiddleware(app, timeout)
    return RequestBodyLimitMiddleware(inner, size, timeout=30.0, min_rate=1)


async def echoes(request: Request) -> Response:
    return Response(await request.body())


async def uploads(request: Request) -> Response:
    with TemporaryFile() as file:
        async for part in request.stream():
            file.write(part)
        return PlainTextResponse(str(file.tell()))


async def streams_back(request: Request) -> Response:
    """Respond with each part of the body as it comes."""

    async def parts() -> AsyncIterator[bytes]:
        async for part in request.stream():
            yield part

    return Streaming(parts())


class Streaming(StreamingResponse):
    """A response that does not receive, because its generator reads the body."""

    async def listen_for_disconnect(self, receive: Any) -> None:
        await asyncio.Event().wait()


async def streams(request: Request) -> Response:
    async def parts() -> AsyncIterator[str]:
        for number in range(3):
            await asyncio.sleep(0)
            yield str(number)

    return StreamingResponse(parts())


async def works_on(request: Request) -> Response:
    return PlainTextResponse("first", background=BackgroundTask(ran.append, "background"))


async def sends_a_file(request: Request) -> Response:
    return FileResponse(Path(__file__))


async def fails(request: Request) -> Response:
    raise LookupError("of the view")


async def is_late(request: Request) -> Response:
    await asyncio.sleep(0.2)
    ran.append("late")
    return PlainTextResponse("late")


async def talks(socket: WebSocket) -> None:
    await socket.accept()
    await asyncio.sleep(0.2)
    await socket.send_bytes(await socket.receive_bytes())
    await socket.close()


async def passes(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    return await call_next(request)


ROUTES = [
    Route("/echo", echoes, methods=["POST"]),
    Route("/upload", uploads, methods=["POST"]),
    Route("/back", streams_back, methods=["POST"]),
    Route("/streams", streams),
    Route("/works-on", works_on),
    Route("/file", sends_a_file),
    Route("/fails", fails),
    Route("/late", is_late),
    WebSocketRoute("/talks", talks),
]
apps = pytest.mark.parametrize(
    "app",
    [
        pytest.param(recording(Starlette(routes=ROUTES)), id="alone"),
        pytest.param(
            recording(
                Starlette(
                    routes=ROUTES, middleware=[Middleware(BaseHTTPMiddleware, dispatch=passes)]
                )
            ),
            id="with a BaseHTTPMiddleware",
        ),
    ],
)


@pytest.mark.parametrize(
    ("method", "target", "options"),
    [
        pytest.param("POST", "/echo", {"body": b"x" * 1000}, id="a body"),
        pytest.param("POST", "/echo", {"body": [b"x" * 500] * 10}, id="a body in parts"),
        pytest.param("POST", "/echo", {}, id="no body"),
        pytest.param("POST", "/upload", {"body": [b"y" * 1000] * 5}, id="an upload"),
        pytest.param("POST", "/back", {"body": [b"x" * 10] * 10}, id="streams both ways"),
        pytest.param("GET", "/streams", {}, id="a stream"),
        pytest.param("GET", "/works-on", {}, id="a background task"),
        pytest.param("GET", "/file", {}, id="a file"),
        pytest.param(
            "GET",
            "/file",
            {"scope": {"extensions": {"http.response.pathsend": {}}}},
            id="a file by pathsend",
        ),
        pytest.param("HEAD", "/streams", {}, id="HEAD"),
        pytest.param("GET", "/fails", {}, id="an error"),
        pytest.param("GET", "/nowhere", {}, id="an unknown path"),
    ],
)
@apps
async def test_starlette_responds_the_same_within_the_limits(
    app: RecordedApp, method: str, target: str, options: dict[str, Any]
) -> None:
    def shown(response: Received) -> tuple[object, ...]:
        ends = repr(response.exception)
        return response.status, response.headers, response.body, response.complete, ends, [*ran]

    async def called(app: ASGIApp) -> tuple[object, ...]:
        ran.clear()
        return shown(await request(app, method, target, raise_app_exceptions=False, **options))

    assert await called(limited(app)) == await called(app)


@apps
async def test_a_websocket_of_starlette_has_no_limit(app: RecordedApp) -> None:
    async with websocket(limited(app, size=5, timeout=0.05), "/talks") as socket:
        await socket.send(b"x" * 100)
        assert await socket.receive() == b"x" * 100


@pytest.mark.parametrize("target", ["/echo", "/upload"])
@pytest.mark.parametrize("body", [b"y" * 2001, [b"y" * 500] * 5], ids=["announced", "in parts"])
@apps
async def test_a_body_that_is_too_large_for_starlette_is_refused_once(
    app: RecordedApp, target: str, body: bytes | list[bytes]
) -> None:
    """Starlette then raises ClientDisconnect, which must not reach the server."""
    response = await request(limited(app, size=2000), "POST", target, body=body)

    assert (response.status, len(response.messages)) == (413, 2)


@apps
async def test_a_late_view_of_starlette_runs_to_its_end_and_its_response_is_dropped(
    app: RecordedApp,
) -> None:
    ran.clear()

    response = await request(limited(app, timeout=0.05), target="/late")

    assert (response.status, len(response.messages)) == (504, 2)
    assert ran == ["late"]
