"""Answer the probes of a load balancer, before anything else is asked of the app.

    readiness = Readiness()
    application = LifespanMiddleware(get_asgi_application(), readiness=readiness)
    application = HealthMiddleware(application, readiness=readiness, checks={"database": ping})

``/livez`` is 200 while the process runs, ``/readyz`` while it should be sent requests:
from the end of start-up until the first signal to end, if every check passes. What a
check raises is logged, and not shown to strangers.

Belongs outermost: probes come by IP address, without a Host that Django would allow,
every few seconds, and before start-up is complete.
"""

import asyncio
import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextvars import Context
from functools import partial
from inspect import isawaitable, iscoroutinefunction
from typing import Any
from weakref import WeakKeyDictionary

from asgiref.sync import sync_to_async

from ._responses import send_response
from ._threads import own_thread
from .errors import ConfigurationError
from .readiness import Readiness
from .types import ASGIApp, Receive, Scope, Send

logger = logging.getLogger(__name__)

Check = Callable[[], Any]


class HealthMiddleware:
    """Answer ``GET`` and ``HEAD`` on two paths with JSON; every other request is the app's.

    * ``readiness``: None where nothing starts or drains; then only the checks count.
    * ``live_path``, ``ready_path``: exact, after the ``root_path``.
    * ``checks``: names, each with a function without arguments, sync (it runs in a
      thread) or async. It fails by raising, by returning False, or by taking more than
      ``timeout`` seconds. It is not called again before it has returned.
    * ``cache``: seconds for which results hold. Probes at the same time share one run.

    Raises :class:`ConfigurationError` for options that cannot work.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        readiness: Readiness | None = None,
        live_path: str = "/livez",
        ready_path: str = "/readyz",
        checks: Mapping[str, Check] | None = None,
        timeout: float = 2.0,
        cache: float = 1.0,
    ) -> None:
        checks = dict(checks or {})
        problems = list(_problems(live_path, ready_path, checks, timeout, cache))
        if problems:
            raise ConfigurationError("HealthMiddleware", problems)
        self.app = app
        self._readiness = readiness
        self._live_path = live_path
        self._ready_path = ready_path
        self._not_run = dict.fromkeys(checks, "not run")
        self._new_checks = partial(_Checks, checks, timeout, cache)
        # Tasks belong to a loop, and so does what probes on it share.
        self._checks: WeakKeyDictionary[asyncio.AbstractEventLoop, _Checks] = WeakKeyDictionary()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        path = _path_below_root(scope)
        if path not in (self._live_path, self._ready_path):
            return await self.app(scope, receive, send)

        if scope["method"] not in ("GET", "HEAD"):
            status, report = 405, {"status": "method not allowed"}
        elif path == self._live_path:
            status, report = 200, {"status": "live"}
        else:
            status, report = await self._ready()
        await _send_json(send, status, report, body=scope["method"] != "HEAD")

    async def _ready(self) -> tuple[int, dict[str, Any]]:
        """Return the status for ``/readyz``, and what there is to say."""
        results: Mapping[str, str] = self._not_run
        if self._readiness is None or self._readiness.probed():
            results = await self._results()
        failing = any(result != "ok" for result in results.values())
        # Asked once more: the first signal may have come while the checks ran.
        reason = self._readiness.reason if self._readiness else None
        if reason is not None:
            return 503, {"status": "not ready", "reason": reason, "checks": results}
        if failing:
            return 503, {"status": "not ready", "reason": "a check fails", "checks": results}
        return 200, {"status": "ready", "checks": results}

    async def _results(self) -> Mapping[str, str]:
        loop = asyncio.get_running_loop()
        if loop not in self._checks:
            self._checks[loop] = self._new_checks()
        return await self._checks[loop].results()


class _Checks:
    """The checks as one event loop runs them: each at most once at a time."""

    def __init__(self, checks: Mapping[str, Check], timeout: float, cache: float) -> None:
        self._checks = checks
        self._timeout = timeout
        self._cache = cache
        self._calls: dict[str, asyncio.Task[BaseException | None]] = {}
        self._run: asyncio.Task[None] | None = None
        self._results: dict[str, str] = {}
        self._expires = 0.0

    async def results(self) -> Mapping[str, str]:
        """Return the result of each check: ``ok``, ``failed`` or ``timed out``."""
        if self._run is None and time.monotonic() >= self._expires:
            # A task and a context of its own: it is for every probe, not for the first.
            self._run = asyncio.create_task(self._check(), context=Context())
        if self._run is not None:
            await asyncio.wait({self._run})
        return self._results

    async def _check(self) -> None:
        try:
            for name in self._checks.keys() - self._calls.keys():
                call = asyncio.create_task(_outcome(self._checks[name]), name=f"check {name}")
                call.add_done_callback(partial(self._returned, name))
                self._calls[name] = call
            calls = dict(self._calls)
            if calls:
                await asyncio.wait(calls.values(), timeout=self._timeout)
            self._results = {name: self._result(name, calls[name]) for name in self._checks}
            self._expires = time.monotonic() + self._cache
        finally:
            self._run = None

    def _result(self, name: str, call: "asyncio.Task[BaseException | None]") -> str:
        """Return what came of *call*, and log what is new."""
        error: BaseException | None
        if call.done():
            error = asyncio.CancelledError() if call.cancelled() else call.result()
            result = "ok" if error is None else "failed"
        else:
            error = TimeoutError(f"it takes more than {self._timeout:g} s")
            result = "timed out"
            if _is_async(self._checks[name]):
                call.cancel()
        before = self._results.get(name, "ok")
        if result != before:
            level = logging.INFO if result == "ok" else logging.WARNING
            logger.log(level, "the check %s: %s, before %s", name, result, before, exc_info=error)
        return result

    def _returned(self, name: str, _: object) -> None:
        del self._calls[name]


async def _outcome(check: Check) -> BaseException | None:
    """Return what *check* raises, None if it passes."""
    try:
        # Of its own, so that a connection that the database has dropped fails but one check.
        async with own_thread("health check"):
            passed = await (check() if _is_async(check) else sync_to_async(check)())
            if isawaitable(passed):
                passed = await passed
    except (Exception, SystemExit) as error:  # noqa: BLE001 -- that it raises is the answer
        return error
    return ValueError("it returned False") if passed is False else None


def _is_async(check: Check) -> bool:
    return iscoroutinefunction(check) or iscoroutinefunction(type(check).__call__)


def _path_below_root(scope: Scope) -> str:
    """Return the path without the ``root_path``, which servers put before it or do not.

    https://asgi.readthedocs.io/en/latest/specs/www.html#http-connection-scope
    """
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", "").rstrip("/"))


async def _send_json(send: Send, status: int, report: Mapping[str, Any], *, body: bool) -> None:
    content = json.dumps(report).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(content)).encode()),
        (b"cache-control", b"no-store"),
    ]
    if status == 405:
        headers.append((b"allow", b"GET, HEAD"))
    await send_response(send, status, headers, content if body else b"")


def _problems(
    live_path: str, ready_path: str, checks: Mapping[Any, Any], timeout: float, cache: float
) -> Iterator[str]:
    for option, path in (("live_path", live_path), ("ready_path", ready_path)):
        if not path.startswith("/"):
            yield f"{option}: {path!r} does not start with a slash; write {'/' + path!r}"
    if live_path == ready_path:
        yield f"ready_path: {ready_path!r} is the live_path too; write another"
    for name, check in checks.items():
        if not callable(check):
            yield f"checks: {name!r}: {check!r} cannot be called; write a function"
    if not isinstance(timeout, int | float) or not timeout > 0:
        yield f"timeout: {timeout!r} leaves no time; write a number of seconds above 0"
    if not isinstance(cache, int | float) or not cache >= 0:
        yield f"cache: {cache!r} is no number of seconds; write 0 or more"
