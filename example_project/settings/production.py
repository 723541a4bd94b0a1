"""For the public: DJANGO_ENV=production, and the variables below.

``DJANGO_ALLOWED_HOSTS`` and ``DJANGO_CORS_ORIGINS`` are lists with commas; the latter may
be empty, for a site whose answers only its own pages read. ``METRICS_PUBLIC`` may be left
out: 1 shows /metrics to everybody.
"""

import os

from ..environment import listed, required, switched_on
from .base import *  # noqa: F403
from .base import LOGGING

DEBUG = False

SECRET_KEY, _hosts, _origins = required(
    os.environ,
    "DJANGO_SECRET_KEY",
    "DJANGO_ALLOWED_HOSTS",
    "DJANGO_CORS_ORIGINS",
    may_be_empty=["DJANGO_CORS_ORIGINS"],
)
ALLOWED_HOSTS = listed(_hosts)
CORS_ALLOWED_ORIGINS = listed(_origins)
METRICS_PUBLIC = switched_on(os.environ, "METRICS_PUBLIC")

SESSION_COOKIE_SECURE = True
CSRF_COOKIE_SECURE = True

LOGGING = {
    **LOGGING,
    "formatters": {"console": {"()": "example_project.logs.JSONFormatter"}},
    "loggers": {
        **LOGGING["loggers"],
        # asgi_middleware.access says the same, and more.
        "uvicorn.access": {"level": "WARNING", "handlers": [], "propagate": True},
    },
}
