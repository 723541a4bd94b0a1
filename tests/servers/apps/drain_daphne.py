"""The app of drain.py for Daphne."""

from asgi_middleware.lifespan.daphne import DaphneLifespan

from . import drain

application = DaphneLifespan(drain.application)
