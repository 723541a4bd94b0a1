"""The demonstration is the acceptance test: every scenario of the page on every server."""

import asyncio
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from example_project.inspector.scenarios.player import Observation, play
from example_project.inspector.scenarios.table import SCENARIOS

from .example import UVICORN
from .server import command, python, serve

pytestmark = pytest.mark.process

COMMANDS = {
    "uvicorn": UVICORN,
    "hypercorn": command("hypercorn", "example_project.asgi:application"),
    "granian": command("granian", "example_project.asgi:application"),
    "daphne": command("daphne", "example_project.asgi_daphne:application"),
}


@pytest.fixture(scope="module", params=COMMANDS)
def observed(
    request: pytest.FixtureRequest,
    environment: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dict[str, Observation]]:
    """What the player observed of each scenario, on one server."""
    log = tmp_path_factory.mktemp(request.param) / "log"
    with serve(COMMANDS[request.param], log=log, environment=environment) as server:

        async def played() -> dict[str, Observation]:
            return {scenario.name: seen async for scenario, seen in play(server.url)}

        yield asyncio.run(played())


@pytest.mark.parametrize("name", [scenario.name for scenario in SCENARIOS])
def test_a_scenario_goes_as_expected(name: str, observed: dict[str, Observation]) -> None:
    assert observed[name].ok, observed[name].observed


def _command(environment: dict[str, str], *options: str) -> subprocess.CompletedProcess[str]:
    return python("manage.py", "scenarios", *options, **environment)


def test_the_command_plays_scenarios_on_a_server_of_its_own(environment: dict[str, str]) -> None:
    ended = _command(environment, "--only=-id")

    assert ended.returncode == 0, ended.stderr
    lines = [line for line in ended.stdout.splitlines() if not line.startswith(" ")]
    assert [line.split()[:2] for line in lines] == [
        ["ok", "forged-id"],
        ["ok", "overlong-id"],
    ]


def test_the_command_fails_if_a_scenario_does_not_go_as_expected(
    environment: dict[str, str], tmp_path: Path
) -> None:
    wrong = command("uvicorn", "tests.servers.apps.without_id:application")
    with serve(wrong, log=tmp_path / "log", environment=environment) as server:
        ended = _command(environment, "--url", server.url, "--only=-id")

    assert ended.returncode == 1
    assert "not as expected: forged-id, overlong-id" in ended.stderr
    assert ended.stdout.count("FAIL") == 2
