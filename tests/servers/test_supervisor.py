"""deploy/supervisor.conf under a real supervisord."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from .deployed import Machine, machine
from .server import PATIENCE, ROOT, clean_environment

pytest.importorskip("supervisor", reason="needs supervisor, from the `dev` extra")
pytestmark = pytest.mark.process

CONFIGURATION = """
[supervisord]
nodaemon=true
logfile={folder}/supervisord.log
pidfile={folder}/supervisord.pid
[unix_http_server]
file={folder}/supervisor.sock
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
[supervisorctl]
serverurl=unix://{folder}/supervisor.sock
[include]
files={folder}/program.conf
"""


class Supervisor:
    def __init__(self, here: Machine) -> None:
        self.here = here
        self.configuration = here.folder / "supervisord.conf"

    def control(self, *command: str) -> str:
        return subprocess.run(
            [sys.executable, "-m", "supervisor.supervisorctl", "-c", self.configuration, *command],
            capture_output=True,
            text=True,
            check=False,
            timeout=2 * PATIENCE,
        ).stdout

    def process_when_ready(self) -> int:
        """Wait until the example is ready; return its process ID."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if self.here.listens():
                with self.here.client() as client:
                    assert client.get("/readyz").status_code == 200
                return int(self.control("pid", "example"))
            time.sleep(0.05)
        raise AssertionError((self.here.folder / "example.log").read_text(encoding="utf-8"))


@pytest.fixture
def supervisor(production_environment: dict[str, str]) -> Iterator[Supervisor]:
    with machine() as here:
        here.write_variables(production_environment)
        (here.folder / "program.conf").write_text(
            here.file(
                "supervisor.conf",
                **{
                    "/var/log/supervisor/example.log": str(here.folder / "example.log"),
                    # Only root can change the user, and www-data could not read root's files.
                    "user=www-data\n": "",
                },
            ),
            encoding="utf-8",
        )
        supervisor = Supervisor(here)
        supervisor.configuration.write_text(CONFIGURATION.format(folder=here.folder))
        with (here.folder / "said").open("ab") as said:
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "supervisor.supervisord",
                    "-n",
                    "-c",
                    supervisor.configuration,
                ],
                cwd=ROOT,
                env=clean_environment({}),
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
            )
        try:
            yield supervisor
        finally:
            # supervisord also ends the processes that it has started.
            process.terminate()
            process.wait(2 * PATIENCE)


def test_supervisor_starts_restarts_and_stops_the_example(supervisor: Supervisor) -> None:
    first = supervisor.process_when_ready()

    # Kill the process, as the kernel does when memory runs out.
    subprocess.run(["kill", "-KILL", str(first)], check=True)
    _until_gone(first)
    second = supervisor.process_when_ready()
    assert second != first

    with (
        supervisor.here.client() as client,
        client.stream("GET", "/ticks/") as stream,
        ThreadPoolExecutor(1) as other,
    ):
        lines = stream.iter_lines()
        assert next(lines).startswith("data: ")
        stopping = other.submit(supervisor.control, "stop", "example")
        # Read to the end of the response: httpx raises an exception if it is cut off.
        list(lines)
        assert stopping.result(2 * PATIENCE) == "example: stopped\n"

    assert "STOPPED" in supervisor.control("status", "example")
    log = (supervisor.here.folder / "example.log").read_text(encoding="utf-8")
    assert "closed: the stream of ticks" in log


def _until_gone(process: int) -> None:
    deadline = time.monotonic() + PATIENCE
    with suppress(ProcessLookupError):
        while True:
            os.kill(process, 0)
            assert time.monotonic() < deadline
            time.sleep(0.01)
