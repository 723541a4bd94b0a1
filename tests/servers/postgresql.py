"""A PostgreSQL cluster just for the tests: created, started, and removed again."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .missing import missing
from .server import PATIENCE

if TYPE_CHECKING:
    from psycopg import Connection

USER = DATABASE = "postgres"
# Low, so that a test reaches the limit soon. A test that needs a connection opens it first.
MAX_CONNECTIONS = 20


class PostgreSQL:
    """A running cluster; made by :func:`cluster`.

    It listens only on a Unix socket in *folder*, so it needs no port.
    """

    def __init__(self, programs: Path, folder: Path) -> None:
        self.folder = folder
        self._programs = programs
        self._data = folder / "data"
        self._log = folder / "log"
        # libpq reads these variables, and so does psycopg.
        self.environment = {"PGHOST": str(folder), "PGUSER": USER, "PGDATABASE": DATABASE}

    def start(self) -> None:
        options = f"-k {self.folder} -c listen_addresses= -c fsync=off"
        self._control("start", "-o", f"{options} -c max_connections={MAX_CONNECTIONS}")

    def restart(self) -> None:
        """Break all connections; return once the server accepts new connections."""
        self._control("restart", "-m", "fast")

    def make(self) -> None:
        options = ("--auth", "trust", "--encoding", "UTF8", "--no-sync", "--username", USER)
        self._run("initdb", *options, "-D", self._data)

    def stop(self) -> None:
        self._control("stop", "-m", "immediate")

    def connect(self) -> "Connection[Any]":
        """Return a connection for the test itself, in autocommit mode."""
        import psycopg

        return psycopg.connect(host=str(self.folder), user=USER, dbname=DATABASE, autocommit=True)

    def _control(self, *command: str) -> None:
        # The log is a file, because the server would inherit a pipe from pg_ctl and keep it open.
        self._run("pg_ctl", *command, "-D", self._data, "-l", self._log, "-w")

    def _run(self, program: str, *options: str | Path) -> None:
        # PostgreSQL's programs refuse to run as root.
        other: dict[str, Any] = {}
        if os.geteuid() == 0:
            other = {"user": USER, "group": USER, "extra_groups": ()}
        with (self.folder / program).open("a+") as said:
            ended = subprocess.run(
                [self._programs / program, *options],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                check=False,
                timeout=2 * PATIENCE,
                **other,
            )
            said.seek(0)
            assert ended.returncode == 0, said.read()


@contextmanager
def cluster() -> Generator[PostgreSQL]:
    """Create and start a cluster for the length of the block.

    Skips the test if PostgreSQL or psycopg is not installed.
    """
    programs = _programs()
    if find_spec("psycopg") is None:
        missing("psycopg, from the `dev` extra")
    # Not in pytest's folder: other users cannot enter it, and its path is too long for a socket.
    with tempfile.TemporaryDirectory(prefix="postgresql-") as name:
        folder = Path(name)
        if os.geteuid() == 0:
            shutil.chown(folder, USER, USER)
        postgresql = PostgreSQL(programs, folder)
        postgresql.make()
        try:
            postgresql.start()
            yield postgresql
        finally:
            postgresql.stop()


def _programs() -> Path:
    """Return the folder with initdb and pg_ctl.

    Debian has one such folder for each version, and none of them is on the PATH.
    """
    if (found := shutil.which("pg_ctl")) and shutil.which("initdb"):
        return Path(found).parent
    installed = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    if not (versions := sorted(installed, key=lambda path: float(path.parts[-3]))):
        missing("PostgreSQL, from the Debian package `postgresql`")
    return versions[-1].parent
