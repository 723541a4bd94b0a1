"""The stack of ``asgi.py`` in words, for the page. A test holds the two together."""

from dataclasses import dataclass

from django.conf import settings


@dataclass(frozen=True)
class Layer:
    """A middleware, what it does for a request, and its options."""

    name: str
    does: str
    options: tuple[str, ...] = ()


LAYERS = (
    Layer(
        "HealthMiddleware",
        "Answers /livez and /readyz, and nothing else.",
        ("asks the database", "not ready while it starts or ends"),
    ),
    Layer(
        "SentHeadersMiddleware",
        "Notes what the client is sent, for this page. The project's own, in twenty lines.",
    ),
    Layer(
        "RequestIDMiddleware",
        "Gives each request an ID, or keeps a valid one that came with it.",
        ("X-Request-ID", "128 visible characters at the most"),
    ),
    Layer(
        "TimingMiddleware",
        "Keeps one record of each request, for the log, the metrics, and this page.",
        (
            "access log",
            "Prometheus",
            "Server-Timing for everybody" if settings.SERVER_TIMING else "Server-Timing for staff",
        ),
    ),
    Layer(
        "CORSMiddleware",
        "Tells browsers which origins may read an answer, and answers preflights.",
        (
            ", ".join(settings.CORS_ALLOWED_ORIGINS) or "no other origin",
            "with cookies" if settings.CORS_ALLOW_CREDENTIALS else "without cookies",
            "GET, POST",
        ),
    ),
    Layer(
        "LifespanMiddleware",
        "Opens what the process holds, and closes it once nobody uses it any more.",
        (
            "opened in order, closed in reverse",
            "supervised tasks",
            f"drain of {settings.DRAIN_GRACE:g} s",
        ),
    ),
    Layer(
        "ThreadPoolMiddleware",
        "Lends Django's sync code warm threads, where it would start new ones.",
        ("8 threads", "8 more under load"),
    ),
)
