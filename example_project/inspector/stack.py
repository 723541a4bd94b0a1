"""The stack of ``asgi.py`` in words, for the page. A test keeps the two in step."""

from dataclasses import dataclass

from django.conf import settings


@dataclass(frozen=True)
class Layer:
    """A layer, what it does for a request, and its options."""

    name: str
    does: str
    options: tuple[str, ...] = ()


LAYERS = (
    Layer(
        "HealthMiddleware",
        "Responds to /livez and /readyz, and passes on everything else.",
        ("checks the database", "not ready during startup and shutdown"),
    ),
    Layer(
        "SentHeadersMiddleware",
        "Records the headers that the client gets, for this page. It is part of this project.",
    ),
    Layer(
        "RequestIDMiddleware",
        "Gives each request an ID, or keeps the valid one that it came with.",
        ("X-Request-ID", "at most 200 visible characters"),
    ),
    Layer(
        "TimingMiddleware",
        "Keeps one record of each request, for the log, the metrics and this page.",
        (
            "access log",
            "Prometheus",
            "Server-Timing for everybody" if settings.SERVER_TIMING else "Server-Timing for staff",
        ),
    ),
    Layer(
        "CORSMiddleware",
        "Tells browsers which origins may read a response, and responds to preflights.",
        (
            ", ".join(settings.CORS_ALLOWED_ORIGINS) or "no other origin",
            "with cookies" if settings.CORS_ALLOW_CREDENTIALS else "without cookies",
            "GET, POST",
        ),
    ),
    Layer(
        "WebSocketOriginMiddleware",
        "Refuses WebSockets that a page of another site opens with its visitor's cookies.",
        ("this site, and the origins above",),
    ),
    Layer(
        "RequestBodyLimitMiddleware",
        "Refuses bodies that are too large or too slow, before Django has read them.",
        ("5 MB", "pauses of 10 s", "500 bytes per second"),
    ),
    Layer(
        "RequestTimeoutMiddleware",
        "Responds with a 504 if the response does not begin in time.",
        ("60 s",),
    ),
    Layer(
        "LifespanMiddleware",
        "Opens what the process needs, and closes it when no request uses it any more.",
        (
            "opened in order, closed in reverse",
            "supervised tasks",
            f"drain of {settings.DRAIN_GRACE:g} s",
        ),
    ),
    Layer(
        "ThreadPoolMiddleware",
        "Lends Django's sync code threads that are already running.",
        ("8 threads", "8 more under load"),
    ),
)
