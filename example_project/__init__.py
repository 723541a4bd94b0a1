"""A small Django project behind the middleware: start with ``asgi.py``."""
