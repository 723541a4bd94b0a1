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
    PostgreSQL and Redis: see ``base.py``. Several processes need both.
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
    How many seconds streams and WebSockets have left when the process is told to stop. By
    default 10. A supervisor must allow more than ``DRAIN_HOLD`` + 2 * ``DRAIN_GRACE`` + 10
    seconds, because what startup opened needs time to close.
``DRAIN_HOLD``
    How many seconds the process first goes on serving as usual, while /readyz already returns
    503. By default 0. If a load balancer probes /readyz, allow a little more time than the load
    balancer needs to notice.
"""

import logging

from environs import validate

from asgi_middleware.django import logging_config

from .base import *  # noqa: F403
from .base import BASE_DIR, DRAIN_GRACE, DRAIN_HOLD, env

DEBUG = False

given = validate.Length(min=1, error="Must not be empty.")
not_negative = validate.Range(min=0)

SECRET_KEY = env.str("DJANGO_SECRET_KEY", validate=given)
ALLOWED_HOSTS = env.list("DJANGO_ALLOWED_HOSTS", subcast=str.strip, validate=given)
CORS_ALLOWED_ORIGINS = env.list("DJANGO_CORS_ORIGINS", subcast=str.strip)
METRICS_PUBLIC = env.bool("METRICS_PUBLIC", False)
DRAIN_GRACE = env.float("DRAIN_GRACE", DRAIN_GRACE, validate=not_negative)
DRAIN_HOLD = env.float("DRAIN_HOLD", DRAIN_HOLD, validate=not_negative)

HTTPS = env.bool("HTTPS", True)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = HTTPS
HSTS_SECONDS = env.int("HSTS_SECONDS", 3600, validate=not_negative)
SECURE_HSTS_SECONDS = HSTS_SECONDS if HTTPS else 0
if env.bool("TRUST_X_FORWARDED_PROTO", False):
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
# These two ask for HSTS on all subdomains and for preloading. One site cannot decide that for all.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]

# `manage.py collectstatic` compresses the files, and gives them names with a hash, so browsers
# may keep them forever.
STATIC_ROOT = env.str("STATIC_ROOT", "") or BASE_DIR / "staticfiles"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "servestatic.storage.CompressedManifestStaticFilesStorage"},
}

LOGGING = logging_config(json=True)
# uvicorn logs the full URLs of WebSockets, and httpx logs the URLs that it requests.
LOGGING["filters"]["queries"] = {"()": "example_project.logs.WithoutQueries"}
LOGGING["handlers"]["console"]["filters"].append("queries")
LOGGING["loggers"]["httpx"] = {"level": "WARNING"}

# Warnings, such as those about options without effect, become log lines like any other.
logging.captureWarnings(True)

env.seal()
