"""The path below ``root_path``, as Django routes it, and the paths that options name."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, Generic, TypeVar, cast

from . import _options as options
from ._django import forced_script_name
from .types import Scope

T = TypeVar("T")


def path_below_root(scope: Scope) -> str:
    """Return the path that Django's URLconf sees, with a slash at its start.

    uvicorn puts ``root_path`` before the path, as ASGI asks; hypercorn, granian and Daphne do not.
    So it is removed only if the path starts with it, as whole segments. As in Django,
    ``FORCE_SCRIPT_NAME`` takes precedence over ``root_path``.
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


class Paths:
    """The paths of an option, below ``root_path``: ``scope in Paths(["/livez"])``.

    ``/static/*`` stands for every path that starts with ``/static/``.
    """

    def __init__(self, paths: Collection[str]) -> None:
        self.written = sorted(paths)
        self._whole = frozenset(path for path in paths if not path.endswith("*"))
        self._starts = tuple(path[:-1] for path in paths if path.endswith("*"))

    def __contains__(self, scope: Scope) -> bool:
        if not self.written:
            return False
        path = path_below_root(scope)
        return path in self._whole or path.startswith(self._starts)


class ByPrefix(Generic[T]):
    """Values for prefixes of the path below ``root_path``; the longest prefix decides."""

    def __init__(self, given: Mapping[str, T], default: T) -> None:
        self.given = dict(given)
        self._default = default
        by_prefix = [(path.rstrip("/"), value) for path, value in given.items()]
        self._by_prefix = sorted(by_prefix, key=lambda item: len(item[0]), reverse=True)

    def of(self, scope: Scope) -> T:
        if self._by_prefix:
            path = path_below_root(scope)
            for prefix, value in self._by_prefix:
                if is_below(path, prefix):
                    return value
        return self._default


def prefix_problems(
    option: str, given: object, example: str, each: Callable[[str, object], Iterable[str]]
) -> Iterator[str]:
    """Check the mapping for a :class:`ByPrefix`; *each* is called with the option and one value."""
    yield from options.mapping(option, given, example, optional=True)
    if not isinstance(given, Mapping):
        return
    prefixes: set[str] = set()
    for path, value in cast("Mapping[Any, object]", given).items():
        problems = list(options.path(option, path, "/api/"))
        yield from problems
        if not problems:
            prefix = path.rstrip("/")
            if prefix in prefixes:
                yield (
                    f"{option}: {path!r} appears twice, with and without a slash at the end;"
                    " use one of them"
                )
            prefixes.add(prefix)
        yield from each(f"{option}: {path!r}", value)
