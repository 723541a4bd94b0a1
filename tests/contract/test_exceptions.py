"""Exceptions of the app and the server, and cancellations, pass through every middleware."""

import asyncio
from dataclasses import replace

import pytest

from asgi_middleware.testing import recording
from asgi_middleware.types import ASGIApp, Receive, Scope, Send

from .conftest import Serve
from .exchanges import REFERENCES, acting, call, traffic
from .middleware import Row, every_row

# Every call of receive and send in a reference exchange, numbered from 1.
every_await = pytest.mark.parametrize(
    ("kind", "number"),
    [
        pytest.param(kind, number, id=f"{kind}-{number}")
        for kind, exchange in REFERENCES.items()
        for number in range(1, exchange.awaits + 1)
    ],
)
every_kind = pytest.mark.parametrize("kind", REFERENCES)


class Fatal(BaseException):
    """Neither an Exception nor an exception that asyncio knows."""


def noting(app: ASGIApp, log: list[BaseException]) -> ASGIApp:
    """Return *app* wrapped so that its exceptions are added to *log*."""

    async def noted(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await app(scope, receive, send)
        except BaseException as exception:
            log.append(exception)
            raise

    return noted


@every_row
@every_await
@pytest.mark.parametrize(
    "kind_of_error",
    [ValueError, Fatal, KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError],
    ids=lambda kind: kind.__name__,
)
async def test_an_exception_of_the_app_passes_through(
    serve: Serve, row: Row, kind: str, number: int, kind_of_error: type[BaseException]
) -> None:
    error = kind_of_error("mine")
    reference = REFERENCES[kind]
    failing = replace(reference, steps=(*reference.steps[: number - 1], error))

    with pytest.raises(kind_of_error) as raised:
        await call(await serve(row, acting(failing)), failing)

    assert raised.value is error
    assert (error.__cause__, error.__context__) == (None, None)


@every_row
@every_kind
async def test_an_exception_of_the_app_after_its_response_passes_through(
    serve: Serve, row: Row, kind: str
) -> None:
    error = ValueError("mine")
    reference = REFERENCES[kind]
    failing = replace(reference, steps=(*reference.steps, error), ignores_disconnect=True)

    with pytest.raises(ValueError, match="mine") as raised:
        await call(await serve(row, acting(failing)), failing)

    assert raised.value is error


@every_row
@every_await
async def test_an_exception_of_the_server_passes_through_to_the_app_and_back(
    serve: Serve, row: Row, kind: str, number: int
) -> None:
    error = OSError("connection lost")
    seen: list[BaseException] = []
    app = await serve(row, noting(acting(REFERENCES[kind]), seen))

    with pytest.raises(OSError, match="connection lost") as raised:
        await call(app, REFERENCES[kind], raises={number: error})

    assert seen == [error]
    assert raised.value is error


@every_row
@every_await
async def test_the_app_may_handle_an_exception_of_the_server(
    serve: Serve, row: Row, kind: str, number: int
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        with pytest.raises(OSError, match="connection lost"):
            await acting(REFERENCES[kind])(scope, receive, send)

    handling = recording(app)

    await call(
        await serve(row, handling), REFERENCES[kind], raises={number: OSError("connection lost")}
    )

    assert len(handling.calls) == 1


@every_row
@every_await
async def test_a_cancellation_passes_through(row: Row, kind: str, number: int) -> None:
    inside: list[BaseException] = []
    outside: list[BaseException] = []

    passed = await traffic(
        lambda app: noting(row.make(noting(app, inside)), outside),
        replace(REFERENCES[kind], cancel_at=number),
    )

    assert isinstance(passed.exception, asyncio.CancelledError)
    assert passed.awaits == number
    [cancelled] = inside
    assert [each is cancelled for each in outside] == [True]


@every_row
@every_kind
async def test_a_cancelled_app_can_still_receive_and_send_while_it_cleans_up(
    serve: Serve, row: Row, kind: str
) -> None:
    reference = REFERENCES[kind]
    tidy: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        try:
            await asyncio.sleep(0)
        finally:
            await acting(reference)(scope, receive, send)
            tidy.append("done")

    with pytest.raises(asyncio.CancelledError):
        await asyncio.create_task(_called(await serve(row, app), kind))

    assert tidy == ["done"]


async def _called(app: ASGIApp, kind: str) -> None:
    await call(app, REFERENCES[kind])
