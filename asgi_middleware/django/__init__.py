"""For Django: its handler with fewer threads, and what only Django knows about a request.

    from asgi_middleware.django import get_asgi_application    # instead of Django's

The layers do not import Django.
"""

from ..cors.django_cors_headers import cors_options
from .database import time_database_queries
from .handler import ASGIHandler, get_asgi_application
from .logs import logging_config
from .route import route_middleware

__all__ = [
    "ASGIHandler",
    "cors_options",
    "get_asgi_application",
    "logging_config",
    "route_middleware",
    "time_database_queries",
]
