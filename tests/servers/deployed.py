"""The files in deploy/, with a test's paths instead of those of a real machine."""

import shlex
import socket
import sys
import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx

from .server import PATIENCE, ROOT, clean_environment

UVICORN = "/srv/example/.venv/bin/uvicorn"
PROJECT = "/srv/example"
SOCKET = "/run/example/example.sock"
VARIABLES = "/etc/example.env"


@dataclass(frozen=True)
class Machine:
    """A folder that stands in for the machine on which the files are installed."""

    folder: Path

    @property
    def socket(self) -> Path:
        return self.folder / "example.sock"

    def write_variables(self, environment: Mapping[str, str]) -> None:
        """Write the file that is /etc/example.env on a real machine."""
        variables = clean_environment(environment)
        kept = {**environment, "PATH": variables["PATH"]}
        lines = (f"{name}={shlex.quote(value)}\n" for name, value in kept.items())
        (self.folder / "example.env").write_text("".join(lines), encoding="utf-8")

    def file(self, name: str, **others: str) -> str:
        """Return the text of deploy/*name* with this machine's paths, and *others* replaced."""
        text = (ROOT / "deploy" / name).read_text(encoding="utf-8")
        replacements = {
            UVICORN: f"{sys.executable} -m uvicorn",
            PROJECT: str(ROOT),
            SOCKET: str(self.socket),
            VARIABLES: str(self.folder / "example.env"),
            **others,
        }
        for written, here in replacements.items():
            text = text.replace(written, here)
        return text

    def listens(self) -> bool:
        with suppress(OSError), socket.socket(socket.AF_UNIX) as client:
            client.connect(str(self.socket))
            return True
        return False

    def client(self) -> httpx.Client:
        """Return a client that connects to the socket, as the web server in front does."""
        transport = httpx.HTTPTransport(uds=str(self.socket))
        return httpx.Client(transport=transport, base_url="http://127.0.0.1", timeout=PATIENCE)


@contextmanager
def machine() -> Generator[Machine]:
    # Not in pytest's folder: its path is too long for a socket.
    with tempfile.TemporaryDirectory(prefix="example-") as folder:
        yield Machine(Path(folder))
