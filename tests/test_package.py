"""The package as a whole: what importing it loads, and its public names."""

import subprocess
import sys

import asgi_middleware
from asgi_middleware import testing


def test_importing_the_package_loads_no_optional_dependency() -> None:
    others = {"django", "starlette", "channels", "httpx", "prometheus_client", "opentelemetry"}
    code = (
        "import sys, asgi_middleware, asgi_middleware.testing;"
        f"print(sorted({others!r} & sys.modules.keys()))"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )

    assert done.stdout == "[]\n"


def test_every_public_name_exists_and_has_a_docstring() -> None:
    for module in (asgi_middleware, testing):
        for name in module.__all__:
            assert getattr(module, name).__doc__, name


def test_public_names_are_in_alphabetical_order() -> None:
    for module in (asgi_middleware, testing):
        assert module.__all__ == sorted(module.__all__)
