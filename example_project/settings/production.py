"""For the public: DJANGO_ENV=production, and the three variables below.

``DJANGO_ALLOWED_HOSTS`` and ``DJANGO_CORS_ORIGINS`` are lists with commas; the latter may
be empty, for a site whose answers only its own pages read.
"""

import os

from ..environment import listed, required
from .base import *  # noqa: F403

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

SESSION_COOKIE_SECURE = True
CSRF_COOKIE_SECURE = True
