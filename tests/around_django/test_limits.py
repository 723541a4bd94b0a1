"""Limits around a real Django: what it does not read, and what it does not wait for."""

import asyncio
import tempfile
import threading
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, cast

import pytest
from django.core.asgi import get_asgi_application
from django.core.signals import request_finished
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.test import override_settings
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from asgi_middleware import (
    RequestBodyLimitMiddleware,
    RequestTimeoutMiddleware,
    ThreadPoolMiddleware,
)
from asgi_middleware.testing import Response, recording, request
from asgi_middleware.testing.recording import RecordedApp

MIB = 1024 * 1024
CSRF = ["django.middleware.common.CommonMiddleware", "django.middleware.csrf.CsrfViewMiddleware"]

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


async def patient(request: HttpRequest) -> HttpResponse:
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        seen["cancelled"] = True
        raise
    return HttpResponse("late")


def stubborn(request: HttpRequest) -> HttpResponse:
    seen["go"].wait(30)
    seen["ran on"] = True
    return HttpResponse("late")


async def parts() -> AsyncIterator[bytes]:
    for _ in range(3):
        await asyncio.sleep(0.1)
        yield b"part "


async def streaming(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(parts())


urlpatterns = [
    path("protected/", protected),
    path("size/", size),
    path("upload/", upload),
    path("patient/", patient),
    path("stubborn/", stubborn),
    path("streaming/", streaming),
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
    """Yield a list that fills with the files that Django moves onto the disk."""
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
    """The fact that the limit is for."""
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


async def test_request_finished_is_sent_once_for_a_body_beyond_the_limit(
    django_app: RecordedApp,
) -> None:
    """None for one that Django never saw, and none for one whose body it has not read."""
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
async def test_below_the_limit_django_does_as_without_it(
    target: str, body: bytes, headers: dict[str, str], django_app: RecordedApp
) -> None:
    def shown(response: Response) -> tuple[object, ...]:
        return response.status, response.headers, response.body

    limited = RequestBodyLimitMiddleware(django_app, 10 * MIB, timeout=30.0)

    plain = await request(django_app, "POST", target, body=body, headers=headers)
    around = await request(limited, "POST", target, body=body, headers=headers)

    assert shown(around) == shown(plain)


both = pytest.mark.parametrize("pool", [False, True], ids=["plain", "pool"])


async def finished_during(call: Any) -> int:
    count: list[object] = []

    def finished(**_: object) -> None:
        count.append(1)

    request_finished.connect(finished)
    try:
        await call
    finally:
        request_finished.disconnect(finished)
    return len(count)


@both
async def test_an_async_view_that_is_late_is_cancelled(pool: bool, django_app: RecordedApp) -> None:
    inner = ThreadPoolMiddleware(django_app) if pool else django_app
    app = RequestTimeoutMiddleware(inner, 0.1)
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
    app = RequestTimeoutMiddleware(inner, 0.1)
    asyncio.get_running_loop().call_later(0.5, seen["go"].set)

    response = await request(app, target="/stubborn/")

    assert response.status == 504
    assert seen["ran on"]
    assert [message["type"] for message in response.messages] == [
        "http.response.start",
        "http.response.body",
    ]


async def test_a_stream_that_has_begun_is_not_limited(django_app: RecordedApp) -> None:
    response = await request(RequestTimeoutMiddleware(django_app, 0.2), target="/streaming/")

    assert (response.status, response.body) == (200, b"part " * 3)


async def test_pages_in_time_have_their_own_responses(django_app: RecordedApp) -> None:
    app = partial(request, RequestTimeoutMiddleware(django_app, 30.0))

    responses = await asyncio.gather(*(app("POST", "/size/", body=b"x" * n) for n in range(5)))

    assert [response.text for response in responses] == ["0", "1", "2", "3", "4"]
