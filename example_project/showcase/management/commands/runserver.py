"""``manage.py runserver``, but with ASGI: Django's own would pass by all that is in asgi.py."""

from daphne.management.commands.runserver import Command

__all__ = ["Command"]
