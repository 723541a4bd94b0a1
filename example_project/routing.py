"""The URLs of WebSockets. ``urls.py`` has the URLs of pages."""

from django.urls import path, re_path

from asgi_middleware.types import Receive, Scope, Send

from .notes.consumers import NotesConsumer


async def no_such_path(_scope: Scope, receive: Receive, send: Send) -> None:
    """Refuse the handshake. Servers turn a close before the accept into a 403."""
    await receive()  # websocket.connect
    await send({"type": "websocket.close"})


websocket_urlpatterns = [
    path("ws/notes/", NotesConsumer.as_asgi()),
    # Last, for all other paths: if nothing matches, URLRouter raises, and the client gets a 500.
    re_path("", no_such_path),
]
