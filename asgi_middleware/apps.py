"""What Django finds if INSTALLED_APPS names the package instead of its app."""

from django.apps import AppConfig

from .errors import ConfigurationError


class NotTheApp(AppConfig):
    """Raises an error that names the app to use."""

    name = "asgi_middleware"

    def __init__(self, *_: object) -> None:
        problem = "'asgi_middleware' is a package, not an app; use 'asgi_middleware.django'"
        raise ConfigurationError("INSTALLED_APPS", [problem])
