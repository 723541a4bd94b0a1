"""Django's settings and connections, and what it does in a thread as a request starts and ends.

This also works without Django, and before its settings are configured: there is nothing to do then.
"""

# ruff: noqa: SLF001 -- Django has no public name for some of this; test_facts.py checks it.

import logging
import sys
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from inspect import ismethod
from typing import Any

from asgiref.sync import sync_to_async

logger = logging.getLogger(__name__)


def forced_script_name() -> str | None:
    """Return Django's ``FORCE_SCRIPT_NAME``, or None if it is not set or there are no settings."""
    conf = sys.modules.get("django.conf")
    if conf is None or not conf.settings.configured:
        return None
    name: str | None = conf.settings.FORCE_SCRIPT_NAME
    return name


def allowed_hosts() -> list[str] | None:
    """Return Django's ``ALLOWED_HOSTS``, or None if there are no settings."""
    conf = sys.modules.get("django.conf")
    if conf is None or not conf.settings.configured:
        return None
    hosts: list[str] = conf.settings.ALLOWED_HOSTS
    return hosts


def route_of(path: str) -> str | None:
    """Return the URL pattern that *path* matches, or None if there is no match or no Django."""
    urls = sys.modules.get("django.urls")
    if urls is None:
        return None
    try:
        return f"/{urls.resolve(path).route}"
    except Exception:  # noqa: BLE001 -- no match, no settings, or a converter that fails
        return None


def _connections() -> Any:
    """Return ``django.db.connections``, or None if nothing can have used it."""
    db, conf = sys.modules.get("django.db"), sys.modules.get("django.conf")
    return db.connections if db is not None and conf and conf.settings.configured else None


def _opened_here() -> list[Any]:
    """Return the connections that this thread has used."""
    connections = _connections()
    return [] if connections is None else connections.all(initialized_only=True)


def renew_connections() -> None:
    """Renew this thread's connections as Django does when a request starts.

    A pool calls this when it lends the thread and when it takes the thread back. A closed
    connection is dropped together with everything attached to it: a tenant, an execute wrapper,
    the debug cursor. So is a connection that was left in a transaction; otherwise the next request
    would run inside that transaction.
    """
    for connection in _opened_here():
        try:
            broken = connection.in_atomic_block
            if broken:
                connection.close()
            else:
                connection.queries_log.clear()
                connection.close_if_unusable_or_obsolete()
        except Exception:
            logger.exception("a database connection could not be closed")
            broken = True
        if broken or connection.connection is None:
            del _connections()[connection.alias]


def close_connections() -> None:
    """Close the connections that Django has opened in this thread."""
    for connection in _opened_here():
        try:
            connection.close()
        except Exception:
            logger.exception("a database connection could not be closed")


def close_lost_connections() -> None:
    """Close the connections of this thread that the database has dropped."""
    for connection in _opened_here():
        if connection.connection is not None and not connection.is_usable():
            connection.close()


@asynccontextmanager
async def transactions_kept() -> AsyncGenerator[None]:
    """Keep requests from closing a connection that a test holds in a transaction.

    As a request starts and ends, Django closes each connection that is not in autocommit mode,
    such as one in a transaction. Django's own test client prevents that in its own way.
    """
    if _connections() is None:
        yield
        return
    kept: list[Any] = await sync_to_async(_keep_transactions)()
    try:
        yield
    finally:
        with _keeping:
            for connection in kept:
                _kept[connection] -= 1
                if not _kept[connection]:
                    del _kept[connection], connection.close_if_unusable_or_obsolete


def _keep_transactions() -> list[Any]:
    with _keeping:
        kept = [each for each in _opened_here() if each.in_atomic_block]
        for connection in kept:
            connection.close_if_unusable_or_obsolete = _nothing
            _kept[connection] = _kept.get(connection, 0) + 1
    return kept


# How many requests keep each connection open.
_kept: dict[Any, int] = {}
_keeping = threading.Lock()


def _nothing() -> None:
    pass


# --- the start and the end of a request, without a thread ---
#
# Django renews the thread's connections as a request starts and ends. We do that when a thread is
# lent to a request and when it is returned, so a request without a thread needs none for this.
# Receivers other than Django's, and anything else that must be closed, need a thread as usual.


def live_receivers(signal: Any, sender: object) -> tuple[list[Any], list[Any]]:
    """Return the sync and the async receivers of *signal* that listen to *sender*."""
    receivers: tuple[list[Any], list[Any]] = signal._live_receivers(sender)
    return receivers


def starting(receivers: list[Any]) -> bool:
    """Tell whether *receivers* of ``request_started`` only renew connections."""
    db: Any = sys.modules["django.db"]
    return set(receivers) <= {db.reset_queries, db.close_old_connections}


def finishing(receivers: list[Any]) -> Callable[[], object] | None:
    """Return a function that replaces *receivers* of ``request_finished``, or None.

    It needs no thread. None means that a thread is needed: a receiver is not Django's, or there is
    a cache to close.
    """
    cache: Any = sys.modules["django.core.cache"]
    reset_urlconf: Any = sys.modules["django.core.handlers.base"].reset_urlconf
    known = {sys.modules["django.db"].close_old_connections, cache.close_caches, reset_urlconf}
    # If one is missing, it was disconnected, as by Django's test client during a request.
    if set(receivers) != known or [*cache.caches.all(initialized_only=True)]:
        return None
    return partial(reset_urlconf, sender=None)


def closing(close: Any) -> Callable[[], object] | None:
    """Return a function that replaces *close*, the method of a response, or None.

    It needs no thread. None means that a thread is needed: the response has more to close than a
    request without uploaded files, or ``request_finished``, which *close* sends, needs one.
    """
    http: Any = sys.modules["django.http"]
    if getattr(close, "__func__", None) is not http.HttpResponse.close:
        return None
    response = close.__self__
    for closer in response._resource_closers:
        request = getattr(closer, "__self__", None)
        if not isinstance(request, http.HttpRequest) or getattr(request, "_files", None):
            return None

    signals: Any = sys.modules["django.core.signals"]
    receivers, async_receivers = live_receivers(signals.request_finished, response._handler_class)
    finish = None if async_receivers else finishing(receivers)
    return None if finish is None else partial(_close, response, finish)


def _close(response: Any, finish: Callable[[], object]) -> None:
    for closer in response._resource_closers:
        with suppress(Exception):
            closer()
    response._resource_closers.clear()
    response.closed = True
    finish()


def without_thread(function: Any) -> Callable[[], object] | None:
    """Return a function that replaces *function* and needs no thread, or None if it needs one.

    *function* is what asgiref submits: a partial of a partial of the function to call. This is
    for the calls of Django's own handler. Nothing public identifies them, so any call that does
    not look exactly as expected here runs in a thread, like all others.
    """
    try:
        called = function.args[-1].func
        return closing(called) if ismethod(called) else _sending(called)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        return None


def _sending(sync_send: Any) -> Callable[[], object] | None:
    """Return a function that replaces sending a signal, if only Django's receivers listen to it."""
    # sync_send is a closure inside Signal.asend.
    cells = zip(sync_send.__code__.co_freevars, sync_send.__closure__, strict=True)
    free = {name: cell.cell_contents for name, cell in cells}
    receivers = free["sync_receivers"]
    signals: Any = sys.modules["django.core.signals"]
    work: Callable[[], object] | None = None
    if free["self"] is signals.request_started:
        work = _nothing if starting(receivers) else None
    elif free["self"] is signals.request_finished:
        # This request has no response to close: it was refused, or its client has left.
        work = finishing(receivers)
    return None if work is None else partial(_sent, work, receivers)


def _sent(work: Callable[[], object], receivers: list[Any]) -> list[tuple[object, None]]:
    work()
    return [(receiver, None) for receiver in receivers]
