"""Who sees Server-Timing if it is not for everybody."""

from collections.abc import Callable
from operator import attrgetter
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth.models import User
from django.core.handlers.asgi import ASGIHandler
from django.http import HttpRequest, HttpResponse
from django.test import Client, override_settings

from asgi_middleware import TimingMiddleware
from asgi_middleware.testing import Response, recording, request
from tests import hops

pytestmark = pytest.mark.usefixtures("database")

OURS = "example_project.middleware.staff_see_timings"


def sync_only(get_response: Callable[[HttpRequest], HttpResponse]) -> Any:
    """Middleware that Django runs in a thread, because it does not claim to support async code."""
    return get_response


async def response_to(
    target: str, headers: dict[str, str], *, inner: str | None = None
) -> Response:
    """Return Django's response, as in production. *inner* is one more middleware."""
    more = [] if inner is None else [inner]
    with override_settings(MIDDLEWARE=[*settings.MIDDLEWARE, *more], ALLOWED_HOSTS=["*"]):
        app = TimingMiddleware(recording(ASGIHandler()), server_timing=attrgetter("expose"))
        return await request(app, "GET", target, headers=headers)


def headers_of(visitor: str) -> dict[str, str]:
    if visitor == "anonymous":
        return {}
    client = Client()
    client.force_login(User.objects.create_user(visitor, is_staff=visitor == "staff"))
    name = settings.SESSION_COOKIE_NAME
    return {"cookie": f"{name}={client.cookies[name].value}"}


@pytest.mark.parametrize(
    ("visitor", "shown"),
    [
        pytest.param("anonymous", False, id="anonymous"),
        pytest.param("user", False, id="user"),
        pytest.param("staff", True, id="staff"),
    ],
)
@pytest.mark.parametrize("target", ["/status/", "/notes/"], ids=["async view", "sync view"])
@pytest.mark.parametrize(
    "inner", [None, f"{__name__}.sync_only"], ids=["as async code", "as sync code"]
)
async def test_only_staff_see_timings(
    inner: str | None, target: str, visitor: str, shown: bool
) -> None:
    headers = await sync_to_async(headers_of)(visitor)

    response = await response_to(target, headers, inner=inner)

    assert (response.get(b"server-timing") is not None) == shown


async def test_a_visitor_without_a_session_causes_no_thread_switch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    changes = hops.noted(monkeypatch)
    without = [name for name in settings.MIDDLEWARE if name != OURS]
    counts: list[int] = []
    for middleware in (without, [*without, OURS]):
        changes.clear()
        with override_settings(MIDDLEWARE=middleware):
            await response_to("/status/", {})
        counts.append(len(changes))

    # Django's own signals switch threads, at the start and at the end.
    assert counts[0] > 0
    assert counts == [counts[0]] * 2
