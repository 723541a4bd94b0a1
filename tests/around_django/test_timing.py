"""The record of a request to Django: its route, its queries, its outcome."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIHandler
from django.db import connection, connections
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.test import RequestFactory, override_settings
from django.urls import include, path, re_path
from django.utils.decorators import sync_only_middleware
from django.views import View

from asgi_middleware import TimingMiddleware, current_timing, measure
from asgi_middleware.django import route_middleware, time_database_queries
from asgi_middleware.testing import recording, request, stream
from asgi_middleware.timing import RequestTiming
from asgi_middleware.types import ASGIApp, Message, Receive, Scope, Send
from tests import hops

ROUTE = "asgi_middleware.django.route_middleware"
GetResponse = Callable[[HttpRequest], HttpResponse]


def sync_view(request: HttpRequest, **captured: object) -> HttpResponse:
    return HttpResponse("hello")


async def async_view(request: HttpRequest, **captured: object) -> HttpResponse:
    return HttpResponse("hello")


class ClassBased(View):
    async def get(self, request: HttpRequest) -> HttpResponse:
        with measure("within"):
            await asyncio.sleep(0)
        return HttpResponse("hello")


def raising(request: HttpRequest) -> HttpResponse:
    raise KeyError("mine")


def select(times: int) -> None:
    with connection.cursor() as cursor:
        for _ in range(times):
            cursor.execute("SELECT 1")


def sync_queries(request: HttpRequest) -> HttpResponse:
    select(3)
    return HttpResponse("hello")


async def async_queries(request: HttpRequest) -> HttpResponse:
    await sync_to_async(select)(2)
    await asyncio.gather(sync_to_async(select)(1), sync_to_async(select)(1))
    return HttpResponse("hello")


def own_wrapper(request: HttpRequest) -> HttpResponse:
    def count(execute: Any, *args: Any) -> Any:
        seen.append("mine")
        return execute(*args)

    seen: list[str] = []
    # Opens the connection within the block.
    with connection.execute_wrapper(count):
        select(1)
    select(1)
    return HttpResponse(" ".join(seen))


def failing_query(request: HttpRequest) -> HttpResponse:
    with connection.cursor() as cursor:
        cursor.execute("SELECT nonsense FROM nowhere")
    raise AssertionError


def already_open(request: HttpRequest) -> HttpResponse:
    connection.ensure_connection()
    connection.execute_wrappers.clear()
    select(1)
    time_database_queries()
    select(2)
    return HttpResponse("hello")


def connecting_again(request: HttpRequest) -> HttpResponse:
    select(1)
    connection.close()
    select(1)
    time_database_queries()
    select(1)
    return HttpResponse("hello")


def many(request: HttpRequest) -> HttpResponse:
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE many (number INTEGER)")
        cursor.executemany("INSERT INTO many VALUES (%s)", [(1,), (2,), (3,)])
    return HttpResponse("hello")


class Gate:
    """Where a view signals that it was reached, and where a sync view waits to be released."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.released = threading.Event()
        self.loop = asyncio.get_running_loop()


gate: Gate


async def waiting_async(request: HttpRequest) -> HttpResponse:
    gate.reached.set()
    await asyncio.Event().wait()
    raise AssertionError


def waiting_sync(request: HttpRequest) -> HttpResponse:
    gate.loop.call_soon_threadsafe(gate.reached.set)
    gate.released.wait(30)
    return HttpResponse("too late")


async def waiting_streamed(request: HttpRequest) -> StreamingHttpResponse:
    async def parts() -> AsyncIterator[bytes]:
        yield b"first"
        gate.reached.set()
        await asyncio.Event().wait()

    return StreamingHttpResponse(parts())


@sync_only_middleware
def sync_only(get_response: GetResponse) -> GetResponse:
    def middleware(request: HttpRequest) -> HttpResponse:
        return get_response(request)

    return middleware


@sync_only_middleware
def responding_first(get_response: GetResponse) -> GetResponse:
    return lambda request: HttpResponse("no view needed")


urlpatterns = [
    path("", sync_view),
    path("sync/<int:pk>/", sync_view),
    path("async/<int:pk>/", async_view),
    path("class/", measure("view")(ClassBased.as_view())),
    re_path(r"^year/(?P<year>[0-9]{4})/$", async_view),
    path("shop/", include([path("items/<slug:name>/", async_view)])),
    path("raising/", raising),
    path("sync-queries/", sync_queries),
    path("async-queries/", async_queries),
    path("own-wrapper/", own_wrapper),
    path("failing-query/", failing_query),
    path("already-open/", already_open),
    path("connecting-again/", connecting_again),
    path("many/", many),
    path("waiting/async/", waiting_async),
    path("waiting/sync/", waiting_sync),
    path("waiting/stream/", waiting_streamed),
]


@pytest.fixture(autouse=True)
def _project() -> Iterator[None]:
    with override_settings(
        ROOT_URLCONF=__name__, MIDDLEWARE=[ROUTE], ALLOWED_HOSTS=["*"], DEBUG=False
    ):
        yield


@pytest.fixture
def _queries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Time queries to the test's own database. The timing stays on, which harms no other test."""
    monkeypatch.setitem(connections.settings["default"], "NAME", str(tmp_path / "db.sqlite3"))
    time_database_queries()


def timed(**options: Any) -> tuple[ASGIApp, list[Any]]:
    """Return Django inside the middleware, and a list that collects its records."""
    found: list[Any] = []
    return TimingMiddleware(recording(ASGIHandler()), observers=[found.append], **options), found


async def measured(target: str, **options: Any) -> RequestTiming:
    """Return the record of one request to Django."""
    app, records = timed()
    await request(app, "GET", target, **options)
    [record] = records
    assert isinstance(record, RequestTiming)
    return record


@pytest.mark.parametrize(
    ("target", "route"),
    [
        pytest.param("/sync/7/", "sync/<int:pk>/", id="sync view"),
        pytest.param("/async/7/", "async/<int:pk>/", id="async view"),
        pytest.param("/", "/", id="the empty pattern"),
        pytest.param("/year/2024/", r"^year/(?P<year>[0-9]{4})/$", id="regular expression"),
        pytest.param("/shop/items/a-b/", "shop/items/<slug:name>/", id="included"),
        pytest.param("/raising/", "raising/", id="view that raises"),
        pytest.param("/missing/7/", "unmatched", id="404"),
    ],
)
@pytest.mark.parametrize(
    "middleware",
    [
        pytest.param([ROUTE], id="alone"),
        pytest.param([ROUTE, f"{__name__}.sync_only"], id="as sync code"),
    ],
)
async def test_the_route_is_the_pattern(target: str, route: str, middleware: list[str]) -> None:
    with override_settings(MIDDLEWARE=middleware):
        record = await measured(target)

    assert record.route == route
    assert record.status == {"/raising/": 500, "/missing/7/": 404}.get(target, 200)


async def test_a_response_of_another_middleware_is_unmatched() -> None:
    with override_settings(MIDDLEWARE=[ROUTE, f"{__name__}.responding_first"]):
        assert (await measured("/sync/7/")).route == "unmatched"


async def test_without_the_middleware_the_route_is_unmatched() -> None:
    with override_settings(MIDDLEWARE=[]):
        assert (await measured("/sync/7/")).route == "unmatched"


def test_route_middleware_does_nothing_under_wsgi() -> None:
    response = route_middleware(sync_view)(RequestFactory().get("/sync/7/"))

    assert isinstance(response, HttpResponse)
    assert current_timing() is None


@pytest.mark.parametrize("target", ["/sync/7/", "/async/7/"], ids=["sync view", "async view"])
@pytest.mark.parametrize(
    "others",
    [
        pytest.param([], id="no other middleware"),
        pytest.param([f"{__name__}.sync_only"], id="sync middleware"),
    ],
)
async def test_finding_the_route_causes_no_thread_switch(
    target: str, others: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = hops.noted(monkeypatch)
    counts: list[int] = []
    for middleware in (others, [ROUTE, *others], [*others, ROUTE]):
        changes.clear()
        with override_settings(MIDDLEWARE=middleware):
            await measured(target)
        counts.append(len(changes))

    assert counts[0] > 0
    assert counts == [counts[0]] * 3


async def test_a_class_based_view_becomes_a_phase() -> None:
    record = await measured("/class/")

    assert [phase.name for phase in record.phases] == ["within", "view"]


@pytest.mark.parametrize(
    ("target", "queries"),
    [
        pytest.param("/sync-queries/", 3, id="sync view"),
        pytest.param("/async-queries/", 4, id="async view"),
        pytest.param("/failing-query/", 1, id="query that fails"),
        pytest.param("/many/", 2, id="executemany counts once"),
        pytest.param("/sync/7/", 0, id="none"),
    ],
)
@pytest.mark.usefixtures("_queries")
async def test_the_queries_of_a_request_are_counted(target: str, queries: int) -> None:
    record = await measured(target)

    assert record.database_queries == queries
    assert (record.database_time > 0) == (queries > 0)
    assert record.database_time <= (record.duration or 0)


@pytest.mark.usefixtures("_queries")
async def test_the_time_of_queries_is_measured_with_the_clock_of_the_record() -> None:
    ticks = count()
    app, records = timed(clock=lambda: next(ticks), server_timing=True)

    response = await request(app, "GET", "/sync-queries/")

    # Two readings of the clock for each query.
    assert [record.database_time for record in records] == [3]
    assert response.get(b"server-timing") == b'app;dur=7000.0, db;dur=3000.0;desc="3 queries"'


@pytest.mark.usefixtures("_queries")
async def test_concurrent_requests_are_counted_separately() -> None:
    records = await asyncio.gather(*(measured("/sync-queries/") for _ in range(5)))

    assert [record.database_queries for record in records] == [3] * 5


@pytest.mark.usefixtures("_queries")
async def test_a_second_call_of_time_database_queries_counts_nothing_twice() -> None:
    time_database_queries()

    assert (await measured("/connecting-again/")).database_queries == 3


@pytest.mark.usefixtures("_queries")
async def test_an_execute_wrapper_of_the_view_keeps_working() -> None:
    app, records = timed()

    response = await request(app, "GET", "/own-wrapper/")

    assert response.text == "mine"
    assert [record.database_queries for record in records] == [2]


@pytest.mark.usefixtures("_queries")
async def test_queries_on_an_open_connection_are_counted() -> None:
    assert (await measured("/already-open/")).database_queries == 2


@pytest.mark.usefixtures("_queries")
def test_a_query_outside_a_request_is_not_counted() -> None:
    try:
        select(1)
    finally:
        connection.close()

    assert current_timing() is None


@pytest.mark.parametrize(
    ("target", "status", "route"),
    [
        pytest.param("/waiting/async/", None, "waiting/async/", id="async view"),
        pytest.param("/waiting/sync/", None, "waiting/sync/", id="sync view"),
        pytest.param("/waiting/stream/", 200, "waiting/stream/", id="stream"),
    ],
)
async def test_a_client_that_leaves_causes_one_record_of_a_disconnect(
    target: str, status: int | None, route: str
) -> None:
    global gate
    gate = Gate()
    disconnected = asyncio.Event()

    async def listening_django(scope: Scope, receive: Receive, send: Send) -> None:
        async def listening() -> Message:
            message = await receive()
            if message["type"] == "http.disconnect":
                disconnected.set()
            return message

        await ASGIHandler()(scope, listening, send)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

    records: list[Any] = []
    app = TimingMiddleware(recording(listening_django), observers=[records.append])
    try:
        async with stream(app, "GET", target) as exchange:
            exchange.send_body(b"", more_body=False)
            await asyncio.wait_for(gate.reached.wait(), 30)
            exchange.disconnect()
            await asyncio.wait_for(disconnected.wait(), 30)
            # Django cancels its view within a few callbacks. After that, the thread may end.
            for _ in range(20):
                await asyncio.sleep(0)
            gate.released.set()
            await exchange.finish()
    finally:
        gate.released.set()

    [record] = records
    assert (record.outcome, record.status, record.route) == ("disconnect", status, route)


async def test_a_client_that_leaves_during_its_upload_is_a_disconnect() -> None:
    # Django waits for the first message, which never comes.
    record = await measured("/sync/7/", disconnect_at=1)

    assert (record.outcome, record.status, record.exception) == ("disconnect", None, None)


async def test_a_disconnect_after_the_response_does_not_count() -> None:
    # Django 5.2 receives one each time, because it listens while it sends.
    record = await measured("/async/7/")

    assert (record.outcome, record.status) == ("ok", 200)
