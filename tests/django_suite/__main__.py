"""Run Django's own tests without and with the pool around its handlers, and compare.

    python -m tests.django_suite

For each series of Django, this installs the newest source distribution, which includes the tests,
in a new environment. The environments and the logs of the runs stay in .build/django until
``make clean``. The exit status is 1 if a test ends worse with the pool than without it.
"""

import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.servers.server import ROOT, clean_environment

# The suites that use an async test client or an ASGI handler, and those that they build on.
SUITES = (
    *("asgi", "async", "handlers", "requests_tests", "httpwrappers", "signals"),
    *("test_client", "test_client_regress", "middleware_exceptions", "logging_tests"),
    *("auth_tests.test_middleware", "auth_tests.test_remote_user"),
    "staticfiles_tests.test_handlers",
)
# The oldest Python for each series of Django.
SERIES = {"5.2": (3, 11), "6.1": (3, 12)}
# See runner.py.
LOOPS = ("django", "own")
BUILD = ROOT / ".build" / "django"
# In seconds. Generous, because a run takes about 15.
TIMEOUT = 300


class Report(NamedTuple):
    """How often a thread was lent, and how each test ended: passed, skipped or failed."""

    lent: int
    outcomes: dict[str, str]

    def __str__(self) -> str:
        counts = Counter(self.outcomes.values())
        return ", ".join(f"{counts[name]} {name}" for name in ("passed", "skipped", "failed"))


def main() -> int:
    rows = ["Python  Django  loop    without the pool                    with it"]
    worse: list[str] = []
    for series, least in SERIES.items():
        python = interpreter(least)
        if python is None:
            wanted = ".".join(map(str, least))
            rows.append(f"-       {series:6}  skipped: needs Python {wanted} or newer")
            continue
        python, source = prepared(series, python)
        versions = f"{output(python, '-c', VERSIONS):14}"
        for loop in LOOPS:
            print(f"Django {series}, {loop} loop: without and with the pool", flush=True)
            plain, pooled = reports(python, source, loop)
            lent = f"threads lent {pooled.lent} times"
            rows.append(f"{versions}  {loop:6}  {plain!s:34}  {pooled}; {lent}")
            worse += [f"Django {series}, {loop} loop: {line}" for line in worsened(plain, pooled)]
    print("", *rows, *worse, sep="\n")
    return bool(worse)


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
        # The shim of a version manager may be on the PATH and fail.
        tried = subprocess.run([candidate, "-c", usable], capture_output=True, check=False)
        if tried.returncode == 0:
            return candidate
    return None


VERSIONS = """
import django, platform
print(f"{platform.python_version():6}  {django.__version__}")
"""


def prepared(series: str, python: str) -> tuple[str, Path]:
    """Install Django and this package; return the Python of the environment and Django's source."""
    folder = BUILD / series
    environment, ready = folder / "environment", folder / "ready"
    installed = str(environment / "bin" / "python")
    if not ready.exists():
        print(f"Getting and installing Django {series}", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([python, "-m", "venv", environment], check=True)
        pip = (installed, "-m", "pip", "--disable-pip-version-check", "-q")
        wanted = ("--no-deps", "--no-binary", "django", f"django~={series}.0")
        subprocess.run([*pip, "download", "-d", folder, *wanted], check=True)
        (archive,) = folder.glob("*.tar.gz")
        subprocess.run([*pip, "install", archive, "-e", ROOT], check=True)
        with tarfile.open(archive) as source:
            source.extractall(folder, filter="data")
        ready.touch()
    (runtests,) = folder.glob("*/tests/runtests.py")
    return installed, runtests.parent


def reports(python: str, source: Path, loop: str) -> tuple[Report, Report]:
    """Run the suites without and with the pool, both at once because they mostly wait."""
    folder = source.parents[1]
    runs: list[tuple[subprocess.Popen[bytes], Path, Path]] = []
    try:
        for in_pool in ("no", "yes"):
            name = f"{loop}-pooled-{in_pool}"
            log, outcomes = folder / f"{name}.log", folder / f"{name}.json"
            outcomes.unlink(missing_ok=True)
            changes = {"LOOP": loop, "POOLED": in_pool, "OUTCOMES": str(outcomes)}
            with log.open("wb") as written:
                process = subprocess.Popen(
                    [python, "runtests.py", *OPTIONS, *SUITES],
                    cwd=source,
                    env=clean_environment({**changes, "PYTHONPATH": str(ROOT)}),
                    stdin=subprocess.DEVNULL,
                    stdout=written,
                    stderr=subprocess.STDOUT,
                )
            runs.append((process, log, outcomes))
        plain, pooled = (report(*run) for run in runs)
        return plain, pooled
    finally:
        for process, _, _ in runs:
            process.kill()
            process.wait()


# In one process, because the runner counts within its process.
OPTIONS = ("--settings", "tests.django_suite.settings", "--parallel", "1", "--noinput")


def report(process: "subprocess.Popen[bytes]", log: Path, outcomes: Path) -> Report:
    try:
        process.wait(TIMEOUT)
    except subprocess.TimeoutExpired:
        sys.exit(f"the run did not end within {TIMEOUT} s: {log}")
    if not outcomes.exists():
        sys.exit(f"the run wrote no outcomes; {log} ends with:\n{log.read_text()[-2000:]}")
    return Report(**json.loads(outcomes.read_text()))


def worsened(plain: Report, pooled: Report) -> Iterator[str]:
    """Yield a line for each test that ended worse with the pool than without it."""
    if not pooled.lent:
        yield "no thread was lent, so nothing was tested"
    for test in sorted(plain.outcomes.keys() | pooled.outcomes.keys()):
        before, after = (outcomes.get(test, "not run") for _, outcomes in (plain, pooled))
        if after not in ("passed", before):
            yield f"{test} {before} without the pool, {after} with it"


def output(*command: str) -> str:
    return subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
