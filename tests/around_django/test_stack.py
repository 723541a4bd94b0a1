"""The middleware of this package around Django, as in a project's asgi.py."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest

from asgi_middleware import (
    CORSMiddleware,
    LifespanMiddleware,
    RequestIDMiddleware,
    TimingMiddleware,
    compose,
)
from asgi_middleware.testing import lifespan, request
from asgi_middleware.testing.lifespan import StartedApp
from asgi_middleware.testing.recording import RecordedApp

ORIGIN = "https://app.example"


@asynccontextmanager
async def opened(state: dict[str, Any]) -> AsyncGenerator[dict[str, str]]:
    yield {"opened": "at startup"}


stack = compose(
    RequestIDMiddleware,
    partial(TimingMiddleware, server_timing=True),
    partial(CORSMiddleware, allow_origins=[ORIGIN], allow_credentials=True),
    partial(LifespanMiddleware, lifespan=[opened]),
)


@pytest.fixture
async def application(bare_django: RecordedApp) -> AsyncIterator[StartedApp]:
    async with lifespan(stack(bare_django)) as running:
        yield running


both_views = pytest.mark.parametrize("view", ["sync", "async"])


@both_views
async def test_a_view_sees_everything_that_the_stack_gives_it(
    view: str, application: StartedApp
) -> None:
    headers = {"x-request-id": "abc"}

    response = await request(application, target=f"/seen/{view}/", headers=headers)

    assert response.json() == {
        "get_request_id": "abc",
        "state": "abc",
        "header": "abc",
        "timing": True,
        "from_startup": "at startup",
    }


@both_views
async def test_each_view_sees_its_own_request(view: str, application: StartedApp) -> None:
    ids = [f"request-{number}" for number in range(10)]

    responses = await asyncio.gather(
        *(
            request(application, target=f"/seen/{view}/", headers={"x-request-id": each})
            for each in ids
        )
    )

    assert [response.json()["get_request_id"] for response in responses] == ids


@both_views
async def test_server_timing_has_the_phases_that_a_view_measures(
    view: str, application: StartedApp
) -> None:
    response = await request(application, target=f"/seen/{view}/")

    [entries] = response.getall(b"server-timing")
    assert [entry.partition(b";")[0] for entry in entries.split(b", ")] == [b"app", b"view"]


async def test_a_response_has_each_header_once(application: StartedApp) -> None:
    headers = {"origin": ORIGIN, "x-request-id": "abc"}

    response = await request(application, target="/varied/", headers=headers)

    assert response.get(b"vary") == b"Cookie, Origin"
    assert response.get(b"x-request-id") == b"abc"
    assert response.get(b"access-control-allow-origin") == ORIGIN.encode()
    assert response.get(b"content-type") == b"text/html; charset=utf-8"


@pytest.mark.parametrize(
    ("target", "changes", "status"),
    [
        pytest.param("/nowhere/", {}, 404, id="not found"),
        # Made by Django's handler itself: no middleware in MIDDLEWARE sees it.
        pytest.param("/varied/", {"query_string": b"\xff"}, 400, id="bad query"),
    ],
)
async def test_a_response_that_django_makes_itself_has_the_headers_too(
    target: str, changes: dict[str, Any], status: int, application: StartedApp
) -> None:
    headers = {"origin": ORIGIN, "x-request-id": "abc"}

    response = await request(application, target=target, headers=headers, scope=changes)

    assert response.status == status
    assert response.get(b"x-request-id") == b"abc"
    assert response.get(b"access-control-allow-origin") == ORIGIN.encode()


async def test_a_preflight_does_not_reach_django(
    application: StartedApp, bare_django: RecordedApp
) -> None:
    headers = {"origin": ORIGIN, "access-control-request-method": "GET"}

    response = await request(application, "OPTIONS", "/varied/", headers=headers)

    assert response.status == 204
    assert [call for call in bare_django.calls if call.scope["type"] == "http"] == []
