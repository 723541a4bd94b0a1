"""The settings that development and production share."""

from pathlib import Path
from typing import Any

from environs import Env

from asgi_middleware.django import logging_config

BASE_DIR = Path(__file__).resolve().parents[2]

# We use environs because its seal() reports all missing and invalid variables in one error.
# Development and production call it after reading their own variables.
env = Env(eager=False)

INSTALLED_APPS = [
    # Before staticfiles, whose runserver speaks WSGI.
    "asgi_middleware.django",
    "example_project.inspector",
    "example_project.notes",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "channels",
    "servestatic",
]

# Only for HTTP requests that reach Django; the layers around Django are in asgi.py. All of these
# support async code, so an async view runs on the event loop.
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    # Serves static files under ASGI and WSGI. In development, they need not be collected.
    "servestatic.middleware.ServeStaticMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "example_project.middleware.staff_see_timings",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

# For runserver, which serves it with uvicorn, and for the system checks.
ASGI_APPLICATION = "example_project.asgi.application"
WSGI_APPLICATION = "example_project.wsgi.application"
ROOT_URLCONF = "example_project.urls"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {"context_processors": ["django.template.context_processors.request"]},
    },
]

DATABASES: dict[str, Any] = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": env.str("SQLITE_PATH", "") or BASE_DIR / "db.sqlite3",
    }
}
if env.str("DATABASE_URL", ""):
    # Connections stay open for a minute. Each belongs to a thread of the pool, so there are few.
    DATABASES["default"] = env.dj_db_url("DATABASE_URL", conn_max_age=60, conn_health_checks=True)
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# In the memory of this process. Several processes need REDIS_URL: otherwise, a message reaches
# only the WebSockets and streams of the process that sends it.
CHANNEL_LAYERS: dict[str, Any] = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
if redis_url := env.str("REDIS_URL", ""):
    CHANNEL_LAYERS["default"] = {
        "BACKEND": "channels_redis.core.RedisChannelLayer",
        "CONFIG": {"hosts": [redis_url], "expiry": 10},
    }

STATIC_URL = "static/"
# CORSMiddleware decides which other origins may read static files.
SERVESTATIC_ALLOW_ALL_ORIGINS = False

LOGIN_URL = "login"
LOGIN_REDIRECT_URL = LOGOUT_REDIRECT_URL = "/"

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True

# Other origins whose pages may read responses. asgi.py passes this list to the layers.
CORS_ALLOWED_ORIGINS: list[str] = []
# Whether requests from these pages may carry cookies.
CORS_ALLOW_CREDENTIALS = False
# Whether everybody may see how long a request took, and read /metrics. Staff always may.
SERVER_TIMING = False
METRICS_PUBLIC = False

# A page may load only what comes from this site. https://www.w3.org/TR/CSP3/
CONTENT_SECURITY_POLICY: dict[str, Any] = {
    "DIRECTIVES": {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'"],
        "connect-src": ["'self'"],
        "frame-src": ["'self'"],
        "form-action": ["'self'"],
        "base-uri": ["'none'"],
        "frame-ancestors": ["'self'"],
    },
}

# When the server is told to stop, it serves as usual for DRAIN_HOLD seconds, but /readyz returns
# 503. Then streams and WebSockets have DRAIN_GRACE seconds to end.
DRAIN_GRACE = 10.0
DRAIN_HOLD = 0.0

LOGGING = logging_config()
# Two lines for each request: uvicorn's when the response starts, ours with times and outcome when
# it has ended. The page shows both.
LOGGING["loggers"]["uvicorn.access"]["level"] = "INFO"
