"""Options of HealthMiddleware."""

from asgi_middleware import HealthMiddleware, Readiness

from .row import Row


def ping() -> None:
    """Pass."""


ROWS: list[Row] = [
    (
        HealthMiddleware,
        {"readiness": True},
        ("readiness: True is not a Readiness; use Readiness() or None",),
    ),
    (
        HealthMiddleware,
        {"readiness": Readiness},
        ("readiness: Readiness is a class; use Readiness() or None",),
    ),
    (HealthMiddleware, {"live_path": None}, ("live_path: None is not a path; use '/livez'",)),
    (
        HealthMiddleware,
        {"live_path": "live"},
        ("live_path: 'live' does not start with a slash; use '/live'",),
    ),
    (
        HealthMiddleware,
        {"live_path": "/livez*"},
        ("live_path: '/livez*' has an asterisk, which means nothing here; use '/livez'",),
    ),
    (
        HealthMiddleware,
        {"ready_path": ""},
        ("ready_path: '' does not start with a slash; use '/'",),
    ),
    (
        HealthMiddleware,
        {"ready_path": "/livez"},
        ("ready_path: '/livez' is also the live_path; use '/readyz'",),
    ),
    (
        HealthMiddleware,
        {"ready_path": "/livez/"},
        ("ready_path: '/livez/' is also the live_path; use '/readyz'",),
    ),
    (
        HealthMiddleware,
        {"live_path": "/readyz"},
        ("ready_path: '/readyz' is also the live_path; use '/livez'",),
    ),
    (
        HealthMiddleware,
        {"checks": [ping]},
        (f"checks: [{ping!r}] is not a dict; use {{'database': ping}} or None",),
    ),
    (
        HealthMiddleware,
        {"checks": {"database": 1}},
        ("checks: 'database': 1 cannot be called; use a function without arguments",),
    ),
    (HealthMiddleware, {"timeout": 0}, ("timeout: 0 is not a number of seconds above 0; use 2.0",)),
    (
        HealthMiddleware,
        {"cache": -1},
        ("cache: -1 is not a number of seconds at or above 0; use 1.0",),
    ),
    (
        HealthMiddleware,
        {"live_path": "a", "timeout": "2", "cache": None},
        (
            "live_path: 'a' does not start with a slash; use '/a'",
            "timeout: '2' is not a number of seconds above 0; use 2.0",
            "cache: None is not a number of seconds at or above 0; use 1.0",
        ),
    ),
]
