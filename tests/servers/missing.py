"""What a test says where a service is not there."""

import os
import shutil
from typing import NoReturn

import pytest


def missing(what: str) -> NoReturn:
    """Skip the test, or fail it where all services are to be there."""
    if os.environ.get("REQUIRE_SERVICES") == "1":
        pytest.fail(f"REQUIRE_SERVICES=1, and there is no {what}")
    pytest.skip(f"there is no {what}")


def program(name: str, package: str) -> str:
    """Return the path of a program that Debian's *package* brings."""
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") or missing(
        f"{name}; on Debian the package `{package}` brings it"
    )
