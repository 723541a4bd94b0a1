"""Limits on how much a client may send, and on how long it must wait.

    application = stack(
        get_asgi_application(),
        max_body_size=1_000_000,
        request_timeout=30.0,
    )

Django reads every request body to its end, to disk if it is large, before it looks at the URL, the
``Host`` or the CSRF token, and nothing limits how long a view may take.

Both layers belong inside CORS, so that a page of another origin can read the refusal, and outside
lifespan and the thread pool, so that a refused request takes nothing from others.
"""

from .body import RequestBodyLimitMiddleware
from .time import RequestTimeoutMiddleware

__all__ = ["RequestBodyLimitMiddleware", "RequestTimeoutMiddleware"]
