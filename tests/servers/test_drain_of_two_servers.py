"""Several servers of one app in one process, which share its drain."""

import asyncio
import signal
import threading
import time
from collections.abc import AsyncGenerator, Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager

import httpx
import pytest
import uvicorn

from asgi_middleware import Drain, LifespanMiddleware, Readiness
from asgi_middleware.lifespan import State
from asgi_middleware.types import Receive, Scope, Send

from .server import HOST, PATIENCE

pytestmark = pytest.mark.process


class Site:
    """An app with a page, a stream and a drain. ``log`` lists what its contexts and streams do."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.drain = Drain(grace=0.1)
        self.readiness = Readiness()
        self.app = LifespanMiddleware(
            self._serve, lifespan=[self._context], drain=self.drain, readiness=self.readiness
        )

    @asynccontextmanager
    async def _context(self, state: State) -> AsyncGenerator[None]:
        self.log.append("opened")
        yield
        self.log.append("closed")

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            raise ValueError
        await send({"type": "http.response.start", "status": 200, "headers": []})
        if scope["path"] == "/stream":
            await send({"type": "http.response.body", "body": b"part", "more_body": True})
            while (await receive())["type"] != "http.disconnect":
                pass
            self.log.append("stream ended")
        else:
            await send({"type": "http.response.body", "body": b"page"})


class Server(uvicorn.Server):
    """uvicorn on a free port."""

    def __init__(self, site: Site) -> None:
        super().__init__(uvicorn.Config(site.app, host=HOST, port=0, log_config=None))

    @property
    def url(self) -> str:
        until(lambda: self.started)
        port: int = self.servers[0].sockets[0].getsockname()[1]
        return f"http://{HOST}:{port}"

    def page(self) -> str:
        return httpx.get(f"{self.url}/", timeout=PATIENCE).text

    def stream(self, begun: threading.Event) -> str:
        text = ""
        with httpx.stream("GET", f"{self.url}/stream", timeout=PATIENCE) as response:
            for part in response.iter_text():
                text += part
                begun.set()
        return text


@contextmanager
def streaming(server: Server) -> Generator["Future[str]"]:
    begun = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        stream = pool.submit(server.stream, begun)
        assert begun.wait(PATIENCE)
        yield stream


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_servers_in_threads_do_not_end_each_other_and_one_begin_drains_them_all() -> None:
    site = Site()
    servers = [Server(site) for _ in range(3)]
    threads = [threading.Thread(target=server.run) for server in servers]
    for thread in threads:
        thread.start()
    try:
        until(lambda: all(server.started for server in servers))
        with streaming(servers[0]) as first, streaming(servers[1]) as second:
            servers[2].should_exit = True
            threads[2].join(PATIENCE)
            assert site.log == ["opened"] * 3 + ["closed"]
            assert site.readiness.ready
            assert [server.page() for server in servers[:2]] == ["page"] * 2

            site.drain.begin()
            assert (first.result(PATIENCE), second.result(PATIENCE)) == ("part", "part")
    finally:
        for server, thread in zip(servers, threads, strict=True):
            server.should_exit = True
            thread.join(PATIENCE)

    assert site.log.count("opened") == site.log.count("closed") == 3
    assert site.log.count("stream ended") == 2
    assert not site.drain.countdowns


def test_each_of_two_successive_event_loops_has_its_own_drain() -> None:
    site = Site()
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT)
    handlers = [signal.getsignal(number) for number in numbers]

    for _ in range(2):
        server = Server(site)

        def play(server: Server = server) -> list[str]:
            try:
                got = [server.page()]
                with streaming(server) as stream:
                    site.drain.begin()
                    return [*got, stream.result(PATIENCE)]
            finally:
                server.should_exit = True

        with ThreadPoolExecutor(1) as pool:
            played = pool.submit(play)
            asyncio.run(server.serve())
        assert played.result() == ["page", "part"]
        assert site.readiness.reason == "draining"

    assert site.log == ["opened", "stream ended", "closed"] * 2
    assert [signal.getsignal(number) for number in numbers] == handlers
