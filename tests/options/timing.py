"""Options of the timing and its observers."""

import math
from importlib.util import find_spec
from typing import Any

from asgi_middleware import AccessLog, OpenTelemetryMetrics, PrometheusMetrics, TimingMiddleware

from .row import Row

LOG = AccessLog()
LOG_AS_WRITTEN = "AccessLog(logger='asgi_middleware.access', skip_paths=[])"


async def in_vain(record: Any) -> bool:
    return False


ROWS: list[Row] = [
    (
        TimingMiddleware,
        {"observers": LOG},
        (f"observers: {LOG_AS_WRITTEN} is not a list; use [{LOG_AS_WRITTEN}]",),
    ),
    (
        TimingMiddleware,
        {"observers": AccessLog},
        (f"observers: {AccessLog!r} is not a list; use [AccessLog()]",),
    ),
    (
        TimingMiddleware,
        {"observers": print},
        ("observers: <built-in function print> is not a list; use [print]",),
    ),
    (TimingMiddleware, {"observers": None}, ("observers: None is not a list; use [AccessLog()]",)),
    (TimingMiddleware, {"observers": "x"}, ("observers: 'x' is not a list; use [AccessLog()]",)),
    (
        TimingMiddleware,
        {"observers": [1]},
        ("observers: 1 is not an observer; use AccessLog() or a function of the record",),
    ),
    (
        TimingMiddleware,
        {"observers": [AccessLog]},
        ("observers: AccessLog is a class; use AccessLog()",),
    ),
    (
        TimingMiddleware,
        {"observers": [in_vain]},
        (f"observers: {in_vain!r} is async; use a plain function of the record",),
    ),
    (
        TimingMiddleware,
        {"server_timing": "yes"},
        ("server_timing: 'yes' is a string; use True",),
    ),
    (
        TimingMiddleware,
        {"server_timing": None},
        ("server_timing: None is not a bool; use False",),
    ),
    (
        TimingMiddleware,
        {"server_timing": in_vain},
        (
            f"server_timing: {in_vain!r} is async, but must be a plain function;"
            " use attrgetter('expose')",
        ),
    ),
    (
        TimingMiddleware,
        {"timing_allow_origin": None},
        ("timing_allow_origin: None is not a list; use ['https://app.example']",),
    ),
    (
        TimingMiddleware,
        {"timing_allow_origin": "https://a.example"},
        ("timing_allow_origin: 'https://a.example' is one string; use ['https://a.example']",),
    ),
    (
        TimingMiddleware,
        {"timing_allow_origin": ["https://a.example/"]},
        ("timing_allow_origin: 'https://a.example/' ends with a slash; use 'https://a.example'",),
    ),
    (
        TimingMiddleware,
        {"timing_allow_origin": ["https://*.example.org"]},
        (
            "timing_allow_origin: 'https://*.example.org' is a pattern, which Timing-Allow-Origin"
            " does not support; use '*', or list each origin",
        ),
    ),
    (
        TimingMiddleware,
        {"timing_allow_origin": ["Null", ""]},
        (
            "timing_allow_origin: 'Null' has no scheme; use 'https://null'",
            "timing_allow_origin: '' is empty; use an origin such as 'https://app.example' or leave"
            " it out",
        ),
    ),
    (TimingMiddleware, {"ttfb_name": ""}, ("ttfb_name: '' is not a name; use 'app'",)),
    (TimingMiddleware, {"ttfb_name": None}, ("ttfb_name: None is not a name; use 'app'",)),
    *(
        (
            TimingMiddleware,
            {"precision": precision},
            (f"precision: {precision!r} is not a whole number from 0 to 9; use 1",),
        )
        for precision in (-1, 10, 1.5, True, None)
    ),
    *(
        (
            TimingMiddleware,
            {"slow_threshold": threshold},
            (f"slow_threshold: {threshold!r} is not a number of seconds above 0; use 1.0 or None",),
        )
        for threshold in (0, -1, "5", True, math.nan, math.inf)
    ),
    (
        TimingMiddleware,
        {"clock": None},
        ("clock: None cannot be called; use time.perf_counter",),
    ),
    (
        TimingMiddleware,
        {"observers": [1, AccessLog], "ttfb_name": "", "precision": 10},
        (
            "observers: 1 is not an observer; use AccessLog() or a function of the record",
            "observers: AccessLog is a class; use AccessLog()",
            "ttfb_name: '' is not a name; use 'app'",
            "precision: 10 is not a whole number from 0 to 9; use 1",
        ),
    ),
    (AccessLog, {"logger": 1}, ("logger: 1 is not a name; use 'asgi_middleware.access'",)),
    *(
        (
            AccessLog,
            {"logger": name},
            (
                f"logger: {name!r} is the root logger, which gets the lines of all others too;"
                " use 'asgi_middleware.access'",
            ),
        )
        for name in ("", "root")
    ),
    (AccessLog, {"skip_paths": None}, ("skip_paths: None is not a list; use ['/livez']",)),
    (AccessLog, {"skip_paths": "/x"}, ("skip_paths: '/x' is one string; use ['/x']",)),
    (
        AccessLog,
        {"skip_paths": ["livez"]},
        ("skip_paths: 'livez' does not start with a slash; use '/livez'",),
    ),
    (
        AccessLog,
        {"skip_paths": ["static/*", "*"]},
        (
            "skip_paths: 'static/*' does not start with a slash; use '/static/*'",
            "skip_paths: '*' does not start with a slash; use '/*'",
        ),
    ),
    (
        AccessLog,
        {"skip_paths": ["/*/edit", "/a/**"]},
        (
            "skip_paths: '/*/edit' has an asterisk before its end; use '/*'",
            "skip_paths: '/a/**' has an asterisk before its end; use '/a/*'",
        ),
    ),
]

BUCKETS: list[tuple[object, str]] = [
    (None, "None is not a list of seconds; use [0.1, 1, 10]"),
    (5, "5 is not a list of seconds; use [0.1, 1, 10]"),
    ("1,5", "'1,5' is not a list of seconds; use [0.1, 1, 10]"),
    ({1, 5}, "{1, 5} is not a list of seconds; use [0.1, 1, 10]"),
    ([], "[] is not a list of seconds; use [0.1, 1, 10]"),
    ([0, 1], "0 is not a number of seconds above 0; use 1.0"),
    ([1, math.inf], "inf is not a number of seconds above 0; use 1.0"),
    (["1"], "'1' is not a number of seconds above 0; use 1.0"),
    ([5, 1], "[5, 1] is not in increasing order; use [1, 5]"),
    ((1, 1, 2), "(1, 1, 2) is not in increasing order; use [1, 2]"),
]

if find_spec("prometheus_client"):
    from prometheus_client import CollectorRegistry

    ROWS.append(
        (
            PrometheusMetrics,
            {"registry": 1},
            ("registry: 1 is not a CollectorRegistry; use CollectorRegistry() or None",),
        )
    )
    ROWS.extend(
        (
            PrometheusMetrics,
            {"buckets": buckets, "registry": CollectorRegistry()},
            (f"buckets: {problem}",),
        )
        for buckets, problem in BUCKETS
    )
if find_spec("opentelemetry"):
    ROWS.append(
        (
            OpenTelemetryMetrics,
            {"meter": "mine"},
            ("meter: 'mine' is not a Meter; use get_meter('asgi_middleware') or None",),
        )
    )
    ROWS.extend(
        (OpenTelemetryMetrics, {"buckets": buckets}, (f"buckets: {problem}",))
        for buckets, problem in BUCKETS
    )
