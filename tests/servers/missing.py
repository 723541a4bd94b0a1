"""What a test does when it needs a service that is not installed."""

import os
import shutil
from typing import NoReturn

import pytest


def missing(what: str) -> NoReturn:
    """Skip the test, or fail it if REQUIRE_SERVICES says that every service is installed."""
    if os.environ.get("REQUIRE_SERVICES") == "1":
        pytest.fail(f"REQUIRE_SERVICES=1, but this is missing: {what}")
    pytest.skip(f"missing: {what}")


def program(name: str, package: str) -> str:
    """Return the path of a program that the Debian *package* installs."""
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") or missing(
        f"{name}, from the Debian package `{package}`"
    )
