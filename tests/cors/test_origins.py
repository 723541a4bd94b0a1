"""How you write an origin in a configuration, and what a pattern matches."""

import pytest

from asgi_middleware._origins import (
    MAX_LENGTH,
    Patterns,
    is_loopback,
    is_pattern,
    is_sendable,
    problem_with,
    shared_suffix,
)

# What clients that are not web pages send: extensions, mobile shells, desktop shells, WebViews.
CLIENTS = [
    "chrome-extension://gighmmpiobklfepjocnamgkkbiglidom",
    "moz-extension://3c6bf0a6-2a3b-4f0c-8a33-97e1d2b1b5b4",
    "safari-web-extension://BD1D5A08-7A2B-4E5C-9E5D-0C3B8C4E2F11",
    "capacitor://localhost",
    "ionic://localhost",
    "app://localhost",
    "app://.",
    "tauri://localhost",
    "http://tauri.localhost",
    "https://appassets.androidplatform.net",
    "file://",
]


@pytest.mark.parametrize(
    "origin",
    [
        "https://a.example",
        "https://a.example:8443",
        "http://localhost",
        "http://localhost:3000",
        "http://127.0.0.1:8000",
        "http://[::1]:8000",
        "https://[2001:db8::1]",
        "https://xn--mnchen-3ya.example",
        "https://my_host.example",
        "chrome-extension://abcdefghijklmnop",
        "https://*.a.example",
        "https://*.a.example:8443",
        "http://localhost:*",
        "https://*.a.example:*",
        "https://*.a.example.",
        "https://a.example.",
        "https://-a-.example",
        "https://a.example:0",
        "https://" + "a" * 64,
        "http://[::ffff:c000:201]:8080",
        "null",
        *CLIENTS,
    ],
)
def test_an_origin_or_pattern_in_a_browsers_form_has_no_problem(origin: str) -> None:
    assert problem_with(origin) is None


@pytest.mark.parametrize(
    ("origin", "problem"),
    [
        ("a.example", "'a.example' has no scheme; use 'https://a.example'"),
        (
            "//a.example",
            "'//a.example' has no scheme; use an origin such as 'https://app.example:8443'",
        ),
        ("", "'' is empty; use an origin such as 'https://app.example' or leave it out"),
        ("https://a.example/", "'https://a.example/' ends with a slash; use 'https://a.example'"),
        ("https://a.example/b", "'https://a.example/b' has a path; use 'https://a.example'"),
        (
            "https://a.example?b",
            "'https://a.example?b' has a query or a fragment; use 'https://a.example'",
        ),
        (
            "https://me@a.example",
            "'https://me@a.example' has a user name; use 'https://a.example'",
        ),
        (
            "https://A.example",
            "'https://A.example' is not in lower case; use 'https://a.example'",
        ),
        ("HTTPS://A.example/", "'HTTPS://A.example/' ends with a slash; use 'https://a.example'"),
        (
            "https://a.example:443",
            "'https://a.example:443' names the default port of its scheme; use 'https://a.example'",
        ),
        (
            "http://[::1]:80",
            "'http://[::1]:80' names the default port of its scheme; use 'http://[::1]'",
        ),
        (
            "https://münchen.example",
            "'https://münchen.example' is not in its ASCII form;"
            " use 'https://xn--mnchen-3ya.example'",
        ),
        (
            "http://[::ffff:192.0.2.1]",
            "'http://[::ffff:192.0.2.1]' is not a valid origin; use 'http://[::ffff:c000:201]'",
        ),
        (
            "https://straße.example",
            "'https://straße.example' is not in its ASCII form;"
            " use 'https://xn--strae-oqa.example'",
        ),
        *(
            (
                origin,
                f"{origin!r} is not in its ASCII form; use the value of"
                f" new URL({origin!r}).origin in a browser's console",
            )
            for origin in ("https://STRAẞE.example", "https://ﬁ.example", "https://日本.example")
        ),
        (
            " https://a.example",
            "' https://a.example' has whitespace around it; use 'https://a.example'",
        ),
        ("APP://A.b", "'APP://A.b' is not in lower case; use 'app://A.b'"),
        ("file:///", "'file:///' ends with a slash; use 'file://'"),
        ("app://./index.html", "'app://./index.html' has a path; use 'app://.'"),
        (
            "capacitor://localhost:080",
            "'capacitor://localhost:080' is not a valid origin; use 'capacitor://localhost:80'",
        ),
        ("http://[0:0::1]", "'http://[0:0::1]' is not a valid origin; use 'http://[::1]'"),
        (
            "http://a.example:080",
            "'http://a.example:080' is not a valid origin; use 'http://a.example'",
        ),
        *(
            (
                origin,
                f"{origin!r} is not a valid origin; use an origin such as 'https://app.example:8443'",
            )
            for origin in (
                "https://",
                "https://*",
                "https://a.*.example",
                "https://*a.example",
                "https://a b.example",
                "https://a.example:65536",
                "https://a.example:https",
                "https://1.2.3",
                "https://1.2.3.256",
                "https://*.0.0.1",
                "https://*.1.2.3.4",
                "https://*.",
                "https://*.*.a.example",
                "chrome-extension://*",
                "https://a.0x1",
                "https://a|b.example",
                "https://a%41.example",
                "https://xn--",
                "app://:80",
                "file://:80",
                "http://[::1%25lo]",
                "http://[::g]",
                "https://" + "a." * 160 + "example",
            )
        ),
    ],
)
def test_a_problem_with_an_origin_says_what_to_use(origin: str, problem: str) -> None:
    assert problem_with(origin) == problem


@pytest.mark.parametrize(
    ("pattern", "origin", "expected"),
    [
        ("https://*.a.example", "https://b.a.example", True),
        ("https://*.a.example", "https://c.b.a.example", True),
        ("https://*.a.example", "https://a.example", False),
        ("https://*.a.example", "https://ba.example", False),
        ("https://*.a.example", "https://a.example.b", False),
        ("https://*.a.example", "https://b.a.example:8443", False),
        ("https://*.a.example", "http://b.a.example", False),
        ("https://*.a.example", "https://B.a.example", False),
        ("https://*.a.example", "https://.a.example", False),
        ("https://*.a.example", "https://b.a.example.", False),
        ("https://*.a.example.", "https://b.a.example.", True),
        ("https://*.a.example", "https://b..a.example", False),
        ("https://*.a.example", "https://*.a.example", False),
        ("https://*.a.example", "https://b.a.example/", False),
        ("https://*.a.example", "https://evil.example/.a.example", False),
        ("https://*.a.example", "https://evil.example#.a.example", False),
        ("https://*.a.example", "https://me@b.a.example", False),
        ("https://*.a.example", "https://b\n.a.example", False),
        ("https://*.a.example:8443", "https://b.a.example:8443", True),
        ("https://*.a.example:8443", "https://b.a.example", False),
        ("http://localhost:*", "http://localhost:3000", True),
        ("http://localhost:*", "http://localhost", True),
        ("http://localhost:*", "http://localhost:*", False),
        ("http://localhost:*", "http://localhost:80", False),
        ("http://localhost:*", "http://localhost:", False),
        ("http://localhost:*", "http://localhost:3000a", False),
        ("http://localhost:*", "http://a.localhost:3000", False),
        ("http://[::1]:*", "http://[::1]:3000", True),
        ("https://*.a.example:*", "https://b.a.example:8443", True),
        ("https://*.a.example:*", "https://b.a.example", True),
    ],
)
def test_a_pattern_matches_whole_labels_and_ports(
    pattern: str, origin: str, expected: bool
) -> None:
    assert is_pattern(pattern)
    assert Patterns([pattern]).match(origin) is expected


def test_a_pattern_matches_no_origin_over_the_greatest_length() -> None:
    assert not Patterns(["https://*.a.example"]).match("https://" + "b." * MAX_LENGTH + "a.example")


@pytest.mark.parametrize(
    ("pattern", "suffix"),
    [
        ("https://*.com", "com"),
        ("https://*.co.uk", "co.uk"),
        ("https://*.co.uk.", "co.uk"),
        ("https://*.github.io", "github.io"),
        ("https://*.me.github.io", None),
        ("https://*.a.example", None),
        ("https://a.github.io", None),
        ("http://localhost:*", None),
        *(
            (f"https://*.{name}:3000", None)
            for name in (
                *("localhost", "test", "internal", "local", "home.arpa"),
                *("example", "invalid", "onion"),
            )
        ),
    ],
)
def test_a_suffix_that_strangers_share_is_recognized(pattern: str, suffix: str | None) -> None:
    assert shared_suffix(pattern) == suffix


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        ("http://localhost:3000", True),
        ("http://a.localhost", True),
        ("http://127.0.0.1", True),
        ("http://[::1]:8000", True),
        ("http://localhost:*", True),
        ("http://a.example", False),
        ("http://localhost.:3000", True),
        ("http://localhost.example", False),
        ("http://127.evil.example", False),
    ],
)
def test_an_origin_on_this_machine_is_recognized(origin: str, expected: bool) -> None:
    assert is_loopback(origin) is expected


@pytest.mark.parametrize("origin", ["null", "https://a.example", "http://127.0.0.1:8000", *CLIENTS])
def test_an_origin_in_the_form_of_the_url_standard_is_sendable(origin: str) -> None:
    assert is_sendable(origin)


@pytest.mark.parametrize(
    "origin",
    [
        "",
        "NULL",
        "a.example",
        "https://",
        "https://A.example",
        "https://a.example/",
        "https://a.example:443",
        "https://a.example:080",
        "https://a.example:",
        "https://me@a.example",
        "https://münchen.example",
        "https://a.example,https://b.example",
        "https://a.example https://b.example",
        "https://*.a.example",
        "http://localhost:*",
        "http://[::ffff:192.0.2.1]",
        "http://127.1",
        "https://" + "a" * MAX_LENGTH,
        "APP://x",
        "app://x/",
        "about:blank",
    ],
)
def test_an_origin_in_any_other_form_is_not_sendable(origin: str) -> None:
    assert not is_sendable(origin)
