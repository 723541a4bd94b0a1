"""Let pages of other origins call this site, exactly as far as a policy allows.

    application = CORSMiddleware(
        get_asgi_application(),
        allow_origins=["https://app.example"],
        allow_methods=["GET", "POST"],
        allow_headers=["x-csrftoken"],
        allow_credentials=True,
    )

The middleware responds to preflights in Django's place. Every other response, including errors and
streams, gets the headers that a browser looks for. A header that may occur only once replaces the
view's own; a list, such as ``Vary``, keeps the view's entries.

Put it outside every layer that may refuse a request, so that a browser can read the refusal, and
inside timing, so that preflights are measured.
"""

from .allowed_origins import OriginFunction
from .django_cors_headers import cors_options
from .middleware import CORSMiddleware
from .options import CORSPolicy
from .websocket import WebSocketOriginMiddleware

__all__ = [
    "CORSMiddleware",
    "CORSPolicy",
    "OriginFunction",
    "WebSocketOriginMiddleware",
    "cors_options",
]
