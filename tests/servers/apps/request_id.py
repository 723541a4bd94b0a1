"""An app that responds with its request's ID, and fails at one path.

Its log has a line with the ID for each request and for each exception. If the server cannot set up
logging, the app does so, with the file that the environment variable LOGGING names.
"""

import json
import logging.config
import os
from pathlib import Path

from asgi_middleware import RequestIDMiddleware, get_request_id
from asgi_middleware.types import Receive, Scope, Send
from tests.apps import answering, hello, lives

# "unix" or networks. If the variable is empty, every client is trusted.
TRUSTED = os.environ.get("TRUSTED", "").split()

if file := os.environ.get("LOGGING"):
    logging.config.dictConfig(json.loads(Path(file).read_text()))


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await lives(scope, receive, send)
    elif scope["type"] == "websocket" and scope["path"] == "/close":
        await receive()
        await send({"type": "websocket.close"})
    elif scope["type"] == "websocket" and scope["path"] == "/deny":
        await receive()
        await send({"type": "websocket.http.response.start", "status": 401, "headers": []})
        await send({"type": "websocket.http.response.body", "body": b"no"})
    elif scope["type"] == "websocket":
        await hello(scope, receive, send)
    elif scope["path"] == "/fail":
        raise RuntimeError("asked to fail")
    else:
        seen = (get_request_id() or "").encode()
        await answering((b"content-length", b"0"), (b"x-seen", seen))(scope, receive, send)


application = RequestIDMiddleware(app, trusted=TRUSTED or True)
