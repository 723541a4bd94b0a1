"""Django's ``runserver``, but with the ASGI application on uvicorn."""

import asyncio
import atexit
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from importlib.util import find_spec
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError
from django.utils import autoreload
from django.utils.module_loading import import_string

from ....composition import layers_of
from ....lifespan import Drain, LifespanMiddleware
from ....timing import TimingMiddleware
from ...application import application_path, load_application

_serves_static_files = apps.is_installed("django.contrib.staticfiles")
_package = "django.contrib.staticfiles" if _serves_static_files else "django.core"
_DjangosCommand: Any = import_string(f"{_package}.management.commands.runserver.Command")

_IS_WINDOWS = sys.platform == "win32"

# How many seconds a reload or Ctrl-C waits: for requests and streams to end by themselves, then for
# the app to react to a disconnect, then for the contexts of a lifespan to close.
_GRACE = 1
_REACTION = 1
_PATIENCE = 10


class Uvicorn:
    """uvicorn behind the interface of the WSGI server that Django's command starts."""

    def __init__(self, address: tuple[str, int], _handler: object, *, ipv6: bool = False) -> None:
        self._socket = socket.create_server(
            address, family=socket.AF_INET6 if ipv6 else socket.AF_INET, backlog=2048
        )
        self.server_port = self._socket.getsockname()[1]

    def set_app(self, application: Any) -> None:
        # The handler for static files may be around the stack.
        layers = layers_of(getattr(application, "application", application))
        has_access_log = any(isinstance(each, TimingMiddleware) for each in layers)
        drains = [each.drain for each in layers if isinstance(each, LifespanMiddleware)]
        self._server = _server(
            application,
            has_access_log=has_access_log,
            drains=[drain for drain in drains if drain is not None],
        )

    def serve_forever(self) -> None:
        """Serve until Ctrl-C or, under the reloader, until a file has changed."""
        if threading.current_thread() is not threading.main_thread():
            # The reloader has the main thread, and ends the server without a signal.
            logging.getLogger("asgi_middleware.lifespan.drain").addFilter(_not_about_signals)
            atexit.register(self._stop, threading.current_thread())
        self._server.run(sockets=[self._socket])
        if not self._server.started:
            sys.exit(3)  # startup has failed; the log says why

    def _stop(self, thread: threading.Thread) -> None:
        """Shut the application down before the reloader's process ends."""
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # we are stopping already
        self._server.should_exit = True
        thread.join(_PATIENCE)


def _server(application: Any, *, has_access_log: bool, drains: list[Drain]) -> Any:
    """Return uvicorn's server, with a shutdown that ends open streams as a drain does."""
    import uvicorn
    from uvicorn.config import LOGGING_CONFIG

    class Server(uvicorn.Server):
        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            for drain in drains:
                for countdown in tuple(drain.countdowns):
                    countdown.shut_down()
                    asyncio.get_running_loop().call_later(_GRACE, countdown.end)
            await super().shutdown(sockets)

    return Server(
        uvicorn.Config(
            application,
            # With our access log, keep to the project's LOGGING: uvicorn's access log says less.
            log_config=None if has_access_log else LOGGING_CONFIG,
            access_log=not has_access_log,
            timeout_graceful_shutdown=_GRACE + _REACTION,
        )
    )


def _not_about_signals(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith("no signal begins the drain")


def _leave_it_to_the_parent(_number: int, _frame: object) -> None:
    pass


def _supervise() -> int:
    """Run the serving process, restart it after each file change, and return its exit status.

    Django does the same, but its parent process kills the serving process: a quarter of a second
    after Ctrl-C, and at once on SIGTERM. Here, a signal leaves it time to shut down.
    """
    environment = {**os.environ, autoreload.DJANGO_AUTORELOAD_ENV: "true"}
    process: subprocess.Popen[bytes] | None = None
    signals: list[int] = []

    def end(number: int, _frame: object) -> None:
        signals.append(number)
        if process is None:
            sys.exit(0)
        if len(signals) > 1:
            process.kill()
        elif not _IS_WINDOWS:  # on Windows, Ctrl-C reaches the process by itself
            process.terminate()

    signal.signal(signal.SIGINT, end)
    signal.signal(signal.SIGTERM, end)
    while True:
        process = subprocess.Popen(  # noqa: S603 -- this very command
            autoreload.get_child_arguments(), env=environment, close_fds=False
        )
        status = process.wait()
        if status != 3 or signals:
            return 0 if signals else status


class Command(_DjangosCommand):  # type: ignore[misc]
    help = "Serves ASGI_APPLICATION with uvicorn for development: lifespan, WebSockets and reload."
    server_cls = Uvicorn

    def handle(self, *args: Any, **options: Any) -> None:
        if find_spec("uvicorn") is None:
            raise CommandError("runserver needs uvicorn; install uvicorn")
        djangos: Any = super()
        djangos.handle(*args, **options)

    def run(self, **options: Any) -> None:
        if options["use_reloader"]:
            if os.environ.get(autoreload.DJANGO_AUTORELOAD_ENV) != "true":
                sys.exit(_supervise())
            if not _IS_WINDOWS:
                # The parent also gets Ctrl-C, and sends us SIGTERM.
                signal.signal(signal.SIGINT, _leave_it_to_the_parent)
        djangos: Any = super()
        djangos.run(**options)

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
        quit_command = "CTRL-BREAK" if _IS_WINDOWS else "CONTROL-C"
        address = f"[{self.addr}]" if self.use_ipv6 else self.addr
        self.stdout.write(
            f"Django version {self.get_version()}, using settings {settings.SETTINGS_MODULE!r}\n"
            f"Serving {application_path()} with uvicorn at http://{address}:{server_port}/\n"
            f"Quit the server with {quit_command}.\n"
        )
