"""The same project for a WSGI server: Django alone, without WebSockets, lifespan or layers."""

from django.core.wsgi import get_wsgi_application

from .settings import choose_settings

choose_settings()
application = get_wsgi_application()
