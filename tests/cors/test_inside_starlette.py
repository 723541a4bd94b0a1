"""CORSMiddleware in ``add_middleware`` of Starlette, whose handlers respond to errors."""

from collections.abc import Callable
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from asgi_middleware import CORSMiddleware, RequestIDMiddleware
from asgi_middleware.testing import recording, request

A = "https://a.example"
Handler = Callable[[Request, Exception], Response]


class MineError(Exception):
    pass


def failing(request: Request) -> Response:
    raise MineError("mine")


def as_json(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, 500, {"x-a": "1"})


def handler_fails(request: Request, error: Exception) -> Response:
    raise LookupError("the handler fails")


cors = Middleware(CORSMiddleware, allow_origins=[A])


def starlette(handler: Handler | None = as_json, **options: Any) -> Starlette:
    app = Starlette(routes=[Route("/", failing)], **options)
    if handler is not None:
        app.add_exception_handler(Exception, handler)
    return app


@pytest.mark.parametrize(
    "middleware",
    [
        pytest.param([cors], id="alone"),
        pytest.param([Middleware(RequestIDMiddleware), cors], id="inside another"),
        pytest.param([cors, Middleware(RequestIDMiddleware)], id="outside another"),
    ],
)
@pytest.mark.parametrize(
    "options",
    [
        pytest.param({}, id="a handler"),
        pytest.param({"handler": None}, id="no handler"),
        pytest.param({"debug": True}, id="debug"),
    ],
)
async def test_a_page_gets_the_response_of_the_error_handler_with_our_headers(
    options: dict[str, Any], middleware: list[Middleware]
) -> None:
    # `recording` allows Starlette to edit its scope.
    app = recording(starlette(middleware=middleware, **options))

    page = await request(app, headers={"origin": A}, raise_app_exceptions=False)
    others = await request(app, raise_app_exceptions=False)

    assert (page.status, others.status) == (500, 500)
    if "debug" in options:  # whose traceback has frame numbers that differ
        assert "MineError" in page.text
        assert "MineError" in others.text
    else:
        assert page.body == others.body
    assert page.get(b"access-control-allow-origin") == A.encode()
    assert page.getall(b"content-type") == others.getall(b"content-type")
    assert page.getall(b"x-a") == others.getall(b"x-a")
    assert isinstance(page.exception, MineError)


@pytest.mark.parametrize(
    ("is_around", "times"),
    [
        # Starlette always runs the handler itself, and our layer runs it once more.
        pytest.param(False, 2, id="add_middleware"),
        pytest.param(True, 1, id="around the whole app"),
    ],
)
async def test_the_error_handler_runs_twice_if_our_layer_is_in_add_middleware(
    is_around: bool, times: int
) -> None:
    calls: list[Exception] = []

    def counting(request: Request, error: Exception) -> Response:
        calls.append(error)
        return as_json(request, error)

    inside = starlette(counting, middleware=[] if is_around else [cors])
    app = recording(CORSMiddleware(inside, allow_origins=[A]) if is_around else inside)

    page = await request(app, headers={"origin": A}, raise_app_exceptions=False)

    assert page.json() == {"error": "mine"}
    assert page.get(b"access-control-allow-origin") == A.encode()
    assert len(calls) == times
    assert len(set(calls)) == 1


async def test_in_add_middleware_a_handler_that_fails_gets_no_response_from_us() -> None:
    app = recording(starlette(handler_fails, middleware=[cors]))

    page = await request(app, headers={"origin": A}, raise_app_exceptions=False)

    assert page.status is None
    assert isinstance(page.exception, LookupError)
    assert isinstance(page.exception.__context__, MineError)


async def test_around_the_whole_app_a_handler_that_fails_becomes_a_500() -> None:
    app = recording(CORSMiddleware(starlette(handler_fails), allow_origins=[A]))

    page = await request(app, headers={"origin": A}, raise_app_exceptions=False)

    assert (page.status, page.text) == (500, "Internal Server Error")
    assert page.get(b"access-control-allow-origin") == A.encode()


async def test_around_a_mounted_app_the_handlers_further_out_respond() -> None:
    def for_mine(request: Request, error: Exception) -> Response:
        return JSONResponse({"mine": True}, 418)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise MineError

    inside = CORSMiddleware(app, allow_origins=[A])
    outside = Starlette(routes=[Mount("/", app=inside)], exception_handlers={MineError: for_mine})

    page = await request(recording(outside), headers={"origin": A})

    assert (page.status, page.json()) == (418, {"mine": True})
