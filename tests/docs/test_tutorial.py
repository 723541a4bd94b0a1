"""docs/tutorial.md, typed from top to bottom into a fresh home folder.

The test writes each file of the page where the file's first line says, and runs the commands in
bash. It replaces what a test cannot have: it uses the installed environment, free ports, and
scripts named ``sudo``, ``systemctl`` and ``journalctl``. The scripts start what the files of the
page say.
"""

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import pytest

from ..servers.missing import program
from ..servers.server import PATIENCE, clean_environment, free_port
from .process import ROOT

pytestmark = pytest.mark.process

PAGE = (ROOT / "docs" / "tutorial.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)

NGINX = """
{user}
daemon on;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/conf.d/*.conf;
}}
"""
SCRIPTS = {
    "sudo": 'exec "$@"',
    "nginx": 'exec {nginx} -c {folder}/nginx.conf "$@"',
    "journalctl": "cat {folder}/service.log",
    "systemctl": """
unit=$HOME/.config/systemd/user/mysite.service
value() {{ sed -n "s|%h|$HOME|g; s|^$1=||p" "$unit"; }}
start() {{
  cd "$(value WorkingDirectory)"
  env $(value Environment) setsid $(value ExecStart) >>{folder}/service.log 2>&1 &
  echo $! >{folder}/service.pid
}}
stop() {{
  kill -TERM "$(cat {folder}/service.pid)"
  while kill -0 "$(cat {folder}/service.pid)" 2>/dev/null; do sleep 0.1; done
}}
case "$*" in
  "--user daemon-reload") test -f "$unit" ;;
  "--user enable --now mysite") start ;;
  "--user restart mysite") stop; start ;;
  "reload nginx") exec {nginx} -c {folder}/nginx.conf ;;
  *) echo "systemctl $*: not on the page" >&2; exit 1 ;;
esac
""",
}


class Terminal:
    """A home folder, and the server that runs in it."""

    def __init__(self, home: Path, ports: dict[str, int]) -> None:
        self.home = home
        self.folder = home / "mysite"
        self.machine = home / "machine"
        self.ports = ports
        self.server: subprocess.Popen[bytes] | None = None
        self.environment = clean_environment({"HOME": str(home)})
        path = f"{self.machine}:{self.folder}/.venv/bin:{self.environment['PATH']}:/usr/sbin"
        self.environment["PATH"] = path

    def here(self, text: str) -> str:
        """Return *text* with our ports, and with our folder instead of nginx's."""
        text = text.replace("8000", str(self.ports["uvicorn"]))
        text = text.replace("listen 80;", f"listen 127.0.0.1:{self.ports['nginx']};")
        text = text.replace("//localhost/", f"//localhost:{self.ports['nginx']}/")
        return text.replace("/etc/nginx", str(self.machine))

    def write(self, block: str) -> None:
        first, _, text = block.partition("\n")
        name, _, end = first.removeprefix("# ").partition(", ")
        path = self.home / name[2:] if name.startswith("~/") else self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        before = path.read_text() + "\n" if end == "at the end" else ""
        path.write_text(before + self.here(text))

    def start(self, command: str) -> None:
        self.stop()
        with (self.machine / "server.log").open("wb") as log:
            self.server = subprocess.Popen(
                shlex.split(command),
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        until(lambda: listens(self.ports["uvicorn"]), "server")

    def stop(self) -> None:
        """Press Ctrl-C in the terminal of the server, if there is one."""
        if self.server is not None:
            os.killpg(self.server.pid, signal.SIGINT)
            self.server.wait(4 * PATIENCE)
            self.server = None

    def type(self, block: str) -> None:
        """Run the commands of *block*, and compare what they write with what the page shows."""
        lines = block.splitlines()
        commands = [self.here(line[2:]) for line in lines if line.startswith("$ ")]
        shown = [line for line in lines if not line.startswith("$ ")]
        if "runserver" in block:
            return self.start(commands[0])
        done = subprocess.run(
            ["bash", "-e", "-c", "\n".join(commands)],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=4 * PATIENCE,
            check=False,
        )
        assert done.returncode == 0, f"{block}\n{done.stdout}\n{self.log()}"
        assert shows("\n".join(shown), done.stdout), f"{block}\n{done.stdout}\n{self.log()}"

    def log(self) -> str:
        logs = [self.machine / name for name in ("server.log", "service.log")]
        return "".join(path.read_text() for path in logs if path.exists())


def shows(shown: str, written: str) -> bool:
    """Return whether *written* is what the page shows, where … stands for any text."""
    lines = [re.escape(line).replace("…", ".*") for line in shown.splitlines()]
    pattern = "\n".join(line if line != ".*" else "(?:.*\n)*" for line in lines)
    pattern = pattern.replace("(?:.*\n)*\n", "(?:.*\n)*")
    # [ID] stands for the same ID in all lines.
    pattern = pattern.replace(r"\[ID\]", r"\[(\w{32})\]", 1).replace(r"\[ID\]", r"\[\1\]")
    return re.search(rf"(?m)^{pattern}$", written.replace("\r", "")) is not None


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 4 * PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"timed out waiting for the {what}"
        time.sleep(0.05)


def listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=PATIENCE):
        return True
    return False


@pytest.fixture
def ports() -> Iterator[dict[str, int]]:
    with free_port() as uvicorn, free_port() as nginx:
        yield {"uvicorn": uvicorn, "nginx": nginx}


@pytest.fixture
def terminal(tmp_path: Path, ports: dict[str, int]) -> Iterator[Terminal]:
    nginx = program("nginx", "nginx")
    terminal = Terminal(tmp_path, ports)
    terminal.folder.mkdir()
    (terminal.folder / ".venv").symlink_to(sys.prefix)
    # curl ends each response with a line break, as the page shows it.
    (tmp_path / ".curlrc").write_text('write-out = "\\n"\n')
    terminal.machine.mkdir()
    (terminal.machine / "conf.d").mkdir()
    user = "user root;" if os.geteuid() == 0 else ""
    (terminal.machine / "nginx.conf").write_text(NGINX.format(user=user, folder=terminal.machine))
    for name, script in SCRIPTS.items():
        path = terminal.machine / name
        path.write_text("#!/bin/bash\n" + script.format(folder=terminal.machine, nginx=nginx))
        path.chmod(0o755)
    try:
        yield terminal
    finally:
        if terminal.server is not None:
            with suppress(ProcessLookupError):
                os.killpg(terminal.server.pid, signal.SIGKILL)
        for name in ("service.pid", "nginx.pid"):
            with suppress(FileNotFoundError, ProcessLookupError):
                os.killpg(int((terminal.machine / name).read_text()), signal.SIGKILL)


def test_the_tutorial_works_as_it_is_written(terminal: Terminal) -> None:
    (kind, install), *blocks = BLOCKS
    assert kind == "console"
    assert all(find_spec(name) for name in install.split()[-3:])

    for kind, block in blocks:
        if kind == "console":
            if "systemctl" in block:
                terminal.stop()
            terminal.type(block)
        elif kind == "text":
            # The log may have other lines between these.
            lines = block.replace("\n", "\n…\n").removesuffix("…\n")
            until(partial(lambda lines: shows(lines, terminal.log()), lines), f"log with:\n{block}")
        else:
            terminal.write(block)
