"""For work on this machine: nothing to set, and everything shown."""

from .base import *  # noqa: F403

DEBUG = True
# Of use to nobody: production has its own, from the environment.
SECRET_KEY = "development-only"  # noqa: S105

CORS_ALLOWED_ORIGINS = [
    "http://localhost:8000",
    "http://127.0.0.1:8000",
    "http://localhost:3000",
]
SERVER_TIMING = True
METRICS_PUBLIC = True

# Nobody at work wants to wait for it.
DRAIN_GRACE = 1.0
