"""What development and production have in common."""

import os
from pathlib import Path
from typing import Any

from ..environment import channel_layers, databases

BASE_DIR = Path(__file__).resolve().parents[2]

INSTALLED_APPS = [
    # Before staticfiles, whose runserver would speak WSGI.
    "example_project.showcase",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "channels",
    "servestatic",
]

# For HTTP only; the layers around Django are in asgi.py. All of them know async code, so that
# an async view runs in the event loop. Django's own still make a sync call before and after it.
MIDDLEWARE = [
    "asgi_middleware.django.route_middleware",
    "django.middleware.security.SecurityMiddleware",
    # Under ASGI and WSGI alike; in development straight from where the files are.
    "servestatic.middleware.ServeStaticMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "example_project.middleware.staff_see_timings",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

# Of runserver, which is Daphne's.
ASGI_APPLICATION = "example_project.asgi_daphne.application"
WSGI_APPLICATION = "example_project.wsgi.application"
ROOT_URLCONF = "example_project.urls"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {"context_processors": ["django.template.context_processors.request"]},
    },
]

# DATABASE_URL and REDIS_URL; without them a file, and the memory of this process.
DATABASES = databases(os.environ, BASE_DIR)
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

CHANNEL_LAYERS = channel_layers(os.environ)

STATIC_URL = "static/"
# Who may read them from elsewhere is for CORSMiddleware to say.
SERVESTATIC_ALLOW_ALL_ORIGINS = False

LOGIN_URL = "login"
LOGIN_REDIRECT_URL = LOGOUT_REDIRECT_URL = "showcase:home"

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True

# Origins whose pages may read our answers, an option of the layers in asgi.py.
CORS_ALLOWED_ORIGINS: list[str] = []
# Whether they may do so with their visitors' cookies.
CORS_ALLOW_CREDENTIALS = False
# Whether everybody may see how long a request took, and read /metrics. Staff may.
SERVER_TIMING = False
METRICS_PUBLIC = False

# Nothing but what is ours. https://www.w3.org/TR/CSP3/
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

# Seconds that streams and WebSockets still have once the server is told to stop; and those
# before, in which /readyz is 503 already and all is served as ever.
DRAIN_GRACE = 10.0
DRAIN_HOLD = 0.0

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"request_id": {"()": "asgi_middleware.RequestIDFilter"}},
    "formatters": {
        "console": {
            "format": "{asctime} {levelname} {name} [{request_id}] {message}",
            "style": "{",
        },
    },
    "handlers": {
        # The filter is here, not on a logger, whose filters its children's lines pass by.
        "console": {
            "class": "logging.StreamHandler",
            "filters": ["request_id"],
            "formatter": "console",
        },
    },
    "root": {"handlers": ["console"], "level": "INFO"},
    # Two lines tell of each request: uvicorn.access when the response starts, and
    # asgi_middleware.access with times and outcome when it has ended.
    #
    # Naming these takes from them the handlers that Django and uvicorn gave them, so that
    # each line is printed once, and with the ID. It also undoes uvicorn's --no-access-log:
    # give "uvicorn.access" a level here instead. And it undoes Django's mail to ADMINS: who
    # has ADMINS defines the handler mail_admins above, and lists it here for "django".
    "loggers": {
        name: {"handlers": [], "propagate": True}
        for name in ("django", "django.server", "uvicorn", "uvicorn.access", "uvicorn.error")
    },
}
