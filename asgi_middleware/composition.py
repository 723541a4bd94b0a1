"""Stack middleware in the order in which a request meets them.

    application = compose(
        RequestIDMiddleware,
        partial(CORSMiddleware, allow_origins=["https://app.example"]),
    )(get_asgi_application())

The first is the outermost, as in Django's ``MIDDLEWARE``. Options are given with
:func:`functools.partial`; anything that takes an app and returns one will do. The
result is itself a middleware, so stacks nest.
"""

from .types import ASGIApp, Middleware


def compose(*middleware: Middleware) -> Middleware:
    """Return one middleware that applies *middleware*, the outermost first."""

    def composed(app: ASGIApp) -> ASGIApp:
        for wrap in reversed(middleware):
            app = wrap(app)
        return app

    return composed
