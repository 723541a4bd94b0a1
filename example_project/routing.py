"""The URLs of WebSockets, as ``urls.py`` has those of pages."""

from django.urls import path, re_path

from .inspector.consumers import EchoConsumer, no_such_path
from .inspector.live.consumers import LiveConsumer

websocket_urlpatterns = [
    path("ws/echo/", EchoConsumer.as_asgi()),
    path("ws/live/", LiveConsumer.as_asgi()),
    # Last, for all other paths: where nothing matches, URLRouter raises, and the client gets a 500.
    re_path("", no_such_path),
]
