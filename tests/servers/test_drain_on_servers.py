"""SIGTERM on real servers, while requests, a stream and a WebSocket are open.

docs/deployment.md has tables of what these tests observe, and the tests compare the two.
"""

import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from asgi_middleware.lifespan.drain import _ONE_DECISION

from .apps.lifespan.settings import BODY, HEADERS
from .lifespan import NAMES, ONE_PROCESS, events, page_row, serving
from .server import PATIENCE, Server

pytestmark = pytest.mark.process

# Longer than requests take once the test lets them go on, so all of them can complete.
GRACE = 5
# For how many seconds the test watches a server that is expected to go on.
WATCHED = GRACE + 2
GOES_ON = "goes on"
ALONE, DRAINED = "SIGTERM with Django alone", "SIGTERM with a drain"
# What a server logs about the ValueError that Django raises for the lifespan scope.
COMPLAINTS = {
    "uvicorn": "ASGI 'lifespan' protocol appears unsupported",
    "hypercorn --workers 0": "Lifespan error, continuing without Lifespan support",
    "granian": "Lifespan errored, continuing without Lifespan support",
}


@dataclass
class Ending:
    """What happened after SIGTERM to a server and to the connections that were open."""

    connections: dict[str, str]
    process: str
    events: dict[str, list[str]]
    log: str


def get(server: Server, path: str) -> str:
    try:
        response = httpx.get(f"{server.url}/{path}", headers=HEADERS, timeout=PATIENCE)
    except httpx.TransportError:
        return "cut"
    complete = response.status_code == 200 and response.text == BODY
    return "complete" if complete else f"{response.status_code}: {response.text}"


def stream(server: Server, path: str) -> str:
    try:
        response = httpx.get(f"{server.url}/{path}", headers=HEADERS, timeout=PATIENCE)
    except httpx.TransportError:
        return "cut"
    return "ended" if response.text.startswith("data: ") else f"{response.status_code}"


def websocket(server: Server, path: str) -> str:
    with connect(f"{server.websocket_url}/{path}", proxy=None, open_timeout=PATIENCE) as connection:
        try:
            connection.recv(PATIENCE)
        except ConnectionClosed as closed:
            return str(closed.rcvd.code if closed.rcvd else 1006)
    return "a message"


CONNECTIONS: dict[str, Callable[[Server, str], str]] = {
    "slow": get,
    "slow-sync": get,
    "stream": stream,
    "websocket": websocket,
}


def ended(name: str, folder: Path, environment: dict[str, str], *, alone: bool = False) -> Ending:
    """Open a connection of each kind, send SIGTERM, and see which of them end."""
    *ends, expected = page_row(ALONE if alone else DRAINED, name)
    held = folder / "held"
    environment = {**environment, "HELD": str(held)}
    with ThreadPoolExecutor(len(CONNECTIONS)) as pool:
        with serving(name, folder, environment, alone=alone) as server:
            if "workers 2" in name:
                server.log_lines("Application startup complete", at_least=2)
            opened = {path: pool.submit(use, server, path) for path, use in CONNECTIONS.items()}
            for path in opened:
                server.log_lines(f" {path}: begun$")
            server.process.send_signal(signal.SIGTERM)
            # The requests must still be in flight when the server gets the signal.
            if "complete" in ends:
                time.sleep(0.5)
            else:
                wait([opened["slow"], opened["slow-sync"]], PATIENCE)
            held.touch()
            ending = zip(opened.values(), ends, strict=True)
            wait([use for use, end in ending if end != GOES_ON], PATIENCE)
            try:
                status = server.process.wait(WATCHED if expected == GOES_ON else PATIENCE)
                process = "ends by SIGTERM" if status == -signal.SIGTERM else f"ends with {status}"
            except subprocess.TimeoutExpired:
                process = GOES_ON
            going_on = [path for path in opened if process == GOES_ON and not opened[path].done()]
            server.process.kill()
        connections = {path: use.result(PATIENCE) for path, use in opened.items()}
        connections.update(dict.fromkeys(going_on, GOES_ON))
        return Ending(connections, process, events(server), server.log())


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Ending]:
    """Django alone, on all servers at the same time, because most of this is waiting."""

    def run(name: str) -> Ending:
        folder = folders[name]
        return ended(name, folder, {}, alone=True)

    folders = {name: tmp_path_factory.mktemp("alone") for name in NAMES}
    with ThreadPoolExecutor(len(NAMES)) as pool:
        return dict(zip(NAMES, pool.map(run, NAMES), strict=True))


@pytest.fixture(scope="module")
def drained(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Ending]:
    """A function that returns how the whole stack, with a drain, ends on a server."""

    @cache
    def run(name: str) -> Ending:
        folder = tmp_path_factory.mktemp("drained")
        return ended(name, folder, {"GRACE": str(GRACE)})

    return run


def row(ending: Ending) -> list[str]:
    return [*ending.connections.values(), ending.process]


@pytest.mark.parametrize("name", NAMES)
def test_a_server_with_django_alone_ends_as_the_docs_say(
    name: str, alone: dict[str, Ending]
) -> None:
    assert row(alone[name]) == page_row(ALONE, name)


@pytest.mark.parametrize("name", [*NAMES, "hypercorn"])
def test_a_server_with_a_drain_ends_as_the_docs_say(
    name: str, drained: Callable[[str], Ending]
) -> None:
    assert row(drained(name)) == page_row(DRAINED, name)


@pytest.mark.parametrize("name", NAMES)
def test_requests_and_streams_in_flight_get_complete_responses(
    name: str, drained: Callable[[str], Ending]
) -> None:
    connections = drained(name).connections

    assert [connections[path] for path in ("slow", "slow-sync", "stream")] == [
        "complete",
        "complete",
        "ended",
    ]


@pytest.mark.parametrize("name", NAMES)
def test_each_request_stream_and_websocket_is_cleaned_up_once(
    name: str, drained: Callable[[str], Ending]
) -> None:
    said = Counter(event for process in drained(name).events.values() for event in process)

    assert {event: said[event] for event in said if not event.endswith(("opened", "closed"))} == {
        **dict.fromkeys((f"{path}: begun" for path in CONNECTIONS), 1),
        "request_started": 3,
        "stream: finally": 1,
        "stream: close()": 1,
        "request_finished": 3,
        "websocket: disconnect()": 1,
    }


@pytest.mark.parametrize("name", NAMES)
def test_contexts_are_entered_first_and_exited_last(
    name: str, drained: Callable[[str], Ending]
) -> None:
    processes = drained(name).events.values()

    assert len(processes) == (2 if name == "uvicorn --workers 2" else 1)
    for process in processes:
        assert process[:2] == ["first opened", "second opened"]
        assert process[-3:] == ["task group closed", "second closed", "first closed"]


@pytest.mark.parametrize("name", NAMES)
def test_a_server_with_a_drain_logs_no_error(name: str, drained: Callable[[str], Ending]) -> None:
    log = drained(name).log

    for complaint in (*COMPLAINTS.values(), "ValueError", "Traceback", "ERROR"):
        assert complaint not in log


@pytest.mark.parametrize("name", COMPLAINTS)
def test_a_server_with_django_alone_logs_that_lifespan_is_not_supported(
    name: str, alone: dict[str, Ending]
) -> None:
    assert COMPLAINTS[name] in alone[name].log


@pytest.mark.parametrize("name", ONE_PROCESS)
def test_a_second_signal_ends_the_process_immediately(name: str, tmp_path: Path) -> None:
    with (
        ThreadPoolExecutor() as pool,
        serving(name, tmp_path, {"GRACE": "60"}) as server,
    ):
        streaming = pool.submit(stream, server, "stream")
        server.log_lines("stream: begun")
        # Granian's main process passes on only the first signal.
        [process] = events(server)
        os.kill(int(process), signal.SIGTERM)
        server.log_lines("the drain begins")
        time.sleep(_ONE_DECISION + 0.2)  # two signals in less time than this count as one
        assert not streaming.done()
        if server.process.poll() is None:
            os.kill(int(process), signal.SIGTERM)

        # The stream must end before a timeout of the server would cut it.
        assert streaming.result(15) == "ended"
        server.process.wait(PATIENCE)

    assert events(server)[process][-1] == "first closed"


@pytest.mark.parametrize("name", ONE_PROCESS)
def test_without_grace_a_sync_view_completes_but_its_client_gets_a_503(
    name: str, tmp_path: Path
) -> None:
    held = tmp_path / "held"
    with (
        ThreadPoolExecutor() as pool,
        serving(name, tmp_path, {"GRACE": "0", "HELD": str(held)}) as server,
    ):
        asking = pool.submit(get, server, "slow-sync")
        server.log_lines("slow-sync: begun")
        server.process.send_signal(signal.SIGTERM)
        server.log_lines("the grace period is over")
        held.touch()
        server.process.wait(PATIENCE)

        assert asking.result() == "503: Not available at the moment."

    [process] = events(server).values()
    assert process[-4:] == [
        "request_finished",
        "task group closed",
        "second closed",
        "first closed",
    ]


@pytest.mark.parametrize("name", ["uvicorn", "daphne"])
def test_during_the_hold_the_probe_fails_and_requests_are_served(name: str, tmp_path: Path) -> None:
    def status(path: str) -> int:
        url = f"{server.url}/{path}"
        return httpx.get(url, headers=HEADERS, timeout=PATIENCE).status_code

    with serving(name, tmp_path, {"GRACE": "1", "HOLD": "600"}) as server:
        server.until(lambda: status("readyz") == 200, "readiness")
        server.process.send_signal(signal.SIGTERM)
        server.until(lambda: status("readyz") == 503, "end of readiness")
        assert status("state") == 200
        assert status("readyz") == 503
        server.stop()  # ends the hold

    assert next(iter(events(server).values()))[-1] == "first closed"
