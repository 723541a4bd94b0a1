"""The same for Daphne, which sends no lifespan."""

from asgi_middleware.lifespan.daphne import DaphneLifespan

from . import asgi

application = DaphneLifespan(asgi.application)
