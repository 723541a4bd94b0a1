"""Limits around a real Django: bodies that it does not read, and views that nobody waits for."""

import asyncio
import logging
import tempfile
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import Any, cast

import pytest
from channels.consumer import SyncConsumer  # type: ignore[import-untyped]
from channels.exceptions import StopConsumer  # type: ignore[import-untyped]
from channels.generic.http import AsyncHttpConsumer  # type: ignore[import-untyped]
from django.conf import global_settings
from django.core.asgi import get_asgi_application
from django.core.signals import request_finished, request_started
from django.dispatch import Signal
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.test import override_settings
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from asgi_middleware import (
    Drain,
    LifespanMiddleware,
    RequestBodyLimitMiddleware,
    RequestTimeoutMiddleware,
    ThreadPool,
    ThreadPoolMiddleware,
    TimingMiddleware,
)
from asgi_middleware.django import get_asgi_application as our_application
from asgi_middleware.testing import Response, lifespan, recording, request, stream
from asgi_middleware.testing.recording import RecordedApp
from asgi_middleware.timing.record import Timing
from asgi_middleware.types import ASGIApp, Message, Receive, Scope, Send

MIB = 1024 * 1024
CSRF = ["django.middleware.common.CommonMiddleware", "django.middleware.csrf.CsrfViewMiddleware"]

# The timeout of a late view, in seconds. Even on a slow machine, the view has begun by then.
LATE = 0.5

seen: dict[str, Any] = {}


def protected(request: HttpRequest) -> HttpResponse:
    return HttpResponse("posted")


@csrf_exempt
def size(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(len(request.body)))


@csrf_exempt
def upload(request: HttpRequest) -> HttpResponse:
    file = cast("Any", request.FILES["f"])
    return HttpResponse(f"{type(file).__name__} {file.size}")


@csrf_exempt
async def patient(request: HttpRequest) -> HttpResponse:
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        seen["cancelled"] = True
        raise
    return HttpResponse("late")


@csrf_exempt
async def catches(request: HttpRequest) -> HttpResponse:
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        await asyncio.sleep(0)
    return HttpResponse("late")


@csrf_exempt
async def breaks(request: HttpRequest) -> HttpResponse:
    try:
        await asyncio.sleep(60)
    finally:
        raise LookupError("of the view")


@csrf_exempt
async def late_stream(request: HttpRequest) -> StreamingHttpResponse:
    await asyncio.sleep(60)
    return StreamingHttpResponse(parts())


@csrf_exempt
def stubborn(request: HttpRequest) -> HttpResponse:
    seen["begun"] = seen.get("begun", 0) + 1
    seen["go"].wait(30)
    seen["ran on"] = True
    return HttpResponse("late")


async def parts() -> AsyncIterator[bytes]:
    for _ in range(3):
        await asyncio.sleep(seen.get("pause", 0.0))
        yield b"part "


@csrf_exempt
async def streaming(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(parts())


class SizeConsumer(AsyncHttpConsumer):  # type: ignore[misc]
    """Responds with the size of the body; at /late/, later."""

    async def handle(self, body: bytes) -> None:
        if self.scope["path"] == "/late/":
            await asyncio.sleep(0.4)
        await self.send_response(200, str(len(body)).encode())

    async def disconnect(self) -> None:
        seen["disconnect"] = True


class InThread(SyncConsumer):  # type: ignore[misc]
    """Responds from a thread."""

    def http_request(self, message: dict[str, Any]) -> None:
        self.send({"type": "http.response.start", "status": 200, "headers": []})
        self.send({"type": "http.response.body", "body": b"in a thread"})
        raise StopConsumer


urlpatterns = [
    path("protected/", protected),
    path("size/", size),
    path("upload/", upload),
    path("patient/", patient),
    path("stubborn/", stubborn),
    path("streaming/", streaming),
    path("late-stream/", late_stream),
    path("catches/", catches),
    path("breaks/", breaks),
]


@pytest.fixture
def django_app() -> Iterator[RecordedApp]:
    seen.clear()
    seen["go"] = threading.Event()
    with override_settings(
        ROOT_URLCONF=__name__,
        MIDDLEWARE=CSRF,
        ALLOWED_HOSTS=["testserver"],
        APPEND_SLASH=False,
        DEBUG=False,
    ):
        yield recording(get_asgi_application())


@contextmanager
def spooled(monkeypatch: pytest.MonkeyPatch) -> Generator[list[object]]:
    """Yield a list that collects the files that Django moves to disk."""
    on_disk: list[object] = []

    class Spooled(tempfile.SpooledTemporaryFile[bytes]):
        def rollover(self) -> None:
            on_disk.append(self)
            super().rollover()

    with monkeypatch.context() as patch:
        patch.setattr("django.core.handlers.asgi.tempfile.SpooledTemporaryFile", Spooled)
        yield on_disk


REJECTED = [
    pytest.param("/nowhere/", "testserver", 404, id="no such page"),
    pytest.param("/protected/", "evil.example", 400, id="forbidden Host"),
    pytest.param("/protected/", "testserver", 403, id="no CSRF token"),
]


@pytest.mark.parametrize(("target", "host", "status"), REJECTED)
async def test_plain_django_spools_a_body_that_it_rejects(
    target: str,
    host: str,
    status: int,
    django_app: RecordedApp,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """This is why the limit exists."""
    with spooled(monkeypatch) as on_disk:
        response = await request(
            django_app, "POST", target, headers={"host": host}, body=[b"x" * MIB] * 4
        )

    assert response.status == status
    assert len(on_disk) == 1


@pytest.mark.parametrize("announced", [True, False], ids=["announced", "chunked"])
@pytest.mark.parametrize(("target", "host", "status"), REJECTED)
async def test_a_body_beyond_the_limit_is_not_on_disk(
    target: str,
    host: str,
    status: int,
    announced: bool,
    django_app: RecordedApp,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    body = b"x" * (4 * MIB) if announced else [b"x" * MIB] * 4
    app = RequestBodyLimitMiddleware(django_app, 2 * MIB)

    with spooled(monkeypatch) as on_disk:
        response = await request(app, "POST", target, headers={"host": host}, body=body)

    assert response.status == 413
    assert on_disk == []
    given = [message for call in django_app.calls for message in call.received]
    assert sum(len(message.get("body", b"")) for message in given) <= 2 * MIB


async def test_a_body_beyond_the_limit_sends_request_finished_as_often_as_a_lost_client(
    django_app: RecordedApp,
) -> None:
    """Neither sends it, because Django has not read the whole body of either request."""
    finished = await finished_during(
        request(
            RequestBodyLimitMiddleware(django_app, 10), "POST", "/size/", body=[b"x" * 8, b"x" * 8]
        )
    )
    plain = await finished_during(
        request(django_app, "POST", "/size/", body=[b"x" * 8, b"x" * 8], disconnect_at=2)
    )

    assert finished == plain


MULTIPART = (
    b'--x\r\nContent-Disposition: form-data; name="f"; filename="f.bin"\r\n\r\n%s\r\n--x--\r\n'
)


@pytest.mark.parametrize(
    ("target", "body", "headers"),
    [
        pytest.param("/size/", b"x" * MIB, {}, id="a body"),
        pytest.param("/size/", b"x" * (3 * MIB), {}, id="more than Django takes"),
        pytest.param(
            "/upload/",
            MULTIPART % (b"y" * 1000),
            {"content-type": "multipart/form-data; boundary=x"},
            id="a small upload",
        ),
        pytest.param(
            "/upload/",
            MULTIPART % (b"y" * 3 * MIB),
            {"content-type": "multipart/form-data; boundary=x"},
            id="an upload on disk",
        ),
    ],
)
async def test_below_the_limit_django_responds_as_without_it(
    target: str, body: bytes, headers: dict[str, str], django_app: RecordedApp
) -> None:
    def shown(response: Response) -> tuple[object, ...]:
        return response.status, response.headers, response.body

    limited = RequestBodyLimitMiddleware(django_app, 10 * MIB, timeout=30.0)

    plain = await request(django_app, "POST", target, body=body, headers=headers)
    around = await request(limited, "POST", target, body=body, headers=headers)

    assert shown(around) == shown(plain)


def letting_go(app: ASGIApp) -> ASGIApp:
    """Let the sync view of *app* go on once a response has begun, by the app or by a limit."""

    async def served(scope: Scope, receive: Receive, send: Send) -> None:
        async def sending(message: Message) -> None:
            await send(message)
            seen["go"].set()

        await app(scope, receive, sending)

    return served


both = pytest.mark.parametrize("pool", [False, True], ids=["plain", "pool"])


async def finished_during(call: Any) -> int:
    return (await signals_during(call))[1]


async def signals_during(call: Any) -> tuple[int, int]:
    """Return how often a request has started, and how often one has finished."""
    seen: list[Signal] = []

    def counts(signal: Signal, **_: object) -> None:
        seen.append(signal)

    for signal in (request_started, request_finished):
        signal.connect(counts)
    try:
        await call
    finally:
        for signal in (request_started, request_finished):
            signal.disconnect(counts)
    return seen.count(request_started), seen.count(request_finished)


@pytest.fixture(params=[get_asgi_application, our_application], ids=["Django's handler", "ours"])
def either_app(request: Any, django_app: RecordedApp) -> RecordedApp:
    return recording(request.param())


@both
@pytest.mark.parametrize(
    ("target", "body", "status", "signals"),
    [
        pytest.param("/size/", b"x" * 2000, 413, (0, 0), id="an announced body"),
        pytest.param("/size/", [b"x" * 800] * 2, 413, (0, 0), id="a body in parts"),
        pytest.param("/size/", b"x" * 800, 200, (1, 1), id="a body within the limit"),
        pytest.param("/patient/", b"", 504, (1, 1), id="an async view"),
        pytest.param("/catches/", b"", 504, (1, 1), id="an async view that goes on"),
        pytest.param("/breaks/", b"", 504, (1, 1), id="an async view that raises instead"),
        pytest.param("/stubborn/", b"", 504, (1, 1), id="a sync view"),
        pytest.param("/streaming/", b"", 200, (1, 1), id="a stream"),
        pytest.param("/late-stream/", b"", 504, (1, 1), id="a stream that begins late"),
        pytest.param("/nowhere/", b"", 404, (1, 1), id="no such page"),
        pytest.param("/protected/", b"", 403, (1, 1), id="no CSRF token"),
    ],
)
async def test_a_request_finishes_once_if_it_has_started(
    target: str,
    body: Any,
    status: int,
    signals: tuple[int, int],
    pool: bool,
    either_app: RecordedApp,
) -> None:
    inner = ThreadPoolMiddleware(either_app) if pool else either_app
    timeout = LATE if status == 504 else 30.0
    app = RequestBodyLimitMiddleware(RequestTimeoutMiddleware(inner, timeout), 1000)
    responses: list[Response] = []

    async def call() -> None:
        responses.append(await request(letting_go(app), "POST", target, body=body))

    assert await signals_during(call()) == signals
    [response] = responses
    assert response.status == status
    kinds = [message["type"] for message in response.messages]
    assert kinds.count("http.response.start") == 1
    assert response.complete


@both
async def test_an_async_view_that_is_late_is_cancelled(pool: bool, django_app: RecordedApp) -> None:
    inner = ThreadPoolMiddleware(django_app) if pool else django_app
    app = RequestTimeoutMiddleware(inner, LATE)
    responses: list[Response] = []

    async def call() -> None:
        responses.append(await request(app, target="/patient/"))

    finished = await finished_during(call())

    assert [response.status for response in responses] == [504]
    assert seen["cancelled"]
    assert finished == await finished_when_a_client_leaves(inner)


async def finished_when_a_client_leaves(app: Any) -> int:
    return await finished_during(request(app, target="/patient/", disconnect_at=2))


@both
async def test_a_sync_view_that_is_late_runs_on_and_its_response_goes_nowhere(
    pool: bool, django_app: RecordedApp
) -> None:
    inner = ThreadPoolMiddleware(django_app) if pool else django_app
    app = RequestTimeoutMiddleware(inner, LATE)

    response = await request(letting_go(app), target="/stubborn/")

    assert response.status == 504
    assert seen["ran on"]
    assert [message["type"] for message in response.messages] == [
        "http.response.start",
        "http.response.body",
    ]


async def test_a_stream_that_has_begun_is_not_limited(django_app: RecordedApp) -> None:
    seen["pause"] = LATE / 2

    response = await request(RequestTimeoutMiddleware(django_app, LATE), target="/streaming/")

    assert (response.status, response.body) == (200, b"part " * 3)


async def test_pages_that_are_in_time_have_their_own_responses(django_app: RecordedApp) -> None:
    app = partial(request, RequestTimeoutMiddleware(django_app, 30.0))

    responses = await asyncio.gather(*(app("POST", "/size/", body=b"x" * n) for n in range(5)))

    assert [response.text for response in responses] == ["0", "1", "2", "3", "4"]


async def test_a_request_that_was_late_gives_its_place_and_its_thread_back(
    either_app: RecordedApp,
) -> None:
    """A request that is late while it waits for a place never takes one."""
    async with ThreadPool(size=1, max_overflow=0) as pool:
        pooled = ThreadPoolMiddleware(either_app, pool=pool)
        app = RequestTimeoutMiddleware(pooled, LATE)
        async with stream(app, "POST", "/stubborn/") as first:
            first.send_body(b"", more_body=False)
            assert (await first.message())["status"] == 504
            # The view of the first request runs on, so the second has no place.
            assert (await request(app, "POST", "/stubborn/")).status == 504
            seen["go"].set()
            await first.finish()

        assert seen["begun"] == 1
        assert pool.statistics() == (0, 1, 0, 0)
        response = await request(pooled, "POST", "/size/", body=b"four")

    assert (response.status, response.text) == (200, "4")


async def test_a_timeout_reaches_its_request_through_a_drain(either_app: RecordedApp) -> None:
    inner = LifespanMiddleware(either_app, drain=Drain(grace=0.0), when_missing="warn")
    app = RequestTimeoutMiddleware(inner, 30.0, paths={"/patient/": LATE})

    async with lifespan(app) as running:
        late = await request(running, "POST", "/patient/")
        served = await request(running, "POST", "/size/", body=b"four")

    assert (late.status, len(late.messages)) == (504, 2)
    assert seen["cancelled"]
    assert (served.status, served.text) == (200, "4")


async def test_a_request_that_waits_for_startup_gets_its_504(either_app: RecordedApp) -> None:
    begins, ends = asyncio.Event(), asyncio.Event()

    @asynccontextmanager
    async def slow(state: dict[str, Any]) -> AsyncGenerator[None]:
        await begins.wait()
        yield

    async def serve() -> None:
        async with lifespan(app):
            await ends.wait()

    app = RequestTimeoutMiddleware(LifespanMiddleware(either_app, lifespan=[slow]), 0.2)
    serving = asyncio.create_task(serve())
    await asyncio.sleep(0)

    async with stream(app, "GET", "/patient/") as waiting:
        assert (await waiting.message())["status"] == 504
        begins.set()
        response = await waiting.finish()
    ends.set()
    await serving

    assert len(response.messages) == 2


@pytest.mark.parametrize(
    ("target", "body", "status"),
    [
        pytest.param("/", [b"x" * 50] * 2, 200, id="within the limits"),
        pytest.param("/", [b"x" * 80] * 2, 413, id="too large"),
        pytest.param("/late/", b"x", 504, id="too late"),
    ],
)
async def test_a_consumer_of_channels_is_told_that_its_client_has_left(
    target: str, body: Any, status: int
) -> None:
    seen.clear()
    consumer = RequestTimeoutMiddleware(SizeConsumer.as_asgi(), 30.0, paths={"/late/": 0.1})
    app = RequestBodyLimitMiddleware(consumer, 100)

    response = await request(app, "POST", target, body=body)

    assert (response.status, len(response.messages)) == (status, 2)
    assert seen["disconnect"]


@pytest.mark.filterwarnings("error")
async def test_a_sync_consumer_of_channels_sends_without_a_warning() -> None:
    app = RequestBodyLimitMiddleware(RequestTimeoutMiddleware(InThread.as_asgi(), 30.0), 100)

    response = await request(app, "POST", body=b"x")

    assert (response.status, response.body) == (200, b"in a thread")


def test_the_limit_in_the_docs_is_djangos_default() -> None:
    assert global_settings.DATA_UPLOAD_MAX_MEMORY_SIZE == 2_621_440


@pytest.mark.parametrize(
    ("make", "middleware", "routes"),
    [
        pytest.param(
            get_asgi_application,
            ["asgi_middleware.django.route_middleware"],
            {"/stubborn/": "unmatched", "/patient/": "unmatched"},
            id="Django's handler",
        ),
        pytest.param(
            our_application, [], {"/stubborn/": "stubborn/", "/patient/": "patient/"}, id="ours"
        ),
    ],
)
@pytest.mark.parametrize("target", ["/stubborn/", "/patient/"])
async def test_the_log_line_of_a_504_has_a_route_and_so_has_our_handlers_record(
    make: Any,
    middleware: list[str],
    routes: dict[str, str],
    target: str,
    django_app: RecordedApp,
    caplog: pytest.LogCaptureFixture,
) -> None:
    records: list[Timing] = []

    class Responded:
        def started(self, record: Timing) -> None: ...

        def responded(self, record: Timing) -> None:
            seen["route"] = record.route

        def finished(self, record: Timing) -> None:
            records.append(record)

    with override_settings(MIDDLEWARE=middleware):
        app = TimingMiddleware(
            RequestTimeoutMiddleware(recording(make()), LATE), observers=[Responded()]
        )
        # Django has set logging up again.
        logging.getLogger().addHandler(caplog.handler)
        await request(letting_go(app), "POST", target)

    assert seen["route"] == routes[target]
    assert [record.outcome for record in records] == ["timeout"]
    [line] = [each.getMessage() for each in caplog.records if "got a 504" in each.getMessage()]
    assert f"({target})" in line
