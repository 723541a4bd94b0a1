"""FastAPI with our layers around it and among its own, as the docs promise."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import pytest

pytest.importorskip("fastapi", reason="needs fastapi, from the `dev` extra")

from fastapi import APIRouter, BackgroundTasks, Depends, FastAPI, Request, UploadFile, WebSocket
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel

from asgi_middleware import CORSMiddleware, RequestIDMiddleware, stack
from asgi_middleware.testing import Response, lifespan, recording, request, websocket

ORIGIN = "https://app.example"
MULTIPART = {"content-type": "multipart/form-data; boundary=b"}
JSON = {"content-type": "application/json"}


class Item(BaseModel):
    name: str


class OwnError(Exception):
    pass


done: list[object] = []
router = APIRouter()


async def connection() -> AsyncIterator[str]:
    yield "connection"
    done.append("connection closed")


@router.post("/items")
async def item(item: Item, connection: Annotated[str, Depends(connection)]) -> dict[str, str]:
    return {"name": item.name, "with": connection}


@router.post("/files")
async def file(file: UploadFile) -> dict[str, int | str | None]:
    return {"name": file.filename, "size": len(await file.read())}


@router.post("/raw")
async def raw(request: Request) -> list[int]:
    return [len(part) async for part in request.stream()]


@router.get("/sync")
def in_a_thread(request: Request) -> str:
    return str(request.state.database)


@router.get("/later")
async def later(tasks: BackgroundTasks) -> str:
    tasks.add_task(done.append, "later")
    return "now"


@router.get("/stream")
async def stream() -> StreamingResponse:
    async def parts() -> AsyncIterator[str]:
        for number in range(3):
            await asyncio.sleep(0)
            yield str(number)

    return StreamingResponse(parts())


@router.get("/late")
async def late() -> str:
    await asyncio.sleep(0.2)
    return "late"


@router.get("/fails")
async def fails() -> None:
    raise OwnError("own")


@router.websocket("/echo")
async def echo(socket: WebSocket) -> None:
    await socket.accept()
    await socket.send_text(socket.state.database + await socket.receive_text())
    await socket.close()


async def handled(request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"error": str(error)}, 500)


@asynccontextmanager
async def own_lifespan(app: FastAPI) -> AsyncGenerator[dict[str, str]]:
    done.append("opened")
    yield {"database": "open"}
    done.append("closed")


def built() -> FastAPI:
    done.clear()
    app = FastAPI(lifespan=own_lifespan, exception_handlers={OwnError: handled})
    app.include_router(router)
    return app


def file_of(size: int) -> bytes:
    start = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\n'
    return start + b"x" * size + b"\r\n--b--\r\n"


def shown(response: Response) -> tuple[object, ...]:
    ours = (b"x-request-id", b"server-timing", b"vary")
    kept = [pair for pair in response.headers if pair[0] not in ours]
    return response.status, kept, response.body, repr(response.exception)


@pytest.mark.parametrize(
    ("method", "target", "options"),
    [
        pytest.param("POST", "/items", {"body": b'{"name": "a"}', "headers": JSON}, id="JSON"),
        pytest.param("POST", "/items", {"body": b"{}", "headers": JSON}, id="invalid JSON"),
        pytest.param("POST", "/files", {"body": file_of(9), "headers": MULTIPART}, id="an upload"),
        pytest.param("POST", "/raw", {"body": [b"x" * 500] * 5}, id="a body in parts"),
        pytest.param("GET", "/sync", {}, id="a sync view"),
        pytest.param("GET", "/later", {}, id="a background task"),
        pytest.param("GET", "/stream", {}, id="a stream"),
        pytest.param("GET", "/fails", {}, id="a handled error"),
        pytest.param("GET", "/nowhere", {}, id="an unknown path"),
        pytest.param("GET", "/openapi.json", {}, id="the schema"),
    ],
)
async def test_fastapi_responds_the_same_inside_the_whole_stack(
    method: str, target: str, options: dict[str, Any]
) -> None:
    async def called(wrapped: bool) -> tuple[object, ...]:
        app = built()
        outermost = stack(app, max_body_size=10_000, request_timeout=30.0) if wrapped else app
        async with lifespan(recording(outermost)) as started:
            response = await request(started, method, target, **options)
        return *shown(response), [*done]

    assert await called(wrapped=True) == await called(wrapped=False)


@pytest.mark.parametrize("in_parts", [False, True], ids=["announced", "in parts"])
async def test_an_upload_that_is_too_large_is_refused_once(in_parts: bool) -> None:
    app = built()
    body = file_of(20_000)
    parts = [body[start : start + 5_000] for start in range(0, len(body), 5_000)]

    async with lifespan(recording(stack(app, max_body_size=10_000))) as started:
        response = await request(
            started, "POST", "/files", body=parts if in_parts else body, headers=MULTIPART
        )

    assert (response.status, len(response.messages)) == (413, 2)


async def test_a_late_view_of_fastapi_becomes_a_504() -> None:
    app = built()

    async with lifespan(recording(stack(app, request_timeout=0.05))) as started:
        response = await request(started, target="/late")

    assert (response.status, len(response.messages)) == (504, 2)


async def test_a_websocket_of_fastapi_passes_through_the_whole_stack() -> None:
    app = built()
    application = stack(app, websocket_origins=[ORIGIN], max_body_size=5, request_timeout=0.05)

    async with (
        lifespan(recording(application)) as started,
        websocket(started, "/echo", headers={"origin": ORIGIN}) as socket,
    ):
        await asyncio.sleep(0.1)
        await socket.send(" as before")
        assert await socket.receive() == "open as before"


async def test_layers_work_in_fastapis_add_middleware() -> None:
    app = built()
    app.add_middleware(CORSMiddleware, allow_origins=[ORIGIN])
    app.add_middleware(RequestIDMiddleware)
    headers = {"origin": ORIGIN, "x-request-id": "abc"}

    failed = await request(recording(app), target="/fails", headers=headers)

    assert (failed.status, failed.json()) == (500, {"error": "own"})
    assert failed.get(b"access-control-allow-origin") == ORIGIN.encode()
    assert failed.get(b"x-request-id") == b"abc"
