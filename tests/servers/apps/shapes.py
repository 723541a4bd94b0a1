"""The app of the shape that the environment variable ``SHAPE`` names, which also serves a page."""

import os

import django

from asgi_middleware import LifespanMiddleware
from asgi_middleware.types import ASGIApp, Receive, Scope, Send
from tests.apps import hello

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.servers.apps.lifespan.settings"
django.setup()

from tests.lifespan.shapes import SHAPES  # noqa: E402 -- Django is set up

SHAPE, _ = SHAPES[os.environ["SHAPE"]]


async def bare(scope: Scope, receive: Receive, send: Send) -> None:
    await (hello if scope["type"] == "http" else SHAPE)(scope, receive, send)


wrapped = LifespanMiddleware(bare)


def __getattr__(name: str) -> ASGIApp:
    """Create the apps for Daphne on demand, because Daphne may not be installed."""
    from asgi_middleware.lifespan.daphne import DaphneLifespan

    apps: dict[str, ASGIApp] = {"on_daphne": bare, "wrapped_on_daphne": wrapped}
    return DaphneLifespan(apps[name])
