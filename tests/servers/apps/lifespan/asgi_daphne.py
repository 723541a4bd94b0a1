"""The same app for Daphne, which sends no lifespan events."""

from asgi_middleware.lifespan.daphne import DaphneLifespan

from . import asgi

application = DaphneLifespan(asgi.application)
