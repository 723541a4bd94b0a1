"""Settings for development: they need no variables, and show everything to everybody."""

from .base import *  # noqa: F403
from .base import CONTENT_SECURITY_POLICY, env

DEBUG = True
# Not a secret: production reads its own from the environment.
SECRET_KEY = "development-only"  # noqa: S105

# On any port: the scenarios need a second origin for this server, and your own pages may need one.
CORS_ALLOWED_ORIGINS = ["http://localhost:*", "http://127.0.0.1:*"]
CORS_ALLOW_CREDENTIALS = True
CONTENT_SECURITY_POLICY["DIRECTIVES"]["connect-src"] += CORS_ALLOWED_ORIGINS
SERVER_TIMING = True
METRICS_PUBLIC = True

# Short, so that a restart does not keep you waiting.
DRAIN_GRACE = 1.0

# Static files are served from their source folders, so they need not be collected.
SERVESTATIC_USE_STATIC_ROOT = False

env.seal()
