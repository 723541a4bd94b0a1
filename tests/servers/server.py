"""Run a server in a separate process, for the length of a ``with`` block."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HOST = "127.0.0.1"
# In seconds. Generous, because only a failing test waits that long.
PATIENCE = 60.0

# How each server is told where to listen.
_ADDRESS = ("--host", HOST, "--port", "{port}")
SERVERS = {
    "uvicorn": ("uvicorn", *_ADDRESS),
    "hypercorn": ("hypercorn", "--bind", f"{HOST}:{{port}}"),
    "granian": ("granian", *_ADDRESS, "--interface", "asgi"),
    "daphne": ("daphne", "-b", HOST, "-p", "{port}"),
}

# On a busy machine, a worker of uvicorn takes longer to start than its parent waits by default. The
# parent also waits that long for a worker that has just ended, so this is less than PATIENCE.
WORKERS_HAVE_TIME = ("--timeout-worker-healthcheck", "10")
UVICORN_WORKERS = ("--workers", "2", *WORKERS_HAVE_TIME)

# These are meant for the process that runs the tests, not for the server under test.
_NOT_INHERITED = {"DJANGO_ENV", "DJANGO_SETTINGS_MODULE", "WEB_CONCURRENCY"}


def command(name: str, application: str, *options: str) -> list[str]:
    """Return the command that starts the server *name*, for :func:`serve`."""
    return [sys.executable, "-m", *SERVERS[name], *options, application]


def manage(environment: Mapping[str, str], *command: str) -> None:
    """Run a command of the example's ``manage.py``; raise an exception if it fails."""
    subprocess.run(
        [sys.executable, "manage.py", *command, "--verbosity", "0"],
        cwd=ROOT,
        env=clean_environment(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        check=True,
        timeout=120,
    )


def python(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python in the project's folder until it ends, and return its status and output."""
    return subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env=clean_environment(environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=4 * PATIENCE,
    )


class Server:
    """A running server; made by :func:`serve`."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.process = process
        self.port = port
        self.url = f"http://{HOST}:{port}"
        self.websocket_url = f"ws://{HOST}:{port}"
        self._log = log

    def log(self) -> str:
        """Return everything that the process has written so far."""
        return self._log.read_text(errors="replace")

    def log_lines(self, pattern: str, *, at_least: int = 1) -> list[str]:
        """Wait until *at_least* that many lines of the log match *pattern*; return them."""

        def found() -> list[str]:
            # A line counts once it is whole: the process may write it in parts.
            lines = self.log().splitlines(keepends=True)
            whole = [line.rstrip("\n") for line in lines if line.endswith("\n")]
            return [line for line in whole if re.search(pattern, line)]

        self.until(lambda: len(found()) >= at_least, f"line in the log with {pattern!r}")
        return found()

    def stop(self, signal_number: int = signal.SIGTERM) -> int:
        """Send the signal, wait until the process ends, and return its exit status."""
        self.process.send_signal(signal_number)
        return self.process.wait(PATIENCE)

    def until(self, condition: Callable[[], bool], what: str, patience: float = PATIENCE) -> None:
        """Wait until *condition* is true; if it never is, fail and show the log."""
        deadline = time.monotonic() + patience
        while not condition():
            # Check once more after the end: the last lines may have just been written.
            ended = self.process.poll() is not None
            if ended and not condition():
                raise AssertionError(
                    f"the server ended with {self.process.returncode}, and there was no {what}:\n"
                    f"{self.log()}"
                )
            if time.monotonic() > deadline:
                raise AssertionError(f"there was no {what} within {patience} s:\n{self.log()}")
            time.sleep(0.01)

    def listens(self) -> bool:
        with suppress(OSError), socket.create_connection((HOST, self.port), timeout=PATIENCE):
            return True
        return False


@contextmanager
def serve(
    command: Sequence[str],
    *,
    log: Path,
    environment: Mapping[str, str] | None = None,
    listening: bool = True,
) -> Generator[Server]:
    """Start *command* in the project's folder, yield once it listens, and stop it at the end.

    With ``listening=False`` yield immediately.

        with serve(UVICORN, log=tmp_path / "log") as server:
            httpx.get(server.url)

    ``{port}`` in the command stands for a free port. The output of the process goes to the
    file *log*. Neither the process nor any process that it started outlives the block.
    """
    with free_port() as port:
        with log.open("wb") as output:
            process = subprocess.Popen(
                [part.format(port=port) for part in command],
                cwd=ROOT,
                env=clean_environment(environment or {}),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            server = Server(process, port, log)
            if listening:
                server.until(server.listens, f"server on port {port}")
            yield server
        finally:
            _end(process)


def clean_environment(changes: Mapping[str, str]) -> dict[str, str]:
    """Return our environment with *changes*, but without the variables that choose settings."""
    inherited = {name: value for name, value in os.environ.items() if name not in _NOT_INHERITED}
    return {**inherited, "PYTHONUNBUFFERED": "1", **changes}


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask the process to end, then kill it and everything left of its process group."""
    if process.poll() is None:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(10)
    # The group has its leader's number, and keeps it for as long as one member is alive.
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(PATIENCE)


@contextmanager
def free_port() -> Generator[int]:
    """Reserve a port: the kernel gives it to no other process until the block ends."""
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind((HOST, 0))
        port: int = holder.getsockname()[1]
        # This socket is bound but does not listen. It keeps the port reserved, and a server
        # that sets the same option can bind and listen. Systems other than Linux may refuse.
        if sys.platform != "linux":
            holder.close()
        yield port
