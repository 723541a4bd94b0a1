"""The application that ``ASGI_APPLICATION`` names."""

from collections.abc import Iterator
from importlib import import_module
from types import ModuleType
from typing import Any, cast

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from ..composition import app_problems, layer_of


class NotAnApplication(ImproperlyConfigured):
    """``ASGI_APPLICATION`` names something that cannot be served."""


def application_path() -> str | None:
    """Return ``ASGI_APPLICATION``, or the ``asgi`` sibling of ``WSGI_APPLICATION``, or None."""
    path: str | None = getattr(settings, "ASGI_APPLICATION", None)
    if path is not None:
        return path
    wsgi: str | None = settings.WSGI_APPLICATION
    return wsgi.replace(".wsgi.", ".asgi.") if wsgi and ".wsgi." in wsgi else None


def load_application() -> Any:
    """Import the application.

    Raises NotAnApplication if no setting names one, or the setting names something else.
    """
    path = application_path()
    if path is None:
        raise NotAnApplication(
            "ASGI_APPLICATION is not set; use ASGI_APPLICATION = 'mysite.asgi.application'"
        )
    if not isinstance(path, str) or ":" in path:
        wanted = repr(path.replace(":", ".")) if isinstance(path, str) else "its path"
        raise NotAnApplication(f"ASGI_APPLICATION: {path!r} is not a dotted path; use {wanted}")
    application = _imported(path)
    if isinstance(application, ModuleType):
        raise NotAnApplication(f"ASGI_APPLICATION: {path!r} is a module; use '{path}.application'")
    for problem in app_problems("ASGI_APPLICATION", application):
        raise NotAnApplication(problem)
    return application


def layers_in_middleware() -> Iterator[str]:
    """Yield a problem for each of our layers in MIDDLEWARE: the first request would fail."""
    for path in settings.MIDDLEWARE:
        if path.startswith("asgi_middleware.") and layer_of(_attribute(path)) is not None:
            yield (
                f"MIDDLEWARE: {path!r} is a layer around the whole application; use"
                " stack(get_asgi_application()) in asgi.py, and remove the path from MIDDLEWARE"
            )


def _attribute(path: str) -> object:
    """Return what *path* names, or None if it cannot be imported, which Django reports itself."""
    try:
        return cast("object", import_string(path))
    except ImportError:
        return None


def _imported(path: str) -> Any:
    try:
        return import_string(path)
    except ImportError as error:
        # import_string() finds only attributes, so a module's path looks like a missing attribute.
        if isinstance(error, ModuleNotFoundError) or "." not in path:
            raise
        try:
            return import_module(path)
        except ModuleNotFoundError:
            raise error from None
