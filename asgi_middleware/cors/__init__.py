"""Let pages of other origins call this site, exactly as far as a policy says.

    application = CORSMiddleware(
        get_asgi_application(),
        allow_origins=["https://app.example"],
        allow_methods=["GET", "POST"],
        allow_headers=["x-csrftoken"],
        allow_credentials=True,
    )

Preflights are answered here, before Django; every other response, errors and streams
too, gets the headers that a browser looks for. What a view sets itself is replaced
where only one may be, and kept where a list may grow.

Belongs outside whatever may refuse a request, so that a browser can read the refusal,
and inside timing, so that preflights are measured.
"""

from .function import OriginFunction
from .middleware import CORSMiddleware
from .policy import CORSPolicy, Preflight
from .websocket import WebSocketOriginMiddleware

__all__ = [
    "CORSMiddleware",
    "CORSPolicy",
    "OriginFunction",
    "Preflight",
    "WebSocketOriginMiddleware",
]
