import pytest

from asgi_middleware.cors.origins import (
    MAX_LENGTH,
    Patterns,
    is_loopback,
    is_pattern,
    problem_with,
    shared_suffix,
)


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
    ],
)
def test_accepts_what_a_browser_sends_and_patterns_of_it(origin: str) -> None:
    assert problem_with(origin) is None


@pytest.mark.parametrize(
    ("origin", "problem"),
    [
        ("a.example", "'a.example' has no scheme; write 'https://a.example'"),
        ("//a.example", "'//a.example' has no scheme"),
        ("https://a.example/", "'https://a.example/' ends with a slash; write 'https://a.example'"),
        ("https://a.example/b", "'https://a.example/b' has a path; write 'https://a.example'"),
        ("https://a.example?b", "'https://a.example?b' has a path; write 'https://a.example'"),
        (
            "https://me@a.example",
            "'https://me@a.example' has a user name; write 'https://a.example'",
        ),
        (
            "https://A.example",
            "'https://A.example' is not in lower case; write 'https://a.example'",
        ),
        ("HTTPS://A.example/", "'HTTPS://A.example/' ends with a slash; write 'https://a.example'"),
        (
            "https://a.example:443",
            "'https://a.example:443' names the default port of its scheme;"
            " write 'https://a.example'",
        ),
        (
            "http://[::1]:80",
            "'http://[::1]:80' names the default port of its scheme; write 'http://[::1]'",
        ),
        (
            "https://münchen.example",
            "'https://münchen.example' is not in its ASCII form;"
            " write 'https://xn--mnchen-3ya.example'",
        ),
        ("http://[0:0::1]", "'http://[0:0::1]' is no origin; write 'http://[::1]'"),
        ("http://a.example:080", "'http://a.example:080' is no origin; write 'http://a.example'"),
        *(
            (origin, f"{origin!r} is no origin; write it like 'https://app.example:8443'")
            for origin in (
                "https://",
                "https://*",
                "https://a.*.example",
                "https://*a.example",
                "https://a b.example",
                "https://a..example",
                "https://-a.example",
                "https://a.example:0",
                "https://a.example:65536",
                "https://a.example:https",
                "https://1.2.3",
                "https://1.2.3.256",
                "https://*.0.0.1",
                "http://[::1%25lo]",
                "http://[::g]",
                "https://" + "a" * 64,
                "https://" + "a." * 160 + "example",
            )
        ),
    ],
)
def test_says_what_is_wrong_and_what_to_write(origin: str, problem: str) -> None:
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


def test_a_monstrous_origin_matches_nothing() -> None:
    assert not Patterns(["https://*.a.example"]).match("https://" + "b." * MAX_LENGTH + "a.example")


@pytest.mark.parametrize(
    ("pattern", "suffix"),
    [
        ("https://*.example", "example"),
        ("https://*.co.uk", "co.uk"),
        ("https://*.github.io", "github.io"),
        ("https://*.me.github.io", None),
        ("https://*.a.example", None),
        ("https://a.github.io", None),
        ("http://localhost:*", None),
    ],
)
def test_knows_suffixes_that_strangers_share(pattern: str, suffix: str | None) -> None:
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
        ("http://localhost.example", False),
        ("http://127.evil.example", False),
    ],
)
def test_knows_this_machine(origin: str, expected: bool) -> None:
    assert is_loopback(origin) is expected
