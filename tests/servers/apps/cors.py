"""CORS and the WebSocket guard around an app that responds to everything."""

from functools import partial

from asgi_middleware import CORSMiddleware, WebSocketOriginMiddleware, compose
from tests.apps import hello

ORIGIN = "https://a.example"

application = compose(
    partial(
        CORSMiddleware, allow_origins=[ORIGIN], allow_methods=["PUT"], allow_headers=["x-note"]
    ),
    partial(WebSocketOriginMiddleware, allow_origins=[ORIGIN]),
)(hello)

# For tests behind a proxy: both accept only the site's own WebSockets. One compares Host, the other
# X-Forwarded-Host from a proxy on this machine.
own = WebSocketOriginMiddleware(hello)
forwarded = WebSocketOriginMiddleware(
    hello, trusted_host_header="x-forwarded-host", trusted=["127.0.0.1"]
)
