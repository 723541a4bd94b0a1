"""Options of the limits."""

from asgi_middleware import RequestBodyLimitMiddleware, RequestTimeoutMiddleware

from .row import Row

WHOLE = "is not a whole number at or above 0; use 1000000"
SECONDS = "is not a number of seconds above 0; use 30.0"

ROWS: list[Row] = [
    (RequestBodyLimitMiddleware, {"max_body_size": -1}, (f"max_body_size: -1 {WHOLE}",)),
    (RequestBodyLimitMiddleware, {"max_body_size": "1 MB"}, (f"max_body_size: '1 MB' {WHOLE}",)),
    (RequestBodyLimitMiddleware, {"max_body_size": 1.5}, (f"max_body_size: 1.5 {WHOLE}",)),
    (RequestBodyLimitMiddleware, {"max_body_size": None}, (f"max_body_size: None {WHOLE}",)),
    (
        RequestBodyLimitMiddleware,
        {"max_body_size": 1, "paths": ["/upload/"]},
        ("paths: ['/upload/'] is not a dict; use {'/upload/': 1_000_000_000} or None",),
    ),
    (
        RequestBodyLimitMiddleware,
        {"max_body_size": 1, "paths": {"upload": 5, "/a/": -1, "/b": 1, "/b/": 2}},
        (
            "paths: 'upload' does not start with a slash; use '/upload'",
            f"paths: '/a/': -1 {WHOLE} or None",
            "paths: '/b/' appears twice, with and without a slash at the end; use one of them",
        ),
    ),
    (
        RequestBodyLimitMiddleware,
        {"max_body_size": 1, "timeout": 0},
        ("timeout: 0 is not a number of seconds above 0; use 10.0 or None",),
    ),
    (
        RequestBodyLimitMiddleware,
        {"max_body_size": 1, "min_rate": 1000},
        ("min_rate: 1000 has no effect without a timeout; use None",),
    ),
    (
        RequestBodyLimitMiddleware,
        {"max_body_size": 1, "timeout": 5, "min_rate": "fast"},
        ("min_rate: 'fast' is not a number of bytes per second above 0; use 1000 or None",),
    ),
    (RequestTimeoutMiddleware, {"timeout": 0}, (f"timeout: 0 {SECONDS}",)),
    (RequestTimeoutMiddleware, {"timeout": None}, (f"timeout: None {SECONDS}",)),
    (RequestTimeoutMiddleware, {"timeout": "30"}, (f"timeout: '30' {SECONDS}",)),
    (
        RequestTimeoutMiddleware,
        {"timeout": 1, "paths": {"/a/": "5"}},
        (f"paths: '/a/': '5' {SECONDS} or None",),
    ),
]
