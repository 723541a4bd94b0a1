"""A Redis server just for the tests, which they can stop and start again."""

import socket
import subprocess
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from .missing import program
from .server import PATIENCE


class Redis:
    """A server that listens on a Unix socket; made by :func:`redis`."""

    def __init__(self, server: str, folder: Path) -> None:
        self._command = [server, "--port", "0", "--save", "", "--dir", str(folder)]
        self._socket = folder / "redis.sock"
        self._log = folder / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self.environment = {"REDIS_URL": f"unix://{self._socket}"}

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self._command, "--unixsocket", str(self._socket)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + PATIENCE
        while not self._responds():
            assert time.monotonic() < deadline, self._log.read_text()
            time.sleep(0.01)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(PATIENCE)
            self._process = None

    def _responds(self) -> bool:
        with suppress(OSError), socket.socket(socket.AF_UNIX) as client:
            client.connect(str(self._socket))
            client.sendall(b"PING\r\n")
            return client.recv(16).startswith(b"+PONG")
        return False


@contextmanager
def redis() -> Generator[Redis]:
    """Run a Redis server for the length of the block; skip the test if none is installed."""
    server = program("redis-server", "redis-server")
    # Not in pytest's folder: its path is too long for a socket.
    with tempfile.TemporaryDirectory(prefix="redis-") as folder:
        redis = Redis(server, Path(folder))
        redis.start()
        try:
            yield redis
        finally:
            redis.stop()
