"""Show the layers of the ASGI application."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from ....composition import shown_layers
from ....stack import Stack
from ...application import application_path, load_application
from ...checks import check_application, check_settings


class Command(BaseCommand):
    help = "Shows the layers of ASGI_APPLICATION, the outermost first, and what the checks find."
    # handle() runs the checks itself, after it has shown the layers.
    requires_system_checks = ()

    def handle(self, **_options: Any) -> None:
        try:
            application = load_application()
        except Exception as error:
            raise CommandError(f"{application_path()}: {type(error).__name__}: {error}") from error
        layer = application.app if isinstance(application, Stack) else application
        for line in shown_layers(layer):
            self.stdout.write(line)
        for message in [*check_application(), *check_settings()]:
            self.stdout.write(self.style.WARNING(str(message)))
