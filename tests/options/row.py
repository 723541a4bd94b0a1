"""A row of the table of options: a constructor, options that cannot work, and what it says."""

from collections.abc import Callable
from typing import Any

Row = tuple[Callable[..., object], dict[str, Any], tuple[str, ...]]
