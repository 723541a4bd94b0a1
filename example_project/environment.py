"""What the process takes from its environment: the choice of settings, and their secrets."""

import math
import os
from collections.abc import Collection, Mapping

from django.core.exceptions import ImproperlyConfigured

ENVIRONMENTS = ("development", "production")


def choose_settings() -> None:
    """Name the settings module for Django. Call this before anything that reads settings."""
    os.environ["DJANGO_SETTINGS_MODULE"] = settings_module(os.environ)


def settings_module(environment: Mapping[str, str]) -> str:
    """Return the module that ``DJANGO_ENV`` chooses, unless one is named outright.

    Unset means development. Empty does not: a variable that came out empty in a
    deployment must not turn debugging on.
    """
    if named := environment.get("DJANGO_SETTINGS_MODULE"):
        return named
    chosen = environment.get("DJANGO_ENV", "development")
    if chosen not in ENVIRONMENTS:
        raise ImproperlyConfigured(
            f"DJANGO_ENV is {chosen!r}, which is none of: {', '.join(ENVIRONMENTS)}"
        )
    return f"example_project.settings.{chosen}"


def required(
    environment: Mapping[str, str], *names: str, may_be_empty: Collection[str] = ()
) -> list[str]:
    """Return the values of *names*, or say at once which of them are missing."""
    missing = [
        name
        for name in names
        if name not in environment or not (environment[name].strip() or name in may_be_empty)
    ]
    if missing:
        raise ImproperlyConfigured(f"set in the environment: {', '.join(missing)}")
    return [environment[name] for name in names]


def switched_on(environment: Mapping[str, str], name: str) -> bool:
    """Tell whether *name* is 1. Unset, empty and 0 are off; anything else is a mistake."""
    value = environment.get(name, "")
    if value not in ("", "0", "1"):
        raise ImproperlyConfigured(f"{name} is {value!r}: write 1 or 0")
    return value == "1"


def seconds(environment: Mapping[str, str], name: str, default: float) -> float:
    """Return the number of seconds that *name* is; *default* if it is unset or empty."""
    value = environment.get(name, "")
    if not value:
        return default
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise ImproperlyConfigured(f"{name} is {value!r}: write a number of seconds, 0 or more")
    return number


def listed(value: str) -> list[str]:
    """Return the parts of a list that is written with commas."""
    return [part for each in value.split(",") if (part := each.strip())]
