"""The servers under test, each with the options that docs/deployment.md recommends."""

import re
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from .server import ROOT, UVICORN_WORKERS, Server, command, serve

_OPTIONS: dict[str, tuple[str, ...]] = {
    "uvicorn": (),
    "uvicorn --workers 2": UVICORN_WORKERS,
    "hypercorn": (),
    "hypercorn --workers 0": ("--workers", "0"),
    "granian": (),
    "daphne": (),
}
# Hypercorn respects this timeout on Python 3.11 only.
_PATIENT = ("--graceful-timeout", "20")
# The servers that run the lifespan in a process that receives the signal.
NAMES = [name for name in _OPTIONS if name != "hypercorn"]
# The servers among them that serve from a single process.
ONE_PROCESS = [name for name in NAMES if name != "uvicorn --workers 2"]


@contextmanager
def serving(
    name: str,
    folder: Path,
    environment: Mapping[str, str] | None = None,
    *,
    alone: bool = False,
    listening: bool = True,
) -> Generator[Server]:
    """Serve the app, or Django *alone*, on the server called *name*."""
    run = lifespan_command(name, alone=alone)
    with serve(run, log=folder / "log", environment=environment, listening=listening) as server:
        yield server


def lifespan_command(name: str, *, alone: bool = False) -> list[str]:
    """Return the command that starts the server; skip the test if it is not installed."""
    server = name.partition(" ")[0]
    pytest.importorskip(server, reason=f"needs {server}")
    module, options = "tests.servers.apps.lifespan.asgi", _OPTIONS[name]
    if alone:
        return command(server, f"{module}:django_alone", *options)
    if name == "hypercorn --workers 0":
        options += _PATIENT
    if name == "daphne":
        module += "_daphne"
    return command(server, f"{module}:application", *options)


def events(server: Server) -> dict[str, list[str]]:
    """Return the events that each process of the server has printed so far."""
    found: dict[str, list[str]] = {}
    for process, event in re.findall(r"^event (\d+) (.*)$", server.log(), re.MULTILINE):
        found.setdefault(process, []).append(event)
    return found


def page_row(heading: str, name: str) -> list[str]:
    """Return a server's row of the table that docs/deployment.md has under *heading*.

    If the rows of a server name versions of Python, return the row for the running version.
    """
    page = (ROOT / "docs" / "deployment.md").read_text()
    table = page.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    version = "3.11" if sys.version_info < (3, 12) else "3.12 and newer"
    [row] = re.findall(
        rf"^\| `{re.escape(name)}`(?:, Python {version})? \| (.*) \|$", table, re.MULTILINE
    )
    return [cell.strip() for cell in row.split("|")]
