"""The application that the end-to-end benchmark serves: one arm, with Django inside.

These environment variables configure it: ``ARM``, ``MAX_OVERFLOW``, ``MIDDLEWARE``,
``CONN_MAX_AGE``, ``PSYCOPG_POOL``, ``SQLITE_PATH``, ``DATABASE_URL``. When you run the module, it
creates the database table.
"""
# ruff: noqa: E402 -- a model can be defined only after django.setup().

import asyncio
import logging
import os
from collections.abc import AsyncGenerator
from functools import partial
from time import perf_counter
from typing import Any
from urllib.parse import unquote, urlsplit

import django
from asgiref.sync import iscoroutinefunction
from django.conf import settings
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.utils.decorators import sync_and_async_middleware

logger = logging.getLogger(__name__)


def database() -> dict[str, Any]:
    url = os.environ.get("DATABASE_URL")
    if not url:
        return {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["SQLITE_PATH"]}
    parts = urlsplit(url)
    options = {"pool": True} if os.environ.get("PSYCOPG_POOL") else {}
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.path.removeprefix("/"),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": unquote(parts.hostname or ""),
        "PORT": parts.port or "",
        "OPTIONS": options,
    }


# The middleware that `django-admin startproject` lists.
STOCK = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

CORSHEADERS = "corsheaders.middleware.CorsMiddleware"
# Middleware for Django's MIDDLEWARE that does the same job as our layers.
IN_DJANGO = {
    "django": [f"{__name__}.timing", "django_guid.middleware.guid_middleware", CORSHEADERS],
    "django-cors-headers": [CORSHEADERS],
}
ARM = os.environ.get("ARM", "plain")


@sync_and_async_middleware
def timing(get_response: Any) -> Any:
    """Send Server-Timing, and log a line for each request."""

    def recorded(response: HttpResponse, started: float) -> HttpResponse:
        duration = (perf_counter() - started) * 1000
        response.headers["Server-Timing"] = f"app;dur={duration:.1f}"
        logger.info("%s in %.1f ms", response.status_code, duration)
        return response

    if iscoroutinefunction(get_response):

        async def timed_async(request: HttpRequest) -> HttpResponse:
            started = perf_counter()
            return recorded(await get_response(request), started)

        return timed_async

    def timed(request: HttpRequest) -> HttpResponse:
        started = perf_counter()
        return recorded(get_response(request), started)

    return timed


settings.configure(
    CORS_ALLOWED_ORIGINS=["https://app.example"],
    DJANGO_GUID={"GUID_HEADER_NAME": "X-Request-ID", "INTEGRATIONS": [], "RETURN_HEADER": True},
    ALLOWED_HOSTS=["127.0.0.1"],
    DATABASES={"default": {**database(), "CONN_MAX_AGE": int(os.environ.get("CONN_MAX_AGE", "0"))}},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.sessions",
        "django.contrib.messages",
        "benchmarks",
        *(("corsheaders", "django_guid") if ARM in IN_DJANGO else ()),
    ],
    MIDDLEWARE=[
        *IN_DJANGO.get(ARM, ()),
        *(STOCK if os.environ.get("MIDDLEWARE") == "stock" else ()),
    ],
    ROOT_URLCONF=__name__,
    SECRET_KEY="benchmark",  # noqa: S106
    USE_TZ=True,
)
django.setup()

from django.core.asgi import get_asgi_application
from django.db import connection, models
from django.urls import path

from asgi_middleware import (
    AccessLog,
    CORSMiddleware,
    Drain,
    HealthMiddleware,
    LifespanMiddleware,
    PrometheusMetrics,
    Readiness,
    RequestIDMiddleware,
    ThreadPool,
    ThreadPoolMiddleware,
    TimingMiddleware,
    compose,
)
from asgi_middleware.types import Middleware


class Note(models.Model):
    text = models.CharField(max_length=100)

    class Meta:
        app_label = "benchmarks"


def sync_view(_: HttpRequest) -> HttpResponse:
    return HttpResponse(b"hello")


async def async_view(_: HttpRequest) -> HttpResponse:
    return HttpResponse(b"hello")


async def slow_view(_: HttpRequest) -> HttpResponse:
    await asyncio.sleep(0.05)
    return HttpResponse(b"hello")


async def events_view(_: HttpRequest) -> StreamingHttpResponse:
    async def events() -> AsyncGenerator[str]:
        yield "data: 0\n\n"
        await asyncio.Event().wait()

    return StreamingHttpResponse(events(), content_type="text/event-stream")


def query_view(_: HttpRequest) -> HttpResponse:
    return HttpResponse(Note.objects.get(pk=1).text)


urlpatterns = [
    path("sync", sync_view),
    path("async", async_view),
    path("query", query_view),
    path("slow", slow_view),
    path("events", events_view),
    path("livez", sync_view),
]

max_overflow = os.environ.get("MAX_OVERFLOW")
readiness = Readiness()
pool = ThreadPool(max_overflow=int(max_overflow) if max_overflow else None)

cors = partial(CORSMiddleware, allow_origins=["https://app.example"], allow_methods=["GET", "POST"])

ARMS: dict[str, Middleware] = {
    "plain": compose(),
    "plain again": compose(),
    "django": compose(),
    "django-cors-headers": compose(),
    "CORSMiddleware": cors,
    "pool": partial(ThreadPoolMiddleware, pool=pool),
    # The stack of the example project: see example_project/asgi.py.
    "stack": compose(
        partial(HealthMiddleware, readiness=readiness),
        RequestIDMiddleware,
        partial(TimingMiddleware, observers=[AccessLog(), PrometheusMetrics()], server_timing=True),
        cors,
        partial(LifespanMiddleware, lifespan=[pool], readiness=readiness, drain=Drain()),
        partial(ThreadPoolMiddleware, pool=pool),
    ),
}

application = ARMS[ARM](get_asgi_application())

if __name__ == "__main__":
    with connection.schema_editor() as editor:
        if "benchmarks_note" not in connection.introspection.table_names():
            editor.create_model(Note)
    Note.objects.update_or_create(pk=1, defaults={"text": "hello"})
