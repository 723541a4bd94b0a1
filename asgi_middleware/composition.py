"""Stack middleware in the order in which a request meets it.

    application = compose(
        RequestIDMiddleware,
        partial(CORSMiddleware, allow_origins=["https://app.example"]),
    )(get_asgi_application())

The first is the outermost, as in Django's ``MIDDLEWARE``. Use :func:`functools.partial` to give
options. Anything that takes an app and returns one works as a middleware, the result of
:func:`compose` too, so stacks nest.
"""

from collections.abc import Iterator
from inspect import signature

from . import _options as options
from ._names import qualified_name
from .types import ASGIApp, Middleware


def compose(*middleware: Middleware) -> Middleware:
    """Return one middleware that applies *middleware*, the outermost first.

    Raises :class:`ConfigurationError` for anything that is not a middleware.
    """
    options.check("compose", *map(_problems, middleware))

    def composed(app: ASGIApp, *others: object) -> ASGIApp:
        # A server calls its application with three arguments or, if it takes it for an app of
        # ASGI 2, with the scope alone.
        if others or not callable(app):
            problem = "the result is a middleware, not an app; use compose(...)(app)"
            options.check("compose", [problem])
        for wrap in reversed(middleware):
            app = wrap(app)
        return app

    return composed


def _problems(middleware: object) -> Iterator[str]:
    """Check that *middleware* can be called with an app, and is not itself one."""
    name = qualified_name(middleware)
    if isinstance(middleware, list | tuple):
        yield "middleware is given one by one, not in a list; use compose(*[...])"
    elif not callable(middleware):
        shown = options.shown(middleware)
        yield f"{shown} cannot be called; use a class or a function that takes an app"
    elif not isinstance(middleware, type) and options.is_async(middleware):
        yield f"{name} is an app, not a middleware; use compose(...)({name})"
    else:
        try:
            signature(middleware).bind(None)
        except TypeError as error:
            missing = str(error).replace("keyword-only ", "")  # which Python 3.12 adds
            yield f"{name} cannot be called with only an app ({missing}); use partial({name}, ...)"
        except ValueError:
            pass  # a builtin, which does not show its parameters
