"""Settings: one module for each value of DJANGO_ENV, and ``base`` with what they share."""

import os

from django.core.exceptions import ImproperlyConfigured

ENVIRONMENTS = ("development", "production")


def choose_settings() -> None:
    """Set DJANGO_SETTINGS_MODULE to the module that DJANGO_ENV names, unless it is set already.

    Without DJANGO_ENV, that is development. An empty DJANGO_ENV is an error: a deployment that
    leaves it empty by mistake must not turn debugging on.
    """
    if os.environ.get("DJANGO_SETTINGS_MODULE"):
        return
    chosen = os.environ.get("DJANGO_ENV", "development")
    if chosen not in ENVIRONMENTS:
        raise ImproperlyConfigured(
            f"DJANGO_ENV: {chosen!r} is not known; use {' or '.join(ENVIRONMENTS)}"
        )
    os.environ["DJANGO_SETTINGS_MODULE"] = f"example_project.settings.{chosen}"
