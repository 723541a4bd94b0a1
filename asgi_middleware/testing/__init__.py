"""Call an ASGI app as a server would, and find every rule that it breaks.

    response = await request(RequestIDMiddleware(app), headers={"x-request-id": "abc"})

    assert response.get(b"x-request-id") == b"abc"

:func:`request` sends a request at once, :func:`stream` in parts. :func:`websocket` opens a
WebSocket, :func:`lifespan` starts an app and shuts it down. :func:`recording` records what passes
between a middleware and the app inside it. There is no server, no socket and no plugin: these are
plain coroutines for any test runner. Every message that an app sends is checked against the ASGI
specification; :class:`ASGIViolation` names the broken rule and its section.
"""

from ._lint import ASGIViolation
from .http import OpenRequest, Response, request, stream
from .lifespan import LifespanFailed, StartedApp, lifespan
from .recording import RecordedApp, RecordedCall, recording
from .websocket import HandshakeRefused, Socket, SocketClosed, websocket

__all__ = [
    "ASGIViolation",
    "HandshakeRefused",
    "LifespanFailed",
    "OpenRequest",
    "RecordedApp",
    "RecordedCall",
    "Response",
    "Socket",
    "SocketClosed",
    "StartedApp",
    "lifespan",
    "recording",
    "request",
    "stream",
    "websocket",
]
