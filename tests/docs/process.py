"""Run code from the docs in a process of its own, because it may configure libraries."""

import subprocess
import sys
from pathlib import Path

from tests.servers.server import clean_environment

ROOT = Path(__file__).resolve().parents[2]


def output_of(code: str, **environment: str) -> str:
    """Run *code* in the project's folder, and return what it writes.

    If the code fails, the exception has its output as ``output``.
    """
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=clean_environment(environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
        timeout=240,
    ).stdout
