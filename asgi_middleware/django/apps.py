"""The app for INSTALLED_APPS."""

from django.apps import AppConfig
from django.core.checks import register


class ASGIMiddlewareConfig(AppConfig):
    """Adds system checks, and the commands ``runserver`` and ``asgi_stack``.

    Put it above ``django.contrib.staticfiles``, which has a ``runserver`` too: Django takes the
    first one.
    """

    name = "asgi_middleware.django"
    label = "asgi_middleware"
    verbose_name = "ASGI middleware"

    def ready(self) -> None:
        from .checks import check_application, check_settings

        register(check_application, "asgi_middleware")
        register(check_settings, "asgi_middleware")
