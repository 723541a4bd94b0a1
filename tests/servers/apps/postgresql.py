"""Django on PostgreSQL, with persistent connections.

Environment variables:

* ``THREADS``: the size of the pool. Without it, the app is Django alone.
* ``PGHOST`` and others that libpq reads: the database. ``PGAPPNAME`` distinguishes the app's
  connections from others.
"""

import os
import time
from collections.abc import Generator
from contextlib import contextmanager
from functools import partial
from typing import Any

import psycopg
from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.db import connection, transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from django.utils.deprecation import MiddlewareMixin

from asgi_middleware import LifespanMiddleware, ThreadPool, ThreadPoolMiddleware, compose

# Seconds.
PATIENCE = 10.0


def write(token: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO visits (token) VALUES (%s)", [token])
        # Long enough for other requests to come in between.
        cursor.execute("SELECT pg_sleep(0.005)")


def written() -> dict[str, Any]:
    """Return everything that this transaction has written, and its connection's number."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT token FROM visits WHERE written_by = pg_current_xact_id()")
        tokens = [row[0] for row in cursor.fetchall()]
        cursor.execute("SELECT pg_backend_pid()")
        return {"tokens": tokens, "connection": cursor.fetchone()[0]}


def visit(_request: HttpRequest, token: str) -> JsonResponse:
    write(token)
    return JsonResponse(written())


@transaction.non_atomic_requests
async def visit_in_steps(_request: HttpRequest, token: str) -> JsonResponse:
    """Do the same in a transaction that stays open from one sync call to the next."""
    await sync_to_async(transaction.set_autocommit)(False)
    try:
        await sync_to_async(write)(token)
        found = await sync_to_async(written)()
        await sync_to_async(transaction.commit)()
    finally:
        await sync_to_async(end_transaction)()
    return JsonResponse(found)


def end_transaction() -> None:
    transaction.rollback()
    transaction.set_autocommit(True)


def fail(_request: HttpRequest, token: str) -> HttpResponse:
    visit(_request, token)
    raise ValueError("after a write")


def fail_in_database(_request: HttpRequest, token: str) -> HttpResponse:
    visit(_request, token)
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 / 0")
    return HttpResponse()


@transaction.non_atomic_requests
def forget(_request: HttpRequest, token: str) -> HttpResponse:
    """Begin a transaction without ending it."""
    transaction.atomic().__enter__()
    return visit(_request, token)


class ErrorAsText(MiddlewareMixin):
    """Responds with the exception that a view raised."""

    def process_exception(self, _request: HttpRequest, error: Exception) -> HttpResponse:
        return HttpResponse(f"{type(error).__name__}: {error}", status=500)


urlpatterns = [
    path("visit/<token>", visit),
    path("visit-in-steps/<token>", visit_in_steps),
    path("fail/<token>", fail),
    path("fail-in-database/<token>", fail_in_database),
    path("forget/<token>", forget),
]


@contextmanager
def counted(_state: object) -> Generator[None]:
    """At the end, print how many connections are left after the pool has closed its own."""
    yield
    query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s"
    deadline = time.monotonic() + PATIENCE
    with psycopg.connect(autocommit=True, application_name="observer") as observer:
        # PostgreSQL takes a moment to notice that a client has left.
        while (row := observer.execute(query, [os.environ["PGAPPNAME"]]).fetchone()) != (0,):
            if time.monotonic() > deadline:
                break
            time.sleep(0.01)
    print(f"connections at the end: {row[0] if row else None}")


settings.configure(
    ALLOWED_HOSTS=["127.0.0.1"],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": os.environ["PGDATABASE"],
            "ATOMIC_REQUESTS": True,
            "CONN_HEALTH_CHECKS": True,
            "CONN_MAX_AGE": 60,
        }
    },
    MIDDLEWARE=[f"{__name__}.ErrorAsText"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="for tests",
    USE_TZ=True,
)
application: Any = get_asgi_application()
if threads := os.environ.get("THREADS"):
    pool = ThreadPool(size=int(threads), max_overflow=0)
    application = compose(
        partial(LifespanMiddleware, lifespan=[counted, pool]),
        partial(ThreadPoolMiddleware, pool=pool),
    )(application)
