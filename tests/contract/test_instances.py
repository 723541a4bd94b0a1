"""One instance serves a process for as long as it runs, on any number of event loops."""

import asyncio
import gc
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import cycle, islice

from asgi_middleware.testing import lifespan, request, websocket
from asgi_middleware.types import ASGIApp, Receive, Scope, Send
from tests.apps import hello

from .exchanges import DENIAL, HTTP, WEBSOCKET, Exchange, acting, call
from .middleware import ORIGIN, Row, every_row

HEADERS = {"origin": ORIGIN}
PATIENCE = 30.0


async def serve(app: ASGIApp, requests: int) -> list[int | None]:
    """Start *app*, send it *requests* requests at once, and shut it down."""
    async with lifespan(app) as running, websocket(running, headers=HEADERS) as socket:
        responses = await asyncio.gather(
            *(request(running, headers=HEADERS, timeout=PATIENCE) for _ in range(requests))
        )
        await socket.send("still there")
        assert await socket.receive() == "still there"
    return [response.status for response in responses]


@every_row
def test_an_instance_outlives_its_event_loop(row: Row) -> None:
    app = row.make(hello)

    assert asyncio.run(serve(app, 3)) == [200, 200, 200]
    assert asyncio.run(serve(app, 3)) == [200, 200, 200]


@every_row
def test_an_instance_serves_two_event_loops_at_the_same_time(row: Row) -> None:
    # A request on each loop waits in the app for one on the other.
    both = threading.Barrier(2, timeout=PATIENCE)

    async def meeting(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            both.wait()
        await hello(scope, receive, send)

    app = row.make(meeting)
    with ThreadPoolExecutor(2) as threads:
        served = [threads.submit(lambda: asyncio.run(serve(app, 3))) for _ in range(2)]

    assert [each.result() for each in served] == [[200, 200, 200]] * 2


REQUESTS = 5_000
FAILING = replace(HTTP, steps=(*HTTP.steps[:3], ValueError("mine")))


@every_row
async def test_an_instance_keeps_no_memory_for_five_thousand_requests(row: Row) -> None:
    async def actor(scope: Scope, receive: Receive, send: Send) -> None:
        await acting(scope["x-exchange"])(scope, receive, send)

    app = row.make(actor)

    async def serve(requests: int) -> int:
        """Serve *requests* requests, and return how many memory blocks are then in use."""
        for template in islice(cycle((HTTP, WEBSOCKET, DENIAL, FAILING)), requests):
            try:
                await call(app, _fresh(template))
            except ValueError as error:
                error.__traceback__ = None  # the same object is raised again and again
        gc.collect()
        return sys.getallocatedblocks()

    await serve(500)
    before = await serve(500)

    after = await serve(REQUESTS)

    # Anything kept for a request takes at least one block. Other threads allocate a few blocks.
    assert after - before < REQUESTS / 10


def _fresh(exchange: Exchange) -> Exchange:
    """Return a copy of *exchange* with new messages and a new scope, as each request has."""
    fresh = replace(
        exchange,
        incoming=tuple({**message} for message in exchange.incoming),
        steps=tuple({**step} if isinstance(step, dict) else step for step in exchange.steps),
    )
    return replace(fresh, scope={**exchange.scope, "x-exchange": fresh})
