"""A Django project in miniature, served through the middleware: start with ``asgi.py``."""
