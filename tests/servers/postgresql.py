"""A PostgreSQL of the tests' own: it is made, started, and removed again."""

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
# So few that a test reaches the limit soon. Tests connect first, while there is room.
MAX_CONNECTIONS = 20


class PostgreSQL:
    """A cluster that runs; made by :func:`cluster`.

    Nothing but its Unix socket, in *folder*, leads to it, so that it needs no port.
    """

    def __init__(self, programs: Path, folder: Path) -> None:
        self.folder = folder
        self._programs = programs
        self._data = folder / "data"
        self._log = folder / "log"
        # What libpq, and with it psycopg, reads.
        self.environment = {"PGHOST": str(folder), "PGUSER": USER, "PGDATABASE": DATABASE}

    def start(self) -> None:
        options = f"-k {self.folder} -c listen_addresses= -c fsync=off"
        self._control("start", "-o", f"{options} -c max_connections={MAX_CONNECTIONS}")

    def restart(self) -> None:
        """Break all connections; return when there can be new ones."""
        self._control("restart", "-m", "fast")

    def make(self) -> None:
        options = ("--auth", "trust", "--encoding", "UTF8", "--no-sync", "--username", USER)
        self._run("initdb", *options, "-D", self._data)

    def stop(self) -> None:
        self._control("stop", "-m", "immediate")

    def connect(self) -> "Connection[Any]":
        """Return a connection of the test's own, on which each statement is a transaction."""
        import psycopg

        return psycopg.connect(host=str(self.folder), user=USER, dbname=DATABASE, autocommit=True)

    def _control(self, *command: str) -> None:
        # A pipe would not end, as the server writes to what pg_ctl writes to.
        self._run("pg_ctl", *command, "-D", self._data, "-l", self._log, "-w")

    def _run(self, program: str, *options: str | Path) -> None:
        # They refuse to run as root.
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
    """Make a cluster and start it; it does not outlive the block.

    Skips the test where there is no PostgreSQL, or no psycopg.
    """
    programs = _programs()
    if find_spec("psycopg") is None:
        missing("psycopg, which the dev extra brings")
    # Not pytest's folder, which is closed to others, and whose name is too long for a socket.
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
    """Return the folder of initdb and pg_ctl; Debian has one for each version, off the path."""
    if (found := shutil.which("pg_ctl")) and shutil.which("initdb"):
        return Path(found).parent
    installed = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    if not (versions := sorted(installed, key=lambda path: float(path.parts[-3]))):
        missing("PostgreSQL; on Debian the package `postgresql` brings it")
    return versions[-1].parent
