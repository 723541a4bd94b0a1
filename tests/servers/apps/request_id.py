"""An app that responds with its request's ID, and fails at one path.

Its log has a line with the ID for each request and for each exception.
"""

import os

from asgi_middleware import RequestIDMiddleware, get_request_id
from asgi_middleware.types import Receive, Scope, Send
from tests.apps import answering, hello, lives

# "unix" or networks. Empty means that everybody is trusted.
TRUSTED = os.environ.get("TRUSTED", "").split()


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await lives(scope, receive, send)
    elif scope["type"] == "websocket":
        await hello(scope, receive, send)
    elif scope["path"] == "/fail":
        raise RuntimeError("asked to fail")
    else:
        seen = (get_request_id() or "").encode()
        await answering((b"content-length", b"0"), (b"x-seen", seen))(scope, receive, send)


application = RequestIDMiddleware(app, trusted=TRUSTED or True)
