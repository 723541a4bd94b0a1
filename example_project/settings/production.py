"""For the public: DJANGO_ENV=production, and the variables below.

``DJANGO_ALLOWED_HOSTS`` and ``DJANGO_CORS_ORIGINS`` are lists with commas; the latter may
be empty, for a site whose answers only its own pages read. DJANGO_SECRET_KEY is 50 random
characters or more. What follows may be left out.

``DATABASE_URL``, ``REDIS_URL``
    PostgreSQL and Redis: see ``environment.py``. Several processes need both.
``STATIC_ROOT``
    Where ``manage.py collectstatic`` puts the static files: ``staticfiles``.
``HTTPS``
    0 for a site without TLS: no redirect, no HSTS, cookies over plain HTTP.
``HSTS_SECONDS``
    For how long browsers are not to try plain HTTP any more: 3600. Raise it when all works.
``TRUST_X_FORWARDED_PROTO``
    1 where only a proxy can reach the server, sets that header, and the server does not heed
    it by itself: hypercorn, granian, Daphne. uvicorn has --proxy-headers.

``METRICS_PUBLIC``
    1 shows /metrics to everybody.
``DRAIN_GRACE``
    Seconds that streams and WebSockets still have when the process is told to end: 10.
    Whatever started the process has to give it more than ``DRAIN_HOLD``, twice this, and 10:
    what start-up opened has that long to close.
``DRAIN_HOLD``
    Seconds before that in which only /readyz says that the end is near: 0. With a load
    balancer that asks, write a little more than it takes to look elsewhere.
"""

import logging
import os

from ..environment import listed, required, seconds, switched_on
from .base import *  # noqa: F403
from .base import BASE_DIR, DRAIN_GRACE, DRAIN_HOLD, LOGGING

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

HTTPS = switched_on(os.environ, "HTTPS", default=True)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = HTTPS
SECURE_HSTS_SECONDS = int(seconds(os.environ, "HSTS_SECONDS", 3600)) if HTTPS else 0
if switched_on(os.environ, "TRUST_X_FORWARDED_PROTO"):
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
# HSTS for all subdomains, and in the lists of browsers: not for one site among them to say.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]

# Names with a hash, which browsers may keep for ever, and compressed beforehand.
# `manage.py collectstatic` puts them there.
STATIC_ROOT = os.environ.get("STATIC_ROOT") or BASE_DIR / "staticfiles"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "servestatic.storage.CompressedManifestStaticFilesStorage"},
}

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
