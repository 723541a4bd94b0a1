"""The ``pytest11`` entry point: makes the fixtures available beside pytest-django."""

import pytest


def pytest_configure(config: pytest.Config) -> None:
    if config.pluginmanager.has_plugin("django"):  # unless it was disabled with -p no:django
        from . import fixtures

        config.pluginmanager.register(fixtures, "asgi_middleware.fixtures")
