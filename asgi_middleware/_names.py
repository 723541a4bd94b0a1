"""What functions, classes and objects are called in logs and messages."""

from functools import partial


def qualified_name(value: object) -> str:
    """Return the ``__qualname__`` of a function or class; for an object, that of its class."""
    while isinstance(value, partial):
        value = value.func
    name: str = getattr(value, "__qualname__", type(value).__qualname__)
    return name
