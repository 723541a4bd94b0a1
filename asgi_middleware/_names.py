"""What functions, classes and objects are called in logs and messages."""

from functools import partial


def qualified_name(value: object) -> str:
    """Return the ``__qualname__`` of a function or class; for an object, that of its class."""
    while isinstance(value, partial):
        value = value.func
    name: str = getattr(value, "__qualname__", type(value).__qualname__)
    return name


def name_of(app: object) -> str:
    """Return the name of an app; for a layer of this package, that of the app inside it."""
    while _is_ours(app) and callable(inner := getattr(app, "app", None)):
        app = inner
    return qualified_name(app)


def _is_ours(app: object) -> bool:
    return any(base.__module__.startswith(f"{__package__}.") for base in type(app).__mro__)
