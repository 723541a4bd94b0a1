"""Counts the thread switches that asgiref makes, in both directions."""

from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import AsyncToSync, SyncToAsync


def noted(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Return a list that gets an item for each thread switch."""
    hops: list[object] = []

    def noting(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(self: Any, *args: Any, **kwargs: Any) -> Any:
            hops.append(self)
            return original(self, *args, **kwargs)

        return call

    for direction in (SyncToAsync, AsyncToSync):
        monkeypatch.setattr(direction, "__call__", noting(direction.__call__))
    return hops
