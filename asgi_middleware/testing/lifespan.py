"""Start an app and shut it down, as a server does.

With httpx a request goes the whole way, through every layer:

    async with lifespan(application) as running:
        transport = httpx.ASGITransport(running)
        async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
            response = await client.get("/status/")

Django's AsyncClient calls Django alone, around which there is no layer. What start-up left
has to be put into its scopes, and ``request`` is where all of them pass by:

    class StartedClient(AsyncClient):
        def __init__(self, running, **options):
            super().__init__(**options)
            self.running = running

        async def request(self, **scope):
            return await super().request(**scope, state=dict(self.running.state))

    async with lifespan(application) as running:
        response = await StartedClient(running).get("/status/")

Start the app inside the test that uses it: what was opened belongs to that test's loop.
Django's other client, ``Client``, runs each async view on a loop of its own. httpx keeps a
response until it is complete, so a stream without an end is for :func:`stream`.
"""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any, cast

from ..types import ASGIApp, Receive, Scope, Send
from ._call import Call
from ._lint import LifespanLint
from ._scope import lifespan_scope


class LifespanFailed(Exception):  # noqa: N818 -- named after the messages
    """The app answered ``startup.failed`` or ``shutdown.failed``; the text is its message."""


class Running:
    """A started app, which gives its state to each request; made by :func:`lifespan`."""

    def __init__(self, app: ASGIApp, state: dict[str, Any]) -> None:
        self.app = app
        self.state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # A copy of its own for each request, like a server.
        # https://asgi.readthedocs.io/en/latest/specs/lifespan.html#lifespan-state
        state = {**self.state, **scope.get("state", {})}
        await self.app({**scope, "state": state}, receive, send)


@asynccontextmanager
async def lifespan(
    app: ASGIApp, *, scope: Mapping[str, Any] | None = None, timeout: float = 10.0
) -> AsyncGenerator[Running]:
    """Start *app*, yield it with the state given to each request, and shut it down.

        async with lifespan(app) as running:
            response = await request(running)
            client = httpx.AsyncClient(transport=httpx.ASGITransport(running))

    Raises :class:`LifespanFailed` with the app's message as soon as there is one, what
    the app raised if it does not know lifespan (Django: ValueError), TimeoutError when
    it takes more than *timeout* seconds to start, or to shut down.
    """
    made = lifespan_scope(scope or {})
    call = Call(app, made, timeout=timeout)
    lint = LifespanLint()
    call.on_received = lambda message: setattr(
        lint, "expecting", message["type"].removeprefix("lifespan.")
    )
    call.start(lint)
    try:
        await _ask(call, "startup")
        yield Running(app, made["state"])
        await _ask(call, "shutdown")
        await call.join()
        call.verify()
    finally:
        await call.stop()


async def _ask(call: Call, when: str) -> None:
    """Send one of the two messages and wait for its answer."""
    number = len(call.sent)
    call.put({"type": f"lifespan.{when}"})
    await call.until(lambda: len(call.sent) > number, f"answer to lifespan.{when}")
    answer = call.sent[number]
    if answer["type"] == f"lifespan.{when}.failed":
        await call.join()
        raise LifespanFailed(cast("str", answer.get("message", ""))) from call.exception
