import pytest

from asgi_middleware.cors.origins import problem_with


@pytest.mark.parametrize(
    "origin",
    [
        "https://a.example",
        "http://localhost:3000",
        "http://127.0.0.1:8000",
        "http://[::1]:8000",
        "https://xn--mnchen-3ya.example",
        "chrome-extension://abcdefghijklmnop",
        "https://a.example:8443",
    ],
)
def test_accepts_what_a_browser_sends(origin: str) -> None:
    assert problem_with(origin) is None


@pytest.mark.parametrize(
    ("origin", "problem"),
    [
        ("a.example", "'a.example' has no scheme; write 'https://a.example'"),
        ("https://a.example/", "'https://a.example/' ends with a slash; write 'https://a.example'"),
        ("https://a.example/b", "'https://a.example/b' has a path; write 'https://a.example'"),
        (
            "https://A.example",
            "'https://A.example' is not in lower case; write 'https://a.example'",
        ),
        (
            "https://a.example:443",
            "'https://a.example:443' names its scheme's default port; write 'https://a.example'",
        ),
        (
            "http://[::1]:80",
            "'http://[::1]:80' names its scheme's default port; write 'http://[::1]'",
        ),
        (
            "https://a b.example",
            "'https://a b.example' is no origin; write it like 'https://app.example:8443'",
        ),
        (
            "https://a.example:0",
            "'https://a.example:0' is no origin; write it like 'https://app.example:8443'",
        ),
    ],
)
def test_says_what_is_wrong_and_what_to_write(origin: str, problem: str) -> None:
    assert problem_with(origin) == problem
