"""A process that must end although one of its views, which has used the database, still waits.

    python -m tests.servers.apps.exits (loop|server) (plain|pooled)

``loop``: the event loop is closed while the view waits. ``server``: uvicorn runs in a daemon
thread, and the main thread ends while the view waits. SQLITE_PATH is the database.
"""

import asyncio
import os
import sys
import threading
import time

import httpx
import uvicorn
from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.urls import path

from asgi_middleware import ThreadPool, ThreadPoolMiddleware
from asgi_middleware.testing import request
from asgi_middleware.types import ASGIApp
from tests.servers.server import HOST, PATIENCE

LAST_WORDS = "the main thread has come to its end"

waits = threading.Event()


def query() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


async def view(_request: HttpRequest) -> HttpResponse:
    await sync_to_async(query)()
    waits.set()
    await asyncio.Event().wait()
    return HttpResponse()


urlpatterns = [path("", view)]


def abandon_loop(app: ASGIApp) -> None:
    loop = asyncio.new_event_loop()
    task = loop.create_task(request(app, timeout=PATIENCE))
    while not waits.is_set():
        loop.run_until_complete(asyncio.sleep(0.01))
    loop.close()
    assert not task.done()


def abandon_server(app: ASGIApp) -> None:
    server = uvicorn.Server(uvicorn.Config(app, host=HOST, port=0, lifespan="off"))
    threading.Thread(target=server.run, daemon=True).start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    visit = threading.Thread(
        target=httpx.get, args=[f"http://{HOST}:{port}/"], kwargs={"timeout": PATIENCE}, daemon=True
    )
    visit.start()
    assert waits.wait(PATIENCE)


def main(how: str, arm: str) -> None:
    settings.configure(
        ALLOWED_HOSTS=["*"],
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": os.environ["SQLITE_PATH"],
                "CONN_MAX_AGE": 60,
            }
        },
        ROOT_URLCONF=__name__,
        SECRET_KEY="for tests",
    )
    app: ASGIApp = get_asgi_application()
    if arm == "pooled":
        app = ThreadPoolMiddleware(app, pool=ThreadPool(size=2, max_overflow=0))
    {"loop": abandon_loop, "server": abandon_server}[how](app)
    print(LAST_WORDS, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
