"""Daphne, which sends no lifespan messages, with the driver that sends them."""

import re
import signal
import sys
from pathlib import Path

import httpx
import pytest

from .server import PATIENCE, serve

pytest.importorskip("daphne")
pytestmark = pytest.mark.process

DAPHNE = (
    sys.executable,
    "-m",
    "daphne",
    "-p",
    "{port}",
    "tests.servers.apps.lifespan_daphne:application",
)


def said(log: str) -> list[str]:
    return re.findall(r"^(?:open|opening|closed|answered|request .*)$", log, re.MULTILINE)


def test_the_first_request_waits_for_startup_and_a_probe_does_not(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    with serve(DAPHNE, log=tmp_path / "log", environment={"GATE": str(gate)}) as server:
        server.log_lines("^opening$")
        assert httpx.get(f"{server.url}/livez", timeout=PATIENCE).status_code == 200
        assert httpx.get(f"{server.url}/readyz", timeout=PATIENCE).status_code == 503
        assert said(server.log()) == ["opening"]
        gate.touch()
        assert httpx.get(server.url, timeout=PATIENCE).text == "done"
        assert httpx.get(f"{server.url}/readyz", timeout=PATIENCE).status_code == 200
        server.stop()

    assert said(server.log()) == [
        "opening",
        "open",
        "request with the pool open",
        "answered",
        "closed",
    ]


def test_a_request_in_flight_gets_its_response_before_daphne_ends(tmp_path: Path) -> None:
    with serve(DAPHNE, log=tmp_path / "log") as server:
        with httpx.stream("GET", f"{server.url}/slow", timeout=PATIENCE) as response:
            parts = response.iter_raw()
            assert next(parts) == b"begun,"
            server.process.send_signal(signal.SIGTERM)
            assert b"".join(parts) == b"done"
        assert server.process.wait(PATIENCE) == 0

    assert said(server.log())[-2:] == ["answered", "closed"]


def test_a_startup_that_fails_ends_daphne_with_an_error(tmp_path: Path) -> None:
    failing = {"FAIL": "1"}
    with serve(DAPHNE, log=tmp_path / "log", environment=failing, listening=False) as server:
        assert server.process.wait(PATIENCE) == 1

    assert "lifespan.startup.failed: OSError: no database (in pool)" in server.log()


def test_under_another_server_the_driver_passes_everything_on(tmp_path: Path) -> None:
    uvicorn = (sys.executable, "-m", "uvicorn", "--port", "{port}")

    with serve(
        (*uvicorn, "tests.servers.apps.lifespan_daphne:application"), log=tmp_path / "log"
    ) as server:
        assert httpx.get(server.url, timeout=PATIENCE).text == "done"
        server.stop(signal.SIGINT)

    assert said(server.log()) == [
        "opening",
        "open",
        "request with the pool open",
        "answered",
        "closed",
    ]
