"""What the process reads from its environment: which settings, and their secrets."""

import math
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import dj_database_url
from django.core.exceptions import ImproperlyConfigured

ENVIRONMENTS = ("development", "production")


def choose_settings() -> None:
    """Set DJANGO_SETTINGS_MODULE. Call this before anything reads the settings."""
    os.environ["DJANGO_SETTINGS_MODULE"] = settings_module(os.environ)


def settings_module(environment: Mapping[str, str]) -> str:
    """Return DJANGO_SETTINGS_MODULE or, if it is not set, the module that DJANGO_ENV chooses.

    Without DJANGO_ENV, that is development. An empty DJANGO_ENV is an error: a deployment that
    leaves it empty by mistake must not turn debugging on.
    """
    if named := environment.get("DJANGO_SETTINGS_MODULE"):
        return named
    chosen = environment.get("DJANGO_ENV", "development")
    if chosen not in ENVIRONMENTS:
        raise ImproperlyConfigured(
            f"DJANGO_ENV: {chosen!r} is not known; use {' or '.join(ENVIRONMENTS)}"
        )
    return f"example_project.settings.{chosen}"


def required(
    environment: Mapping[str, str], *names: str, may_be_empty: Collection[str] = ()
) -> list[str]:
    """Return the values of *names*. One error lists all that are missing."""
    missing = [
        name
        for name in names
        if name not in environment or not (environment[name].strip() or name in may_be_empty)
    ]
    if missing:
        raise ImproperlyConfigured(f"missing from the environment: {', '.join(missing)}")
    return [environment[name] for name in names]


def switched_on(environment: Mapping[str, str], name: str, *, default: bool = False) -> bool:
    """Return True for 1, False for 0, and *default* if *name* is unset or empty."""
    value = environment.get(name, "")
    if value not in ("", "0", "1"):
        raise ImproperlyConfigured(f"{name}: {value!r} is not known; use 1 or 0")
    return value == "1" if value else default


def seconds(environment: Mapping[str, str], name: str, default: float) -> float:
    """Return *name* as a number of seconds, or *default* if it is unset or empty."""
    value = environment.get(name, "")
    if not value:
        return default
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise ImproperlyConfigured(
            f"{name}: {value!r} is not a number of seconds 0 or more; use {default:g}"
        )
    return number


def databases(environment: Mapping[str, str], folder: Path) -> dict[str, Any]:
    """Return DATABASES: the database of DATABASE_URL, or an SQLite file.

    Connections stay open for a minute. Each belongs to a thread of the pool, so there are few.
    """
    url = environment.get("DATABASE_URL")
    if not url:
        name = environment.get("SQLITE_PATH") or folder / "db.sqlite3"
        return {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": name}}
    try:
        parsed = dj_database_url.parse(url, conn_max_age=60, conn_health_checks=True)
    except ValueError as error:
        # Without the URL itself, which contains a password.
        raise ImproperlyConfigured(
            "DATABASE_URL is not a valid URL; use postgresql://user:password@host:5432/name"
        ) from error
    return {"default": dict(parsed)}


def channel_layers(environment: Mapping[str, str]) -> dict[str, Any]:
    """Return CHANNEL_LAYERS: the Redis of REDIS_URL, or the memory of this process."""
    if url := environment.get("REDIS_URL"):
        options = {"hosts": [url], "expiry": 10}
        return {"default": {"BACKEND": "channels_redis.core.RedisChannelLayer", "CONFIG": options}}
    return {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}


def listed(value: str) -> list[str]:
    """Return the parts of a comma-separated list."""
    return [part for each in value.split(",") if (part := each.strip())]
