"""The entry point ``pytest11``: fixtures for those who have pytest-django."""

import pytest


def pytest_configure(config: pytest.Config) -> None:
    if config.pluginmanager.has_plugin("django"):  # not so with -p no:django
        from . import fixtures

        config.pluginmanager.register(fixtures, "asgi_middleware.fixtures")
