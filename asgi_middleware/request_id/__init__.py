"""Give every request and WebSocket an ID, and show it in logs, responses and calls to services.

    application = RequestIDMiddleware(get_asgi_application())

A caller's ``X-Request-ID`` is kept if it is safe to log and to send back; otherwise a new ID
takes its place. Views find the ID with :func:`get_request_id`, in
``request.scope["state"]["request_id"]`` and in ``request.headers``. Log records get it from
:class:`RequestIDFilter` or :func:`install_record_factory`. The client gets it in a response header,
including that of a WebSocket handshake, accepted or refused. You pass it on to other services with
:func:`asgi_middleware.outgoing_headers`.

Belongs outermost, except for health checks, so that all other layers log and send the ID.

``ids`` defines what an ID is, ``context`` keeps the current one, and ``logs`` adds it to log
records. ``middleware`` connects them to ASGI.
"""

from .context import get_request_id, request_id_context
from .ids import generate_request_id, is_uuid, is_valid_request_id, uuid7_hex
from .logs import RequestIDFilter, install_record_factory
from .middleware import RequestIDMiddleware

__all__ = [
    "RequestIDFilter",
    "RequestIDMiddleware",
    "generate_request_id",
    "get_request_id",
    "install_record_factory",
    "is_uuid",
    "is_valid_request_id",
    "request_id_context",
    "uuid7_hex",
]
