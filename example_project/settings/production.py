"""For the public: DJANGO_ENV=production, and the variables below.

``DJANGO_ALLOWED_HOSTS`` and ``DJANGO_CORS_ORIGINS`` are lists with commas; the latter may
be empty, for a site whose answers only its own pages read. What follows may be left out.

``METRICS_PUBLIC``
    1 shows /metrics to everybody.
``DRAIN_GRACE``
    Seconds that streams and WebSockets still have when the process is told to end: 10.
    Whatever started the process has to give it 10 more, and ``DRAIN_HOLD``.
``DRAIN_HOLD``
    Seconds before that in which only /readyz says that the end is near: 0. With a load
    balancer that asks, write a little more than it takes to look elsewhere.
"""

import logging
import os

from ..environment import listed, required, seconds, switched_on
from .base import *  # noqa: F403
from .base import DRAIN_GRACE, DRAIN_HOLD, LOGGING

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
DRAIN_GRACE = seconds(os.environ, "DRAIN_GRACE", DRAIN_GRACE)
DRAIN_HOLD = seconds(os.environ, "DRAIN_HOLD", DRAIN_HOLD)

SESSION_COOKIE_SECURE = True
CSRF_COOKIE_SECURE = True

LOGGING = {
    **LOGGING,
    "formatters": {"console": {"()": "example_project.logs.JSONFormatter"}},
    "loggers": {
        **LOGGING["loggers"],
        # asgi_middleware.access says the same, and more.
        "uvicorn.access": {"level": "WARNING", "handlers": [], "propagate": True},
        # Writes the addresses that it calls in full, with queries that may hold secrets.
        "httpx": {"level": "WARNING"},
    },
}

# Warnings, as of options of the layers that have no effect, are lines of the log like others.
logging.captureWarnings(True)
