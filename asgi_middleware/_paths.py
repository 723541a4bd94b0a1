"""The path below ``root_path``, as Django routes it."""

from ._django import forced_script_name
from .types import Scope


def path_below_root(scope: Scope) -> str:
    """Return the path that Django's URLconf sees, with a slash at its start.

    uvicorn puts ``root_path`` before the path, as ASGI asks; hypercorn, granian and Daphne do not.
    So it is taken away where it is there, as a whole segment. Django's ``FORCE_SCRIPT_NAME`` takes
    the place of ``root_path``, as it does in Django.
    https://asgi.readthedocs.io/en/latest/specs/www.html#http-connection-scope
    """
    path: str = scope["path"]
    root = forced_script_name() or scope.get("root_path", "")
    if root.endswith("/") or is_below(path, root):
        path = path.removeprefix(root)
    return path if path.startswith("/") else f"/{path}"


def is_below(path: str, prefix: str) -> bool:
    """Tell whether *path* is *prefix*, which ends without a slash, or lies below it."""
    return path.startswith(prefix) and path[len(prefix) :][:1] in ("", "/")
