import asyncio
import gc
import logging
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from asgi_middleware import (
    HealthMiddleware,
    LifespanMiddleware,
    Readiness,
    RequestIDMiddleware,
    stack,
)
from asgi_middleware.request_id import get_request_id
from asgi_middleware.testing import recording, request, stream, websocket
from asgi_middleware.types import Receive, Scope, Send
from tests.apps import hello
from tests.lifespan.server import Server, context, forever, until

NOT_READY: dict[str, Any] = {"status": "not ready", "reason": "a check fails"}


async def passes() -> None:
    pass


async def probe(app: HealthMiddleware) -> tuple[int | None, Any]:
    response = await request(app, target="/readyz")
    return response.status, response.json()


def ready() -> Readiness:
    readiness = Readiness()
    readiness.started()
    return readiness


# --- the responses ---


async def test_livez_is_200_while_the_process_runs() -> None:
    app = HealthMiddleware(hello, readiness=Readiness(), checks={"broken": lambda: False})

    response = await request(app, target="/livez")

    assert response.status == 200
    assert response.json() == {"status": "live"}


async def test_the_response_to_a_probe_is_json_that_caches_must_not_store() -> None:
    response = await request(HealthMiddleware(hello), target="/livez")

    assert response.headers == (
        (b"content-type", b"application/json"),
        (b"content-length", b"18"),
        (b"cache-control", b"no-store"),
    )
    assert response.body == b'{"status": "live"}'


async def test_readyz_without_anything_to_wait_for_is_200() -> None:
    assert await probe(HealthMiddleware(hello)) == (200, {"status": "ready", "checks": {}})


async def test_readyz_names_each_check() -> None:
    app = HealthMiddleware(hello, checks={"database": passes, "cache": lambda: True})

    assert await probe(app) == (
        200,
        {"status": "ready", "checks": {"database": "ok", "cache": "ok"}},
    )


@pytest.mark.parametrize("target", ["/livez", "/readyz"])
async def test_head_gets_the_response_of_get_without_the_body(target: str) -> None:
    app = HealthMiddleware(hello)

    get, head = [await request(app, method, target) for method in ("GET", "HEAD")]

    assert (head.status, head.headers, head.body) == (get.status, get.headers, b"")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "get", "X"])
@pytest.mark.parametrize("target", ["/livez", "/readyz"])
async def test_a_probe_with_another_method_gets_a_405(method: str, target: str) -> None:
    app = recording(hello)

    response = await request(HealthMiddleware(app), method, target)

    assert response.status == 405
    assert response.get(b"allow") == b"GET, HEAD"
    assert response.get(b"cache-control") == b"no-store"
    assert app.calls == []


# --- which requests ---


@pytest.mark.parametrize(
    ("path", "root_path", "is_probe"),
    [
        pytest.param("/livez", "", True, id="exact"),
        pytest.param("/livez/", "", True, id="slash"),
        pytest.param("/livez//", "", False, id="two slashes"),
        pytest.param("/app/livez/", "/app", True, id="slash below root_path"),
        pytest.param("/livez/x", "", False, id="below"),
        pytest.param("/Livez", "", False, id="case"),
        pytest.param("/", "", False, id="root"),
        pytest.param("/app/livez", "", False, id="elsewhere"),
        pytest.param("/app/livez", "/app", True, id="root_path in the path"),
        pytest.param("/livez", "/app", True, id="root_path left out of the path"),
        pytest.param("/app/livez", "/app/", True, id="root_path with a slash"),
        pytest.param("/app//livez", "/app/", True, id="root_path with a slash, before the path"),
        pytest.param("/applivez", "/app", False, id="root_path begins another word"),
        pytest.param("/app/app/livez", "/app", False, id="root_path twice"),
    ],
)
async def test_only_the_whole_path_is_a_probe_with_or_without_a_slash_at_the_end(
    path: str, root_path: str, is_probe: bool
) -> None:
    app = recording(hello)

    await request(HealthMiddleware(app), target=path, scope={"root_path": root_path})

    assert (not app.calls) is is_probe


async def test_the_paths_of_the_probes_can_be_changed() -> None:
    app = HealthMiddleware(hello, live_path="/-/live", ready_path="/-/ready")

    assert (await request(app, target="/-/live")).json() == {"status": "live"}
    assert (await request(app, target="/-/ready")).json() == {"status": "ready", "checks": {}}
    assert (await request(app, target="/livez")).text == "hello"


@pytest.mark.parametrize("path", ["/-/ready", "/-/ready/"])
@pytest.mark.parametrize("target", ["/-/ready", "/-/ready/"])
async def test_a_slash_at_the_end_of_a_probe_path_makes_no_difference(
    target: str, path: str
) -> None:
    app = HealthMiddleware(hello, ready_path=path)

    assert (await request(app, target=target)).json() == {"status": "ready", "checks": {}}


async def test_the_root_path_may_be_a_probe() -> None:
    app = HealthMiddleware(hello, live_path="/")

    assert (await request(app, target="/")).json() == {"status": "live"}
    assert (await request(app, target="/x")).text == "hello"


@pytest.mark.parametrize(
    "change", [{"root_path": None}, {}], ids=["no root_path", "with root_path"]
)
async def test_a_probe_needs_no_root_path_in_its_scope(change: dict[str, None]) -> None:
    async def server(scope: Scope, receive: Receive, send: Send) -> None:
        kept = {key: value for key, value in scope.items() if key not in change}
        await HealthMiddleware(hello)(kept, receive, send)

    assert (await request(server, target="/livez")).json() == {"status": "live"}


async def test_a_websocket_on_the_path_of_a_probe_reaches_the_app() -> None:
    async with websocket(HealthMiddleware(hello), "/livez") as socket:
        await socket.send("hello")
        assert await socket.receive() == "hello"


async def test_a_request_that_is_not_a_probe_passes_with_the_same_three_objects() -> None:
    passed: list[object] = []

    async def app(*arguments: object) -> None:
        passed.extend(arguments)

    given = ({"type": "http", "path": "/"}, forever, forever)
    await HealthMiddleware(app)(*given)

    assert [a is b for a, b in zip(passed, given, strict=True)] == [True] * 3


async def test_the_body_of_a_probe_is_not_read() -> None:
    async with stream(HealthMiddleware(hello), "GET", "/readyz") as exchange:
        exchange.send_body(b"the first of fifty million")
        await exchange.message()
        response = await exchange.finish()

    assert response.status == 200
    assert response.receives == 0


async def test_a_probe_does_not_wait_for_startup() -> None:
    readiness = Readiness()
    contexts = [context("a", enter=forever)]
    inner = LifespanMiddleware(hello, lifespan=contexts, readiness=readiness)
    app = HealthMiddleware(inner, readiness=readiness)
    server = Server(app)
    starting = asyncio.ensure_future(server.start())

    assert (await request(app, target="/livez")).status == 200
    assert await probe(app) == (503, {"status": "not ready", "reason": "starting", "checks": {}})
    await server.cancel()
    await starting


# --- readiness ---


def test_readiness_is_starting_at_first() -> None:
    readiness = Readiness()

    assert (readiness.ready, readiness.reason) == (False, "starting")


def _steps(*names: Any) -> Callable[[Readiness], None]:
    def take(readiness: Readiness) -> None:
        for name in names:
            if name in ("starting", "started"):
                getattr(readiness, name)()
            else:
                readiness.withdraw(name)

    return take


@pytest.mark.parametrize(
    ("steps", "reason"),
    [
        pytest.param(["starting"], "starting", id="during startup"),
        pytest.param(["starting", "started"], None, id="after startup"),
        pytest.param(["starting", "started", "draining"], "draining", id="during a drain"),
        pytest.param(["starting", "crash", "started"], "crash", id="crash during startup"),
        pytest.param(
            ["starting", "started", "crash", "draining"], "crash", id="the first reason stays"
        ),
        pytest.param(["starting", "started", "crash", "started"], "crash", id="a crash is final"),
        pytest.param(["starting", "failed", "starting", "started"], None, id="a second startup"),
    ],
)
def test_readiness_follows_startups_crashes_and_drains(
    steps: list[str], reason: str | None
) -> None:
    readiness = Readiness()

    _steps(*steps)(readiness)

    assert readiness.reason == reason
    assert readiness.ready is (reason is None)


async def test_readyz_says_why_it_is_not_ready_and_runs_no_check() -> None:
    runs: list[int] = []
    readiness = ready()
    readiness.withdraw("draining")
    app = HealthMiddleware(hello, readiness=readiness, checks={"a": lambda: runs.append(1)})

    assert await probe(app) == (
        503,
        {"status": "not ready", "reason": "draining", "checks": {"a": "not run"}},
    )
    assert runs == []


async def test_readyz_warns_once_about_a_readiness_that_nothing_sets(
    caplog: pytest.LogCaptureFixture,
) -> None:
    inner = LifespanMiddleware(hello, readiness=Readiness())
    app = HealthMiddleware(inner, readiness=Readiness())
    server = Server(app)
    await server.start()

    probes = [await probe(app) for _ in range(3)]

    assert probes == [(503, {"status": "not ready", "reason": "starting", "checks": {}})] * 3
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        (
            "WARNING",
            "not ready, and nothing will change that: no LifespanMiddleware has the Readiness of"
            " HealthMiddleware; use readiness = Readiness(), and pass it to both",
        )
    ]
    await server.stop()


@pytest.mark.parametrize(
    "sets",
    [
        pytest.param(lambda readiness: readiness.started(), id="is ready"),
        pytest.param(lambda readiness: readiness.starting(), id="is starting"),
        pytest.param(lambda readiness: readiness.withdraw("no disk space"), id="is withdrawn"),
        pytest.param(
            lambda readiness: LifespanMiddleware(hello, readiness=readiness), id="is shared"
        ),
    ],
)
async def test_readyz_does_not_warn_about_a_readiness_that_something_sets(
    sets: Any, caplog: pytest.LogCaptureFixture
) -> None:
    readiness = Readiness()
    sets(readiness)

    await probe(HealthMiddleware(hello, readiness=readiness))

    assert [record for record in caplog.records if "Readiness" in record.getMessage()] == []


async def test_a_stack_without_a_lifespan_is_ready() -> None:
    app = stack(hello, lifespan=None, drain=None, pool=None)

    response = await request(app, target="/readyz")

    assert response.json() == {"status": "ready", "checks": {}}


async def test_readyz_is_503_if_a_drain_begins_while_the_checks_run() -> None:
    readiness = ready()

    async def check() -> None:
        readiness.withdraw("draining")

    app = HealthMiddleware(hello, readiness=readiness, checks={"a": check})

    assert await probe(app) == (
        503,
        {"status": "not ready", "reason": "draining", "checks": {"a": "ok"}},
    )


# --- checks ---


def sync_raises() -> None:
    raise OSError("password is hunter2")


async def async_raises() -> None:
    raise OSError("password is hunter2")


async def async_false() -> bool:
    return False


def returns_an_awaitable() -> Any:
    return passes()


async def exits() -> None:
    raise SystemExit(1)


class Pool:
    async def ping(self) -> None:
        pass

    async def __call__(self) -> None:
        pass


@pytest.mark.parametrize(
    ("check", "result"),
    [
        pytest.param(passes, "ok", id="async, returns"),
        pytest.param(lambda: None, "ok", id="sync, returns"),
        pytest.param(lambda: 0, "ok", id="sync, returns 0"),
        pytest.param(returns_an_awaitable, "ok", id="sync, returns an awaitable"),
        pytest.param(partial(passes), "ok", id="partial"),
        pytest.param(Pool().ping, "ok", id="method"),
        pytest.param(Pool(), "ok", id="object"),
        pytest.param(lambda: False, "failed", id="sync, False"),
        pytest.param(async_false, "failed", id="async, False"),
        pytest.param(sync_raises, "failed", id="sync, raises"),
        pytest.param(async_raises, "failed", id="async, raises"),
        pytest.param(exits, "failed", id="SystemExit"),
        pytest.param(forever, "timed out", id="async, hangs"),
    ],
)
async def test_a_check_passes_or_fails(check: Any, result: str) -> None:
    timeout = 0.05 if result == "timed out" else 10.0
    app = HealthMiddleware(hello, checks={"a": check, "b": passes}, timeout=timeout)

    status, report = await probe(app)

    assert report["checks"] == {"a": result, "b": "ok"}
    assert status == (200 if result == "ok" else 503)
    assert report.get("reason") == (None if result == "ok" else "a check fails")


async def test_the_error_of_a_check_is_logged_and_not_shown(
    caplog: pytest.LogCaptureFixture,
) -> None:
    response = await request(HealthMiddleware(hello, checks={"a": sync_raises}), target="/readyz")

    assert "hunter2" not in response.text
    assert caplog.messages == ["health check a: failed (before: ok)"]
    assert "hunter2" in caplog.text


async def test_a_check_is_logged_only_when_its_result_changes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    outcomes = iter([False, False, True, True])
    app = HealthMiddleware(hello, checks={"a": lambda: next(outcomes)}, cache=0)

    statuses = [(await probe(app))[0] for _ in range(4)]

    assert statuses == [503, 503, 200, 200]
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "health check a: failed (before: ok)"),
        ("INFO", "health check a: ok (before: failed)"),
    ]


async def test_sync_checks_run_in_a_thread_that_ends() -> None:
    threads: list[threading.Thread] = []
    app = HealthMiddleware(hello, checks={"a": lambda: threads.append(threading.current_thread())})

    await probe(app)

    assert threads[0] is not threading.current_thread()
    await until(lambda: not threads[0].is_alive())


async def test_checks_run_concurrently() -> None:
    both = asyncio.Barrier(2)
    app = HealthMiddleware(hello, checks={"a": both.wait, "b": both.wait})

    assert (await probe(app))[0] == 200


async def test_probes_at_the_same_time_share_one_run() -> None:
    runs: list[int] = []
    go_on = asyncio.Event()

    async def check() -> None:
        runs.append(1)
        await go_on.wait()

    app = HealthMiddleware(hello, checks={"a": check}, cache=0)
    probes = [asyncio.ensure_future(probe(app)) for _ in range(5)]
    await until(lambda: runs)
    go_on.set()

    assert [(await each)[0] for each in probes] == [200] * 5
    assert runs == [1]


async def test_a_check_goes_on_when_the_probe_that_started_it_is_cancelled() -> None:
    seen: list[object] = []
    go_on = asyncio.Event()

    async def check() -> None:
        seen.append(get_request_id())
        await go_on.wait()

    app = HealthMiddleware(hello, checks={"a": check})
    first = asyncio.ensure_future(request(RequestIDMiddleware(app), target="/readyz"))
    await until(lambda: seen)
    second = asyncio.ensure_future(probe(app))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait({first})
    go_on.set()

    assert (await second)[0] == 200
    # The check does not run in the context of the first probe either.
    assert seen == [None]


async def test_results_of_checks_are_cached(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    runs: list[float] = []

    async def check() -> None:
        runs.append(now)

    app = HealthMiddleware(hello, checks={"a": check}, cache=1.0)
    for now in (1000.0, 1000.9, 1001.0, 1001.5, 1002.0):  # noqa: B007 -- time.monotonic returns it
        await probe(app)

    assert runs == [1000.0, 1001.0, 1002.0]


async def test_a_check_that_hangs_is_cancelled() -> None:
    log: list[str] = []

    async def hangs() -> None:
        try:
            await forever()
        finally:
            log.append("cancelled")

    await probe(HealthMiddleware(hello, checks={"a": hangs}, timeout=0.01))
    await until(lambda: log)


async def test_a_sync_check_is_not_called_again_while_it_hangs() -> None:
    runs: list[int] = []
    release = threading.Event()

    def hangs() -> None:
        runs.append(1)
        release.wait(10)

    app = HealthMiddleware(hello, checks={"a": hangs}, timeout=0.01, cache=0)
    results = [await probe(app) for _ in range(3)]
    assert results == [(503, {**NOT_READY, "checks": {"a": "timed out"}})] * 3
    assert runs == [1]

    release.set()

    async with asyncio.timeout(10):
        while (await probe(app))[0] != 200:
            pass


def test_each_event_loop_runs_the_checks_for_itself() -> None:
    app = HealthMiddleware(hello, checks={"a": passes})

    assert [asyncio.run(probe(app))[0] for _ in range(2)] == [200, 200]
    gc.collect()
    assert len(app._runs) == 0


def test_django_connections_that_a_sync_check_opens_are_closed_afterwards(tmp_path: Path) -> None:
    # In a process of its own, because Django can be configured only once.
    code = """
import asyncio, sys
from asgi_middleware import HealthMiddleware
from asgi_middleware.testing import request
assert not any(name.partition(".")[0] == "django" for name in sys.modules)

from django.conf import settings
sqlite = {"ENGINE": "django.db.backends.sqlite3", "NAME": sys.argv[1]}
settings.configure(DATABASES={"default": sqlite})
from django.db import connection, connections

def check():
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    opened.append(connections["default"])

opened = []
app = HealthMiddleware(None, checks={"database": check}, timeout=30)
response = asyncio.run(request(app, target="/readyz"))
print(response.status, opened[0].connection)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "db")],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.stdout == "200 None\n", done.stderr


def test_a_check_passes_if_django_is_not_configured() -> None:
    code = """
import asyncio
import django.db
from asgi_middleware import HealthMiddleware
from asgi_middleware.testing import request
app = HealthMiddleware(None, checks={"a": lambda: None})
print(asyncio.run(request(app, target="/readyz")).status)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=60
    )

    assert done.stdout == "200\n", done.stderr


# --- repr ---


def test_a_health_middleware_shows_its_options() -> None:
    app = HealthMiddleware(hello, readiness=Readiness(), checks={"database": passes})

    assert app.app is hello
    assert repr(app) == (
        "HealthMiddleware(readiness=<Readiness: starting>, live_path='/livez',"
        " ready_path='/readyz', checks={'database': passes}, timeout=2.0, cache=1.0)"
    )


def test_readiness_shows_its_reason() -> None:
    readiness = ready()
    assert repr(readiness) == "<Readiness: ready>"

    readiness.withdraw("draining")
    assert repr(readiness) == "<Readiness: draining>"
