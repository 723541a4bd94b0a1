"""Run a server as a process of its own, for the length of a ``with`` block."""

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
# Generous: it is waited for in full only where a test fails.
PATIENCE = 30.0

# How each server is told where to listen. More options may follow the app.
_ADDRESS = ("--host", HOST, "--port", "{port}")
SERVERS = {
    "uvicorn": ("uvicorn", *_ADDRESS),
    "hypercorn": ("hypercorn", "--bind", f"{HOST}:{{port}}"),
    "granian": ("granian", *_ADDRESS, "--interface", "asgi"),
    "daphne": ("daphne", "-b", HOST, "-p", "{port}"),
}

# Of the process that runs the tests, and not for the one that is tested.
_NOT_INHERITED = {"DJANGO_ENV", "DJANGO_SETTINGS_MODULE", "WEB_CONCURRENCY"}


def command(name: str, application: str, *options: str) -> list[str]:
    """Return what starts the server *name*, for :func:`serve`."""
    return [sys.executable, "-m", *SERVERS[name], *options, application]


def manage(environment: Mapping[str, str], *command: str) -> None:
    """Run a command of the example's ``manage.py``, and see that it succeeds."""
    subprocess.run(
        [sys.executable, "manage.py", *command, "--verbosity", "0"],
        cwd=ROOT,
        env=clean_environment(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        check=True,
        timeout=120,
    )


class Server:
    """A server that answers; made by :func:`serve`."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.process = process
        self.port = port
        self.url = f"http://{HOST}:{port}"
        self.websocket_url = f"ws://{HOST}:{port}"
        self._log = log

    def log(self) -> str:
        """Return all that the process has written so far."""
        return self._log.read_text(errors="replace")

    def log_lines(self, pattern: str, *, at_least: int = 1) -> list[str]:
        """Wait until *pattern* is found in so many lines of the log; return those lines."""

        def found() -> list[str]:
            return [line for line in self.log().splitlines() if re.search(pattern, line)]

        self.until(lambda: len(found()) >= at_least, f"line in the log with {pattern!r}")
        return found()

    def stop(self, signal_number: int = signal.SIGTERM) -> int:
        """Send the signal, wait for the end, and return the exit status."""
        self.process.send_signal(signal_number)
        return self.process.wait(PATIENCE)

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for *condition*, and show the log where it does not come true."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            # Asked once more after the end: the last lines may have come with it.
            ended = self.process.poll() is not None
            if ended and not condition():
                raise AssertionError(
                    f"the server ended with {self.process.returncode}, and there was no {what}:\n"
                    f"{self.log()}"
                )
            if time.monotonic() > deadline:
                raise AssertionError(f"no {what} within {PATIENCE} s:\n{self.log()}")
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
    """Start *command* in the project's folder, yield once it listens, and end it.

    With ``listening=False`` yield at once.

        with serve(UVICORN, log=tmp_path / "log") as server:
            httpx.get(server.url)

    ``{port}`` in the command stands for a free port. What the process writes goes to
    the file *log*. It does not outlive the block, nor do processes that it started.
    """
    with _free_port() as port:
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
    """Return our environment with *changes*, without what would choose settings for a child."""
    inherited = {name: value for name, value in os.environ.items() if name not in _NOT_INHERITED}
    return {**inherited, "PYTHONUNBUFFERED": "1", **changes}


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask the process to end; then end it, and whatever it left of its group."""
    if process.poll() is None:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(10)
    # The group has the number of its leader, and keeps it while one member lives.
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(PATIENCE)


@contextmanager
def _free_port() -> Generator[int]:
    """A port that the kernel gives to nobody else as long as it is ours."""
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind((HOST, 0))
        port: int = holder.getsockname()[1]
        # Bound and not listening, it keeps the port while a server, which sets the same
        # option, binds and listens. Elsewhere than on Linux that bind may be refused.
        if sys.platform != "linux":
            holder.close()
        yield port
