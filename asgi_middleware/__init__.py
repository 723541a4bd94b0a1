"""The layer between an ASGI server and Django: see the README, and each module's docstring."""

from .composition import compose
from .cors import CORSMiddleware, CORSPolicy, WebSocketOriginMiddleware
from .errors import ConfigurationError, ConfigurationWarning
from .health import HealthMiddleware
from .lifespan import (
    Drain,
    LifespanMiddleware,
    TaskSupervisor,
    get_state,
    get_tasks,
    register_lifespan,
)
from .limits import RequestBodyLimitMiddleware, RequestTimeoutMiddleware
from .outgoing import outgoing_headers
from .readiness import Readiness
from .request_id import (
    RequestIDFilter,
    RequestIDMiddleware,
    generate_request_id,
    get_request_id,
    install_record_factory,
    is_uuid,
    is_valid_request_id,
    request_id_context,
    uuid7_hex,
)
from .stack import Stack, stack
from .thread_pool import ThreadPool, ThreadPoolMiddleware
from .timing import (
    AccessLog,
    OpenTelemetryMetrics,
    Phase,
    PrometheusMetrics,
    RequestTiming,
    TimingMiddleware,
    WebSocketTiming,
    current_timing,
    measure,
)
from .trace_context import TraceContext, TraceContextMiddleware, get_trace_context

__version__ = "0.1.0"

__all__ = [
    "AccessLog",
    "CORSMiddleware",
    "CORSPolicy",
    "ConfigurationError",
    "ConfigurationWarning",
    "Drain",
    "HealthMiddleware",
    "LifespanMiddleware",
    "OpenTelemetryMetrics",
    "Phase",
    "PrometheusMetrics",
    "Readiness",
    "RequestBodyLimitMiddleware",
    "RequestIDFilter",
    "RequestIDMiddleware",
    "RequestTimeoutMiddleware",
    "RequestTiming",
    "Stack",
    "TaskSupervisor",
    "ThreadPool",
    "ThreadPoolMiddleware",
    "TimingMiddleware",
    "TraceContext",
    "TraceContextMiddleware",
    "WebSocketOriginMiddleware",
    "WebSocketTiming",
    "compose",
    "current_timing",
    "generate_request_id",
    "get_request_id",
    "get_state",
    "get_tasks",
    "get_trace_context",
    "install_record_factory",
    "is_uuid",
    "is_valid_request_id",
    "measure",
    "outgoing_headers",
    "register_lifespan",
    "request_id_context",
    "stack",
    "uuid7_hex",
]
