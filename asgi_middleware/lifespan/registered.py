"""Contexts that Django apps register, for the project's ``stack()`` to open."""

import warnings

from .. import _options as options
from .._names import qualified_name
from ..errors import ConfigurationWarning
from .contexts import ContextFactory, context_factories

_registered: list[ContextFactory] = []
# Whether a stack has already taken the contexts.
_taken = False


def register_lifespan(context: ContextFactory) -> None:
    """Let :func:`stack` open a context of your app. Call it in ``AppConfig.ready()``:

        class PricesConfig(AppConfig):
            name = "prices"

            def ready(self):
                register_lifespan(client)

    The contexts of all apps are entered in the order of ``INSTALLED_APPS``, before the contexts in
    ``asgi.py``. A context that is registered twice is entered once.

    Raises :class:`ConfigurationError` for anything that cannot be a context. Warns with
    :class:`ConfigurationWarning` if ``stack()`` has already been called.
    """
    options.check("register_lifespan", context_factories("context", [context]))
    if context in _registered:
        return
    _registered.append(context)
    if _taken:
        name = qualified_name(context)
        warnings.warn(
            f"register_lifespan: {name} is not opened because stack() was called before; use"
            f" register_lifespan({name}) in AppConfig.ready(), and stack(get_asgi_application())",
            ConfigurationWarning,
            stacklevel=2,
        )


def registered_contexts() -> list[ContextFactory]:
    """Return the contexts for a stack. A context that is registered after this is too late."""
    global _taken  # noqa: PLW0603
    _taken = True
    return list(_registered)
