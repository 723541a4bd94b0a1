"""Our types accept those of other packages without a cast, and reject edits in place."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.process

ROOT = Path(__file__).resolve().parents[2]
ACCEPTS = "tests/typing/accepts.py"
REJECTS = "tests/typing/rejects.py"
# In seconds. Enough for a type checker without a cache on a busy machine.
PATIENCE = 300.0

# The file and the line of each error that a type checker reports.
Errors = set[tuple[str, int]]

MARKED = [
    number
    for number, line in enumerate((ROOT / REJECTS).read_text().splitlines(), start=1)
    if line.endswith("# error")
]


def mypy_errors(_: Path) -> Errors:
    output = _run("mypy", "--no-pretty", "--no-error-summary", ACCEPTS, REJECTS)
    found = re.findall(r"^(\S+):(\d+): error: ", output, re.MULTILINE)
    return {(name, int(line)) for name, line in found}


def pyright_errors(folder: Path) -> Errors:
    # pyright gets copies, because the project's settings exclude rejects.py even if you name it.
    for name in (ACCEPTS, REJECTS):
        shutil.copy(ROOT / name, folder)
    settings = {"pythonVersion": "3.11", "typeCheckingMode": "strict", "extraPaths": [str(ROOT)]}
    (folder / "pyrightconfig.json").write_text(json.dumps(settings))
    output = _run(
        "pyright", "--outputjson", "--pythonpath", sys.executable, "--project", str(folder)
    )
    found = json.loads(output[output.index("{") :])["generalDiagnostics"]
    return {
        (f"tests/typing/{Path(each['file']).name}", each["range"]["start"]["line"] + 1)
        for each in found
    }


@pytest.mark.parametrize("errors", [mypy_errors, pyright_errors], ids=["mypy", "pyright"])
def test_type_checkers_accept_other_types_and_reject_edits_in_place(
    errors: Callable[[Path], Errors], tmp_path: Path
) -> None:
    found = errors(tmp_path)

    assert sorted(line for name, line in found if name == REJECTS) == MARKED
    assert [line for name, line in found if name == ACCEPTS] == []


def test_rejects_py_marks_many_lines_as_errors() -> None:
    assert len(MARKED) > 10


def _run(tool: str, *arguments: str) -> str:
    """Run a type checker with the project's settings, and return its output."""
    if importlib.util.find_spec(tool) is None:
        missing = f"{tool} is not installed; use `make test`, which installs it"
        if os.environ.get("REQUIRE_SERVICES") == "1":
            pytest.fail(missing)
        pytest.skip(missing)
    done = subprocess.run(
        [sys.executable, "-m", tool, *arguments],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    # An exit status of 1 means that there are errors. With any other status, the checker failed.
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout
