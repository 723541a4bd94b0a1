"""For Django's tests: a client for the whole application, and a state for Django's own clients.

    class Prices(TestCase):
        async def test_the_page_has_an_id(self):
            async with StackClient() as client:
                response = await client.get("/prices/")
            self.assertTrue(response.headers["X-Request-ID"])

        def test_a_view_alone(self):
            with override_state(client=FakeClient()):
                response = self.client.get("/prices/")

:class:`StackClient` is Django's ``AsyncClient``, but its requests go through every layer of the
application, between its startup and its shutdown. :func:`override_state` is for tests that call
Django without the layers.
"""

from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from functools import wraps
from http.cookies import Morsel
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from django.core.handlers.asgi import ASGIHandler, ASGIRequest
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient
from django.test.utils import TestContextDecorator

from ..django.application import load_application
from ..lifespan.current import Override, overrides
from ..lifespan.state import State
from ..lifespan.tasks import Job, TaskSupervisor
from ..types import ASGIApp
from .http import Response, request
from .lifespan import LifespanFailed, StartedApp, lifespan

__all__ = ["SpawnedTasks", "StackClient", "override_state"]


class override_state(TestContextDecorator):  # noqa: N801 -- as Django's override_settings
    """Replace what startup opens with *values*.

        with override_state(client=FakeClient()) as state:
            response = self.client.post("/order/")
        assert [task.name for task in state["tasks"].spawned] == ["receipt"]

    It is a sync and async context manager, and a decorator for sync and async test functions and
    for test classes. Within it, wherever no :class:`LifespanMiddleware` serves, ``get_state()``
    returns the values in all threads, and ``get_tasks()`` returns :class:`SpawnedTasks`. With
    :class:`StackClient` and :func:`asgi_middleware.testing.lifespan`, the values replace those from
    startup, and tasks run as usual.
    """

    def __init__(self, **values: Any) -> None:
        super().__init__()
        self._values = values
        self._active: list[Override] = []

    def __enter__(self) -> State:  # type: ignore[override]  # Django's type is that of a subclass
        return self.enable()

    def enable(self) -> State:
        outer = overrides[-1] if overrides else Override({}, {})
        fresh = {"tasks": SpawnedTasks()}
        override = Override(
            {**outer.given, **self._values}, {**outer.state, **fresh, **self._values}
        )
        overrides.append(override)
        self._active.append(override)
        return override.state

    def disable(self) -> None:
        ended = self._active.pop()
        overrides[:] = [each for each in overrides if each is not ended]

    async def __aenter__(self) -> State:
        return self.enable()

    async def __aexit__(self, *_: object) -> None:
        self.disable()


class SpawnedTasks(TaskSupervisor):
    """Collects the tasks that are spawned, until the test runs them.

    ``spawned`` has an object for each task, with its ``function``, ``name``, ``restart``,
    ``backoff`` and ``critical``.
    """

    def __init__(self) -> None:
        self.spawned: list[Job] = []

    def __repr__(self) -> str:
        return f"<SpawnedTasks: {', '.join(job.name for job in self.spawned) or 'none'}>"

    def accept(self, job: Job) -> None:
        self.spawned.append(job)

    async def run(self) -> None:
        """Run each task once, in order, including tasks that they spawn themselves.

        Raises what a task raises. In a sync test, call ``async_to_sync(tasks.run)()``.
        """
        while self.spawned:
            await self.spawned.pop(0).function()


class StackClient(AsyncClient):
    """Django's ``AsyncClient`` for the whole application, with its layers and its startup.

        async with StackClient() as client:
            await client.aforce_login(user)
            response = await client.get("/account/")

    * ``application``: by default the one that ``ASGI_APPLICATION`` names.
    * ``timeout``: seconds for startup, for each request, and for shutdown.

    Everything else is as with ``AsyncClient``: the methods and their parameters, cookies and
    logins, exceptions from views, and the ``json()``, ``context``, ``templates`` and
    ``resolver_match`` of a response. A response is what a client would get from a server: it has
    the headers of all layers, and a stream has been read to its end. ``asgi_request`` is None if a
    layer has responded instead of Django.
    """

    def __init__(
        self, *args: Any, application: ASGIApp | None = None, timeout: float = 10.0, **options: Any
    ) -> None:
        super().__init__(*args, **options)
        enforces_csrf: bool = self.handler.enforce_csrf_checks
        self.handler: Any = self._handle
        self._enforces_csrf = enforces_csrf
        self._application = application
        self._timeout = timeout
        self._running: StartedApp | None = None
        self._started = AsyncExitStack()

    async def __aenter__(self) -> Self:
        application = self._application or load_application()
        try:
            started = lifespan(application, timeout=self._timeout, strict=False)
            self._running = await self._started.enter_async_context(started)
        except (LifespanFailed, TimeoutError):
            raise
        except Exception:  # noqa: BLE001 -- no lifespan support; servers go on serving, too
            self._running = StartedApp(application, {})
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._running = None
        await self._started.__aexit__(kind, error, traceback)

    async def request(self, **given: Any) -> Any:
        response: Any = await super().request(**given)
        # Django's client needs these to follow a redirect.
        names = {"PATH_INFO": given["path"], "REQUEST_METHOD": given["method"]}
        response.request = {**response.request, **names}
        return response

    async def _handle(self, scope: dict[str, Any]) -> HttpResponse:
        """Send the request that Django's client has made, as a server would."""
        if self._running is None:
            raise RuntimeError(
                "StackClient: the application has not started; use async with StackClient() as"
                " client:"
            )
        exchange = _Exchange(self._enforces_csrf)
        body = scope.pop("_body_file", None)
        headers, scheme = _headers(scope)
        path, query = scope["path"].encode("latin-1"), scope.get("query_string") or b""
        found = await request(
            self._running,
            scope["method"],
            quote(path),
            headers=headers,
            body=b"" if body is None else body.read(),
            timeout=self._timeout,
            strict=False,
            scope={
                "scheme": scheme,
                "query_string": query.encode() if isinstance(query, str) else query,
                "client": tuple(scope["client"]),
                "server": (scope["server"][0], int(scope["server"][1])),
                _EXCHANGE: exchange,
            },
        )
        return _StackResponse(found, exchange.request, scope["method"])


class _StackResponse(HttpResponse):
    """The response that came back through the layers, in the form that Django's client expects."""

    def __init__(self, found: Response, asgi_request: HttpRequest | None, method: str) -> None:
        has_body = method != "HEAD" and found.status not in (204, 304)
        super().__init__(found.body if has_body else b"", status=found.status)
        self.asgi_request = asgi_request
        del self.headers["Content-Type"]  # HttpResponse's default; the app's own is added below
        for name, value in _decoded(found.headers):
            if name.lower() == "set-cookie":
                self.cookies.load(_known_attributes(value))
            elif name in self.headers:
                self.headers[name] = f"{self.headers[name]}, {value}"
            else:
                self.headers[name] = value
        if "Location" in self.headers:
            self.url = self.headers["Location"]


def _decoded(headers: Any) -> list[tuple[str, str]]:
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]


def _known_attributes(cookie: str) -> str:
    """Return a Set-Cookie without unknown attributes: ``http.cookies`` would reject the cookie."""
    pair, *attributes = cookie.split(";")
    known: Morsel[str] = Morsel()
    return ";".join(
        [pair, *(a for a in attributes if a.partition("=")[0].strip().lower() in known)]
    )


def _headers(scope: Mapping[str, Any]) -> tuple[list[tuple[str, str]], str]:
    """Return the headers as a server passes them on, and the scheme.

    Django's client adds a second Host to the one that was given, and an empty Cookie. When it
    follows a redirect to another host, it uses WSGI's names. Before 5.2.13, it writes all names
    with underscores.
    """
    headers = [(name.replace("_", "-"), value) for name, value in _decoded(scope["headers"])]
    last: dict[str, str] = dict(headers)
    host = last.get("http-host") or last["host"]
    if "http-host" in last and (port := last.get("server-port")):
        host = f"{host}:{port}"
    left_out = ("host", "http-host", "server-name", "server-port", "wsgi.url-scheme")
    kept = [(name, value) for name, value in headers if name not in left_out]
    kept = [(name, value) for name, value in kept if name != "cookie" or value]
    scheme: str = scope["scheme"]
    return [("host", host), *kept], last.get("wsgi.url-scheme") or scheme


# --- how the client gets at Django's request ---

_EXCHANGE = "asgi_middleware.testing"


class _Exchange:
    """Travels in the scope: takes an option to Django's request, and brings that request back."""

    def __init__(self, enforces_csrf: bool) -> None:
        self.enforces_csrf = enforces_csrf
        self.request: ASGIRequest | None = None


def _noting(create_request: Callable[..., Any]) -> Callable[..., Any]:
    """Set the CSRF flag of each request and keep the request, as Django's test client does."""

    @wraps(create_request)
    def noted(self: ASGIHandler, scope: Any, body_file: Any) -> Any:
        made, error = create_request(self, scope, body_file)
        exchange: _Exchange | None = scope.get(_EXCHANGE)
        if exchange is not None and made is not None:
            made._dont_enforce_csrf_checks = not exchange.enforces_csrf  # noqa: SLF001
            exchange.request = made
        return made, error

    return noted


_handler: Any = ASGIHandler
_handler.create_request = _noting(_handler.create_request)
