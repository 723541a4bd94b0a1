"""deploy/Dockerfile without Docker: its variables, its collectstatic and its command."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import yaml

from .postgresql import DATABASE, USER, PostgreSQL
from .server import PATIENCE, ROOT, clean_environment, manage, serve

pytestmark = pytest.mark.process

IMAGE = (ROOT / "deploy" / "Dockerfile").read_text()
COMPOSE = (ROOT / "deploy" / "compose.yaml").read_text()


def instruction(name: str) -> str:
    found: list[str] = re.findall(rf"^{name} (.+)$", IMAGE, re.MULTILINE)
    return found[-1]


def image_environment(static: Path) -> dict[str, str]:
    """Return the variables of the image, with *static* as the folder for static files."""
    variables = dict(each.split("=", 1) for each in instruction("ENV").split())
    return {**variables, "STATIC_ROOT": str(static)}


def container_environment() -> dict[str, str]:
    """Return the variables that compose.yaml gives to the image."""
    given: dict[str, str] = yaml.safe_load(COMPOSE)["services"]["web"]["environment"]
    return given


def test_the_image_collects_static_files_and_serves_with_a_database(
    tmp_path: Path, postgresql: PostgreSQL
) -> None:
    environment = image_environment(tmp_path / "static")
    collect = shlex.split(instruction("RUN"))
    variables = dict(each.split("=", 1) for each in collect if re.match(r"[A-Z_]+=", each))
    python, *arguments = collect[len(variables) :]
    assert python == "python"
    subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=clean_environment({**environment, **variables}),
        check=True,
        timeout=PATIENCE * 2,
        stdout=subprocess.DEVNULL,
    )

    given = {**environment, **container_environment(), **postgresql.environment}
    given["DATABASE_URL"] = f"postgresql://{USER}@/{DATABASE}?host={postgresql.folder}"
    # Redis is for several processes, and this test runs one.
    del given["REDIS_URL"]
    manage(given, "migrate")
    command = json.loads(instruction("CMD"))
    command[command.index("8000")] = "{port}"
    command[command.index("0.0.0.0")] = "127.0.0.1"
    with serve([sys.executable, "-m", *command], log=tmp_path / "log", environment=given) as server:
        ready = httpx.get(f"{server.url}/readyz", timeout=PATIENCE)
        page = httpx.get(server.url, timeout=PATIENCE)
        stylesheets = re.findall(r'href="(/static/[^"]+\.css)"', page.text)
        style = httpx.get(server.url + stylesheets[0], timeout=PATIENCE)

    assert (ready.status_code, ready.json()["status"]) == (200, "ready")
    assert (page.status_code, style.status_code) == (200, 200)
    assert "immutable" in style.headers["cache-control"]


def test_the_image_runs_the_command_of_the_systemd_service() -> None:
    unit = (ROOT / "deploy" / "example.service").read_text()
    [in_unit] = re.findall(r"^ExecStart=\S+ (.+)$", unit, re.MULTILINE)
    in_image = " ".join(json.loads(instruction("CMD"))[1:])

    assert in_image.replace("--host 0.0.0.0 --port 8000", "--fd 3") == in_unit
