"""The WebSocket for everybody: nobody can fill memory through it."""

import json
import re
from pathlib import Path

import pytest

from asgi_middleware.testing import SocketClosed, websocket
from asgi_middleware.types import ASGIApp
from example_project.inspector.consumers import LARGEST, MOST

pytestmark = pytest.mark.usefixtures("database")


async def test_the_largest_message_is_sent_back(running: ASGIApp) -> None:
    async with websocket(running, "/ws/echo/") as socket:
        await socket.receive()  # the welcome
        await socket.send(json.dumps("x" * (LARGEST - 2)))

        assert len(json.loads(await socket.receive())["content"]) == LARGEST - 2


@pytest.mark.parametrize(
    ("message", "code"),
    [
        pytest.param(json.dumps("x" * (LARGEST - 1)), 1009, id="too large"),
        pytest.param(json.dumps("é" * (LARGEST // 2), ensure_ascii=False), 1009, id="in bytes"),
        pytest.param(b"1" * 1_000_000, 1009, id="binary"),
        pytest.param("[" * LARGEST, 1003, id="deeply nested"),
        pytest.param("[" * 500 + "]" * 500, None, id="nested"),
        pytest.param("1" * LARGEST, None, id="a long number"),
    ],
)
async def test_a_message_that_takes_too_much_closes_the_socket(
    message: str | bytes, code: int | None, running: ASGIApp
) -> None:
    async with websocket(running, "/ws/echo/") as socket:
        await socket.receive()
        await socket.send(message)

        if code is None:
            assert json.loads(await socket.receive())["type"] == "echo"
        else:
            with pytest.raises(SocketClosed) as closed:
                await socket.receive()
            assert closed.value.code == code


async def test_a_socket_ends_after_its_last_message(running: ASGIApp) -> None:
    async with websocket(running, "/ws/echo/") as socket:
        await socket.receive()
        for _ in range(MOST):
            await socket.send("1")
            await socket.receive()
        await socket.send("1")

        with pytest.raises(SocketClosed) as closed:
            await socket.receive()

    assert closed.value.code == 1008


@pytest.mark.parametrize(
    "name", ["Dockerfile", "example.service", "kubernetes.yaml", "supervisor.conf"]
)
def test_in_production_the_server_keeps_no_large_message_either(name: str) -> None:
    text = (Path(__file__).resolve().parents[2] / "deploy" / name).read_text(encoding="utf-8")

    assert re.findall(r"--ws-max-size\W+(\d+)", text) == ["65536"]
