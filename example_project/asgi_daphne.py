"""The same application for Daphne: ``daphne example_project.asgi_daphne:application``.

Daphne signals neither startup nor shutdown to an application. ``DaphneLifespan`` does.
"""

from asgi_middleware.lifespan.daphne import DaphneLifespan

from .asgi import application

application = DaphneLifespan(application)
