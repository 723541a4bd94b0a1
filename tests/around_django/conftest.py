"""A real Django in this process, with the example project's settings and the pages in urls.py."""

import os
from collections.abc import Iterator

import django
import pytest
from django.core.asgi import get_asgi_application
from django.test import override_settings

from asgi_middleware.testing import recording
from asgi_middleware.testing.recording import RecordedApp

# Set up when tests are collected, because test modules import code that needs the settings.
os.environ["DJANGO_SETTINGS_MODULE"] = "example_project.settings.development"
django.setup()


@pytest.fixture
def bare_django() -> Iterator[RecordedApp]:
    """Django with the pages in urls.py and an empty MIDDLEWARE.

    The recording also keeps the test client from complaining about mixed-case header names.
    """
    with override_settings(
        ROOT_URLCONF="tests.around_django.urls", MIDDLEWARE=[], ALLOWED_HOSTS=["testserver"]
    ):
        yield recording(get_asgi_application())
