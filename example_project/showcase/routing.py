"""The paths of WebSockets, as ``urls.py`` has those of pages."""

from django.urls import path

from .consumers import EchoConsumer

websocket_urlpatterns = [
    path("ws/echo/", EchoConsumer.as_asgi()),
]
