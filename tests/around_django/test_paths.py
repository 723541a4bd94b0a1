"""The path below ``root_path`` is the path that Django routes, whichever way a server splits it."""

from io import BytesIO

import pytest
from django.core.handlers.asgi import ASGIRequest
from django.test import override_settings

from asgi_middleware._paths import is_below, path_below_root


def scope(root_path: str, path: str) -> dict[str, str]:
    return {"type": "http", "method": "GET", "root_path": root_path, "path": path}


@pytest.mark.parametrize(
    ("root_path", "path", "below"),
    [
        pytest.param("", "/admin/", "/admin/", id="no root"),
        pytest.param("/app", "/app/admin/", "/admin/", id="path includes the root, as in uvicorn"),
        pytest.param("/app", "/admin/", "/admin/", id="path does not include it, as elsewhere"),
        pytest.param("/app", "/app", "/", id="the root itself"),
        pytest.param("/app/", "/app/admin/", "/admin/", id="a slash at the end"),
        pytest.param("/app/", "/app//admin/", "/admin/", id="a slash at the end, on uvicorn"),
        pytest.param("/app/", "/app/", "/", id="the root itself, a slash at the end"),
        pytest.param("/app", "/app//admin/", "//admin/", id="two slashes that the client sent"),
        pytest.param("/ad", "/admin/", "/admin/", id="a part of a segment"),
        pytest.param("/shop", "/shop-admin/", "/shop-admin/", id="a longer segment"),
        pytest.param("/a/b", "/a/b/c", "/c", id="two segments"),
        pytest.param("/", "/admin/", "/admin/", id="a slash alone"),
        pytest.param("", "", "/", id="an empty path"),
        pytest.param("/app", "*", "/*", id="an asterisk, from OPTIONS *"),
    ],
)
def test_the_path_below_the_root_is_the_same_for_every_server(
    root_path: str, path: str, below: str
) -> None:
    assert path_below_root(scope(root_path, path)) == below


@pytest.mark.parametrize(
    ("forced", "root_path", "path", "below"),
    [
        pytest.param("/shop", "", "/shop/admin/", "/admin/", id="the proxy keeps it"),
        pytest.param("/shop", "", "/admin/", "/admin/", id="the proxy strips it"),
        pytest.param("/shop/", "", "/shop/admin/", "/admin/", id="a slash at the end"),
        pytest.param("/shop", "/other", "/other/x/", "/other/x/", id="it replaces root_path"),
        pytest.param(None, "/app", "/app/x/", "/x/", id="not set"),
    ],
)
def test_force_script_name_replaces_the_root_path(
    forced: str | None, root_path: str, path: str, below: str
) -> None:
    with override_settings(FORCE_SCRIPT_NAME=forced):
        assert path_below_root(scope(root_path, path)) == below


@pytest.mark.parametrize("forced", [None, "/app", "/app/"])
@pytest.mark.parametrize("root_path", ["", "/app", "/app/", "/a", "/app/b"])
@pytest.mark.parametrize("path", ["/", "/x/", "/app", "/app/", "/app/x/", "/app/b/x/", "/apple/"])
def test_the_path_below_the_root_is_the_path_that_django_routes(
    forced: str | None, root_path: str, path: str
) -> None:
    """A path without a leading slash does not count: no URL pattern of Django matches it."""
    with override_settings(FORCE_SCRIPT_NAME=forced, ALLOWED_HOSTS=["*"]):
        routed = ASGIRequest(
            {**scope(root_path, path), "headers": [], "query_string": b""}, BytesIO()
        ).path_info
        below = path_below_root(scope(root_path, path))

    if routed.startswith("/"):
        assert below == routed


@pytest.mark.parametrize(
    ("path", "prefix", "is_there"),
    [
        ("/api", "/api", True),
        ("/api/", "/api", True),
        ("/api/x", "/api", True),
        ("/apis", "/api", False),
        ("/", "/api", False),
    ],
)
def test_a_path_is_below_a_prefix_of_whole_segments(path: str, prefix: str, is_there: bool) -> None:
    assert is_below(path, prefix) is is_there
