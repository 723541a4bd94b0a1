"""System checks of the ASGI application, so that ``manage.py check`` fails where a server would."""

import warnings
from collections.abc import Iterable, Iterator
from typing import Any

from django.conf import settings
from django.core import checks
from django.core.management import get_commands, load_command_class

from ..composition import (
    app_problems,
    built_layers,
    errors_in,
    layers_of,
    warnings_about,
)
from ..cors import CORSMiddleware, WebSocketOriginMiddleware
from ..errors import ConfigurationWarning
from ..thread_pool import ThreadPoolMiddleware
from ..timing import AccessLog, TimingMiddleware
from .application import NotAnApplication, layers_in_middleware, load_application

Message = checks.CheckMessage


def check_application(**_: Any) -> list[Message]:
    """Import ``ASGI_APPLICATION`` if it is set, and check its layers."""
    if getattr(settings, "ASGI_APPLICATION", None) is None:
        return []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConfigurationWarning)
        try:
            application = load_application()
        except NotAnApplication as error:
            return [_message(checks.Error, str(error), "E001")]
        except Exception as error:  # noqa: BLE001 -- whatever the server would stop with
            return [
                checks.Error(
                    f"ASGI_APPLICATION cannot be imported: {type(error).__name__}: {error}",
                    hint="A server would not start. Fix the error, or change ASGI_APPLICATION.",
                    obj=settings.ASGI_APPLICATION,
                    id="asgi_middleware.E001",
                )
            ]
    found = list(findings(application))
    told = {message.msg for message in found}
    return [*found, *(message for message in _warned(caught) if message.msg not in told)]


def check_settings(**_: Any) -> list[Message]:
    """Check settings that affect the layers, even if ``ASGI_APPLICATION`` is not set."""
    misplaced = [_message(checks.Error, each, "E003") for each in layers_in_middleware()]
    return [*misplaced, *_another_runserver()]


def findings(application: Any) -> Iterator[Message]:
    """Yield what is wrong with the layers of *application*."""
    layers = list(built_layers(application))
    for problem in errors_in(layers):
        yield _message(checks.Error, problem, "E002")
    for problem in warnings_about(layers):
        yield _message(checks.Warning, problem, "W001")
    instances = layers_of(application)
    for problem in app_problems("the app inside the layers", instances[-1]):
        yield _message(checks.Error, problem, "E002")
    if any(isinstance(each, WebSocketOriginMiddleware) for each in instances):
        yield from _origins_checked_twice(instances[-1])
    if any(isinstance(each, CORSMiddleware) for each in instances):
        yield from _cors_twice()
    if not any(isinstance(each, ThreadPoolMiddleware) for each in instances):
        yield from _connections_for_one_request()
    for each in instances:
        if isinstance(each, TimingMiddleware):
            yield from _invisible_access_log(each.observers)


def _another_runserver() -> Iterator[Message]:
    from .management.commands.runserver import Command

    app = get_commands()["runserver"]
    if isinstance(load_command_class(app, "runserver"), Command):
        return
    yield checks.Warning(
        f"manage.py runserver is the command of {app!r}, which runs no startup and no shutdown",
        hint=(
            "Put 'asgi_middleware.django' above the other apps with a runserver command in"
            " INSTALLED_APPS, preferably first."
        ),
        id="asgi_middleware.W006",
    )


def _origins_checked_twice(app: Any) -> Iterator[Message]:
    """Look for an origin validator of Channels around its WebSocket routes."""
    routes: dict[str, Any] = getattr(app, "application_mapping", {})
    inner = routes.get("websocket")
    while inner is not None:
        if type(inner).__module__ == "channels.security.websocket":
            yield checks.Warning(
                "The origins of WebSockets are checked twice: by WebSocketOriginMiddleware and by"
                " Channels, which has a list of its own",
                hint=(
                    "Remove AllowedHostsOriginValidator or OriginValidator, and list the origins"
                    " in stack(websocket_origins=[...])."
                ),
                id="asgi_middleware.W007",
            )
            return
        inner = getattr(inner, "application", None) or getattr(inner, "inner", None)


def _cors_twice() -> Iterator[Message]:
    for path in settings.MIDDLEWARE:
        if path.startswith("corsheaders."):
            yield checks.Warning(
                f"{path!r} is in MIDDLEWARE beside CORSMiddleware, and allows what its own settings"
                " allow, even if CORSMiddleware refuses it",
                hint=f"Remove {path!r}; cors_options(settings) keeps its settings.",
                id="asgi_middleware.W003",
            )


def _invisible_access_log(observers: Iterable[object]) -> Iterator[Message]:
    for each in observers:
        if isinstance(each, AccessLog) and not each.is_visible:
            yield checks.Warning(
                f"The lines of {each!r} reach no handler at INFO",
                hint="Use LOGGING = logging_config() from asgi_middleware.django.",
                id="asgi_middleware.W004",
            )


def _connections_for_one_request() -> Iterator[Message]:
    for alias, database in settings.DATABASES.items():
        age = database.get("CONN_MAX_AGE", 0)
        if age != 0:
            yield checks.Warning(
                f"CONN_MAX_AGE is {age!r} for the database {alias!r}, but without a thread pool"
                " each request has a new thread, and so a new connection",
                hint="Add ThreadPoolMiddleware. stack() adds it by default.",
                id="asgi_middleware.W005",
            )


def _message(kind: Any, problem: str, identifier: str) -> Message:
    fault, _, way_out = problem.rpartition("; ")
    message: Message = kind(
        fault, hint=f"{way_out[:1].upper()}{way_out[1:]}.", id=f"asgi_middleware.{identifier}"
    )
    return message


def _warned(caught: list[warnings.WarningMessage]) -> Iterator[Message]:
    """Yield the warnings of the constructors; the findings already include the order."""
    for each in caught:
        if not issubclass(each.category, ConfigurationWarning):
            warnings.warn_explicit(each.message, each.category, each.filename, each.lineno)
        else:
            problem = str(each.message).removeprefix("compose: ").removeprefix("stack: ")
            yield _message(checks.Warning, problem, "W002")
