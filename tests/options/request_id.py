"""Options of the request ID, its log records and the trace context."""

from typing import Any

from asgi_middleware import (
    RequestIDFilter,
    RequestIDMiddleware,
    TraceContextMiddleware,
    install_record_factory,
)

from .row import Row

ASYNC = "is async, but must be a plain function"


async def coroutine_function(*_: object) -> Any: ...


def install_and_undo(**options: Any) -> None:
    """Install the record factory, and undo it, so that no other test gets it."""
    install_record_factory(**options)()


TRUSTED: list[tuple[object, tuple[str, ...]]] = [
    ("*", ("trusted: '*' is a string; use True",)),
    ("true", ("trusted: 'true' is a string; use True",)),
    ("", ("trusted: '' is a string; use False",)),
    ("localhost", ("trusted: 'localhost' is a string; use True or False",)),
    ("10.0.0.0/8", ("trusted: '10.0.0.0/8' is one string; use ['10.0.0.0/8']",)),
    (
        "10.0.0.0/8, unix",
        ("trusted: '10.0.0.0/8, unix' is one string; use ['10.0.0.0/8', 'unix']",),
    ),
    (None, ("trusted: None is not a bool; use False",)),
    (1, ("trusted: 1 is a number; use True",)),
    ({"unix": True}, ("trusted: {'unix': True} is not a list; use ['10.0.0.0/8']",)),
    (
        coroutine_function,
        (f"trusted: {coroutine_function!r} {ASYNC}; use (scope) -> bool",),
    ),
    (
        ["localhost", "10.0.0.1/8", "::ffff:10.0.0.0/104", 10, "10.0.0.0/33"],
        (
            "trusted: 'localhost' is not an address, a network or 'unix'; use '10.0.0.0/8'",
            "trusted: '10.0.0.1/8' has bits set beyond its prefix; use '10.0.0.0/8'",
            "trusted: '::ffff:10.0.0.0/104' is IPv4 written as IPv6 and matches no client;"
            " use '10.0.0.0/8'",
            "trusted: 10 is not a string; use '10.0.0.0/8'",
            "trusted: '10.0.0.0/33' is not an address, a network or 'unix'; use '10.0.0.0/8'",
        ),
    ),
]

LOGS: list[tuple[dict[str, Any], tuple[str, ...]]] = [
    ({"default_value": None}, ("default_value: None is not a str; use '-'",)),
    ({"length": 0}, ("length: 0 is not a whole number at or above 1; use 8 or None",)),
    ({"length": "8"}, ("length: '8' is not a whole number at or above 1; use 8 or None",)),
    ({"length": True}, ("length: True is not a whole number at or above 1; use 8 or None",)),
    (
        {"default_value": 0, "length": 1.5},
        (
            "default_value: 0 is not a str; use '-'",
            "length: 1.5 is not a whole number at or above 1; use 8 or None",
        ),
    ),
]

ROWS: list[Row] = [
    (
        RequestIDMiddleware,
        {"header_name": "X Request"},
        ("header_name: 'X Request' is not a valid header name; use 'X-Request-ID'",),
    ),
    (
        RequestIDMiddleware,
        {"header_name": ""},
        ("header_name: '' is not a valid header name; use 'X-Request-ID'",),
    ),
    (
        RequestIDMiddleware,
        {"header_name": b"X-Request-ID"},
        ("header_name: b'X-Request-ID' is not a valid header name; use 'X-Request-ID'",),
    ),
    (
        RequestIDMiddleware,
        {"header_name": "X_REQUEST_ID"},
        (
            "header_name: 'X_REQUEST_ID' contains '_', which servers drop or read as '-';"
            " use 'X-REQUEST-ID'",
        ),
    ),
    (
        RequestIDMiddleware,
        {"fallback_headers": "CF-Ray, X-Amzn-Trace-Id"},
        (
            "fallback_headers: 'CF-Ray, X-Amzn-Trace-Id' is one string;"
            " use ['CF-Ray', 'X-Amzn-Trace-Id']",
        ),
    ),
    (
        RequestIDMiddleware,
        {"fallback_headers": "CF_Ray"},
        ("fallback_headers: 'CF_Ray' is one string; use ['X-Correlation-ID']",),
    ),
    (
        RequestIDMiddleware,
        {"fallback_headers": None},
        ("fallback_headers: None is not a list; use ['X-Correlation-ID']",),
    ),
    (
        RequestIDMiddleware,
        {"fallback_headers": b"CF-Ray"},
        ("fallback_headers: b'CF-Ray' is not a list; use ['X-Correlation-ID']",),
    ),
    (
        RequestIDMiddleware,
        {"fallback_headers": {"CF-Ray"}},
        ("fallback_headers: {'CF-Ray'} has no order; use ['X-Correlation-ID']",),
    ),
    (
        RequestIDMiddleware,
        {"fallback_headers": ["CF_Ray", "", 1]},
        (
            "fallback_headers: 'CF_Ray' contains '_', which servers drop or read as '-';"
            " use 'CF-Ray'",
            "fallback_headers: '' is not a valid header name; use 'X-Request-ID'",
            "fallback_headers: 1 is not a string; use 'X-Correlation-ID'",
        ),
    ),
    (
        RequestIDMiddleware,
        {"generator": "uuid7_hex", "validator": True, "transformer": "lower"},
        (
            "generator: 'uuid7_hex' cannot be called; use uuid7_hex",
            "validator: True cannot be called; use is_uuid or None",
            "transformer: 'lower' cannot be called; use str.lower or None",
        ),
    ),
    (
        RequestIDMiddleware,
        {"generator": None},
        ("generator: None cannot be called; use uuid7_hex",),
    ),
    (
        RequestIDMiddleware,
        {
            "generator": coroutine_function,
            "validator": coroutine_function,
            "transformer": coroutine_function,
        },
        (
            f"generator: {coroutine_function!r} {ASYNC}; use uuid7_hex",
            f"validator: {coroutine_function!r} {ASYNC}; use is_uuid",
            f"transformer: {coroutine_function!r} {ASYNC}; use str.lower",
        ),
    ),
    (
        RequestIDMiddleware,
        {"update_request_header": "false", "response_header": 0},
        (
            "update_request_header: 'false' is a string; use False",
            "response_header: 0 is a number; use False",
        ),
    ),
    (
        RequestIDMiddleware,
        {"header_name": "", "trusted": ["localhost"]},
        (
            "header_name: '' is not a valid header name; use 'X-Request-ID'",
            "trusted: 'localhost' is not an address, a network or 'unix'; use '10.0.0.0/8'",
        ),
    ),
    *(
        (middleware, {"trusted": trusted}, problems)
        for middleware in (RequestIDMiddleware, TraceContextMiddleware)
        for trusted, problems in TRUSTED
    ),
    *(
        (make, options, problems)
        for make in (RequestIDFilter, install_and_undo)
        for options, problems in LOGS
    ),
]
