"""Run another project's tests without and with our code, and compare the outcomes test by test."""

import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.servers.server import ROOT, clean_environment

# In seconds. Generous, because a run takes up to two minutes.
TIMEOUT = 1800


class Report(NamedTuple):
    """How often our code was used, and how each test ended."""

    used: int
    outcomes: dict[str, str]

    def __str__(self) -> str:
        counts = Counter(self.outcomes.values())
        return ", ".join(f"{counts[name]} {name}" for name in ("passed", "skipped", "failed"))


def interpreter(least: tuple[int, int]) -> str | None:
    """Return a Python that is new enough, works, and can create environments."""
    pyenv = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser() / "versions"
    candidates = [
        sys.executable,
        *filter(None, map(shutil.which, ("python3", "python3.13", "python3.12"))),
        *(str(path) for path in sorted(pyenv.glob("3.1[1-9]*/bin/python"), reverse=True)),
    ]
    usable = f"import ensurepip, sys; sys.exit(sys.version_info < {least})"
    for candidate in candidates:
        # The PATH may have a version manager's shim, which can fail.
        tried = subprocess.run([candidate, "-c", usable], capture_output=True, check=False)
        if tried.returncode == 0:
            return candidate
    return None


def prepared(
    folder: Path, python: str, requirement: str, others: Sequence[str] = ()
) -> tuple[str, Path]:
    """Install a source distribution, this package and *others* into an environment in *folder*.

    Return the Python of the environment and the folder with the source.
    """
    environment, ready = folder / "environment", folder / "ready"
    installed = str(environment / "bin" / "python")
    if not ready.exists():
        print(f"Getting and installing {requirement}", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([python, "-m", "venv", environment], check=True)
        pip = (installed, "-m", "pip", "--disable-pip-version-check", "-q")
        wanted = ("--no-deps", "--no-binary", requirement.partition("~")[0], requirement)
        subprocess.run([*pip, "download", "-d", folder, *wanted], check=True)
        (archive,) = folder.glob("*.tar.gz")
        subprocess.run([*pip, "install", archive, *others, "-e", ROOT], check=True)
        with tarfile.open(archive) as source:
            source.extractall(folder, filter="data")
        ready.touch()
    (information,) = folder.glob("*/PKG-INFO")
    return installed, information.parent


def reports(
    command: Sequence[str], source: Path, arms: Mapping[Path, Mapping[str, str]]
) -> list[Report]:
    """Run *command* in *source* once for each arm, in parallel because they mostly wait.

    An arm is the path of its log without a suffix, and its environment variables.
    """
    runs: list[tuple[subprocess.Popen[bytes], Path, Path]] = []
    try:
        for run, environment in arms.items():
            log, outcomes = run.with_suffix(".log"), run.with_suffix(".json")
            outcomes.unlink(missing_ok=True)
            with log.open("wb") as written:
                process = subprocess.Popen(
                    command,
                    cwd=source,
                    env=clean_environment({"OUTCOMES": str(outcomes), **environment}),
                    stdin=subprocess.DEVNULL,
                    stdout=written,
                    stderr=subprocess.STDOUT,
                )
            runs.append((process, log, outcomes))
        return [report(*run) for run in runs]
    finally:
        for process, _, _ in runs:
            process.kill()
            process.wait()


def report(process: "subprocess.Popen[bytes]", log: Path, outcomes: Path) -> Report:
    try:
        process.wait(TIMEOUT)
    except subprocess.TimeoutExpired:
        sys.exit(f"the run did not end within {TIMEOUT} s: {log}")
    if not outcomes.exists():
        sys.exit(f"the run wrote no outcomes; {log} ends with:\n{log.read_text()[-2000:]}")
    return Report(**json.loads(outcomes.read_text()))


def differing(plain: Report, changed: Report) -> Iterator[tuple[str, str, str]]:
    """Yield each test with a different outcome in the two reports, and both outcomes."""
    for test in sorted(plain.outcomes.keys() | changed.outcomes.keys()):
        before, after = (outcomes.get(test, "not run") for _, outcomes in (plain, changed))
        if before != after:
            yield test, before, after


def output(*command: str) -> str:
    return subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout.strip()
