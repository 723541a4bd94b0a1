"""Settings for production: DJANGO_ENV=production, and the variables below.

Three are required:

``DJANGO_SECRET_KEY``
    50 random characters or more.
``DJANGO_ALLOWED_HOSTS``
    A comma-separated list of hosts.
``DJANGO_CORS_ORIGINS``
    A comma-separated list of other origins whose pages may read responses. It may be empty.

The others have defaults:

``DATABASE_URL``, ``REDIS_URL``
    PostgreSQL and Redis: see ``environment.py``. Several processes need both.
``STATIC_ROOT``
    Where ``manage.py collectstatic`` puts the static files. By default ``staticfiles``.
``HTTPS``
    0 for a site without TLS: no redirect, no HSTS, cookies over plain HTTP. By default 1.
``HSTS_SECONDS``
    How long browsers avoid plain HTTP after a visit. By default 3600. Raise it once the site
    works.
``TRUST_X_FORWARDED_PROTO``
    1 if only a proxy can reach the server, the proxy sets that header, and the server itself
    ignores it, as hypercorn, granian and Daphne do. uvicorn has --proxy-headers instead.
``METRICS_PUBLIC``
    1 shows /metrics to everybody.
``DRAIN_GRACE``
    How many seconds streams and WebSockets have left when the process is told to end. By
    default 10. A supervisor has to allow more than ``DRAIN_HOLD`` + 2 * ``DRAIN_GRACE`` + 10
    seconds, because what startup opened needs time to close.
``DRAIN_HOLD``
    How many seconds the process first serves as usual, while /readyz is already 503. By
    default 0. If a load balancer asks /readyz, use a little more than it needs to notice.
"""

import logging
import os

from asgi_middleware.django import logging_config

from ..environment import listed, required, seconds, switched_on
from .base import *  # noqa: F403
from .base import BASE_DIR, DRAIN_GRACE, DRAIN_HOLD

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
# HSTS for all subdomains and preload lists: a single site cannot decide that for the others.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]

# `manage.py collectstatic` compresses the files, and gives them names with a hash, so browsers
# may keep them forever.
STATIC_ROOT = os.environ.get("STATIC_ROOT") or BASE_DIR / "staticfiles"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "servestatic.storage.CompressedManifestStaticFilesStorage"},
}

LOGGING = logging_config(json=True)
# It logs the URLs that it requests in full, with queries that may hold secrets.
LOGGING["loggers"]["httpx"] = {"level": "WARNING"}

# Warnings, such as those about options without effect, become log lines like any other.
logging.captureWarnings(True)
