"""A row: a constructor, options that cannot work, and the problems that it then reports."""

from collections.abc import Callable
from typing import Any

Row = tuple[Callable[..., object], dict[str, Any], tuple[str, ...]]
