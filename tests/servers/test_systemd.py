"""deploy/example.service and deploy/example.socket."""

import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from .deployed import Machine, machine
from .missing import program
from .server import PATIENCE, ROOT, clean_environment

pytestmark = pytest.mark.process


@pytest.fixture
def here() -> Iterator[Machine]:
    with machine() as here:
        yield here


def test_systemd_analyze_finds_nothing_wrong_with_the_units(here: Machine) -> None:
    analyze = program("systemd-analyze", "systemd")
    uvicorn = here.folder / "uvicorn"
    uvicorn.write_text("#!/bin/sh\n", encoding="utf-8")
    uvicorn.chmod(0o755)
    units = [here.folder / "example.service", here.folder / "example.socket"]
    for unit in units:
        # ExecStart must name an executable file, not a command with arguments.
        text = here.file(unit.name, **{f"{sys.executable} -m uvicorn": str(uvicorn)})
        unit.write_text(text, encoding="utf-8")

    verified = subprocess.run(
        [analyze, "verify", *map(str, units)],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )

    ours = [line for line in verified.stderr.splitlines() if "example." in line]
    assert (verified.returncode, ours) == (0, [])


def test_no_connection_is_refused_during_a_restart(
    here: Machine, production_environment: dict[str, str]
) -> None:
    statuses: list[int] = []
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(here.socket))
        listening.listen()
        first = _started(here, listening, production_environment)
        second = None
        try:
            with here.client() as client:
                statuses.append(client.get("/status/").status_code)
                first.terminate()
                assert first.wait(PATIENCE) == -15  # by SIGTERM, a clean exit for systemd
                second = _started(here, listening, production_environment)
                # The second process is not up yet, so the request waits in the socket.
                statuses.append(client.get("/status/").status_code)
        finally:
            for process in (first, second):
                if process is not None:
                    process.kill()
                    process.wait(PATIENCE)

    assert statuses == [200, 200]


def test_services_get_more_time_to_stop_than_a_drain_takes() -> None:
    from example_project.settings.base import DRAIN_GRACE, DRAIN_HOLD

    for name, pattern in (
        ("example.service", r"TimeoutStopSec=(\d+)"),
        ("supervisor.conf", r"stopwaitsecs=(\d+)"),
    ):
        text = (ROOT / "deploy" / name).read_text(encoding="utf-8")
        [seconds] = re.findall(pattern, text)
        [bound] = re.findall(r"--timeout-graceful-shutdown (\d+)", text)
        assert int(bound) > DRAIN_GRACE + 2
        assert int(seconds) > DRAIN_HOLD + int(bound) + 20


# systemd passes the socket on as file descriptor 3.
LAUNCH = "import os, sys; os.dup2(int(sys.argv[1]), 3); os.execv(sys.argv[2], sys.argv[2:])"


def _started(
    here: Machine, listening: socket.socket, environment: dict[str, str]
) -> "subprocess.Popen[bytes]":
    """Run the command of ExecStart with the socket, as systemd does."""
    [line] = re.findall(r"^ExecStart=(.*)$", here.file("example.service"), re.MULTILINE)
    with (here.folder / "log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-c", LAUNCH, str(listening.fileno()), *shlex.split(line)],
            cwd=ROOT,
            env=clean_environment(environment),
            pass_fds=[listening.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
