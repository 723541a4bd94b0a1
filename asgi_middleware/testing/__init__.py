"""Call an ASGI app as a server would, and hear of every rule that it breaks.

    response = await request(RequestIDMiddleware(app), headers={"x-request-id": "abc"})

    assert response.get(b"x-request-id") == b"abc"

:func:`request` sends one request, :func:`stream` one in parts, :func:`websocket` and
:func:`lifespan` are async context managers, :func:`recording` listens at the inner
side of a middleware. No server, no sockets, no plug-in: plain coroutines for any test
runner. What an app sends is held against the ASGI specification, and
:class:`ASGIViolation` names the rule and its section.
"""

from ._lint import ASGIViolation
from .http import Exchange, Response, request, stream
from .lifespan import LifespanFailed, Running, lifespan
from .recording import RecordedCall, Recording, recording
from .websocket import HandshakeRefused, Socket, SocketClosed, websocket

__all__ = [
    "ASGIViolation",
    "Exchange",
    "HandshakeRefused",
    "LifespanFailed",
    "RecordedCall",
    "Recording",
    "Response",
    "Running",
    "Socket",
    "SocketClosed",
    "lifespan",
    "recording",
    "request",
    "stream",
    "websocket",
]
