"""Every way to end a process, on every server, compared with the tables in docs/deployment.md."""

import os
import re
import signal
import time
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from itertools import count
from pathlib import Path
from threading import Event, Thread
from typing import Self

import httpx
import pytest

from asgi_middleware.lifespan.drain import _ONE_DECISION

from .endings import (
    COMMANDS,
    UNFINISHED,
    Clients,
    connected,
    end_of,
    kill,
    matrix,
    open_contexts,
    replaced,
    request_for,
    rows,
    server_of,
    until_closed,
)
from .server import HOST, PATIENCE, ROOT, Server

pytestmark = pytest.mark.process

# The connections that are open at the signal: to apps that receive, to apps that only send, and to
# one that is in a sync call.
OPEN = ("receives", "sends", "chat", "ticks", "sync")
STREAMS = ("receives", "sends", "chat")
WAYS = matrix("Every way to end")
GRACE = 1.0
SIGNALS = ("SIGTERM", "SIGINT", "SIGQUIT")


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("way", SIGNALS)
def test_a_signal_ends_a_server_as_the_docs_say(way: str, name: str, tmp_path: Path) -> None:
    expected = WAYS[way, name]
    # The sync request takes half a second, so it completes within the grace.
    with connected(name, tmp_path, OPEN, GRACE=f"{GRACE}") as clients:
        kill(clients.server, getattr(signal, way))
        ended = end_of(clients.server.process, 3 if expected == "goes on" else PATIENCE)
        if expected in ("goes on", "dies, its workers go on"):
            assert ended == ("goes on" if expected == "goes on" else str(-signal.SIGQUIT))
            assert set(open_contexts(clients.server).values()) == {1}
        else:
            assert f"{clients.kinds()}, {ended}" == expected
            until_closed(clients.server)
            for line in clients.server.log_lines("everything is closed"):
                # The drain closed everything, not a timeout of the server or of the shutdown.
                assert seconds(line) < GRACE + 9


@pytest.mark.parametrize("name", COMMANDS)
def test_a_second_sigterm_ends_the_grace_as_the_docs_say(name: str, tmp_path: Path) -> None:
    expected = WAYS["a second SIGTERM", name]
    # If the second signal is expected to end the grace, the grace is so long that the signal comes
    # in time even on a busy machine.
    grace = 2 * PATIENCE if expected == "at once" else 3
    with connected(name, tmp_path, STREAMS, GRACE=f"{grace}") as clients:
        kill(clients.server, signal.SIGTERM)
        clients.server.log_lines("the drain begins")
        time.sleep(_ONE_DECISION + 0.2)
        kill(clients.server, signal.SIGTERM)
        end_of(clients.server.process, PATIENCE)
        assert clients.kinds() == "drained"
        [*_, line] = clients.server.log_lines("the grace period is over")

    assert expected == ("at once" if seconds(line) < grace else "after grace")


@pytest.mark.parametrize("name", COMMANDS)
def test_after_max_requests_a_process_ends_and_another_takes_its_place(
    name: str, tmp_path: Path
) -> None:
    expected = WAYS["max_requests", name]
    options = ("--respawn-failed-workers",) if name == "granian" else ()
    with connected(name, tmp_path, STREAMS, *options, GRACE="1", MAX_REQUESTS="5") as clients:
        if expected == "drained, replaced":
            old = open_contexts(clients.server)
            assert replaced(clients, old, meanwhile=lambda: page(clients.server))
            assert clients.kinds() == "drained"
        else:
            for _ in range(5 - len(STREAMS)):
                assert page(clients.server)
            ended = end_of(clients.server.process, PATIENCE)
            assert f"{clients.kinds()}, {ended}" == expected
            until_closed(clients.server)


@pytest.mark.parametrize("name", [name for name in COMMANDS if WAYS["SIGHUP", name]])
def test_at_sighup_old_workers_drain_while_new_workers_serve(name: str, tmp_path: Path) -> None:
    # The grace is longer than a new worker takes to start.
    with connected(name, tmp_path, STREAMS, GRACE="10") as clients:
        old = set(open_contexts(clients.server))

        def is_served_by_a_new_one() -> bool:
            return bool(visitors.processes - old)

        with Visitors(clients.server, "page", "slow", "sync") as visitors:
            clients.server.until(lambda: len(visitors.processes) > 0, "response")
            kill(clients.server, signal.SIGHUP)
            clients.server.until(is_served_by_a_new_one, "response of a new worker")
            assert not clients.all_done
            assert replaced(clients, old)
        assert f"{clients.kinds()}, replaced" == WAYS["SIGHUP", name]
        begun = clients.server.log()
        assert [each for each in visitors.failed if f"{each}: begun" in begun] == []
        assert not visitors.refused


@pytest.mark.parametrize("row", rows("Limits that a server has itself"))
@pytest.mark.parametrize("bounded", [False, True], ids=["alone", "bounded"])
def test_a_server_ends_at_its_own_limit_as_the_docs_say(
    bounded: bool, row: list[str], tmp_path: Path
) -> None:
    name, limit, alone, bound, with_bound = row
    if bounded and not bound:
        pytest.skip("nothing bounds it")
    options = (*limit.split(), *(bound.split() if bounded else ()))
    # granian's option takes at least a minute, which is also how long a client waits for the next
    # part. The clients therefore connect late.
    after = 50 if "--workers-lifetime" in limit else 0
    with connected(server_of(name), tmp_path, STREAMS, *options, after=after, GRACE="1") as clients:
        old = open_contexts(clients.server)
        for _ in range(5):
            page(clients.server)
        check_the_end(clients, old, with_bound if bounded else alone)


@pytest.mark.parametrize("row", rows("Reload after a change"))
@pytest.mark.parametrize("bounded", [False, True], ids=["alone", "bounded"])
def test_a_reload_ends_a_server_as_the_docs_say(
    bounded: bool, row: list[str], tmp_path: Path
) -> None:
    name, alone, bound, with_bound = row
    if bounded and not bound:
        pytest.skip("nothing bounds it")
    watched = tmp_path / "watched"
    watched.mkdir()
    module = watched / "changed.py"
    module.write_text("from tests.servers.apps.drain import application\n")
    # The other servers watch every module that the app has imported.
    where = {"uvicorn": ("--reload-dir", str(watched)), "granian": ("--reload-paths", str(watched))}
    options = ("--reload", *where.get(name, ()), *(bound.split() if bounded else ()))
    path = os.pathsep.join((str(watched), str(ROOT)))
    with connected(
        *(name, tmp_path, STREAMS, *options), app="changed:application", GRACE="1", PYTHONPATH=path
    ) as clients:
        old = open_contexts(clients.server)

        def is_noticed() -> bool:
            # Make another change each time, because a server that does not watch yet misses it.
            with module.open("a") as changed:
                changed.write("changed = True\n")
            time.sleep(1)
            # hypercorn does not log a reload, so the app's closed context counts too.
            return re.search("eloading|event .* closed", clients.server.log()) is not None

        clients.server.until(is_noticed, "reload")
        check_the_end(clients, old, with_bound if bounded else alone)


def check_the_end(clients: Clients, old: dict[int, int], expected: str) -> None:
    """Check that the server of *clients*, with its *old* contexts, ends as expected."""
    if expected == "waits":
        time.sleep(3)  # longer than the grace
        assert not any(clients.responses[path].done() for path in ("receives", "sends"))
        assert set(open_contexts(clients.server).values()) == {1}
    elif expected.endswith("replaced"):
        assert replaced(clients, old)
        assert f"{clients.kinds()}, replaced" == expected
    elif expected.endswith("killed"):
        clients.server.log_lines(" opened$", at_least=2)
        assert clients.kinds() == "cut"
        assert 1 in open_contexts(clients.server).values()
    else:
        ended = end_of(clients.server.process, PATIENCE)
        assert f"{clients.kinds()}, {ended}" == expected
        until_closed(clients.server)


@pytest.mark.parametrize("row", rows("Clients that do not read"))
@pytest.mark.parametrize("bounded", [False, True], ids=["alone", "bounded"])
def test_a_client_that_does_not_read_keeps_a_server_running_as_the_docs_say(
    bounded: bool, row: list[str], tmp_path: Path
) -> None:
    name, alone, bound, with_bound = row
    if bounded and not bound:
        pytest.skip("nothing bounds it")
    options = bound.split() if bounded else ()
    expected = with_bound if bounded else alone
    # The other clients' connections end as they do without a client that does not read.
    with connected(
        server_of(name), tmp_path, STREAMS, *options, unread=("big",), GRACE="0.5"
    ) as clients:
        kill(clients.server, signal.SIGTERM)
        # Longer than the grace and the time that a server needs after it.
        ended = end_of(clients.server.process, 4 if expected == "goes on" else PATIENCE)
        assert ended == expected
        assert clients.kinds() == "drained"
        # The contexts are exited even if only SIGKILL can end the process now.
        until_closed(clients.server)


@pytest.mark.parametrize("row", rows("Clients that do not read"))
def test_a_server_ends_as_the_docs_say_whichever_response_a_client_does_not_read(
    row: list[str], tmp_path: Path
) -> None:
    name, alone, bound, with_bound = row
    mode = ("--runtime-mode", "st") if name == "granian" else ()
    with connected(
        server_of(name),
        tmp_path,
        STREAMS,
        *mode,
        *bound.split(),
        # A response with a length, an app that receives while it sends, and a WebSocket.
        unread=("file", "both", "flood"),
        GRACE="0.5",
    ) as clients:
        kill(clients.server, signal.SIGTERM)
        expected = with_bound if bound else alone
        ended = end_of(clients.server.process, 4 if expected == "goes on" else PATIENCE)
        assert ended == expected
        assert clients.kinds() == "drained"
        until_closed(clients.server)


@dataclass(frozen=True)
class Keeping:
    """Clients that keep some servers running: what they do not read, and what they have sent."""

    servers: tuple[str, ...]
    unread: tuple[str, ...]
    sent: tuple[str, ...]
    streams: int  # on "/receives"; one is read by another client


UNFINISHED_REQUESTS = Keeping(("granian", "gunicorn -k asgi"), ("undecided",), UNFINISHED, 1)
PIPELINED = request_for("receives") + request_for("page")
PIPELINED_REQUESTS = Keeping(("hypercorn --workers 0",), (), (PIPELINED,), 2)


@pytest.mark.parametrize("row", rows("Clients that do not read"))
@pytest.mark.parametrize("bounded", [False, True], ids=["alone", "bounded"])
@pytest.mark.parametrize(
    "keeping",
    [
        pytest.param(UNFINISHED_REQUESTS, id="unfinished requests"),
        pytest.param(PIPELINED_REQUESTS, id="a request behind a stream"),
    ],
)
def test_unfinished_and_pipelined_requests_keep_only_the_servers_running_that_the_docs_name(
    keeping: Keeping, bounded: bool, row: list[str], tmp_path: Path
) -> None:
    name, _, bound, with_bound = row
    name = server_of(name)
    waits = name in keeping.servers
    if bounded and not (waits and bound):
        pytest.skip("nothing has to bound it, or nothing can")
    options = bound.split() if bounded else ()
    with connected(
        *(name, tmp_path, STREAMS, *options),
        unread=keeping.unread,
        unfinished=keeping.sent,
        GRACE="1",
    ) as clients:
        clients.server.log_lines(" receives: begun$", at_least=keeping.streams)
        kill(clients.server, signal.SIGTERM)
        ended = end_of(clients.server.process, 5 if waits and not bounded else PATIENCE)
        if waits:
            assert ended == (with_bound if bounded else "goes on")
        else:
            assert f"drained, {ended}" == WAYS["SIGTERM", name]
        assert clients.kinds() == "drained"
        until_closed(clients.server)


@pytest.mark.parametrize("name", COMMANDS)
def test_an_app_that_receives_in_a_loop_after_its_client_has_left_does_not_block_other_requests(
    name: str, tmp_path: Path
) -> None:
    with connected(name, tmp_path, (), GRACE="1") as clients:
        with httpx.stream("GET", f"{clients.server.url}/asks", timeout=PATIENCE) as stream:
            assert next(stream.iter_text()) == "part\n"
        for _ in range(10):
            assert page(clients.server)


@pytest.mark.parametrize("thread", [False, True], ids=["in the main thread", "in a thread"])
def test_a_program_drains_its_own_server_with_begin(thread: bool, tmp_path: Path) -> None:
    where = "1" if thread else ""
    with connected("a program", tmp_path, STREAMS, GRACE="1", THREAD=where) as clients:
        kill(clients.server, signal.SIGUSR1)
        assert end_of(clients.server.process, PATIENCE) == "0"
        assert clients.kinds() == "drained"
        until_closed(clients.server)
        assert clients.server.log_lines(r"the drain begins \(Drain.begin\(\)\)")
        warned = "no signal begins the drain" in clients.server.log()
        assert warned is thread


def test_hypercorns_workers_warn_that_no_signal_begins_the_drain(tmp_path: Path) -> None:
    with connected("hypercorn", tmp_path, (), GRACE="1", MAX_REQUESTS="5") as clients:
        lines = clients.server.log_lines("^asgi_middleware.lifespan.drain")

    assert lines == [
        "asgi_middleware.lifespan.drain: no signal begins the drain and max_requests has no effect:"
        " the server's workers do not handle SIGTERM; start hypercorn with --workers 0"
    ]


class Visitors:
    """Clients that request these paths again and again, with a new connection each time."""

    def __init__(self, server: Server, *paths: str) -> None:
        self.processes: set[int] = set()
        self.failed: list[str] = []
        self.refused = False
        self._server = server
        self._over = Event()
        self._threads = [Thread(target=self._ask, args=(path,)) for path in paths]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, path: str) -> None:
        for number in count():
            if self._over.is_set():
                return
            request = f"{path}?{number}"
            with closing(HTTPConnection(HOST, self._server.port, timeout=PATIENCE)) as client:
                try:
                    client.request("GET", f"/{request}")
                    response = client.getresponse()
                    whole = response.read() == b"whole"
                    if whole:
                        self.processes.add(int(response.headers["x-process"]))
                except (OSError, HTTPException) as error:
                    self.refused |= isinstance(error, ConnectionRefusedError)
                    whole = False
            if not whole:
                self.failed.append(request)
            time.sleep(0.01)


def page(server: Server) -> int | None:
    """Return the process that responds, or None if no process serves, as during a restart."""
    try:
        response = httpx.get(f"{server.url}/page", timeout=PATIENCE)
    except httpx.TransportError:
        return None
    if response.status_code == 503:  # from a process that is about to end
        return None
    assert response.status_code == 200
    return int(response.headers["x-process"])


def seconds(line: str) -> float:
    """Return the seconds in a line of the log."""
    [number] = re.findall(r", ([\d.]+) s after", line)
    return float(number)
