"""What Django finds if INSTALLED_APPS names the package in place of its app."""

from django.apps import AppConfig

from .errors import ConfigurationError


class NotTheApp(AppConfig):
    """Says which name the app has."""

    name = "asgi_middleware"

    def __init__(self, *_: object) -> None:
        problem = "'asgi_middleware' is a package, not an app; use 'asgi_middleware.django'"
        raise ConfigurationError("INSTALLED_APPS", [problem])
