from typing import Any

import httpx
import pytest

from asgi_middleware.testing import ASGIViolation, LifespanFailed, lifespan, recording, request
from asgi_middleware.types import ASGIApp, Receive, Scope, Send
from tests.apps import hello, lives, sending

STARTED = {"type": "lifespan.startup.complete"}
START_FAILED = {"type": "lifespan.startup.failed", "message": "no database"}


async def stateful(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        scope["state"]["client"] = "open"
        await lives(scope, receive, send)
    else:
        await hello(scope, receive, send)


async def test_lifespan_starts_the_app_and_shuts_it_down() -> None:
    app = recording(lives)

    async with lifespan(app):
        assert app.sent == [STARTED]

    assert app.sent == [STARTED, {"type": "lifespan.shutdown.complete"}]


async def test_each_request_gets_a_copy_of_the_state() -> None:
    app = recording(stateful)

    async with lifespan(app) as running:
        await request(running)
        await request(running)

    states = [call.scope["state"] for call in app.calls[1:]]
    assert states == [{"client": "open"}, {"client": "open"}]
    assert states[0] is not states[1]


async def test_a_started_app_serves_httpx() -> None:
    async with (
        lifespan(stateful) as running,
        httpx.AsyncClient(transport=httpx.ASGITransport(running), base_url="http://a") as client,
    ):
        assert (await client.get("/")).text == "hello"


async def failing(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send(START_FAILED)
    raise OSError("no database")


async def failing_to_stop(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send(STARTED)
    await receive()
    await send({"type": "lifespan.shutdown.failed", "message": "stuck"})


async def test_a_failed_startup_is_reported_at_once_with_its_message() -> None:
    with pytest.raises(LifespanFailed, match=r"^no database$") as failed:
        async with lifespan(failing):
            pytest.fail("the block ran after a failed startup")

    assert isinstance(failed.value.__cause__, OSError)


async def test_a_failed_shutdown_is_reported() -> None:
    with pytest.raises(LifespanFailed, match=r"^stuck$"):
        async with lifespan(failing_to_stop):
            pass


async def test_an_app_that_does_not_support_lifespan_raises() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise ValueError("only HTTP")

    with pytest.raises(ValueError, match="only HTTP"):
        async with lifespan(app):
            pass


async def test_a_block_that_raises_ends_the_app() -> None:
    app = recording(lives)

    with pytest.raises(KeyError):
        async with lifespan(app):
            raise KeyError

    assert len(app.sent) == 1


@pytest.mark.parametrize(
    ("app", "rule"),
    [
        pytest.param(sending(STARTED), "the server had not asked for it", id="before it received"),
        pytest.param(
            sending({"type": "lifespan.started"}),
            "not a message that an app sends",
            id="unknown message",
        ),
        pytest.param(sending(), "without sending a reply", id="returns at once"),
    ],
)
async def test_a_violation_names_the_broken_rule(app: ASGIApp, rule: str) -> None:
    with pytest.raises(ASGIViolation, match=rule):
        async with lifespan(app):
            pass


@pytest.mark.parametrize(
    ("messages", "rule"),
    [
        pytest.param(
            [STARTED, STARTED], "the server had not asked for it", id="startup completed twice"
        ),
        pytest.param(
            [{**START_FAILED, "message": 1}], "must be of type str", id="message not a str"
        ),
        pytest.param(
            [{"type": "lifespan.shutdown.complete"}],
            "the server had not asked for it",
            id="shutdown completed too early",
        ),
    ],
)
async def test_a_violation_after_the_first_receive_names_the_broken_rule(
    messages: list[Any], rule: str
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        for message in messages:
            await send(message)
        await receive()

    with pytest.raises(ASGIViolation, match=rule):
        async with lifespan(app):
            pass
