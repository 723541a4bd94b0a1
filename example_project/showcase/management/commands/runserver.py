"""``manage.py runserver``, but with ASGI: Django's own would bypass ``asgi.py``."""

from daphne.management.commands.runserver import Command

__all__ = ["Command"]
