"""The aliases take other people's types without a cast, and refuse an edit in place."""

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
# Bounds a checker without a cache on a busy machine.
PATIENCE = 300.0

# The file and the line of each error that a checker finds.
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
    # Copies: the project's settings leave out what is wrong on purpose, even when it is named.
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
def test_other_types_fit_and_an_edit_in_place_does_not(
    errors: Callable[[Path], Errors], tmp_path: Path
) -> None:
    found = errors(tmp_path)

    assert sorted(line for name, line in found if name == REJECTS) == MARKED
    assert [line for name, line in found if name == ACCEPTS] == []


def test_there_is_something_to_refuse() -> None:
    assert len(MARKED) > 10


def _run(tool: str, *arguments: str) -> str:
    """Run a checker with the settings of the project, and return what it reports."""
    if importlib.util.find_spec(tool) is None:
        missing = f"{tool} is not installed; `make test` has it"
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
    # 1: errors were found. Anything else is no answer.
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout
