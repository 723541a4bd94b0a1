"""What Django does as each request starts and ends, and which of it needs a thread.

Before the view is known, and after the response is sent, Django calls its own functions in
a thread. They renew that thread's database connections, which is done when a thread is lent
and given back, and some do what needs no thread: so none is lent for them.
"""

# ruff: noqa: SLF001 -- Django has no public name for what it does here.

import logging
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from inspect import ismethod
from typing import Any

logger = logging.getLogger(__name__)


def renew_connections() -> None:
    """Do to a thread, as it is lent or given back, what Django does as a request starts."""
    db: Any = sys.modules.get("django.db")
    conf: Any = sys.modules.get("django.conf")
    if db is None or conf is None or not conf.settings.configured:
        return
    try:
        for connection in db.connections.all(initialized_only=True):
            if connection.in_atomic_block:
                # Left open by mistake. A thread that ends takes such a transaction with it; in
                # this one the next request would find itself inside.
                connection.close()
                del db.connections[connection.alias]
        db.reset_queries()
        db.close_old_connections()
    except Exception:
        logger.exception("a database connection could not be closed")


def without_thread(function: Any) -> Callable[[], object] | None:
    """Return what does the same as *function* and needs no thread, None if it needs one.

    asgiref hands over ``partial(..., partial(called, *arguments))``. Nothing public tells what
    Django calls: whatever does not look as it is known here is a call like any other.
    """
    try:
        called = function.args[-1].func
        return _closing(called) if ismethod(called) else _starting(called)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        return None


def _starting(sync_send: Any) -> Callable[[], object] | None:
    """Return what answers for ``request_started``, if only Django's database listens to it."""
    # sync_send is a closure within Signal.asend.
    cells = zip(sync_send.__code__.co_freevars, sync_send.__closure__, strict=True)
    free = {name: cell.cell_contents for name, cell in cells}
    receivers = free["sync_receivers"]
    if free["self"] is not sys.modules["django.core.signals"].request_started:
        return None
    db: Any = sys.modules["django.db"]
    known = (db.reset_queries, db.close_old_connections)
    if any(receiver not in known for receiver in receivers):
        return None
    return lambda: [(receiver, None) for receiver in receivers]


def _closing(close: Any) -> Callable[[], object] | None:
    """Return what closes a response, if it has but a request to close that has no files.

    Then ``request_finished`` is sent, to which Django listens with its database, its caches
    and its URLconf.
    """
    http: Any = sys.modules["django.http"]
    if close.__func__ is not http.HttpResponse.close:
        return None
    response = close.__self__
    for closer in response._resource_closers:
        request = closer.__self__
        if not isinstance(request, http.HttpRequest) or getattr(request, "_files", None):
            return None

    cache: Any = sys.modules["django.core.cache"]
    handlers: Any = sys.modules["django.core.handlers.base"]
    receivers, async_receivers = sys.modules[
        "django.core.signals"
    ].request_finished._live_receivers(response._handler_class)
    known = {
        sys.modules["django.db"].close_old_connections,
        cache.close_caches,
        handlers.reset_urlconf,
    }
    # One that is missing was disconnected, as Django's test client does for a while.
    if async_receivers or set(receivers) != known or [*cache.caches.all(initialized_only=True)]:
        return None
    return partial(_close, response, handlers.reset_urlconf)


def _close(response: Any, reset_urlconf: Callable[..., object]) -> None:
    for closer in response._resource_closers:
        with suppress(Exception):
            closer()
    response._resource_closers.clear()
    response.closed = True
    reset_urlconf(sender=response._handler_class)
