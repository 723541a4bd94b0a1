"""Django's ``runserver``, with the ASGI application on uvicorn in place of the WSGI one."""

import atexit
import logging
import socket
import sys
import threading
from importlib.util import find_spec
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError
from django.utils.module_loading import import_string

from ....composition import layers_of
from ....timing import TimingMiddleware
from ...application import application_path, load_application

_serves_static_files = apps.is_installed("django.contrib.staticfiles")
_package = "django.contrib.staticfiles" if _serves_static_files else "django.core"
_DjangosCommand: Any = import_string(f"{_package}.management.commands.runserver.Command")

# How long a reload waits for requests, and then for the contexts of a lifespan, in seconds.
_GRACE = 1
_PATIENCE = 10


class Uvicorn:
    """uvicorn behind the interface of the WSGI server that Django's command starts."""

    def __init__(self, address: tuple[str, int], _handler: object, *, ipv6: bool = False) -> None:
        self._socket = socket.create_server(
            address, family=socket.AF_INET6 if ipv6 else socket.AF_INET, backlog=2048
        )
        self.server_port = self._socket.getsockname()[1]

    def set_app(self, application: Any) -> None:
        import uvicorn
        from uvicorn.config import LOGGING_CONFIG

        # Around the stack there may be the handler of static files.
        layers = layers_of(getattr(application, "application", application))
        has_access_log = any(isinstance(each, TimingMiddleware) for each in layers)
        self._server = uvicorn.Server(
            uvicorn.Config(
                application,
                # A project's LOGGING counts. Its access log says more than uvicorn's.
                log_config=None if has_access_log else LOGGING_CONFIG,
                access_log=not has_access_log,
                timeout_graceful_shutdown=_GRACE,
            )
        )

    def serve_forever(self) -> None:
        """Serve until Ctrl-C or, under the reloader, until a file has changed."""
        if threading.current_thread() is not threading.main_thread():
            # The reloader has the main thread. It needs no signal to begin a drain.
            logging.getLogger("asgi_middleware.lifespan.drain").addFilter(_not_about_signals)
            atexit.register(self._stop, threading.current_thread())
        self._server.run(sockets=[self._socket])
        if not self._server.started:
            sys.exit(3)  # startup has failed, which is in the log

    def _stop(self, thread: threading.Thread) -> None:
        """Shut the application down before the reloader's process ends."""
        self._server.should_exit = True
        thread.join(_PATIENCE)


def _not_about_signals(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith("no signal begins the drain")


class Command(_DjangosCommand):  # type: ignore[misc]
    help = "Serves ASGI_APPLICATION with uvicorn for development: lifespan, WebSockets and reload."
    server_cls = Uvicorn

    def handle(self, *args: Any, **options: Any) -> None:
        if find_spec("uvicorn") is None:
            raise CommandError("runserver needs uvicorn; install uvicorn")
        djangos: Any = super()
        djangos.handle(*args, **options)

    def get_handler(self, *_args: Any, **options: Any) -> Any:
        try:
            application = load_application()
        except ImproperlyConfigured as error:
            raise CommandError(str(error)) from error
        serves_static = options.get("use_static_handler", False)
        if not serves_static or not (settings.DEBUG or options["insecure_serving"]):
            return application
        from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler

        return ASGIStaticFilesHandler(application)

    def on_bind(self, server_port: int) -> None:
        quit_command = "CTRL-BREAK" if sys.platform == "win32" else "CONTROL-C"
        address = f"[{self.addr}]" if self.use_ipv6 else self.addr
        self.stdout.write(
            f"Django version {self.get_version()}, using settings {settings.SETTINGS_MODULE!r}\n"
            f"Serving {application_path()} with uvicorn at http://{address}:{server_port}/\n"
            f"Quit the server with {quit_command}.\n"
        )
