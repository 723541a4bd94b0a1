"""The application that ``ASGI_APPLICATION`` names."""

from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string


def application_path() -> str | None:
    """Return ``ASGI_APPLICATION``, or what stands beside ``WSGI_APPLICATION``; None for neither."""
    path: str | None = getattr(settings, "ASGI_APPLICATION", None)
    if path is not None:
        return path
    wsgi: str | None = settings.WSGI_APPLICATION
    return wsgi.replace(".wsgi.", ".asgi.") if wsgi and ".wsgi." in wsgi else None


def load_application() -> Any:
    """Import the application. Raises ImproperlyConfigured if no setting names one."""
    path = application_path()
    if path is None:
        raise ImproperlyConfigured(
            "ASGI_APPLICATION is not set; use ASGI_APPLICATION = 'mysite.asgi.application'"
        )
    return import_string(path)
