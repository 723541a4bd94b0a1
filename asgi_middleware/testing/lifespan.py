"""Start an app and shut it down, as a server does.

With httpx, a request passes through every layer:

    async with lifespan(application) as running:
        transport = httpx.ASGITransport(running)
        async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
            response = await client.get("/status/")

For Django's own client through every layer, see :mod:`asgi_middleware.testing.django`.

Start the app inside the test that uses it: what it opens belongs to the event loop of that test.
httpx returns a response only when it is complete, so use :func:`stream` for an endless stream.
"""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any, cast

from ..lifespan.current import overrides
from ..types import ASGIApp, Receive, Scope, Send
from ._call import AppCall
from ._lint import LifespanLint
from ._scope import lifespan_scope


class LifespanFailed(Exception):  # noqa: N818 -- named after the messages
    """The app sent ``startup.failed`` or ``shutdown.failed``; the text is that message's."""


class StartedApp:
    """An app that gives the state of its startup to each request; made by :func:`lifespan`."""

    def __init__(self, app: ASGIApp, state: dict[str, Any]) -> None:
        self.app = app
        self.state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Each request gets a copy of its own, as on a server.
        # https://asgi.readthedocs.io/en/latest/specs/lifespan.html#lifespan-state
        overridden = overrides[-1].given if overrides else {}
        state = {**self.state, **overridden, **scope.get("state", {})}
        await self.app({**scope, "state": state}, receive, send)


@asynccontextmanager
async def lifespan(
    app: ASGIApp,
    *,
    scope: Mapping[str, Any] | None = None,
    timeout: float = 10.0,
    strict: bool = False,
) -> AsyncGenerator[StartedApp]:
    """Start *app*, yield a :class:`StartedApp` that gives its state to each request, and stop it.

        async with lifespan(app) as running:
            response = await request(running)
            client = httpx.AsyncClient(transport=httpx.ASGITransport(running))

    Raises :class:`LifespanFailed` as soon as the app reports a failure, TimeoutError when it takes
    more than *timeout* seconds to start or to shut down, and what the app raises if it does not
    support lifespan (Django: ValueError). *strict* works as in :func:`request`.
    """
    made = lifespan_scope(scope or {})
    call = AppCall(app, made, LifespanLint, timeout=timeout, strict=strict)
    call.on_received = call.lint.asked
    call.start()
    try:
        await _ask(call, "startup")
        yield StartedApp(app, made["state"])
        await _ask(call, "shutdown")
        await call.join()
        call.verify()
    finally:
        await call.stop()


async def _ask(call: AppCall[LifespanLint], when: str) -> None:
    """Send ``lifespan.startup`` or ``lifespan.shutdown``, and wait for the reply."""
    number = len(call.sent)
    call.put({"type": f"lifespan.{when}"})
    await call.until(lambda: len(call.sent) > number, f"a reply to lifespan.{when}")
    reply = call.sent[number]
    if reply["type"] == f"lifespan.{when}.failed":
        await call.join()
        raise LifespanFailed(cast("str", reply.get("message", ""))) from call.exception
