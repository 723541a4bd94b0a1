"""A thread of our own, for sync code that may block or be tied to its thread."""

import asyncio
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from functools import partial
from queue import SimpleQueue
from typing import TypeVar

T = TypeVar("T")


class WorkerThread:
    """One thread that makes calls in turn, and closes Django's connections after each.

    A daemon, unlike the threads of an executor: one that is stuck does not keep the
    process from ending.
    """

    def __init__(self, name: str) -> None:
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        threading.Thread(target=self._work, name=name, daemon=True).start()

    async def run(self, function: Callable[[], T]) -> T:
        """Call *function* in the thread, in a copy of our context.

        Cancelled, this returns at once; the call goes on.
        """
        result: Future[T] = Future()
        self._calls.put(partial(_fulfil, result, partial(copy_context().run, function)))
        return await asyncio.wrap_future(result)

    def end(self) -> None:
        """Let the thread end, once it has made the calls that wait."""
        self._calls.put(None)

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            call()
            del call  # or the result would be kept until the next one


def _fulfil(result: "Future[T]", function: Callable[[], T]) -> None:
    if not result.set_running_or_notify_cancel():
        return
    try:
        try:
            value = function()
        finally:
            close_django_connections()
    except BaseException as error:  # noqa: BLE001 -- raised again where it is awaited
        result.set_exception(error)
    else:
        result.set_result(value)


def close_django_connections() -> None:
    """Close the connections that Django has opened in this thread, if there is a Django."""
    db, conf = sys.modules.get("django.db"), sys.modules.get("django.conf")
    if db is not None and conf is not None and conf.settings.configured:
        db.connections.close_all()
