"""Which settings are chosen, and what they read from the environment."""

import logging
import os
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

import manage
from example_project.environment import (
    channel_layers,
    choose_settings,
    databases,
    listed,
    required,
    seconds,
    settings_module,
    switched_on,
)

PRODUCTION = {
    "DJANGO_SECRET_KEY": "a secret",
    "DJANGO_ALLOWED_HOSTS": "example.org, www.example.org",
    "DJANGO_CORS_ORIGINS": "https://app.example",
}


@pytest.fixture(autouse=True)
def _warnings() -> Iterator[None]:
    """Undo what production's settings do to the warnings of the whole process."""
    yield
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
def test_the_environment_chooses_the_settings(environment: dict[str, str], chosen: str) -> None:
    assert settings_module(environment) == chosen


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        pytest.param(
            "staging",
            "DJANGO_ENV: 'staging' is not known; use development or production",
            id="unknown",
        ),
        pytest.param(
            "Production",
            "DJANGO_ENV: 'Production' is not known; use development or production",
            id="another case",
        ),
        pytest.param("", "DJANGO_ENV: '' is not known; use development or production", id="empty"),
    ],
)
def test_an_unknown_environment_is_refused_and_the_known_ones_are_named(
    name: str, sentence: str
) -> None:
    with pytest.raises(ImproperlyConfigured) as refusal:
        settings_module({"DJANGO_ENV": name})

    assert str(refusal.value) == sentence


def test_the_chosen_settings_are_named_where_django_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    # Set it first, so that monkeypatch restores what was there.
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "")
    monkeypatch.setenv("DJANGO_ENV", "production")

    choose_settings()

    assert os.environ["DJANGO_SETTINGS_MODULE"] == "example_project.settings.production"


def test_manage_py_exits_with_the_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "")
    monkeypatch.setenv("DJANGO_ENV", "staging")

    with pytest.raises(SystemExit) as end:
        manage.main()

    assert end.value.code == (
        "manage.py: DJANGO_ENV: 'staging' is not known; use development or production"
    )


@pytest.mark.parametrize(
    ("environment", "missing"),
    [
        pytest.param({}, "SECRET, HOSTS, ORIGINS", id="all"),
        pytest.param({"SECRET": "x", "ORIGINS": "x"}, "HOSTS", id="one"),
        pytest.param({"SECRET": " ", "HOSTS": "x", "ORIGINS": ""}, "SECRET", id="blank"),
    ],
)
def test_one_error_names_all_missing_variables(environment: dict[str, str], missing: str) -> None:
    with pytest.raises(ImproperlyConfigured) as refusal:
        required(environment, "SECRET", "HOSTS", "ORIGINS", may_be_empty=["ORIGINS"])

    assert str(refusal.value) == f"missing from the environment: {missing}"


@pytest.mark.parametrize(
    ("value", "parts"),
    [
        pytest.param("a.example", ["a.example"], id="one"),
        pytest.param(" a.example, b.example ,", ["a.example", "b.example"], id="several"),
        pytest.param("", [], id="none"),
    ],
)
def test_lists_are_comma_separated(value: str, parts: list[str]) -> None:
    assert listed(value) == parts


@pytest.mark.parametrize(
    ("environment", "on"),
    [
        pytest.param({}, False, id="unset"),
        pytest.param({"SWITCH": ""}, False, id="empty"),
        pytest.param({"SWITCH": "0"}, False, id="0"),
        pytest.param({"SWITCH": "1"}, True, id="1"),
    ],
)
def test_a_switch_is_off_unless_it_is_1(environment: dict[str, str], on: bool) -> None:
    assert switched_on(environment, "SWITCH") is on


@pytest.mark.parametrize("value", ["false", "no", " 1", "2"])
def test_a_switch_with_another_value_is_refused(value: str) -> None:
    with pytest.raises(ImproperlyConfigured) as refusal:
        switched_on({"SWITCH": value}, "SWITCH")

    assert str(refusal.value) == f"SWITCH: {value!r} is not known; use 1 or 0"


@pytest.mark.parametrize(
    ("environment", "number"),
    [
        pytest.param({}, 10.0, id="unset"),
        pytest.param({"SECONDS": ""}, 10.0, id="empty"),
        pytest.param({"SECONDS": "0"}, 0.0, id="none"),
        pytest.param({"SECONDS": "2.5"}, 2.5, id="a fraction"),
    ],
)
def test_seconds_are_read_from_the_environment(environment: dict[str, str], number: float) -> None:
    assert seconds(environment, "SECONDS", 10.0) == number


@pytest.mark.parametrize("value", ["-1", "inf", "nan", "10s"])
def test_invalid_seconds_are_refused(value: str) -> None:
    with pytest.raises(ImproperlyConfigured) as refusal:
        seconds({"SECONDS": value}, "SECONDS", 10.0)

    assert str(refusal.value) == (
        f"SECONDS: {value!r} is not a number of seconds 0 or more; use 10"
    )


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
    ],
)
def test_production_settings_come_from_the_environment(
    setting: str, value: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _production(monkeypatch, PRODUCTION)[setting] == value


def test_production_shows_metrics_to_everybody_with_metrics_public(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = _production(monkeypatch, {**PRODUCTION, "METRICS_PUBLIC": "1"})

    assert settings["METRICS_PUBLIC"] is True


@pytest.mark.parametrize("name", ["DRAIN_GRACE", "DRAIN_HOLD"])
def test_production_reads_the_seconds_of_the_drain(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _production(monkeypatch, {**PRODUCTION, name: "7"})[name] == 7.0


@pytest.mark.parametrize("name", PRODUCTION)
def test_production_names_a_missing_variable(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = {key: value for key, value in PRODUCTION.items() if key != name}

    with pytest.raises(ImproperlyConfigured) as refusal:
        _production(monkeypatch, environment)

    assert str(refusal.value) == f"missing from the environment: {name}"


def _production(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> dict[str, Any]:
    """Return the settings as a fresh process would read them."""
    for name in (*PRODUCTION, "METRICS_PUBLIC", "DRAIN_GRACE", "DRAIN_HOLD"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return runpy.run_module("example_project.settings.production")


def test_a_database_url_means_postgresql_with_persistent_connections(tmp_path: Path) -> None:
    url = "postgresql://ada:se%40cret@db.example:5433/notes"

    database = databases({"DATABASE_URL": url}, tmp_path)["default"]

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


def test_without_a_database_url_the_database_is_a_file(tmp_path: Path) -> None:
    assert databases({}, tmp_path)["default"]["NAME"] == tmp_path / "db.sqlite3"


def test_an_invalid_database_url_is_refused_without_showing_its_password(tmp_path: Path) -> None:
    with pytest.raises(ImproperlyConfigured, match="DATABASE_URL is not a valid URL") as raised:
        databases({"DATABASE_URL": "nonsense://ada:secret@db"}, tmp_path)

    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("environment", "backend"),
    [
        ({}, "channels.layers.InMemoryChannelLayer"),
        ({"REDIS_URL": ""}, "channels.layers.InMemoryChannelLayer"),
        ({"REDIS_URL": "redis://cache"}, "channels_redis.core.RedisChannelLayer"),
    ],
)
def test_redis_is_the_channel_layer_if_redis_url_is_set(
    environment: dict[str, str], backend: str
) -> None:
    assert channel_layers(environment)["default"]["BACKEND"] == backend
