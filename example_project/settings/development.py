"""For work on this machine: nothing to set, and everything shown."""

from .base import *  # noqa: F403
from .base import CONTENT_SECURITY_POLICY

DEBUG = True
# Of use to nobody: production has its own, from the environment.
SECRET_KEY = "development-only"  # noqa: S105

# Two origins of one process, whatever its port, for the scenarios; and your own pages.
CORS_ALLOWED_ORIGINS = ["http://localhost:*", "http://127.0.0.1:*"]
CORS_ALLOW_CREDENTIALS = True
CONTENT_SECURITY_POLICY["DIRECTIVES"]["connect-src"] += CORS_ALLOWED_ORIGINS
SERVER_TIMING = True
METRICS_PUBLIC = True

# Nobody at work wants to wait for it.
DRAIN_GRACE = 1.0

# Static files come straight from where they are; nothing is collected.
SERVESTATIC_USE_STATIC_ROOT = False
