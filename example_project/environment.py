"""What the process takes from its environment: the choice of settings, and their secrets."""

import math
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import dj_database_url
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


def switched_on(environment: Mapping[str, str], name: str, *, default: bool = False) -> bool:
    """Tell whether *name* is 1 or 0; *default* if it is unset or empty. Else it is a mistake."""
    value = environment.get(name, "")
    if value not in ("", "0", "1"):
        raise ImproperlyConfigured(f"{name} is {value!r}: write 1 or 0")
    return value == "1" if value else default


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


def databases(environment: Mapping[str, str], folder: Path) -> dict[str, Any]:
    """Return DATABASES: that of DATABASE_URL, or an SQLite file.

    Connections last a minute: each stays with a thread of the pool, and so with one of few.
    """
    url = environment.get("DATABASE_URL")
    if not url:
        name = environment.get("SQLITE_PATH") or folder / "db.sqlite3"
        return {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": name}}
    try:
        parsed = dj_database_url.parse(url, conn_max_age=60, conn_health_checks=True)
    except ValueError as error:
        # Not the URL itself, which has a password in it.
        raise ImproperlyConfigured(
            "DATABASE_URL: write it as in postgresql://user:password@host:5432/name"
        ) from error
    return {"default": dict(parsed)}


def channel_layers(environment: Mapping[str, str]) -> dict[str, Any]:
    """Return CHANNEL_LAYERS: the Redis of REDIS_URL, or one that ends with the process."""
    if url := environment.get("REDIS_URL"):
        options = {"hosts": [url], "expiry": 10}
        return {"default": {"BACKEND": "channels_redis.core.RedisChannelLayer", "CONFIG": options}}
    return {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}


def listed(value: str) -> list[str]:
    """Return the parts of a list that is written with commas."""
    return [part for each in value.split(",") if (part := each.strip())]
