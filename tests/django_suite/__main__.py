"""Run Django's own tests without and with the pool, then with our handler in Django's place.

    python -m tests.django_suite

For each series of Django, this installs the newest source distribution, which includes the tests,
in a new environment. The environments and the logs of the runs stay in .build/django until
``make clean``. The exit status is 1 if a test ends worse with what is ours than without it.
"""

import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections import Counter
from collections.abc import Iterator
from itertools import product
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
# What uses the handlers of Django's test clients most, through our handler.
SUITES_OF_HANDLER = (
    *(suite for suite in SUITES if not suite.startswith("auth_tests.")),
    *("middleware", "csrf_tests", "sessions_tests", "messages_tests", "auth_tests", "i18n"),
)


class Comparison(NamedTuple):
    """Two runs: what each is called, and its environment variables. See runner.py."""

    before: str
    without: dict[str, str]
    after: str
    with_ours: dict[str, str]
    suites: dict[str, tuple[str, ...]]
    """The suites for each loop. In a loop of its own, a test flushes the database: some minutes."""


COMPARISONS = {
    "pool": Comparison(
        *("without the pool", {"POOLED": "no", "HANDLER": ""}),
        *("with it", {"POOLED": "yes", "HANDLER": ""}),
        {"django": SUITES, "own": SUITES},
    ),
    "handler": Comparison(
        *("with Django's handler", {"POOLED": "no", "HANDLER": "async"}),
        *("with ours", {"POOLED": "yes", "HANDLER": "ours"}),
        {"django": SUITES_OF_HANDLER, "own": SUITES},
    ),
}
# The oldest Python for each series of Django.
SERIES = {"5.2": (3, 11), "6.1": (3, 12)}
# See runner.py.
LOOPS = ("django", "own")
BUILD = ROOT / ".build" / "django"
# In seconds. Generous, because a run takes up to two minutes.
TIMEOUT = 1800


class Report(NamedTuple):
    """How often a thread was lent or our handler served, and how each test ended."""

    used: int
    outcomes: dict[str, str]

    def __str__(self) -> str:
        counts = Counter(self.outcomes.values())
        return ", ".join(f"{counts[name]} {name}" for name in ("passed", "skipped", "failed"))


def main() -> int:
    rows = ["Python  Django  loop    compared  without                             with ours"]
    worse: list[str] = []
    for series, least in SERIES.items():
        python = interpreter(least)
        if python is None:
            wanted = ".".join(map(str, least))
            rows.append(f"-       {series:6}  skipped: needs Python {wanted} or newer")
            continue
        python, source = prepared(series, python)
        versions = f"{output(python, '-c', VERSIONS):14}"
        for loop, (name, comparison) in product(LOOPS, COMPARISONS.items()):
            title = f"Django {series}, {loop} loop"
            print(f"{title}: {comparison.before} and {comparison.after}", flush=True)
            plain, changed = reports(python, source, loop, name)
            row = f"{versions}  {loop:6}  {name:8}  {plain!s:34}  {changed}"
            rows.append(f"{row}; used {changed.used} times")
            worse += [f"{title}: {line}" for line in worsened(comparison, plain, changed)]
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


def reports(python: str, source: Path, loop: str, name: str) -> tuple[Report, Report]:
    """Run the suites of a comparison twice, both at once because they mostly wait."""
    comparison = COMPARISONS[name]
    folder = source.parents[1]
    runs: list[tuple[subprocess.Popen[bytes], Path, Path]] = []
    try:
        for arm, environment in (("without", comparison.without), ("with", comparison.with_ours)):
            run = folder / f"{loop}-{arm}-{name}"
            log, outcomes = run.with_suffix(".log"), run.with_suffix(".json")
            outcomes.unlink(missing_ok=True)
            changes = {"LOOP": loop, "OUTCOMES": str(outcomes), **environment}
            with log.open("wb") as written:
                process = subprocess.Popen(
                    [python, "runtests.py", *OPTIONS, *comparison.suites[loop]],
                    cwd=source,
                    env=clean_environment({**changes, "PYTHONPATH": str(ROOT)}),
                    stdin=subprocess.DEVNULL,
                    stdout=written,
                    stderr=subprocess.STDOUT,
                )
            runs.append((process, log, outcomes))
        plain, changed = (report(*run) for run in runs)
        return plain, changed
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


def worsened(comparison: Comparison, plain: Report, changed: Report) -> Iterator[str]:
    """Yield a line for each test that ended worse with what is ours than without it."""
    if not changed.used:
        yield "nothing of ours was used, so nothing was tested"
    for test in sorted(plain.outcomes.keys() | changed.outcomes.keys()):
        before, after = (outcomes.get(test, "not run") for _, outcomes in (plain, changed))
        if after not in ("passed", before):
            yield f"{test} {before} {comparison.before}, {after} {comparison.after}"


def output(*command: str) -> str:
    return subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
