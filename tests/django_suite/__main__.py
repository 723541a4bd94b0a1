"""Run Django's own tests without and with the pool, then with our handler in Django's place.

    python -m tests.django_suite

For each series of Django, this installs the newest source distribution, which includes the tests,
in a new environment. The environments and the logs of the runs stay in .build/django until
``make clean``. The exit status is 1 if a test ends worse with our code than without it.
"""

import sys
from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

from tests.servers.server import ROOT
from tests.suites import Report, differing, interpreter, output, prepared, reports

# The suites that use an async test client or an ASGI handler, and those that they build on.
SUITES = (
    *("asgi", "async", "handlers", "requests_tests", "httpwrappers", "signals"),
    *("test_client", "test_client_regress", "middleware_exceptions", "logging_tests"),
    *("auth_tests.test_middleware", "auth_tests.test_remote_user"),
    "staticfiles_tests.test_handlers",
)
# The suites that use the handlers of Django's test clients most. They run with our handler.
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
    """The suites for each loop. With loops of their own, tests flush the database: minutes more."""


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
# All tests run in one process, because the runner counts only in its own.
OPTIONS = ("--settings", "tests.django_suite.settings", "--parallel", "1", "--noinput")


def main() -> int:
    rows = ["Python  Django  loop    compared  without                             with ours"]
    worse: list[str] = []
    for series, least in SERIES.items():
        python = interpreter(least)
        if python is None:
            wanted = ".".join(map(str, least))
            rows.append(f"-       {series:6}  skipped: needs Python {wanted} or newer")
            continue
        python, source = prepared(BUILD / series, python, f"django~={series}.0")
        versions = f"{output(python, '-c', VERSIONS):14}"
        for loop, (name, comparison) in product(LOOPS, COMPARISONS.items()):
            title = f"Django {series}, {loop} loop"
            print(f"{title}: {comparison.before} and {comparison.after}", flush=True)
            command = (python, "runtests.py", *OPTIONS, *comparison.suites[loop])
            both = {"LOOP": loop, "PYTHONPATH": str(ROOT)}
            arms = {
                BUILD / series / f"{loop}-without-{name}": {**both, **comparison.without},
                BUILD / series / f"{loop}-with-{name}": {**both, **comparison.with_ours},
            }
            plain, changed = reports(command, source / "tests", arms)
            row = f"{versions}  {loop:6}  {name:8}  {plain!s:34}  {changed}"
            rows.append(f"{row}; used {changed.used} times")
            worse += [f"{title}: {line}" for line in worsened(comparison, plain, changed)]
    print("", *rows, *worse, sep="\n")
    return bool(worse)


VERSIONS = """
import django, platform
print(f"{platform.python_version():6}  {django.__version__}")
"""


def worsened(comparison: Comparison, plain: Report, changed: Report) -> Iterator[str]:
    """Yield a line for each test that ended worse with our code than without it."""
    if not changed.used:
        yield "nothing of ours was used, so nothing was tested"
    for test, before, after in differing(plain, changed):
        if after != "passed":
            yield f"{test} {before} {comparison.before}, {after} {comparison.after}"


if __name__ == "__main__":
    sys.exit(main())
