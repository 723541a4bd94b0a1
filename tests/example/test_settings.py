"""Which settings are chosen, and what they read from the environment."""

import importlib
import logging
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from environs import EnvError

import manage
from example_project.settings import choose_settings

REQUIRED = {
    "DJANGO_SECRET_KEY": "a secret",
    "DJANGO_ALLOWED_HOSTS": "example.org, www.example.org",
    "DJANGO_CORS_ORIGINS": "https://app.example",
}
OPTIONAL = (
    *("DATABASE_URL", "SQLITE_PATH", "REDIS_URL", "STATIC_ROOT", "HTTPS", "HSTS_SECONDS"),
    *("TRUST_X_FORWARDED_PROTO", "METRICS_PUBLIC", "DRAIN_GRACE", "DRAIN_HOLD"),
)

Read = Callable[..., dict[str, Any]]


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Iterator[Read]:
    """A function that returns settings as a fresh process with these variables would read them."""

    def read(name: str = "production", **variables: str) -> dict[str, Any]:
        for each in (*REQUIRED, *OPTIONAL):
            monkeypatch.delenv(each, raising=False)
        for each, value in variables.items():
            monkeypatch.setenv(each, value)
        for each in ("base", name):
            monkeypatch.delitem(sys.modules, f"example_project.settings.{each}", raising=False)
        return vars(importlib.import_module(f"example_project.settings.{name}"))

    yield read
    # Undo what the production settings change in the whole process.
    logging.captureWarnings(False)


@pytest.mark.parametrize(
    ("environment", "chosen"),
    [
        pytest.param({}, "example_project.settings.development", id="nothing set"),
        pytest.param(
            {"DJANGO_ENV": "development"}, "example_project.settings.development", id="development"
        ),
        pytest.param(
            {"DJANGO_ENV": "production"}, "example_project.settings.production", id="production"
        ),
        pytest.param(
            {"DJANGO_ENV": "production", "DJANGO_SETTINGS_MODULE": "mine"},
            "mine",
            id="a settings module",
        ),
        pytest.param(
            {"DJANGO_ENV": "staging", "DJANGO_SETTINGS_MODULE": "mine"},
            "mine",
            id="a settings module and an unknown environment",
        ),
        pytest.param(
            {"DJANGO_ENV": "production", "DJANGO_SETTINGS_MODULE": ""},
            "example_project.settings.production",
            id="an empty settings module",
        ),
    ],
)
def test_the_environment_chooses_the_settings(
    environment: dict[str, str], chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _set(monkeypatch, environment)

    choose_settings()

    assert os.environ["DJANGO_SETTINGS_MODULE"] == chosen


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("staging", id="unknown"),
        pytest.param("Production", id="another case"),
        pytest.param("", id="empty"),
    ],
)
def test_an_unknown_environment_is_refused_and_the_known_ones_are_named(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _set(monkeypatch, {"DJANGO_ENV": name})

    with pytest.raises(ImproperlyConfigured) as refusal:
        choose_settings()

    assert str(refusal.value) == (
        f"DJANGO_ENV: {name!r} is not known; use development or production"
    )


def _set(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> None:
    # Set DJANGO_SETTINGS_MODULE first, so that monkeypatch restores what was there.
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "")
    monkeypatch.delenv("DJANGO_ENV", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        pytest.param(
            ImproperlyConfigured("DJANGO_ENV is wrong"), "DJANGO_ENV is wrong", id="our error"
        ),
        pytest.param(
            EnvError("variables are missing"), "variables are missing", id="an error of environs"
        ),
    ],
)
def test_manage_py_exits_with_the_message(
    error: Exception, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def choose() -> None:
        raise error

    monkeypatch.setattr(manage, "choose_settings", choose)

    with pytest.raises(SystemExit) as end:
        manage.main()

    assert end.value.code == f"manage.py: {message}"


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        pytest.param("DEBUG", False, id="debugging is off"),
        pytest.param("SECRET_KEY", "a secret", id="the secret"),
        pytest.param("ALLOWED_HOSTS", ["example.org", "www.example.org"], id="the hosts"),
        pytest.param("CORS_ALLOWED_ORIGINS", ["https://app.example"], id="the origins"),
        pytest.param("SERVER_TIMING", False, id="timings are not for everybody"),
        pytest.param("METRICS_PUBLIC", False, id="metrics are not for everybody"),
        pytest.param("DRAIN_GRACE", 10.0, id="streams have ten seconds to end"),
        pytest.param("DRAIN_HOLD", 0.0, id="there is no hold"),
        pytest.param("SECURE_SSL_REDIRECT", True, id="plain HTTP is redirected"),
        pytest.param("SECURE_HSTS_SECONDS", 3600, id="browsers come back by TLS for an hour"),
    ],
)
def test_production_needs_only_three_variables(setting: str, value: object, read: Read) -> None:
    assert read(**REQUIRED)[setting] == value


@pytest.mark.parametrize(
    ("variables", "setting", "value"),
    [
        pytest.param({"METRICS_PUBLIC": "1"}, "METRICS_PUBLIC", True, id="METRICS_PUBLIC"),
        pytest.param({"METRICS_PUBLIC": "0"}, "METRICS_PUBLIC", False, id="METRICS_PUBLIC=0"),
        pytest.param({"DRAIN_GRACE": "7"}, "DRAIN_GRACE", 7.0, id="DRAIN_GRACE"),
        pytest.param({"DRAIN_HOLD": "2.5"}, "DRAIN_HOLD", 2.5, id="DRAIN_HOLD"),
        pytest.param({"HTTPS": "0"}, "SECURE_SSL_REDIRECT", False, id="HTTPS"),
        pytest.param({"HTTPS": "0"}, "SECURE_HSTS_SECONDS", 0, id="HTTPS and HSTS"),
        pytest.param({"HSTS_SECONDS": "60"}, "SECURE_HSTS_SECONDS", 60, id="HSTS_SECONDS"),
        pytest.param({"STATIC_ROOT": "/srv"}, "STATIC_ROOT", "/srv", id="STATIC_ROOT"),
        pytest.param({"DJANGO_CORS_ORIGINS": ""}, "CORS_ALLOWED_ORIGINS", [], id="no origins"),
        pytest.param(
            {"TRUST_X_FORWARDED_PROTO": "1"},
            "SECURE_PROXY_SSL_HEADER",
            ("HTTP_X_FORWARDED_PROTO", "https"),
            id="TRUST_X_FORWARDED_PROTO",
        ),
    ],
)
def test_production_reads_the_other_variables(
    variables: dict[str, str], setting: str, value: object, read: Read
) -> None:
    assert read(**{**REQUIRED, **variables})[setting] == value


@pytest.mark.parametrize(
    "given", [pytest.param([], id="none"), *(pytest.param([name], id=name) for name in REQUIRED)]
)
def test_one_error_names_all_missing_variables(given: list[str], read: Read) -> None:
    with pytest.raises(EnvError) as refusal:
        read(**{name: REQUIRED[name] for name in given})

    assert {name: name in str(refusal.value) for name in REQUIRED} == {
        name: name not in given for name in REQUIRED
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DJANGO_SECRET_KEY", ""),
        ("DJANGO_ALLOWED_HOSTS", ""),
        ("METRICS_PUBLIC", "perhaps"),
        ("HTTPS", "2"),
        ("TRUST_X_FORWARDED_PROTO", ""),
        ("HSTS_SECONDS", "an hour"),
        ("HSTS_SECONDS", "-1"),
        *((name, value) for name in ("DRAIN_GRACE", "DRAIN_HOLD") for value in ("-1", "nan", "5s")),
        ("DRAIN_GRACE", "inf"),
        ("DATABASE_URL", "nonsense://ada:a-password@db"),
        ("DATABASE_URL", "postgresql://ada:a-password@db:port/notes"),
    ],
)
def test_an_invalid_variable_is_named_without_its_value(name: str, value: str, read: Read) -> None:
    with pytest.raises(EnvError) as refusal:
        read(**{**REQUIRED, name: value})

    assert name in str(refusal.value)
    assert "a-password" not in str(refusal.value)


def test_missing_and_invalid_variables_are_in_the_same_error(read: Read) -> None:
    with pytest.raises(EnvError) as refusal:
        read(DATABASE_URL="nonsense", DRAIN_HOLD="soon")

    assert all(name in str(refusal.value) for name in (*REQUIRED, "DATABASE_URL", "DRAIN_HOLD"))


@pytest.mark.parametrize("name", ["development", "production"])
def test_a_database_url_means_postgresql_with_persistent_connections(name: str, read: Read) -> None:
    url = "postgresql://ada:se%40cret@db.example:5433/notes"

    database = read(name, **REQUIRED, DATABASE_URL=url)["DATABASES"]["default"]

    assert {
        name: database[name]
        for name in ("ENGINE", "NAME", "USER", "PASSWORD", "HOST", "PORT", "CONN_MAX_AGE")
    } == {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "notes",
        "USER": "ada",
        "PASSWORD": "se@cret",
        "HOST": "db.example",
        "PORT": 5433,
        "CONN_MAX_AGE": 60,
    }
    assert database["CONN_HEALTH_CHECKS"] is True


@pytest.mark.parametrize(
    ("variables", "name"),
    [
        pytest.param({}, Path(manage.__file__).with_name("db.sqlite3"), id="in the project"),
        pytest.param({"SQLITE_PATH": "/srv/db.sqlite3"}, "/srv/db.sqlite3", id="SQLITE_PATH"),
        pytest.param(
            {"DATABASE_URL": "", "SQLITE_PATH": "/srv/db.sqlite3"}, "/srv/db.sqlite3", id="empty"
        ),
    ],
)
def test_without_a_database_url_the_database_is_a_file(
    variables: dict[str, str], name: object, read: Read
) -> None:
    assert read("development", **variables)["DATABASES"]["default"]["NAME"] == name


@pytest.mark.parametrize(
    ("variables", "backend"),
    [
        ({}, "channels.layers.InMemoryChannelLayer"),
        ({"REDIS_URL": ""}, "channels.layers.InMemoryChannelLayer"),
        ({"REDIS_URL": "redis://cache"}, "channels_redis.core.RedisChannelLayer"),
    ],
)
def test_redis_is_the_channel_layer_if_redis_url_is_set(
    variables: dict[str, str], backend: str, read: Read
) -> None:
    assert read("development", **variables)["CHANNEL_LAYERS"]["default"]["BACKEND"] == backend
