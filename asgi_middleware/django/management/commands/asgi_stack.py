"""Show the layers of the ASGI application."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from ...._names import qualified_name
from ....composition import layers_of
from ....stack import Stack
from ...application import application_path, load_application
from ...checks import findings


class Command(BaseCommand):
    help = "Shows the layers of ASGI_APPLICATION, the outermost first, and what the checks find."

    def handle(self, **_options: Any) -> None:
        try:
            application = load_application()
        except Exception as error:
            raise CommandError(f"{application_path()}: {type(error).__name__}: {error}") from error
        *layers, app = layers_of(application)
        for layer in layers:
            if not isinstance(layer, Stack):
                self.stdout.write(repr(layer))
        self.stdout.write(qualified_name(app))
        for message in findings(application):
            self.stdout.write(self.style.WARNING(str(message)))
