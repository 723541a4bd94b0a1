"""The test runner for Django's ``runtests.py``, in one arm of the comparison.

Environment variables:

* ``LOOP``: ``own`` gives each async test its own event loop, as a server has one. Otherwise
  Django runs the tests in ``async_to_sync``. Sync calls then go to the thread that waits for the
  test, unless the test calls the app in an empty context.
* ``POOLED``: ``yes`` puts the middleware around Django's handlers.
* ``HANDLER``: ``async`` lets the sync test client call Django's handler as a server does, in an
  event loop. ``ours`` does the same, and replaces Django's handler with ours everywhere.
* ``OUTCOMES``: the file to which the runner writes how each test ended, and how often a thread
  was lent or our handler served a request.
"""

import asyncio
import json
import os
import sys
from collections.abc import MutableMapping
from functools import partial
from pathlib import Path
from typing import Any
from unittest import TestSuite, TextTestResult

from asgiref.sync import AsyncToSync, async_to_sync
from django.core.handlers import asgi
from django.core.handlers.asgi import ASGIHandler
from django.test import client, testcases
from django.test.client import AsyncClientHandler, ClientHandler
from django.test.runner import DiscoverRunner
from django.test.utils import (  # type: ignore[attr-defined]
    iter_test_cases,  # pyright: ignore[reportAttributeAccessIssue]
)

from asgi_middleware import ThreadPool, ThreadPoolMiddleware
from asgi_middleware.django import handler as ours
from asgi_middleware.types import Message, Receive, Scope, Send


class CountingPool(ThreadPool):
    lent = 0

    def _lend(self, claim: Any) -> None:
        before = claim.worker
        super()._lend(claim)
        self.lent += claim.worker is not before


class Runner(DiscoverRunner):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Before the tests are imported, because they import handlers.
        if handler := os.environ["HANDLER"]:
            replace_handlers(is_ours=handler == "ours")

    def run_suite(self, suite: TestSuite, **options: Any) -> TextTestResult:
        pool = CountingPool()
        if os.environ["POOLED"] == "yes":
            put_around_handlers(pool)
        if os.environ["LOOP"] == "own":
            testcases.async_to_sync = InLoopOfItsOwn  # type: ignore[attr-defined]
            # Otherwise other threads would not see what a test writes.
            without = classmethod(lambda _: False)
            testcases.TestCase._databases_support_transactions = without  # type: ignore[attr-defined]
        # Listed before the run, because the run empties the suite.
        outcomes = {test.id(): "passed" for test in iter_test_cases(suite)}

        result: TextTestResult = super().run_suite(suite, **options)

        pool.close()
        skipped = [test for test, _ in (*result.skipped, *result.expectedFailures)]
        failed = [test for test, _ in (*result.failures, *result.errors)]
        for outcome, tests in [
            ("skipped", skipped),
            ("failed", [*failed, *result.unexpectedSuccesses]),
        ]:
            for test in tests:
                # A subtest counts for its test case.
                outcomes[getattr(test, "test_case", test).id()] = outcome
        report = {"used": pool.lent + Served.passed, "outcomes": outcomes}
        Path(os.environ["OUTCOMES"]).write_text(json.dumps(report))
        return result


class InLoopOfItsOwn(AsyncToSync[[], None]):
    """A subclass of ``AsyncToSync``, because Django's tests check the type of their methods."""

    def __call__(self) -> None:
        async def test() -> None:
            await self.awaitable()

        asyncio.run(test())


class Unchanged:
    """An empty class, used where our handler's additions are left out."""


class Served:
    """Counts the requests of the sync test client that our handler serves."""

    passed = 0


def replace_handlers(*, is_ours: bool) -> None:
    """Let both test clients call an async handler: Django's, or ours, which replaces Django's."""
    chains: Any = ours.TwoChains if is_ours else Unchanged

    class AsyncThroughout(chains, ClientHandler):  # type: ignore[misc]
        def load_middleware(self, is_async: bool = False) -> None:
            super().load_middleware(is_async=True)

        def get_response(self, request: Any) -> Any:
            Served.passed += is_ours
            return async_to_sync(self.get_response_async)(request)

    class Async(chains, AsyncClientHandler):  # type: ignore[misc]
        pass

    client.ClientHandler = AsyncThroughout  # type: ignore[misc]
    client.AsyncClientHandler = Async  # type: ignore[misc]
    if is_ours:
        for module in list(sys.modules.values()):
            if getattr(module, "ASGIHandler", None) is ASGIHandler and module is not asgi:
                module.ASGIHandler = ours.ASGIHandler  # type: ignore[attr-defined]
        asgi.ASGIHandler = ours.ASGIHandler  # type: ignore[misc]


def put_around_handlers(pool: ThreadPool) -> None:
    """Put the pool around all ASGI handlers and the handlers of async test clients."""
    serve: Any = ASGIHandler.__call__
    respond: Any = AsyncClientHandler.__call__

    async def served(handler: ASGIHandler, scope: Scope, receive: Receive, send: Send) -> None:
        await ThreadPoolMiddleware(partial(serve, handler), pool=pool)(scope, receive, send)

    async def responded(handler: AsyncClientHandler, scope: MutableMapping[str, Any]) -> Any:
        response: Any = None

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            nonlocal response
            response = await respond(handler, scope)

        await ThreadPoolMiddleware(app, pool=pool)(scope, nothing_comes, nothing_goes)
        return response

    ASGIHandler.__call__ = served  # type: ignore[method-assign,assignment]
    AsyncClientHandler.__call__ = responded  # type: ignore[method-assign,assignment]


async def nothing_comes() -> Message:
    raise AssertionError("the handler of a test client has called receive")


async def nothing_goes(message: Message) -> None:
    raise AssertionError(f"the handler of a test client has sent {message}")
