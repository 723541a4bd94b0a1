"""Respond to the probes of a load balancer, outside everything else.

    readiness = Readiness()
    application = LifespanMiddleware(get_asgi_application(), readiness=readiness)
    application = HealthMiddleware(application, readiness=readiness, checks={"database": ping})

``/livez`` is 200 while the process runs. ``/readyz`` is 200 while the process should get requests:
from the end of startup until the first shutdown signal, if every check passes. If a check raises,
the error is logged and never shown to a client.

Belongs outermost: probes come every few seconds and before startup is complete, and they address
the process by IP, without a Host that Django would allow.
"""

import asyncio
import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextvars import Context
from functools import partial
from inspect import isawaitable
from typing import Any, cast
from weakref import WeakKeyDictionary

from asgiref.sync import sync_to_async

from . import _options as options
from ._async import is_async
from ._paths import path_below_root
from ._responses import send_response
from ._threads import own_thread
from .readiness import Readiness
from .types import ASGIApp, Receive, Scope, Send

logger = logging.getLogger(__name__)

Check = Callable[[], Any]


class HealthMiddleware:
    """Respond to ``GET`` and ``HEAD`` on two paths with JSON; pass every other request on.

    * ``readiness``: shared with :class:`LifespanMiddleware`. None if nothing starts or drains;
      then only the checks count.
    * ``live_path``, ``ready_path``: whole paths, below the ``root_path``. A slash at the end makes
      no difference.
    * ``checks``: a dict of names and functions without arguments, async or sync (called in a
      thread). A check fails if it raises, returns False, or takes more than ``timeout`` seconds.
      It is not called again until it has returned.
    * ``cache``: how many seconds results are kept. Simultaneous probes share one run.

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
        options.check(
            "HealthMiddleware",
            options.instance("readiness", readiness, Readiness, "Readiness()", optional=True),
            options.path("live_path", live_path, "/livez"),
            options.path("ready_path", ready_path, "/readyz"),
            _same_path(live_path, ready_path),
            options.mapping("checks", checks, "{'database': ping}", optional=True),
            _functions(checks),
            options.seconds("timeout", timeout, example=2.0),
            options.seconds("cache", cache, zero=True),
        )
        self.app = app
        self.readiness = readiness
        self._live_path = live_path
        self._probes = {
            live_path.removesuffix("/"): "live",
            ready_path.removesuffix("/"): "ready",
        }
        self._ready_path = ready_path
        self._checks = dict(checks or {})
        self._not_run = dict.fromkeys(self._checks, "not run")
        self._timeout = timeout
        self._cache = cache
        # A task belongs to one event loop, so only the probes of one loop can share a run.
        self._runs: WeakKeyDictionary[asyncio.AbstractEventLoop, _CheckRuns] = WeakKeyDictionary()

    def __repr__(self) -> str:
        return options.repr_of(
            self,
            readiness=self.readiness,
            live_path=self._live_path,
            ready_path=self._ready_path,
            checks=self._checks,
            timeout=self._timeout,
            cache=self._cache,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        path = path_below_root(scope).removesuffix("/")
        if path not in self._probes:
            return await self.app(scope, receive, send)

        if scope["method"] not in ("GET", "HEAD"):
            status, report = 405, {"status": "method not allowed"}
        elif self._probes[path] == "live":
            status, report = 200, {"status": "live"}
        else:
            status, report = await self._ready()
        await _send_json(send, status, report, body=scope["method"] != "HEAD")

    async def _ready(self) -> tuple[int, dict[str, Any]]:
        """Return the status and the report for ``/readyz``."""
        results: Mapping[str, str] = self._not_run
        if self.readiness is None or self.readiness.probed():
            results = await self._results()
        failing = any(result != "ok" for result in results.values())
        # Read after the checks: the first signal may have come while they ran.
        reason = self.readiness.reason if self.readiness else None
        if reason is not None:
            return 503, {"status": "not ready", "reason": reason, "checks": results}
        if failing:
            return 503, {"status": "not ready", "reason": "a check fails", "checks": results}
        return 200, {"status": "ready", "checks": results}

    async def _results(self) -> Mapping[str, str]:
        loop = asyncio.get_running_loop()
        if loop not in self._runs:
            self._runs[loop] = _CheckRuns(self._checks, self._timeout, self._cache)
        return await self._runs[loop].results()


class _CheckRuns:
    """Runs the checks on one event loop, each check at most once at a time."""

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
            # In a task and context of its own, because it serves every probe, not only the first.
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
        """Return the result of *call*, and log it if it has changed."""
        error: BaseException | None
        if call.done():
            error = asyncio.CancelledError() if call.cancelled() else call.result()
            result = "ok" if error is None else "failed"
        else:
            error = TimeoutError(f"it took more than {self._timeout:g} s")
            result = "timed out"
            if is_async(self._checks[name]):
                call.cancel()
        before = self._results.get(name, "ok")
        if result != before:
            level = logging.INFO if result == "ok" else logging.WARNING
            logger.log(
                level, "health check %s: %s (before: %s)", name, result, before, exc_info=error
            )
        return result

    def _returned(self, name: str, _: object) -> None:
        del self._calls[name]


async def _outcome(check: Check) -> BaseException | None:
    """Return the error that *check* raises, None if it passes."""
    try:
        # In a thread of its own: a connection that the database drops fails only this call.
        async with own_thread("health check"):
            passed = await (check() if is_async(check) else sync_to_async(check)())
            if isawaitable(passed):
                passed = await passed
    except (Exception, SystemExit) as error:  # noqa: BLE001 -- an error is a result here
        return error
    return ValueError("it returned False") if passed is False else None


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


def _same_path(live_path: object, ready_path: object) -> Iterator[str]:
    if not isinstance(live_path, str) or not isinstance(ready_path, str):
        return
    if live_path.removesuffix("/") == ready_path.removesuffix("/"):
        other = "/livez" if ready_path.startswith("/readyz") else "/readyz"
        yield f"ready_path: {ready_path!r} is also the live_path; use {other!r}"


def _functions(checks: object) -> Iterator[str]:
    if isinstance(checks, Mapping):
        for name, check in cast("Mapping[object, object]", checks).items():
            wanted = "a function without arguments"
            option = f"checks: {name!r}"
            yield from options.function(option, check, wanted, may_be_async=True, arguments=0)
