"""The example project on Daphne, with startup and shutdown from ``asgi_daphne.py``."""

import re
import signal
from pathlib import Path

import httpx
import pytest

from .server import PATIENCE, command, serve

pytest.importorskip("daphne")
pytestmark = pytest.mark.process

DAPHNE = command("daphne", "example_project.asgi_daphne:application")


def test_the_example_starts_serves_and_ends_in_order_on_daphne(
    environment: dict[str, str], tmp_path: Path
) -> None:
    with serve(DAPHNE, log=tmp_path / "log", environment=environment) as server:
        # Wait for startup before the first request, because a request would start it too.
        server.log_lines("open: the counter of echoes")
        with httpx.Client(base_url=server.url, timeout=PATIENCE) as client:
            page, live, ready = (client.get(path) for path in ("/", "/livez", "/readyz"))
            echo = client.get("/outgoing/").json()["response"]["number"]
            with client.stream("GET", "/ticks/") as response:
                events = response.iter_text()
                assert next(events).startswith("data: ")
                server.process.send_signal(signal.SIGTERM)
                # httpx raises an exception if the body is cut off.
                rest = "".join(events)
        status = server.process.wait(PATIENCE)

    assert (page.status_code, live.status_code, ready.status_code, echo) == (200, 200, 200, 1)
    assert re.fullmatch(r"(data: \d+\n\n)*", rest)
    assert status == 0
    assert re.findall(r"(?<=\] )(?:open|closed): (?:the )?\w+", server.log()) == [
        "open: serving",
        "open: the client",
        "open: the counter",
        "closed: the stream",
        "closed: the counter",
        "closed: the client",
        "closed: served",
    ]
    assert re.findall("WARNING|ERROR|Traceback|Warning", server.log()) == []
