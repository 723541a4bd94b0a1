"""A real Django in this process: the example's settings, with pages of these tests' own."""

import os
from collections.abc import Iterator

import django
import pytest
from django.core.asgi import get_asgi_application
from django.test import override_settings

from asgi_middleware.testing import recording
from asgi_middleware.testing.recording import RecordedApp

# At collection, so that test modules may import what needs the settings.
os.environ["DJANGO_SETTINGS_MODULE"] = "example_project.settings.development"
django.setup()


@pytest.fixture
def bare_django() -> Iterator[RecordedApp]:
    """Django with the pages of urls.py, and no middleware of its own.

    Recorded, which excuses how it spells header names.
    """
    with override_settings(
        ROOT_URLCONF="tests.around_django.urls", MIDDLEWARE=[], ALLOWED_HOSTS=["testserver"]
    ):
        yield recording(get_asgi_application())
