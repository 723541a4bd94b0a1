"""The WebSockets of the inspector."""

from channels.auth import AuthMiddlewareStack
from channels.routing import URLRouter
from django.urls import path

from .consumers import EchoConsumer
from .live.consumers import LiveConsumer

SOCKETS = ("/ws/echo/", "/ws/live/")

sockets = AuthMiddlewareStack(
    URLRouter(
        [
            path("ws/echo/", EchoConsumer.as_asgi()),
            path("ws/live/", LiveConsumer.as_asgi()),
        ]
    )
)
