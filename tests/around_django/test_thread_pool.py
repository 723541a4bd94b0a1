"""Django in the threads of a pool, compared with Django in threads of its own."""

import asyncio
import logging
import re
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from threading import Thread
from typing import Any, cast

import pytest
from asgiref.sync import async_to_sync, markcoroutinefunction, sync_to_async
from channels.consumer import AsyncConsumer, SyncConsumer  # type: ignore[import-untyped]
from channels.db import database_sync_to_async  # type: ignore[import-untyped]
from channels.exceptions import StopConsumer  # type: ignore[import-untyped]
from django.core.asgi import get_asgi_application
from django.core.cache import caches, close_caches
from django.core.handlers.base import reset_urlconf
from django.core.signals import request_finished, request_started
from django.db import close_old_connections, connection, connections, reset_queries, transaction
from django.dispatch import Signal
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.test import override_settings
from django.urls import path

from asgi_middleware import ThreadPool, ThreadPoolMiddleware
from asgi_middleware.testing import recording, request, stream, websocket
from asgi_middleware.testing.recording import RecordedApp
from asgi_middleware.thread_pool.lease import RequestLease
from asgi_middleware.types import ASGIApp, Receive, Scope, Send
from tests.thread_pool.calls import PATIENCE, Blocking, until

# --- pages; each calls the function that a test passes in the scope ---

View = Callable[[HttpRequest], HttpResponse]


def given_by(request: HttpRequest) -> Any:
    # Only requests that came through ASGI have this attribute.
    return cast("Any", request).scope["state"]["given"]


def sync_view(request: HttpRequest, **_captured: object) -> HttpResponse:
    return HttpResponse(given_by(request)())


async def async_view(request: HttpRequest) -> HttpResponse:
    return HttpResponse(await given_by(request)())


async def calling_view(request: HttpRequest) -> HttpResponse:
    """Call sync code in every way that asgiref has."""
    given = given_by(request)
    await sync_to_async(given)()
    await asyncio.gather(sync_to_async(given)(), asyncio.create_task(sync_to_async(given)()))
    await sync_to_async(async_to_sync(sync_to_async(given)))()
    return HttpResponse()


async def gathering_view(request: HttpRequest) -> HttpResponse:
    given = given_by(request)
    await asyncio.gather(sync_to_async(given)(), sync_to_async(given)())
    return HttpResponse()


async def response_view(request: HttpRequest) -> HttpResponse:
    return cast("HttpResponse", given_by(request)(request))


async def stream_view(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(given_by(request)())


urlpatterns = [
    path("sync/", sync_view),
    path("async/", async_view),
    path("calling/", calling_view),
    path("gathering/", gathering_view),
    path("response/", response_view),
    path("stream/", stream_view),
    path("reports/<int:year>/", sync_view),
]

THIS = __name__


class SyncMiddleware:
    """A sync-only middleware, as Django's own once were."""

    sync_capable = True
    async_capable = False

    def __init__(self, get_response: View) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        given_by(request)()
        return self.get_response(request)


class Reading(SyncMiddleware):
    """Passes the request to the function that the test gave."""

    def __call__(self, request: HttpRequest) -> HttpResponse:
        cast("Any", request).scope["state"]["reads"](request)
        return self.get_response(request)


Django = Callable[..., RecordedApp]


@pytest.fixture
def django() -> Iterator[Django]:
    """A function that makes a Django with the pages above and the given MIDDLEWARE."""

    def django(*middleware: str) -> RecordedApp:
        with override_settings(MIDDLEWARE=middleware):
            return recording(get_asgi_application())

    with override_settings(ALLOWED_HOSTS=["testserver"], ROOT_URLCONF=THIS):
        yield django


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The database settings for an SQLite file, which a test may change before it connects."""
    settings: dict[str, Any] = connections.settings["default"]
    monkeypatch.setitem(settings, "NAME", str(tmp_path / "db.sqlite3"))
    for name in ("CONN_MAX_AGE", "CONN_HEALTH_CHECKS", "ATOMIC_REQUESTS"):
        monkeypatch.setitem(settings, name, settings[name])
    return settings


@asynccontextmanager
async def pooled(app: ASGIApp, **options: Any) -> AsyncGenerator[tuple[ASGIApp, ThreadPool]]:
    async with ThreadPool(**options) as pool:
        yield ThreadPoolMiddleware(app, pool=pool), pool


async def get(app: ASGIApp, target: str, given: object, **options: Any) -> Any:
    return await request(
        app, target=target, scope={"state": {"given": given}}, timeout=PATIENCE, **options
    )


# --- the thread of a request ---

both = pytest.mark.parametrize("in_pool", [False, True], ids=["plain", "pooled"])
calling = pytest.mark.parametrize(
    ("target", "middleware", "calls"),
    [
        pytest.param("/sync/", [], 1, id="sync view"),
        pytest.param("/calling/", [], 4, id="async view"),
        pytest.param("/calling/", ["SyncMiddleware"], 5, id="sync middleware, async view"),
        pytest.param("/sync/", ["SyncMiddleware"], 2, id="sync middleware, sync view"),
    ],
)


@both
@calling
async def test_a_request_makes_all_its_calls_on_one_thread(
    target: str, middleware: list[str], calls: int, in_pool: bool, django: Django
) -> None:
    threads: list[Thread] = []

    def given() -> str:
        threads.append(threading.current_thread())
        return ""

    app: ASGIApp = django(*(f"{THIS}.{name}" for name in middleware))
    async with AsyncExitStack() as stack:
        if in_pool:
            app, _ = await stack.enter_async_context(pooled(app))
        await get(app, target, given)

    assert len(threads) == calls
    assert len(set(threads)) == 1


@calling
async def test_concurrent_requests_have_one_thread_each(
    target: str, middleware: list[str], calls: int, django: Django
) -> None:
    # All requests make each call together, so none can use the thread of another in between.
    together = threading.Barrier(4, timeout=PATIENCE)
    threads: list[list[Thread]] = [[] for _ in range(4)]

    def given_to(number: int) -> Callable[[], str]:
        def given() -> str:
            together.wait()
            threads[number].append(threading.current_thread())
            return ""

        return given

    app: ASGIApp = django(*(f"{THIS}.{name}" for name in middleware))
    async with pooled(app, size=4, max_overflow=0) as (app, _):
        await asyncio.gather(*(get(app, target, given_to(number)) for number in range(4)))

    assert [len(used) for used in threads] == [calls] * 4
    assert [len(set(used)) for used in threads] == [1] * 4
    assert len({used[0] for used in threads}) == 4


@both
async def test_a_stream_makes_all_its_calls_on_one_thread(in_pool: bool, django: Django) -> None:
    threads: list[Thread] = []

    def note() -> None:
        threads.append(threading.current_thread())

    async def parts() -> AsyncGenerator[bytes]:
        for _ in range(3):
            await sync_to_async(note)()
            yield b"part"
            await asyncio.sleep(0)

    app: ASGIApp = django()
    async with AsyncExitStack() as stack:
        if in_pool:
            app, _ = await stack.enter_async_context(pooled(app))
        await get(app, "/stream/", parts)

    assert len(threads) == 3
    assert len(set(threads)) == 1


@both
async def test_receivers_of_signals_are_called_on_the_thread_of_the_request(
    in_pool: bool, django: Django
) -> None:
    threads: list[Thread] = []

    def note(**_: object) -> None:
        threads.append(threading.current_thread())

    async def given() -> str:
        await sync_to_async(note)()
        return ""

    request_started.connect(note)
    request_finished.connect(note)
    try:
        app: ASGIApp = django()
        async with AsyncExitStack() as stack:
            if in_pool:
                app, _ = await stack.enter_async_context(pooled(app))
            await get(app, "/async/", given)
    finally:
        request_started.disconnect(note)
        request_finished.disconnect(note)

    assert len(threads) == 3
    assert len(set(threads)) == 1


# --- requests that need no thread ---


async def test_a_thousand_waiting_views_hold_no_thread(django: Django) -> None:
    let_go = asyncio.Event()
    waiting = 0

    async def given() -> str:
        nonlocal waiting
        waiting += 1
        await let_go.wait()
        return "done"

    before = threading.active_count()
    async with pooled(django(), size=2, max_overflow=0) as (app, pool):
        requests = [asyncio.create_task(get(app, "/async/", given)) for _ in range(1000)]
        await until(lambda: waiting == 1000)
        assert threading.active_count() <= before
        assert pool.statistics() == (0, 0, 0, 0)
        let_go.set()
        responses = await asyncio.gather(*requests)

        assert threading.active_count() <= before + 2
    assert [response.body for response in responses] == [b"done"] * 1000


@pytest.mark.parametrize(
    ("middleware", "streams", "leased"),
    [
        pytest.param([], "keep", 0, id="make no sync calls"),
        pytest.param(["Sessions"], "release", 0, id="give their threads back"),
        pytest.param(["Sessions"], "keep", 50, id="keep their threads"),
    ],
)
async def test_fifty_idle_streams_leave_the_pool_to_other_requests(
    middleware: list[str], streams: str, leased: int, django: Django
) -> None:
    waiting = 0
    let_go = asyncio.Event()

    async def events() -> AsyncGenerator[bytes]:
        nonlocal waiting
        for _ in range(2):
            waiting += 1
            await let_go.wait()
            yield b"data: event\n\n"

    options: dict[str, Any] = {"size": 2, "max_overflow": 0, "streams": streams}
    async with (
        pooled(django(*(f"{THIS}.{name}" for name in middleware)), **options) as (app, pool),
        AsyncExitStack() as stack,
    ):
        for _ in range(50):
            scope = {"state": {"given": events}}
            exchange = await stack.enter_async_context(
                stream(app, target="/stream/", scope=scope, timeout=PATIENCE)
            )
            exchange.send_body(b"", more_body=False)
        await until(lambda: waiting == 50)
        await until(lambda: pool.statistics().leased == leased)
        assert (await get(app, "/sync/", lambda: "served")).body == b"served"
        let_go.set()
        await until(lambda: waiting == 100)


class Sessions:
    """An async middleware that calls sync code, as Django's own do."""

    async_capable = True
    sync_capable = False

    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response
        markcoroutinefunction(self)

    async def __call__(self, request: HttpRequest) -> HttpResponse:
        await sync_to_async(threading.current_thread)()
        return cast("HttpResponse", await self.get_response(request))


def test_only_django_receives_the_signals_at_the_start_and_the_end_of_a_request() -> None:
    # The pool relies on this: it skips these receivers, and does their work when it lends a thread.
    started, _ = request_started._live_receivers(sender=None)
    finished, _ = request_finished._live_receivers(sender=None)

    assert set(started) == {reset_queries, close_old_connections}
    assert set(finished) == {close_old_connections, close_caches, reset_urlconf}


async def test_an_async_view_without_sync_calls_needs_no_thread(django: Django) -> None:
    response = HttpResponse("done")
    requests: list[Any] = []

    def given(request: HttpRequest) -> HttpResponse:
        requests.append(request)
        return response

    async with pooled(django()) as (app, pool):
        received = await get(app, "/response/", given)

        assert pool.statistics() == (0, 0, 0, 0)
    assert received.body == b"done"
    assert response.closed
    assert requests[0]._stream.closed


def closing(response: Any) -> HttpResponse:
    response._resource_closers.append(lambda: None)
    return cast("HttpResponse", response)


class OwnClose(HttpResponse):
    def close(self) -> None:
        super().close()


def with_an_upload(request: HttpRequest) -> HttpResponse:
    assert request.FILES["file"]
    return HttpResponse()


@pytest.mark.parametrize(
    "given",
    [
        pytest.param(lambda _: closing(HttpResponse()), id="a response with more to close"),
        pytest.param(lambda _: OwnClose(), id="a response with its own close()"),
        pytest.param(with_an_upload, id="an upload"),
    ],
)
async def test_a_request_that_has_something_to_close_ends_on_a_thread(
    given: Any, django: Django
) -> None:
    upload = (
        b'--limit\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\ntext'
        b"\r\n--limit--\r\n"
    )
    headers = {"content-type": "multipart/form-data; boundary=limit"}

    async with pooled(django()) as (app, pool):
        response = await get(app, "/response/", given, method="POST", headers=headers, body=upload)

        assert pool.statistics().idle == 1
    assert response.status == 200


async def test_a_cache_that_was_used_is_closed_on_a_thread(django: Django) -> None:
    app = django()

    async def using(scope: Scope, receive: Receive, send: Send) -> None:
        caches["default"]
        await app(scope, receive, send)

    async with pooled(using) as (pooled_app, pool):
        await get(pooled_app, "/response/", lambda _: HttpResponse())

        assert pool.statistics().idle == 1


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
async def test_a_projects_own_receiver_is_called_at_the_end_of_a_request(
    is_async: bool, django: Django
) -> None:
    called: list[object] = []

    def note(**_: object) -> None:
        called.append("sync")

    async def note_async(**_: object) -> None:
        called.append("async")

    receiver = note_async if is_async else note
    request_finished.connect(receiver)
    try:
        async with pooled(django()) as (app, _):
            await get(app, "/response/", lambda _: HttpResponse())
    finally:
        request_finished.disconnect(receiver)

    assert called == ["async" if is_async else "sync"]


async def test_a_receiver_of_another_signal_is_called_on_a_thread(django: Django) -> None:
    signal = Signal()
    signal.connect(close_old_connections)
    leased: list[int] = []

    async with pooled(django()) as (app, pool):

        async def given() -> str:
            await signal.asend(sender=None)
            leased.append(pool.statistics().leased)
            return ""

        await get(app, "/async/", given)

    assert leased == [1]


# --- how many threads ---

CONCURRENT = 200


async def test_plain_django_starts_a_thread_for_each_of_200_views(django: Django) -> None:
    all_at_once = threading.Barrier(CONCURRENT, timeout=PATIENCE)
    threads: set[Thread] = set()

    def given() -> str:
        all_at_once.wait()
        threads.add(threading.current_thread())
        return ""

    app = django()
    await asyncio.gather(*(get(app, "/sync/", given) for _ in range(CONCURRENT)))

    assert len(threads) == CONCURRENT


async def test_200_views_share_the_threads_of_a_pool(
    django: Django, monkeypatch: pytest.MonkeyPatch
) -> None:
    # However slow the machine is, none of them rests.
    monkeypatch.setattr("asgi_middleware.thread_pool.pool.REST", PATIENCE)
    # 200 is a multiple of 10, so every view meets nine others.
    all_at_once = threading.Barrier(10, timeout=PATIENCE)
    threads: set[Thread] = set()

    def given() -> str:
        all_at_once.wait()
        threads.add(threading.current_thread())
        return ""

    before = threading.active_count()
    async with pooled(django(), size=8, max_overflow=2) as (app, _):
        await asyncio.gather(*(get(app, "/sync/", given) for _ in range(CONCURRENT)))
        assert threading.active_count() <= before + 10

    assert len(threads) <= 12
    assert len(threads) >= 10


# --- when all threads are lent ---


@pytest.fixture
def finished() -> Iterator[list[Thread]]:
    """The threads on which request_finished was received."""
    threads: list[Thread] = []

    def note(**_: object) -> None:
        threads.append(threading.current_thread())

    request_finished.connect(note)
    yield threads
    request_finished.disconnect(note)


@pytest.mark.parametrize("target", ["/sync/", "/calling/", "/gathering/"])
async def test_a_refused_request_ends_as_if_its_client_had_left(
    target: str, django: Django, finished: list[Thread], caplog: pytest.LogCaptureFixture
) -> None:
    call, unwanted = Blocking(), Blocking()
    app: ASGIApp = django()
    logging.getLogger().addHandler(caplog.handler)  # django.setup() has removed it

    async with pooled(app, size=1, max_overflow=0, timeout=0.05) as (app, pool):
        first = asyncio.create_task(get(app, "/sync/", lambda: str(call())))
        await call.begins()
        scope = {"state": {"given": unwanted}}
        async with stream(app, target=target, scope=scope, timeout=PATIENCE) as exchange:
            exchange.send_body(b"", more_body=False)
            start = await exchange.message()
            assert start["status"] == 503
            assert (b"retry-after", b"1") in start["headers"]
            # The calls that end the request must wait, but are not refused.
            await until(lambda: pool.statistics().waiting == 1)
            assert len(finished) == 0
            call.let_go.set()
        await first

    assert len(finished) == 2
    assert not unwanted.begun.is_set()
    assert [record.name for record in caplog.records] == ["asgi_middleware.thread_pool"]


async def test_a_view_that_goes_on_without_its_client_can_read_the_body(django: Django) -> None:
    call = Blocking()
    bodies: list[bytes] = []

    def read(request: HttpRequest) -> None:
        call()
        bodies.append(request.body)

    async with pooled(django(f"{THIS}.Reading"), size=2, max_overflow=0) as (app, _):
        scope = {"state": {"given": str, "reads": read}}
        async with stream(
            app, method="POST", target="/sync/", scope=scope, timeout=PATIENCE
        ) as exchange:
            exchange.send_body(b"the body", more_body=False)
            await call.begins()
            exchange.disconnect()
            await asyncio.sleep(0.05)
            call.let_go.set()

    assert bodies == [b"the body"]


async def test_the_log_names_the_route_of_a_view_that_goes_on_without_its_client(
    django: Django, caplog: pytest.LogCaptureFixture
) -> None:
    call = Blocking()
    app: ASGIApp = django()
    logging.getLogger().addHandler(caplog.handler)  # django.setup() has removed it

    async with pooled(app, size=1, max_overflow=0, timeout=0.05) as (app, _):
        scope = {"state": {"given": lambda: str(call())}}
        target = "/reports/2026/"
        async with stream(app, target=target, scope=scope, timeout=PATIENCE) as exchange:
            exchange.send_body(b"", more_body=False)
            await call.begins()
            exchange.disconnect()
            assert (await get(app, "/sync/", str)).status == 503
            call.let_go.set()

    [line] = caplog.messages
    route = re.escape("at work: GET /reports/2026/ (/reports/<int:year>/)")
    assert re.search(rf"{route} for \d+ s$", line)


@pytest.mark.parametrize("target", ["/sync/", "/async/"])
async def test_refused_requests_end_even_if_no_thread_comes_back(
    target: str, django: Django
) -> None:
    call = Blocking()

    async def given() -> str:
        return await sync_to_async(str)()

    async with pooled(django(), size=1, max_overflow=0, timeout=0.05) as (app, pool):
        first = asyncio.create_task(get(app, "/sync/", lambda: str(call())))
        await call.begins()
        for _ in range(3):
            responses = await asyncio.gather(*(get(app, target, given) for _ in range(20)))
            assert [response.status for response in responses] == [503] * 20
        assert pool.statistics() == (1, 0, 0, 0)
        call.let_go.set()
        await first


async def test_the_end_of_a_request_is_never_refused(
    django: Django, finished: list[Thread]
) -> None:
    call = Blocking()

    async def given() -> str:
        return "no sync call"

    async with pooled(django(), size=1, max_overflow=0, timeout=0.05) as (app, pool):
        first = asyncio.create_task(get(app, "/sync/", lambda: str(call())))
        await call.begins()
        second = asyncio.create_task(get(app, "/async/", given))
        await until(lambda: pool.statistics().waiting == 1)
        await asyncio.sleep(0.1)  # longer than any other call would wait
        call.let_go.set()

        assert (await second).body == b"no sync call"
        await first
    assert len(finished) == 2


# --- the connections of a thread ---


def query() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 42")
        return str(cursor.fetchone()[0])


def remembering(made: list[Any]) -> Callable[[], str]:
    """Return a function that makes a query and adds its connection to *made*."""

    def given() -> str:
        text = query()
        made.append(connection.connection)
        return text

    return given


@pytest.mark.parametrize(
    ("age", "connections_made"),
    [
        pytest.param(0, 5, id="closed after each request"),
        pytest.param(60, 1, id="kept for a minute"),
        pytest.param(None, 1, id="kept forever"),
    ],
)
async def test_a_connection_is_kept_as_long_as_conn_max_age_says(
    age: int | None, connections_made: int, django: Django, database: dict[str, Any]
) -> None:
    database["CONN_MAX_AGE"] = age
    made: list[Any] = []

    async with pooled(django()) as (app, _):
        for _ in range(5):
            assert (await get(app, "/sync/", remembering(made))).body == b"42"

    assert len({id(each) for each in made}) == connections_made


async def test_there_are_at_most_as_many_connections_as_threads(
    django: Django, database: dict[str, Any]
) -> None:
    database["CONN_MAX_AGE"] = None
    made: list[Any] = []

    async with pooled(django(), size=2, max_overflow=0) as (app, _):
        await asyncio.gather(*(get(app, "/sync/", remembering(made)) for _ in range(50)))

    assert len(made) == 50
    assert 1 <= len({id(each) for each in made}) <= 2


async def test_a_connection_that_is_too_old_is_closed_before_its_thread_is_lent(
    django: Django, database: dict[str, Any]
) -> None:
    database["CONN_MAX_AGE"] = 60
    made: list[Any] = []

    def ageing() -> str:
        text = remembering(made)()
        # The connection gets too old only after this request has ended.
        request_finished.connect(expire)
        return text

    def expire(**_: object) -> None:
        connection.close_at = 0.0

    async with pooled(django()) as (app, _):
        await get(app, "/sync/", ageing)
        request_finished.disconnect(expire)
        await get(app, "/sync/", remembering(made))

    assert len({id(each) for each in made}) == 2


async def test_a_connections_health_is_checked_once_for_each_request(
    django: Django, database: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    database.update(CONN_MAX_AGE=None, CONN_HEALTH_CHECKS=True)
    checks: list[Thread] = []

    def is_usable(_: object) -> bool:
        checks.append(threading.current_thread())
        return True

    monkeypatch.setattr(type(connections["default"]), "is_usable", is_usable)

    async with pooled(django()) as (app, _):
        for _ in range(3):
            await get(app, "/sync/", lambda: query() + query())

    # The first request has a new connection, which needs no check.
    assert len(checks) == 2


async def test_a_request_does_not_see_the_queries_of_an_earlier_one(
    django: Django, database: dict[str, Any]
) -> None:
    database["CONN_MAX_AGE"] = None

    def given() -> str:
        query()
        return str(len(connection.queries))

    with override_settings(DEBUG=True):
        async with pooled(django()) as (app, _):
            counts = [(await get(app, "/sync/", given)).body for _ in range(3)]

    assert counts == [b"1", b"1", b"1"]


async def test_a_transaction_that_a_request_leaves_open_is_rolled_back(
    django: Django, database: dict[str, Any]
) -> None:
    database["CONN_MAX_AGE"] = None

    def create() -> str:
        with connection.cursor() as cursor:
            cursor.execute("CREATE TABLE notes (text)")
        return ""

    def leaving() -> str:
        transaction.atomic().__enter__()
        with connection.cursor() as cursor:
            cursor.execute("INSERT INTO notes VALUES ('lost')")
        return ""

    def looking() -> str:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM notes")
            return f"{cursor.fetchone()[0]} {connection.in_atomic_block}"

    async with pooled(django()) as (app, _):
        await get(app, "/sync/", create)
        await get(app, "/sync/", leaving)
        assert (await get(app, "/sync/", looking)).body == b"0 False"


@pytest.mark.parametrize("fails", [False, True])
async def test_with_atomic_requests_a_view_that_fails_writes_nothing(
    fails: bool, django: Django, database: dict[str, Any]
) -> None:
    def create() -> str:
        with connection.cursor() as cursor:
            cursor.execute("CREATE TABLE notes (text)")
        return ""

    def writing() -> str:
        with connection.cursor() as cursor:
            cursor.execute("INSERT INTO notes VALUES ('kept')")
        if fails:
            raise ValueError("mine")
        return str(connection.in_atomic_block)

    def counting() -> str:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM notes")
            return str(cursor.fetchone()[0])

    async with pooled(django()) as (app, _):
        await get(app, "/sync/", create)
        database["ATOMIC_REQUESTS"] = True
        connections["default"].settings_dict["ATOMIC_REQUESTS"] = True
        response = await get(app, "/sync/", writing)
        assert (response.status, response.body == b"True") == (
            (500, False) if fails else (200, True)
        )
        counted = await get(app, "/sync/", counting)

    assert counted.body == (b"0" if fails else b"1")


async def test_a_pool_that_is_closed_closes_the_connections_of_all_its_threads(
    django: Django, database: dict[str, Any]
) -> None:
    database["CONN_MAX_AGE"] = None
    wrappers: list[Any] = []
    together = threading.Barrier(3, timeout=PATIENCE)

    def given() -> str:
        wrappers.append(connections["default"])
        together.wait()
        return query()

    async with pooled(django(), size=3) as (app, _):
        await asyncio.gather(*(get(app, "/sync/", given) for _ in range(3)))
        assert [each.connection is None for each in wrappers] == [False] * 3

    assert len(set(map(id, wrappers))) == 3
    assert [each.connection is None for each in wrappers] == [True] * 3


async def test_an_overflow_thread_closes_its_connections_when_it_ends(
    django: Django, database: dict[str, Any]
) -> None:
    database["CONN_MAX_AGE"] = None
    wrappers: list[Any] = []
    together = threading.Barrier(3, timeout=PATIENCE)

    def given() -> str:
        wrappers.append(connections["default"])
        together.wait()
        return query()

    async with pooled(django(), size=1) as (app, pool):
        await asyncio.gather(*(get(app, "/sync/", given) for _ in range(3)))
        await until(lambda: pool.statistics() == (0, 1, 0, 0))
        await until(lambda: sum(each.connection is None for each in wrappers) == 2)


async def test_without_persistent_connections_an_idle_thread_has_none(
    django: Django, database: dict[str, Any]
) -> None:
    # These calls are not part of a Django request, so Django does not close the connection.
    wrappers: list[Any] = []

    def given() -> str:
        wrappers.append(connections["default"])
        return query()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await sync_to_async(given)()

    async with ThreadPool() as pool:
        middleware: Any = ThreadPoolMiddleware(app, pool=pool)
        await middleware({"type": "channel"}, None, None)
        await until(lambda: wrappers[0].connection is None)
        await middleware({"type": "http"}, None, None)
        await until(lambda: wrappers[1].connection is None)


# --- tasks, views and sockets that last longer ---


async def test_a_task_that_outlives_its_request_may_query(
    django: Django, database: dict[str, Any]
) -> None:
    let_go = asyncio.Event()
    tasks: list[asyncio.Task[str]] = []

    async def outliving() -> str:
        await let_go.wait()
        return await sync_to_async(query)()

    async def given() -> str:
        tasks.append(asyncio.create_task(outliving()))
        return await sync_to_async(query)()

    async with pooled(django(), size=1, max_overflow=0) as (app, pool):
        await get(app, "/async/", given)
        let_go.set()

        assert await tasks[0] == "42"
        assert pool.statistics() == (0, 1, 0, 0)


async def test_a_view_that_outlives_its_client_keeps_its_thread(
    django: Django, finished: list[Thread]
) -> None:
    call = Blocking()
    used: list[Thread] = []

    def given() -> str:
        used.append(threading.current_thread())
        return ""

    async with pooled(django(), size=2, max_overflow=0) as (app, pool):
        scope = {"state": {"given": lambda: str(call())}}
        async with stream(app, target="/sync/", scope=scope, timeout=PATIENCE) as exchange:
            exchange.send_body(b"", more_body=False)
            await call.begins()
            exchange.disconnect()
            for _ in range(3):
                await get(app, "/sync/", given)
            assert pool.statistics().leased == 1
            call.let_go.set()

    assert len(set(used)) == 1
    assert used[0] is not finished[-1]


class Querying(AsyncConsumer):  # type: ignore[misc]
    """A consumer whose query waits until three other consumers query as well."""

    together: threading.Barrier

    async def websocket_connect(self, message: object) -> None:
        await self.send({"type": "websocket.accept"})
        text = await database_sync_to_async(self._query)()
        await self.send({"type": "websocket.send", "text": text})

    def _query(self) -> str:
        self.together.wait()
        return query()

    async def websocket_disconnect(self, message: object) -> None:
        raise StopConsumer


class QueryingSync(SyncConsumer):  # type: ignore[misc]
    """The same as a sync consumer."""

    together: threading.Barrier

    def websocket_connect(self, message: object) -> None:
        self.send({"type": "websocket.accept"})
        self.together.wait()
        self.send({"type": "websocket.send", "text": query()})

    def websocket_disconnect(self, message: object) -> None:
        raise StopConsumer


@pytest.mark.parametrize("consumer", [Querying, QueryingSync])
async def test_consumers_query_at_the_same_time(
    consumer: Any, database: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    together = threading.Barrier(4, timeout=PATIENCE)
    monkeypatch.setattr(consumer, "together", together, raising=False)

    async def converse(app: ASGIApp) -> object:
        async with websocket(app) as socket:
            return await socket.receive()

    app = consumer.as_asgi()
    async with pooled(app, size=4, max_overflow=0) as (app, pool):
        assert await asyncio.gather(*(converse(app) for _ in range(4))) == ["42"] * 4
        assert pool.statistics() == (0, 0, 0, 0)


# --- thread switches ---

STOCK = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]


@pytest.mark.parametrize(
    ("target", "middleware", "plain", "in_pool"),
    [
        pytest.param("/async/", [], 2, 0, id="async view"),
        pytest.param("/sync/", [], 3, 1, id="sync view"),
        pytest.param("/async/", STOCK, 15, 13, id="async view, stock middleware"),
        pytest.param("/sync/", STOCK, 16, 14, id="sync view, stock middleware"),
    ],
)
async def test_a_pool_saves_two_thread_switches_for_each_request(
    target: str,
    middleware: list[str],
    plain: int,
    in_pool: int,
    django: Django,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = 0

    def counting(submit: Any) -> Any:
        def counted(*args: Any, **kwargs: Any) -> Any:
            nonlocal calls
            calls += 1
            return submit(*args, **kwargs)

        return counted

    def given() -> Any:
        return asyncio.sleep(0, "") if target == "/async/" else ""

    app = django(*middleware)
    monkeypatch.setattr(ThreadPoolExecutor, "submit", counting(ThreadPoolExecutor.submit))
    monkeypatch.setattr(RequestLease, "_put", counting(RequestLease._put))

    await get(app, target, given)
    of_plain, calls = calls, 0
    async with pooled(app) as (pooled_app, _):
        await get(pooled_app, target, given)

    assert (of_plain, calls) == (plain, in_pool)
