"""Run the tests of Starlette and of Channels without and with the stack around their apps.

    python -m tests.peer_suites

For each project, this installs the newest source distribution of a series in a new environment.
If the distribution has no tests, they come from the project's repository, at the tag of the
version. The environments and the logs of the runs stay in .build/peers until ``make clean``.

``differences.py`` lists the tests that may differ, each with the reason. The exit status is 1 if
another test differs, or if a listed one no longer does.
"""

import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.servers.server import ROOT
from tests.suites import Report, differing, interpreter, output, prepared, reports

from .differences import CHANNELS, STARLETTE


class Peer(NamedTuple):
    """A project whose apps can be inside the stack."""

    requirement: str
    needs: tuple[str, ...]
    """What to install with it for its tests."""
    options: tuple[str, ...]
    """Options for pytest."""
    differences: Mapping[str, Sequence[str]]


PEERS = {
    "starlette": Peer(
        "starlette~=1.10.0",
        (
            *("starlette[full]", "blockbuster", "httpx2[zstd]", "importlib-metadata"),
            *("opentelemetry-sdk", "pytest", "trio"),
        ),
        # The stack needs asyncio.
        ("-k", "not trio"),
        STARLETTE,
    ),
    "channels": Peer(
        "channels~=4.3.2",
        ("channels[daphne]", "async-timeout", "pytest", "pytest-asyncio", "pytest-django"),
        # These tests drive a browser against a server, so no client gets an app.
        ("--ignore", "tests/sample_project/tests"),
        CHANNELS,
    ),
}
BUILD = ROOT / ".build" / "peers"
# The plugin has its bare name here, because each project has its own package called ``tests``.
OPTIONS = ("-p", "in_the_stack", "-p", "no:cacheprovider", "tests")


def main() -> int:
    rows = ["Project           bare                                with the stack"]
    unexpected: list[str] = []
    least = interpreter((3, 11))
    if least is None:
        sys.exit("the tests need Python 3.11 or newer with ensurepip")
    for name, peer in PEERS.items():
        python, source = prepared(BUILD / name, least, peer.requirement, peer.needs)
        get_tests(python, name, source)
        print(f"{source.name}: bare and with the stack", flush=True)
        given = {"PYTHONPATH": str(Path(__file__).parent)}
        command = (python, "-m", "pytest", *OPTIONS, *peer.options)
        # One after the other, because both use the same database.
        (plain,) = reports(command, source, {BUILD / name / "bare": {**given, "STACKED": "no"}})
        (stacked,) = reports(command, source, {BUILD / name / "stack": {**given, "STACKED": "yes"}})
        rows.append(f"{source.name:16}  {plain!s:34}  {stacked}; {stacked.used} apps")
        unexpected += [f"{source.name}: {line}" for line in problems(peer, plain, stacked)]
    print("", *rows, *unexpected, sep="\n")
    return bool(unexpected)


def get_tests(python: str, name: str, source: Path) -> None:
    """If the distribution includes no tests, get them from the repository that it names."""
    if (source / "tests").exists():
        return
    address, version = output(python, "-c", ORIGIN, name).split()
    repository = source.parent / "repository"
    shutil.rmtree(repository, ignore_errors=True)
    clone = (
        "git",
        "-c",
        "advice.detachedHead=false",
        "clone",
        "--quiet",
        "--depth",
        "1",
        "--branch",
        version,
    )
    subprocess.run([*clone, address, repository], check=True)
    shutil.copytree(repository / "tests", source / "tests")


ORIGIN = """
import sys
from importlib.metadata import metadata
about = metadata(sys.argv[1])
print(about["Home-page"], about["Version"])
"""


def problems(peer: Peer, plain: Report, stacked: Report) -> Iterator[str]:
    """Yield a line for each difference without a reason, and each reason without a difference."""
    if not stacked.used:
        yield "no app got the stack, so nothing was tested"
    listed = {test for tests in peer.differences.values() for test in tests}
    for test, before, after in differing(plain, stacked):
        if test not in listed:
            yield f"{test} {before} bare, {after} with the stack"
        listed.discard(test)
    for test in sorted(listed):
        yield f"{test} is listed, but does not differ"


if __name__ == "__main__":
    sys.exit(main())
