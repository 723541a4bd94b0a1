"""Options of CORS, WebSocket origins, and the settings of django-cors-headers."""

import re
from functools import partial
from types import SimpleNamespace
from typing import Any

from asgi_middleware import CORSMiddleware, CORSPolicy, WebSocketOriginMiddleware
from asgi_middleware.cors import cors_options

from .row import Row

A = "https://a.example"
OWN_ORIGINS = "use the origins of your own pages, such as 'https://app.example'"
POLICY = "CORSPolicy(allow_origins=['https://app.example'])"


class Settings:
    """The settings that cors_options reads."""

    def __init__(self, **settings: Any) -> None:
        cors_options(SimpleNamespace(**settings))


LISTS: list[Row] = [
    (CORSPolicy, {option: value}, tuple(f"{option}: {problem}" for problem in problems))
    for option, value, *problems in (
        ("allow_origins", A, "'https://a.example' is one string; use ['https://a.example']"),
        (
            "allow_origins",
            "https://a,https://b",
            "'https://a,https://b' is one string; use ['https://a', 'https://b']",
        ),
        ("allow_origins", '["https://a"]', "'[\"https://a\"]' is one string; use ['https://a']"),
        ("allow_origins", "", "'' is one string; use []"),
        ("allow_origins", None, "None is not a list; use ['https://app.example']"),
        ("allow_origins", {A: True}, f"{{{A!r}: True}} is not a list; use ['https://app.example']"),
        ("allow_origins", [3], "3 is not a string; use 'https://app.example'"),
        (
            "allow_origins",
            [""],
            "[''] is what an empty string splits into; use []",
        ),
        (
            "allow_origins",
            "https://a https://b",
            "'https://a https://b' is one string; use ['https://a', 'https://b']",
        ),
        (
            "allow_origins",
            "('https://a', 'https://[::1]')",
            "\"('https://a', 'https://[::1]')\" is one string; use ['https://a', 'https://[::1]']",
        ),
        (
            "allow_origins",
            "[https://a,https://b]",
            "'[https://a,https://b]' is one string; use ['https://a', 'https://b']",
        ),
        ("allow_origins", "'https://a'", "\"'https://a'\" is one string; use ['https://a']"),
        ("allow_origins", [" "], "[' '] is what an empty string splits into; use []"),
        (
            "allow_origins",
            ["https://a,https://b"],
            "'https://a,https://b' is a list in one string; use 'https://a', 'https://b'",
        ),
        (
            "allow_origins",
            ['"https://a"'],
            "'\"https://a\"' has quotes or brackets around it; use 'https://a'",
        ),
        (
            "allow_origins",
            ['["https://a"', '"https://b"]'],
            "'[\"https://a\"' has quotes or brackets around it; use 'https://a'",
            "'\"https://b\"]' has quotes or brackets around it; use 'https://b'",
        ),
        (
            "allow_origins",
            ['["https://a", "https://b"]'],
            "'[\"https://a\", \"https://b\"]' is a list in one string; use 'https://a', 'https://b'",
        ),
        ("allow_origins", [" https://a"], "' https://a' has whitespace around it; use 'https://a'"),
        (
            "allow_origins",
            ["https://straße.example"],
            "'https://straße.example' is not in its ASCII form; use 'https://xn--strae-oqa.example'",
        ),
        (
            "allow_origins",
            ["https://日本.example"],
            "'https://日本.example' is not in its ASCII form; use"
            " the value of new URL('https://日本.example').origin in a browser's console",
        ),
        ("allow_origins", ["file:///"], "'file:///' ends with a slash; use 'file://'"),
        ("allow_origins", ["App://."], "'App://.' is not in lower case; use 'app://.'"),
        (
            "allow_origins",
            [A, ""],
            "'' is empty; use an origin such as 'https://app.example' or leave it out",
        ),
        ("allow_origins", [A, "b.example"], "'b.example' has no scheme; use 'https://b.example'"),
        ("allow_methods", "GET, POST", "'GET, POST' is one string; use ['GET', 'POST']"),
        ("allow_methods", None, "None is not a list; use ['GET', 'POST']"),
        ("allow_methods", ["GET "], "'GET ' is not a valid method; use 'GET'"),
        ("allow_methods", ["PÜT"], "'PÜT' is not a valid method; use 'PUT'"),
        ("allow_methods", ["GET,POST"], "'GET,POST' is a list in one string; use 'GET', 'POST'"),
        ("allow_methods", ["[GET]"], "'[GET]' is not a valid method; use 'GET'"),
        ("allow_methods", ["G T"], "'G T' is not a valid method; use 'GET'"),
        ("allow_methods", [""], "[''] is what an empty string splits into; use []"),
        (
            "allow_methods",
            ["TRACE"],
            "'TRACE' is a method that no page can send; use the list without it",
        ),
        (
            "allow_methods",
            ["connect"],
            "'connect' is a method that no page can send; use the list without it",
        ),
        ("allow_headers", None, "None is not a list; use ['x-request-id']"),
        (
            "allow_headers",
            ["X Request ID"],
            "'X Request ID' is not a valid header name; use 'x-request-id'",
        ),
        ("allow_headers", [""], "[''] is what an empty string splits into; use []"),
        ("allow_headers", ["x-a, x-b"], "'x-a, x-b' is a list in one string; use 'x-a', 'x-b'"),
        ("allow_headers", "", "'' is one string; use []"),
        ("allow_headers", "x-a x-b", "'x-a x-b' is one string; use ['x-a', 'x-b']"),
        ("expose_headers", b"x", "b'x' is not a list; use ['x-request-id']"),
        ("expose_headers", ["x-a:"], "'x-a:' is not a valid header name; use 'x-a'"),
    )
]

VALUES: list[Row] = [
    (CORSPolicy, {option: value}, (f"{option}: {problem}",))
    for option, value, problem in (
        ("allow_credentials", "false", "'false' is a string; use False"),
        ("allow_private_network", "False", "'False' is a string; use False"),
        *(
            ("max_age", age, f"{age!r} is not a whole number at or above 0; use 600 or None")
            for age in (-1, 1.5, "600", True)
        ),
        (
            "allow_origin_regex",
            "(",
            "'(' is not a valid regular expression for strings (missing ), unterminated subpattern"
            " at position 0); use 'https://[a-z]+\\\\.example\\\\.org' or None",
        ),
        (
            "allow_origin_regex",
            ["("],
            "'(' is not a valid regular expression for strings (missing ), unterminated subpattern"
            " at position 0); use 'https://[a-z]+\\\\.example\\\\.org'",
        ),
        (
            "allow_origin_func",
            "a",
            "'a' cannot be called; use a function of the origin and the scope or None",
        ),
    )
]

WITH_CREDENTIALS: list[Row] = [
    (CORSPolicy, {"allow_credentials": True, **options}, problems)
    for options, problems in (
        (
            {"allow_origins": ["*", "null", "https://*.co.uk", "https://*.com"]},
            (
                "allow_origins: '*' cannot be combined with allow_credentials=True because every"
                f" site could act as its visitors; {OWN_ORIGINS}",
                "allow_origins: 'null' cannot be combined with allow_credentials=True because any"
                f" page can take this origin in a sandboxed frame; {OWN_ORIGINS}",
                "allow_origins: 'https://*.co.uk' cannot be combined with allow_credentials=True"
                f" because anybody can get a name under 'co.uk'; {OWN_ORIGINS}",
                "allow_origins: 'https://*.com' cannot be combined with allow_credentials=True"
                f" because anybody can get a name under 'com'; {OWN_ORIGINS}",
            ),
        ),
        (
            {"allow_origin_regex": [r"https://a\.example", "null|file://"]},
            (
                "allow_origin_regex: 'null|file://' matches an origin that any page can take (here"
                " 'null') and cannot be combined with allow_credentials=True; use a regex that ends"
                " with the name of your site, such as 'https://[a-z]+\\\\.example\\\\.org'",
            ),
        ),
        (
            {"allow_origins": [A], "expose_headers": ["*"]},
            (
                "expose_headers: '*' is an ordinary header name with"
                " allow_credentials=True, and exposes no others; use the names of the headers",
            ),
        ),
    )
]

MIDDLEWARE: list[Row] = [
    (
        partial(CORSMiddleware, allow_origins=[A]),
        {option: value},
        (f"{option}: {problem}",),
    )
    for option, value, problem in (
        ("debug", "no", "'no' is a string; use False"),
        ("error_responses", 1, "1 is a number; use True"),
        ("policies", ["/api/"], f"['/api/'] is not a dict; use {{'/api/': {POLICY}}} or None"),
        ("policies", {"api": None}, "'api' does not start with a slash; use '/api'"),
        ("policies", {1: None}, "1 is not a path; use '/api/'"),
        (
            "policies",
            {"/": None},
            "'/' covers every path; use the options of CORSMiddleware itself",
        ),
        (
            "policies",
            {"//": None},
            "'//' covers every path; use the options of CORSMiddleware itself",
        ),
        (
            "policies",
            {"/a": None, "/a/": None},
            "'/a/' appears twice, with and without a slash at the end; use one of them",
        ),
        ("policies", {"/a": "*"}, f"'*' is not a CORSPolicy; use {POLICY} or None"),
        ("policies", {"/a": CORSPolicy}, f"CORSPolicy is a class; use {POLICY} or None"),
    )
]

ROWS: list[Row] = [
    *LISTS,
    *VALUES,
    *WITH_CREDENTIALS,
    *MIDDLEWARE,
    (
        CORSPolicy,
        {"allow_origins": ["b.example", A, "https://b.example/c", 3], "max_age": -1},
        (
            "allow_origins: 'b.example' has no scheme; use 'https://b.example'",
            "allow_origins: 'https://b.example/c' has a path; use 'https://b.example'",
            "allow_origins: 3 is not a string; use 'https://app.example'",
            "max_age: -1 is not a whole number at or above 0; use 600 or None",
        ),
    ),
    (
        CORSMiddleware,
        {"allow_origins": "*", "policies": {"/a": "*"}, "debug": None},
        (
            "allow_origins: '*' is one string; use ['*']",
            f"policies: '*' is not a CORSPolicy; use {POLICY} or None",
            "debug: None is not a bool; use False",
        ),
    ),
    (
        WebSocketOriginMiddleware,
        {"allow_origins": "same-origin", "allowed_hosts": "a.example"},
        (
            "allow_origins: 'same-origin' is one string; use ['same-origin']",
            "allowed_hosts: 'a.example' is one string; use ['a.example']",
        ),
    ),
    (
        WebSocketOriginMiddleware,
        {"allow_origins": ["*", "null", "https://a.example/"], "allow_origin_func": "a"},
        (
            f"allow_origins: '*' would let any page open a WebSocket as its visitor; {OWN_ORIGINS}",
            "allow_origins: 'null' would let any page open a WebSocket as its visitor;"
            f" {OWN_ORIGINS}",
            "allow_origins: 'https://a.example/' ends with a slash; use 'https://a.example'",
            "allow_origin_func: 'a' cannot be called; use a function of the origin and the scope"
            " or None",
        ),
    ),
    *(
        (WebSocketOriginMiddleware, options, problems)
        for options, problems in (
            (
                {"trusted_host_header": "x-forwarded-host"},
                (
                    "trusted_host_header: 'x-forwarded-host' is ignored because no client is"
                    " trusted; use None, or list the addresses of your proxies in trusted",
                ),
            ),
            (
                {"trusted_host_header": "x forwarded", "trusted": ["10.0.0.1/8"]},
                (
                    "trusted: '10.0.0.1/8' has bits set beyond its prefix; use '10.0.0.0/8'",
                    "trusted_host_header: 'x forwarded' is not a valid header name; use"
                    " 'x-forwarded-host'",
                ),
            ),
            (
                {"trusted": True},
                ("trusted: True has no effect without trusted_host_header; use False",),
            ),
            (
                {"allowed_hosts": ["a.example, b.example", "'c.example'"]},
                (
                    "allowed_hosts: 'a.example, b.example' is a list in one string; use"
                    " 'a.example', 'b.example'",
                    "allowed_hosts: \"'c.example'\" has quotes or brackets around it; use"
                    " 'c.example'",
                ),
            ),
            (
                {"allowed_hosts": ["a b"]},
                ("allowed_hosts: 'a b' is not a host; use 'app.example'",),
            ),
        )
    ),
    (
        WebSocketOriginMiddleware,
        {"allowed_hosts": "[::1] .a.example"},
        ("allowed_hosts: '[::1] .a.example' is one string; use ['[::1]', '.a.example']",),
    ),
    (
        WebSocketOriginMiddleware,
        {"allowed_hosts": [""]},
        ("allowed_hosts: [''] is what an empty string splits into; use []",),
    ),
    (
        WebSocketOriginMiddleware,
        {"allow_missing": "no", "allowed_hosts": [1]},
        (
            "allow_missing: 'no' is a string; use False",
            "allowed_hosts: 1 is not a string; use 'app.example'",
        ),
    ),
    (
        Settings,
        {"CORS_ALLOW_ALL_ORIGINS": True, "CORS_ALLOW_CREDENTIALS": True},
        (
            "CORS_ALLOW_ALL_ORIGINS: True cannot be combined with CORS_ALLOW_CREDENTIALS=True"
            " because every site could act as its visitors; use False and list the origins of your"
            " own pages in CORS_ALLOWED_ORIGINS",
        ),
    ),
    (
        Settings,
        {"CORS_URLS_REGEX": r"^/(api|v2)/.*$"},
        (
            "CORS_URLS_REGEX: '^/(api|v2)/.*$' is not a single prefix; use '^/api/.*$' or the"
            " option policies of CORSMiddleware",
        ),
    ),
    (
        Settings,
        {
            "CORS_ALLOWED_ORIGINS": "https://a,https://b",
            "CORS_ALLOWED_ORIGIN_REGEXES": r"https://a\.b",
            "CORS_ALLOW_ALL_ORIGINS": "False",
            "CORS_ALLOW_CREDENTIALS": "no",
            "CORS_ALLOW_METHODS": "GET, POST",
            "CORS_PREFLIGHT_MAX_AGE": "600",
            "CORS_URLS_REGEX": None,
        },
        (
            r"CORS_ALLOWED_ORIGIN_REGEXES: 'https://a\\.b' is one string; use ['https://a\\.b']",
            "CORS_ALLOW_ALL_ORIGINS: 'False' is a string; use False",
            "CORS_ALLOWED_ORIGINS: 'https://a,https://b' is one string; use ['https://a',"
            " 'https://b']",
            "CORS_ALLOW_METHODS: 'GET, POST' is one string; use ['GET', 'POST']",
            "CORS_ALLOW_CREDENTIALS: 'no' is a string; use False",
            "CORS_PREFLIGHT_MAX_AGE: '600' is not a whole number at or above 0; use 600 or None",
            "CORS_URLS_REGEX: None is not a single prefix; use '^/api/.*$' or the option policies"
            " of CORSMiddleware",
        ),
    ),
    *(
        (Settings, {setting: value}, (f"{setting}: {problem}",))
        for setting, value, problem in (
            (
                "CORS_ALLOWED_ORIGINS",
                ["*"],
                "'*' is not an origin; use the list without it, or CORS_ALLOW_ALL_ORIGINS=True",
            ),
            (
                "CORS_ALLOWED_ORIGIN_REGEXES",
                r"https://[a-z]{1,3}\.b",
                r"'https://[a-z]{1,3}\\.b' is one string; use ['https://[a-z]{1,3}\\.b']",
            ),
            (
                "CORS_ALLOWED_ORIGIN_REGEXES",
                '["^https://a$", "^https://b$"]',
                '\'["^https://a$", "^https://b$"]\' is one string; use'
                " ['^https://a$', '^https://b$']",
            ),
            (
                "CORS_ALLOWED_ORIGIN_REGEXES",
                None,
                r"None is not a list; use ['https://a\\.example']",
            ),
            (
                "CORS_ALLOWED_ORIGIN_REGEXES",
                [3],
                r"3 is not a string; use 'https://a\\.example'",
            ),
            (
                "CORS_ALLOWED_ORIGIN_REGEXES",
                ["("],
                "'(' is not a valid regular expression for strings (missing ), unterminated"
                " subpattern at position 0); use 'https://[a-z]+\\\\.example\\\\.org'",
            ),
            (
                "CORS_URLS_REGEX",
                re.compile("^/api/.*$", re.IGNORECASE),
                "re.compile('^/api/.*$', re.IGNORECASE) is not a single prefix; use '^/api/.*$' or"
                " the option policies of CORSMiddleware",
            ),
        )
    ),
    (
        Settings,
        {"CORS_ALLOWED_ORIGINS": ["null", "https://a.example/"], "CORS_ALLOW_CREDENTIALS": True},
        (
            "CORS_ALLOWED_ORIGINS: 'null' cannot be combined with CORS_ALLOW_CREDENTIALS=True"
            f" because any page can take this origin in a sandboxed frame; {OWN_ORIGINS}",
            "CORS_ALLOWED_ORIGINS: 'https://a.example/' ends with a slash; use 'https://a.example'",
        ),
    ),
]
