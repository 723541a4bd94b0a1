"""The application that the end-to-end benchmark serves: one arm, with Django inside.

These environment variables configure it: ``ARM``, ``MAX_OVERFLOW``, ``MIDDLEWARE``,
``CONN_MAX_AGE``, ``PSYCOPG_POOL``, ``SQLITE_PATH``, ``DATABASE_URL``. When you run the module, it
creates the tables and fills them with what the pages show.
"""
# ruff: noqa: E402 -- a model can be defined only after django.setup().

import asyncio
import logging
import os
from collections.abc import AsyncGenerator
from datetime import timedelta
from functools import partial
from time import perf_counter
from typing import Any
from urllib.parse import unquote, urlsplit

import django
from asgiref.sync import iscoroutinefunction
from django.conf import settings
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.utils.decorators import sync_and_async_middleware
from django.utils.deprecation import MiddlewareMixin

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
ARM = os.environ.get("ARM", "plain").removesuffix(" again")


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


class ThirdParty(MiddlewareMixin):
    """A middleware such as most projects have: it looks at the request, and sets a header."""

    def process_request(self, request: Any) -> None:
        request.tags = [*getattr(request, "tags", ()), request.path]

    def process_response(self, request: Any, response: HttpResponse) -> HttpResponse:
        response.headers["X-Tags"] = str(len(request.tags))
        return response


MIDDLEWARE = {
    "": [],
    "stock": STOCK,
    "twelve": [
        *(*STOCK[:2], "django.middleware.locale.LocaleMiddleware", *STOCK[2:]),
        *[f"{__name__}.ThirdParty"] * 4,
    ],
}
PAGE = """<!doctype html><title>Notes</title><p>Hello, {{ user.username }}</p><table>
{% for note in notes %}<tr><td>{{ note.pk }}</td><td>{{ note.text }}</td></tr>
{% endfor %}</table>"""

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
        *MIDDLEWARE[os.environ.get("MIDDLEWARE", "")],
    ],
    ROOT_URLCONF=__name__,
    SECRET_KEY="benchmark",  # noqa: S106
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "OPTIONS": {
                "context_processors": [
                    "django.template.context_processors.request",
                    "django.contrib.auth.context_processors.auth",
                    "django.contrib.messages.context_processors.messages",
                ],
                "loaders": [
                    (
                        "django.template.loaders.cached.Loader",
                        [("django.template.loaders.locmem.Loader", {"page.html": PAGE})],
                    )
                ],
            },
        }
    ],
    USE_TZ=True,
)
django.setup()

from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.core.asgi import get_asgi_application
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application
from django.db import connection, models
from django.shortcuts import render
from django.urls import path
from django.utils import timezone

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
from asgi_middleware.django import get_asgi_application as get_our_application
from asgi_middleware.thread_pool import lease
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


def page_view(request: HttpRequest) -> HttpResponse:
    """Show twenty rows to the user of the session: three queries."""
    return render(request, "page.html", {"notes": Note.objects.all()[:20]})


urlpatterns = [
    path("page", page_view),
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
    "django": compose(),
    "django-cors-headers": compose(),
    "CORSMiddleware": cors,
    "gunicorn gthread": compose(),
    "granian WSGI": compose(),
    "pool": partial(ThreadPoolMiddleware, pool=pool),
    # The pool makes all calls of Django's handler in a thread, even those that need no thread.
    "pool, all calls": partial(ThreadPoolMiddleware, pool=pool),
    "handler": compose(),
    "handler and pool": partial(ThreadPoolMiddleware, pool=pool),
    # Most layers of the example project's stack: see example_project/asgi.py.
    "stack": compose(
        partial(HealthMiddleware, readiness=readiness),
        RequestIDMiddleware,
        partial(TimingMiddleware, observers=[AccessLog(), PrometheusMetrics()], server_timing=True),
        cors,
        partial(LifespanMiddleware, lifespan=[pool], readiness=readiness, drain=Drain()),
        partial(ThreadPoolMiddleware, pool=pool),
    ),
}

if ARM == "pool, all calls":
    lease.without_thread = lambda _: None  # type: ignore[assignment]
if ARM == "stack":
    # The access log is part of the stack's cost.
    logging.basicConfig(level=logging.INFO)
with_our_handler = ARM in ("handler", "handler and pool", "stack")
django_application: Any = get_our_application() if with_our_handler else get_asgi_application()
application = ARMS[ARM](django_application)
wsgi = get_wsgi_application()

if __name__ == "__main__":
    call_command("migrate", verbosity=0)
    with connection.schema_editor() as editor:
        if "benchmarks_note" not in connection.introspection.table_names():
            editor.create_model(Note)
    for number in range(20):
        text = f"note {number}" if number else "hello"
        Note.objects.update_or_create(pk=number + 1, defaults={"text": text})
    user, _ = User.objects.get_or_create(username="ann")
    signed_in = {
        "_auth_user_id": str(user.pk),
        "_auth_user_backend": "django.contrib.auth.backends.ModelBackend",
        "_auth_user_hash": user.get_session_auth_hash(),
    }
    Session.objects.update_or_create(
        session_key="benchmarkbenchmark",
        defaults={
            "session_data": SessionStore().encode(signed_in),
            "expire_date": timezone.now() + timedelta(days=1),
        },
    )
