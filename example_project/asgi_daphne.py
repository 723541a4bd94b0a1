"""The same for Daphne, which itself tells an application neither of its start nor of its stop.

daphne example_project.asgi_daphne:application
"""

from asgi_middleware.lifespan.daphne import DaphneLifespan

from .asgi import application

application = DaphneLifespan(application)
