"""The code that runs servers for other tests, tested with servers that start quickly."""

import signal
import socket
import sys
from pathlib import Path

import pytest

from .server import HOST, PATIENCE, serve

pytestmark = pytest.mark.process

STATIC = (sys.executable, "-m", "http.server", "{port}", "--bind", "127.0.0.1")
FAILING = (sys.executable, "-c", "import sys; sys.exit('no such {port}, it says')")
# The process that listens is a child of the process that is started.
PARENT = "import subprocess, sys; subprocess.run(sys.argv[1:])"
WITH_CHILD = (sys.executable, "-c", PARENT, *STATIC)


def test_no_process_outlives_the_block(tmp_path: Path) -> None:
    with serve(STATIC, log=tmp_path / "log") as server:
        pass

    assert server.process.returncode == -signal.SIGTERM


def test_no_process_outlives_a_failing_test(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), serve(STATIC, log=tmp_path / "log") as server:
        _ = 1 / 0

    assert server.process.returncode == -signal.SIGTERM


def test_no_child_of_a_process_outlives_the_block(tmp_path: Path) -> None:
    with serve(WITH_CHILD, log=tmp_path / "log") as server:
        connection = socket.create_connection((HOST, server.port), timeout=PATIENCE)

    with connection:
        assert _closed_by_the_other_side(connection)


def test_a_server_that_ends_at_once_is_reported_with_its_log(tmp_path: Path) -> None:
    with (
        pytest.raises(AssertionError, match=r"ended with 1, .* no server on port (?s:.*), it says"),
        serve(FAILING, log=tmp_path / "log"),
    ):
        pass


def _closed_by_the_other_side(connection: socket.socket) -> bool:
    """Wait until the connection is closed; raise TimeoutError if it stays open."""
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True
