"""The app for INSTALLED_APPS: system checks, asgi_stack, and the setting LOGGING."""

import io
import json
import logging
import logging.config
import sys
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from types import ModuleType
from typing import Any

import pytest
from channels.routing import ProtocolTypeRouter, URLRouter  # type: ignore[import-untyped]
from channels.security.websocket import (  # type: ignore[import-untyped]
    AllowedHostsOriginValidator,
)
from django.conf import settings
from django.core import checks, management
from django.core.management import CommandError, call_command
from django.core.wsgi import get_wsgi_application
from django.test import override_settings
from django.utils.log import DEFAULT_LOGGING

from asgi_middleware import (
    AccessLog,
    ConfigurationError,
    CORSMiddleware,
    CORSPolicy,
    HealthMiddleware,
    LifespanMiddleware,
    Readiness,
    RequestIDMiddleware,
    ThreadPool,
    ThreadPoolMiddleware,
    TimingMiddleware,
    compose,
    request_id_context,
    stack,
)
from asgi_middleware.django import get_asgi_application as our_application
from asgi_middleware.django import logging_config
from asgi_middleware.django.checks import check_application, check_settings
from asgi_middleware.types import ASGIApp

from ..apps import hello


def fails() -> ASGIApp:
    raise RuntimeError("no database")


def quietly(make: Callable[[], ASGIApp]) -> ASGIApp:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return make()


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., list[str]]]:
    """Return a function that checks a site whose asgi.py creates its application with *make*."""

    def found(make: Callable[[], ASGIApp], **changed: Any) -> list[str]:
        module = ModuleType("mysite_asgi")
        monkeypatch.setitem(sys.modules, "mysite_asgi", module)
        monkeypatch.setattr(
            module, "__getattr__", lambda name: _only_application(name, make), raising=False
        )
        with override_settings(ASGI_APPLICATION="mysite_asgi.application", **changed):
            return [str(message.id) for message in check_application()]

    # Otherwise nothing would show the access log, and every check would warn about it.
    logging.getLogger("asgi_middleware.access").setLevel(logging.INFO)
    yield found
    logging.getLogger("asgi_middleware.access").setLevel(logging.NOTSET)


def _only_application(name: str, make: Callable[[], ASGIApp]) -> ASGIApp:
    if name != "application":
        raise AttributeError(name)
    return make()


def cors() -> ASGIApp:
    return stack(hello, cors=CORSPolicy(allow_origins=["https://app.example"]))


READINESS = Readiness()
POOL = ThreadPool()


@pytest.mark.parametrize(
    ("make", "changed", "ids"),
    [
        pytest.param(cors, {}, [], id="a stack"),
        pytest.param(lambda: hello, {}, [], id="no layers"),
        pytest.param(fails, {}, ["E001"], id="asgi.py raises"),
        pytest.param(
            lambda: TimingMiddleware(hello, precision=10), {}, ["E001"], id="cannot be built"
        ),
        pytest.param(
            lambda: HealthMiddleware(
                LifespanMiddleware(hello, readiness=Readiness()), readiness=READINESS
            ),
            {},
            ["E002"],
            id="two readinesses",
        ),
        pytest.param(
            lambda: TimingMiddleware(RequestIDMiddleware(hello)), {}, ["W001"], id="wrong order"
        ),
        pytest.param(
            lambda: compose(TimingMiddleware, RequestIDMiddleware)(hello),
            {},
            ["W001"],
            id="wrong order in compose",
        ),
        pytest.param(
            lambda: RequestIDMiddleware(RequestIDMiddleware(hello)),
            {},
            ["W001"],
            id="the same layer twice",
        ),
        pytest.param(
            lambda: LifespanMiddleware(ThreadPoolMiddleware(hello, pool=POOL)),
            {},
            ["W001"],
            id="a pool that is not a context",
        ),
        pytest.param(
            lambda: CORSMiddleware(hello, allow_origins=[]),
            {},
            ["W002"],
            id="a layer without effect",
        ),
        pytest.param(
            cors,
            {"MIDDLEWARE": ["corsheaders.middleware.CorsMiddleware"]},
            ["W003"],
            id="corsheaders",
        ),
        pytest.param(
            lambda: TimingMiddleware(hello, observers=[AccessLog("nobody.sees")]),
            {},
            ["W004"],
            id="an access log that nobody sees",
        ),
        pytest.param(
            lambda: hello,
            {"DATABASES": {"default": {"CONN_MAX_AGE": 60}}},
            ["W005"],
            id="persistent connections without a pool",
        ),
        pytest.param(
            cors,
            {"DATABASES": {"default": {"CONN_MAX_AGE": 60}}},
            [],
            id="persistent connections and a pool",
        ),
        pytest.param(lambda: cors, {}, ["E001"], id="a function that makes the application"),
        pytest.param(get_wsgi_application, {}, ["E001"], id="the WSGI application"),
        pytest.param(
            lambda: compose(RequestIDMiddleware), {}, ["E001"], id="a composition without an app"
        ),
        pytest.param(
            lambda: RequestIDMiddleware(our_application),  # type: ignore[arg-type]
            {},
            ["E002"],
            id="around a function that makes the application",
        ),
        pytest.param(
            lambda: RequestIDMiddleware(stack(hello)),
            {},
            ["W001", "W001"],
            id="twice, with a stack",
        ),
        pytest.param(
            lambda: stack(hello, websocket_origins=[]),
            {},
            ["W002"],
            id="nobody may open WebSockets",
        ),
        pytest.param(
            lambda: stack(
                ProtocolTypeRouter(
                    {"http": hello, "websocket": AllowedHostsOriginValidator(URLRouter([]))}
                )
            ),
            {},
            ["W007"],
            id="Channels' origin validator",
        ),
        pytest.param(
            lambda: stack(ProtocolTypeRouter({"http": hello, "websocket": URLRouter([])})),
            {},
            [],
            id="Channels",
        ),
    ],
)
def test_the_checks_report_the_problems_of_an_application(
    make: Callable[[], ASGIApp],
    changed: dict[str, Any],
    ids: list[str],
    site: Callable[..., list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logging.getLogger("nobody"), "propagate", False)

    with warnings.catch_warnings():
        # override_settings warns that existing connections ignore new DATABASES.
        warnings.simplefilter("ignore", UserWarning)
        found = site(make, **changed)

    assert found == [f"asgi_middleware.{each}" for each in ids]


@pytest.mark.parametrize(
    ("path", "problem", "hint"),
    [
        ("tests.apps", "'tests.apps' is a module", "Use 'tests.apps.application'."),
        (
            "tests.apps:hello",
            "'tests.apps:hello' is not a dotted path",
            "Use 'tests.apps.hello'.",
        ),
        (
            "django.core.asgi.get_asgi_application",
            "get_asgi_application is not called",
            "Use get_asgi_application().",
        ),
        (
            "asgi_middleware.RequestIDMiddleware",
            "RequestIDMiddleware is a middleware, not an app",
            "Use get_asgi_application().",
        ),
    ],
)
def test_check_refuses_an_asgi_application_that_is_not_an_application(
    path: str, problem: str, hint: str
) -> None:
    with override_settings(ASGI_APPLICATION=path):
        [message] = check_application()

    assert message.msg == f"ASGI_APPLICATION: {problem}"
    assert (message.hint, message.id) == (hint, "asgi_middleware.E001")


def test_check_and_our_handler_report_a_layer_in_middleware() -> None:
    path = "asgi_middleware.RequestIDMiddleware"
    with override_settings(MIDDLEWARE=[path, "asgi_middleware.Nothing"]):
        [message] = check_settings()
        with pytest.raises(ConfigurationError) as refused:
            our_application()

    told = f"MIDDLEWARE: {path!r} is a layer around the whole application"
    assert (message.msg, message.id) == (told, "asgi_middleware.E003")
    assert message.hint == (
        "Use stack(get_asgi_application()) in asgi.py, and remove the path from MIDDLEWARE."
    )
    assert refused.value.problems == (
        f"{told}; use stack(get_asgi_application()) in asgi.py,"
        " and remove the path from MIDDLEWARE",
    )


def test_our_own_middleware_for_django_may_be_in_middleware() -> None:
    with override_settings(MIDDLEWARE=["asgi_middleware.django.route_middleware"]):
        assert check_settings() == []


@pytest.mark.parametrize(
    ("apps", "ids"),
    [
        (["asgi_middleware.django", "django.contrib.staticfiles"], []),
        (["django.contrib.staticfiles", "asgi_middleware.django"], ["W006"]),
        (["asgi_middleware.django", "daphne", "django.contrib.staticfiles"], []),
        (["daphne", "asgi_middleware.django", "django.contrib.staticfiles"], ["W006"]),
        (["servestatic", "asgi_middleware.django"], []),
    ],
    ids=["first", "after staticfiles", "before daphne", "after daphne", "extended by servestatic"],
)
def test_the_app_must_be_above_other_apps_with_a_runserver(
    apps: list[str], ids: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Django uses the first command of each name, and caches that choice for the process."""
    registry = checks.registry.registry
    monkeypatch.setattr(registry, "registered_checks", set(registry.registered_checks))
    if "daphne" in apps:
        pytest.importorskip("daphne", reason="needs daphne")
    get_commands: Any = management.get_commands
    get_commands.cache_clear()
    try:
        with override_settings(INSTALLED_APPS=apps):
            found = [str(message.id) for message in check_settings()]
    finally:
        get_commands.cache_clear()

    assert found == [f"asgi_middleware.{each}" for each in ids]


def test_the_package_in_installed_apps_is_an_error_that_names_the_app() -> None:
    with (
        pytest.raises(ConfigurationError) as refused,
        override_settings(INSTALLED_APPS=["asgi_middleware"]),
    ):
        pass

    assert str(refused.value) == (
        "INSTALLED_APPS: 'asgi_middleware' is a package, not an app; use 'asgi_middleware.django'"
    )


def test_check_says_nothing_about_a_site_without_asgi() -> None:
    with override_settings():
        if hasattr(settings, "ASGI_APPLICATION"):
            del settings.ASGI_APPLICATION

        assert check_application() == []


def test_a_message_has_a_hint_that_says_what_to_do(site: Callable[..., list[str]]) -> None:
    site(lambda: hello)
    with override_settings(ASGI_APPLICATION="nowhere.asgi.application"):
        [message] = check_application()

    assert isinstance(message, checks.Error)
    assert "No module named 'nowhere'" in message.msg
    assert message.hint


def test_the_checks_are_registered_by_the_app() -> None:
    names = {getattr(check, "__name__", "") for check in checks.registry.registry.get_checks()}

    assert names >= {"check_application", "check_settings"}


def test_asgi_stack_shows_the_layers_and_what_the_checks_find(
    site: Callable[..., list[str]],
) -> None:
    site(lambda: TimingMiddleware(RequestIDMiddleware(hello)))
    out = io.StringIO()

    with override_settings(ASGI_APPLICATION="mysite_asgi.application"):
        call_command("asgi_stack", stdout=out)

    lines = out.getvalue().splitlines()
    assert lines[:3] == ["TimingMiddleware()", "RequestIDMiddleware()", "hello"]
    assert "asgi_middleware.W001" in out.getvalue()


def test_asgi_stack_says_why_there_is_no_application() -> None:
    with (
        override_settings(ASGI_APPLICATION="nowhere.asgi.application"),
        pytest.raises(CommandError, match=r"nowhere.asgi.application: ModuleNotFoundError"),
    ):
        call_command("asgi_stack")


# --- logging ---


@pytest.fixture
def logged(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[..., str]]:
    """Return a function that sets LOGGING, logs some lines, and returns what was written."""
    loggers = [logging.root, *map(logging.getLogger, logging_config()["loggers"])]
    before = [
        (each, each.level, each.handlers[:], each.propagate, each.disabled) for each in loggers
    ]

    def lines(**options: Any) -> str:
        logging.config.dictConfig(DEFAULT_LOGGING)
        logging.config.dictConfig(logging_config(**options))
        with request_id_context("abc"):
            logging.getLogger("mysite").info("a line of the site")
            logging.getLogger("mysite").debug("a line for developers")
            logging.getLogger("django.request").warning("Not Found: %s", "/nowhere/")
            logging.getLogger("uvicorn.error").info("started")
            logging.getLogger("uvicorn.access").info("a line that says less")
            logging.getLogger("asgi_middleware.access").info("GET / 200", extra={"status": 200})
        return capsys.readouterr().err

    yield lines
    for each, level, handlers, propagate, disabled in before:
        each.setLevel(level)
        each.handlers[:], each.propagate, each.disabled = handlers, propagate, disabled


def test_each_line_is_written_once_and_has_its_request_id(logged: Callable[..., str]) -> None:
    lines = logged().splitlines()

    assert [line.partition(" [")[2] for line in lines] == [
        "abc] a line of the site",
        "abc] Not Found: /nowhere/",
        "abc] started",
        "abc] GET / 200",
    ]


def test_the_level_applies_to_every_line(logged: Callable[..., str]) -> None:
    assert "a line for developers" in logged(level="DEBUG")
    assert [line.split("[")[1] for line in logged(level="WARNING").splitlines()] == [
        "abc] Not Found: /nowhere/"
    ]


def test_json_is_one_object_on_each_line(logged: Callable[..., str]) -> None:
    lines = [json.loads(line) for line in logged(json=True).splitlines()]

    assert [line["message"] for line in lines][-1] == "GET / 200"
    assert {line["request_id"] for line in lines} == {"abc"}
    assert lines[-1]["status"] == 200
    assert lines[-1].keys() >= {"time", "level", "logger"}


def test_errors_are_mailed_to_admins_as_with_djangos_default() -> None:
    config = logging_config()

    assert (
        config["loggers"]["django"]["handlers"]
        == DEFAULT_LOGGING["loggers"]["django"]["handlers"][1:]
    )
    assert config["handlers"]["mail_admins"]["level"] == "ERROR"


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (
            {"level": "info"},
            "level: 'info' is not known; use 'DEBUG', 'INFO', 'WARNING', 'ERROR' or 'CRITICAL'",
        ),
        ({"json": "yes"}, "json: 'yes' is a string; use True"),
    ],
)
def test_options_that_cannot_work_are_refused(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        logging_config(**options)

    assert refused.value.problems == (problem,)


def test_json_without_its_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pythonjsonlogger", None)

    with pytest.raises(ConfigurationError, match="needs python-json-logger; install"):
        partial(logging_config, json=True)()
