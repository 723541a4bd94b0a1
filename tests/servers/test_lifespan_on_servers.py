"""Startup, state and shutdown on real servers, with Django inside."""

import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest

from .apps.lifespan.settings import HEADERS
from .lifespan import NAMES, ONE_PROCESS, events, page_row, serving
from .server import PATIENCE, Server, command, serve

pytestmark = pytest.mark.process


def ended_without_serving(server: Server) -> int:
    """Send one request after another until the process has ended; return its exit status."""
    statuses: list[int] = []

    def over() -> bool:
        try:
            statuses.append(httpx.get(server.url, headers=HEADERS, timeout=0.2).status_code)
        except httpx.TransportError:
            time.sleep(0.05)
        return server.process.poll() is not None

    # The parent process may wait for a worker that has just ended: see WORKERS_HAVE_TIME.
    server.until(over, "end", patience=2 * PATIENCE)
    # Daphne listens immediately, and its requests wait for startup.
    assert set(statuses) <= {503}
    assert "request_started" not in server.log()
    return server.process.wait()


@pytest.mark.parametrize("name", [*NAMES, "hypercorn"])
@pytest.mark.parametrize(
    ("fault", "message"),
    [
        pytest.param("raises", "OSError: no database (in second)", id="fails"),
        pytest.param("hangs", "TimeoutError: startup took more than 5 s (in second)", id="hangs"),
    ],
)
def test_a_startup_that_does_not_succeed_ends_the_process(
    fault: str, message: str, name: str, tmp_path: Path
) -> None:
    with serving(name, tmp_path, {"FAULT": fault}, listening=False) as server:
        status = ended_without_serving(server)

    assert [str(status)] == page_row("Exit status of a failed startup", name)
    assert message in server.log()
    for process in events(server).values():
        assert process == ["first opened", "first closed"]


@pytest.mark.parametrize("server", ["uvicorn", "hypercorn", "granian", "daphne"])
@pytest.mark.parametrize(
    "shape",
    [
        "an async consumer",
        "a dispatcher by type",
        "a response of Starlette",
        "a loop over messages",
    ],
)
def test_an_app_responds_the_same_with_and_without_the_middleware(
    shape: str, server: str, tmp_path: Path
) -> None:
    pytest.importorskip(server)
    # Without the middleware, this shape hangs at startup, so the test leaves it out.
    hangs = shape == "a loop over messages" and server != "daphne"
    applications = ["wrapped"] if hangs else ["bare", "wrapped"]
    if server == "daphne":
        applications[-1:] = ["on_daphne", "wrapped_on_daphne"]

    for application in applications:
        run = command(server, f"tests.servers.apps.shapes:{application}")
        with serve(run, log=tmp_path / application, environment={"SHAPE": shape}) as process:
            assert httpx.get(process.url, timeout=PATIENCE).text == "hello"
        assert "ERROR" not in process.log()


@pytest.mark.parametrize(
    ("server", "options"), [("uvicorn", ["--lifespan", "off"]), ("daphne", [])]
)
def test_a_server_that_signals_no_startup_causes_one_warning(
    server: str, options: list[str], tmp_path: Path
) -> None:
    pytest.importorskip(server)
    run = command(server, "tests.servers.apps.shapes:wrapped", *options)

    with serve(run, log=tmp_path / "log", environment={"SHAPE": "Django"}) as process:
        for _ in range(3):
            assert httpx.get(process.url, timeout=PATIENCE).text == "hello"
        assert len(process.log_lines("the server does not signal startup")) == 1


def test_hypercorn_with_trio_ends_at_startup_with_one_clear_error(tmp_path: Path) -> None:
    for needed in ("hypercorn", "trio"):
        pytest.importorskip(needed)
    application = "tests.servers.apps.drain:application"
    run = command("hypercorn", application, "--workers", "0", "--worker-class", "trio")

    with serve(run, log=tmp_path / "log", listening=False) as server:
        assert ended_without_serving(server) == 1

    log = server.log()
    assert log.count("RuntimeError: asgi_middleware needs asyncio, and this server runs") == 1
    assert "use hypercorn --worker-class asyncio, or another server" in log
    assert events(server) == {}


@pytest.mark.parametrize("name", ONE_PROCESS)
def test_a_context_that_never_exits_does_not_hold_up_shutdown(name: str, tmp_path: Path) -> None:
    with serving(name, tmp_path, {"FAULT": "exit hangs"}) as server:
        assert state(server)["opened here"]
        server.stop()

    assert "shutdown failed in second" in server.log()
    assert "TimeoutError: shutdown took more than 5 s" in server.log()
    [process] = events(server).values()
    assert process[-2:] == ["task group closed", "first closed"]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str | None], Any]:
    """A function that returns what a view sees on a server, with a drain if a grace is given."""

    @cache
    def run(name: str, grace: str | None) -> Any:
        environment = {} if grace is None else {"GRACE": grace}
        with serving(name, tmp_path_factory.mktemp("seen"), environment) as server:
            return state(server)

    return run


@pytest.mark.parametrize("name", NAMES)
def test_a_view_sees_the_state_of_its_process(
    name: str, seen: Callable[[str, str | None], Any]
) -> None:
    assert seen(name, None)["opened here"]


@pytest.mark.parametrize("name", ONE_PROCESS)
@pytest.mark.parametrize(
    ("grace", "untouched"),
    [pytest.param(None, True, id="no drain"), pytest.param("1", False, id="drain")],
)
def test_signal_handlers_are_only_changed_for_a_drain(
    grace: str | None, untouched: bool, name: str, seen: Callable[[str, str | None], Any]
) -> None:
    before, while_serving = seen(name, grace)["handlers"]

    assert (while_serving == before) == untouched


def state(server: Server) -> Any:
    response = httpx.get(f"{server.url}/state", headers=HEADERS, timeout=PATIENCE)
    return response.raise_for_status().json()
