"""The layer between an ASGI server and Django: see the README, and each module's docstring."""

from .composition import compose
from .cors import CORSMiddleware, CORSPolicy, WebSocketOriginMiddleware
from .errors import ConfigurationError, ConfigurationWarning
from .lifespan import LifespanMiddleware
from .request_id import (
    RequestIDFilter,
    RequestIDMiddleware,
    generate_request_id,
    get_request_id,
    is_valid_request_id,
)
from .timing import Phase, RequestTiming, TimingMiddleware, current_timing, measure

__all__ = [
    "CORSMiddleware",
    "CORSPolicy",
    "ConfigurationError",
    "ConfigurationWarning",
    "LifespanMiddleware",
    "Phase",
    "RequestIDFilter",
    "RequestIDMiddleware",
    "RequestTiming",
    "TimingMiddleware",
    "WebSocketOriginMiddleware",
    "compose",
    "current_timing",
    "generate_request_id",
    "get_request_id",
    "is_valid_request_id",
    "measure",
]
