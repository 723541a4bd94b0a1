"""Options of the thread pool."""

from asgi_middleware import ThreadPool, ThreadPoolMiddleware

from .row import Row

ROWS: list[Row] = [
    (ThreadPool, {"size": 0}, ("size: 0 is not a whole number at or above 1; use 8",)),
    (ThreadPool, {"size": 2.5}, ("size: 2.5 is not a whole number at or above 1; use 8",)),
    (ThreadPool, {"size": True}, ("size: True is not a whole number at or above 1; use 8",)),
    (
        ThreadPool,
        {"max_overflow": -1},
        ("max_overflow: -1 is not a whole number at or above 0; use 8 or None",),
    ),
    (ThreadPool, {"timeout": 0}, ("timeout: 0 is not a number of seconds above 0; use 30.0",)),
    (
        ThreadPool,
        {"timeout": None},
        ("timeout: None is not a number of seconds above 0; use 30.0",),
    ),
    (ThreadPool, {"streams": True}, ("streams: True is not known; use 'keep' or 'release'",)),
    (
        ThreadPool,
        {"size": 0, "max_overflow": -1, "timeout": "5"},
        (
            "size: 0 is not a whole number at or above 1; use 8",
            "max_overflow: -1 is not a whole number at or above 0; use 8 or None",
            "timeout: '5' is not a number of seconds above 0; use 30.0",
        ),
    ),
    (
        ThreadPoolMiddleware,
        {"pool": 8},
        ("pool: 8 is not a ThreadPool; use ThreadPool() or None",),
    ),
    (
        ThreadPoolMiddleware,
        {"pool": ThreadPool},
        ("pool: ThreadPool is a class; use ThreadPool() or None",),
    ),
]
