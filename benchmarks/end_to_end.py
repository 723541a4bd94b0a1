"""Requests per second through a real server: plain Django beside Django in the pool.

    python -m benchmarks.end_to_end

Needs ``wrk`` and uvicorn, and takes some minutes. The arms of a scenario take turns, so
that what slows the machine down slows them all. With DATABASE_URL, of a PostgreSQL
database that may be written to, it also queries that.
"""

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

from tests.servers.server import Server, clean_environment, serve

ROOT = Path(__file__).resolve().parents[1]
CONNECTIONS = 16
UVICORN = (
    *(sys.executable, "-m", "uvicorn", "benchmarks.end_to_end_app:application"),
    *("--port", "{port}", "--no-access-log", "--log-level", "warning"),
)


@dataclass(frozen=True)
class Scenario:
    """A row: a page, and the arms that serve it, each with the environment of its app."""

    name: str
    path: str
    arms: Mapping[str, Mapping[str, str]]


def everywhere(**environment: str) -> dict[str, Mapping[str, str]]:
    """Return the three arms, with the same *environment*."""
    return {arm: {"ARM": arm, **environment} for arm in ("plain", "pool", "stack")}


SQLITE = (
    Scenario("async view, no middleware", "/async", everywhere()),
    Scenario("sync view, no middleware", "/sync", everywhere()),
    Scenario("async view, stock middleware", "/async", everywhere(MIDDLEWARE="stock")),
    Scenario("sync view, stock middleware", "/sync", everywhere(MIDDLEWARE="stock")),
    Scenario("one query, SQLite, CONN_MAX_AGE=0", "/query", everywhere()),
    Scenario("one query, SQLite, CONN_MAX_AGE=60", "/query", everywhere(CONN_MAX_AGE="60")),
)
# Connections that last, each side in its way. Plain Django cannot have CONN_MAX_AGE: it leaves
# a connection open for every request, until PostgreSQL takes no more.
LASTING = {"CONN_MAX_AGE": "60", "MAX_OVERFLOW": "0"}
POSTGRESQL = Scenario(
    "one query, PostgreSQL",
    "/query",
    {
        "plain": {"ARM": "plain"},
        "psycopg": {"ARM": "plain", "PSYCOPG_POOL": "1"},
        "pool": {"ARM": "pool", **LASTING},
        "stack": {"ARM": "stack", **LASTING},
    },
)


@dataclass
class Figures:
    """Of one arm: requests per second, round by round, failures, and the most under load."""

    rates: list[float] = field(default_factory=list[float])
    failures: int = 0
    threads: int = 0
    connections: int = 0


def measure(scenario: Scenario, folder: Path, rounds: int, seconds: int) -> dict[str, Figures]:
    common = {"SQLITE_PATH": str(folder / "db.sqlite3")}
    if scenario is POSTGRESQL:
        common["DATABASE_URL"] = os.environ["DATABASE_URL"]
    subprocess.run(
        [sys.executable, "-m", "benchmarks.end_to_end_app"],
        cwd=ROOT,
        env=clean_environment({"DATABASE_URL": "", **common}),
        check=True,
    )
    figures = {arm: Figures() for arm in scenario.arms}
    with ExitStack() as stack:
        servers: dict[str, Server] = {}
        for arm, own in scenario.arms.items():
            environment = {"DATABASE_URL": "", **common, **own, "PGAPPNAME": f"benchmark-{arm}"}
            server = serve(UVICORN, log=folder / f"{arm}.log", environment=environment)
            servers[arm] = stack.enter_context(server)
            _check(servers[arm], scenario, arm)
            _load(servers[arm], scenario.path, 1)  # warm
        order = list(scenario.arms)
        for _ in range(rounds):
            for arm in order:
                _turn(servers[arm], scenario, arm, seconds, figures[arm])
            order.append(order.pop(0))
    return figures


def _check(server: Server, scenario: Scenario, arm: str) -> None:
    """End the benchmark unless the arm does its job: an error page is quick to make."""
    try:
        with urlopen(server.url + scenario.path) as answer:  # noqa: S310
            body = answer.read()
    except HTTPError as error:
        body = error.read()
    if body != b"hello":
        sys.exit(f"{scenario.name}: {arm} answers {body[:200]!r}\n{server.log()[-2000:]}")


def _turn(server: Server, scenario: Scenario, arm: str, seconds: int, figures: Figures) -> None:
    with ThreadPoolExecutor(1) as other:
        loading = other.submit(_load, server, scenario.path, seconds)
        while not loading.done():
            figures.threads = max(figures.threads, _threads(server))
            if scenario is POSTGRESQL:
                figures.connections = max(figures.connections, _connections(arm))
            time.sleep(0.1)
    rate, failures = loading.result()
    figures.rates.append(rate)
    figures.failures += failures


def _load(server: Server, path: str, seconds: int) -> tuple[float, int]:
    """Return requests per second, and how many answers were none or an error."""
    output = subprocess.run(  # noqa: S603
        ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", server.url + path],  # noqa: S607
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    [rate] = re.findall(r"Requests/sec:\s+([\d.]+)", output)
    failures = re.findall(r"Non-2xx or 3xx responses: (\d+)", output)
    return float(rate), sum(map(int, failures))


def _threads(server: Server) -> int:
    status = Path(f"/proc/{server.process.pid}/status").read_text(encoding="ascii")
    [threads] = re.findall(r"Threads:\s+(\d+)", status)
    return int(threads)


def _connections(arm: str) -> int:
    import psycopg

    query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s"
    with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
        row = connection.execute(query, [f"benchmark-{arm}"]).fetchone()
    return row[0] if row else 0


HEADER = f"{'scenario':<36}{'arm':<9}{'req/s':>7}{'ratio':>7}{'threads':>9}{'connections':>13}"


def lines(scenario: Scenario, figures: Mapping[str, Figures]) -> list[str]:
    """Return a line for each arm: the median rate, and the median of the rounds' ratios."""
    plain = figures["plain"].rates
    name = scenario.name
    result: list[str] = []
    for arm, each in figures.items():
        rate = statistics.median(each.rates)
        ratio = statistics.median(a / b for a, b in zip(each.rates, plain, strict=True))
        connections = str(each.connections or "")
        failed = f"  {each.failures} failed" if each.failures else ""
        line = f"{name:<36}{arm:<9}{rate:>7.0f}{ratio:>7.2f}{each.threads:>9}{connections:>13}"
        result.append((line + failed).rstrip())
        name = ""
    return result


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.end_to_end", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=5, help="of each turn")
    parser.add_argument("--only", default="", metavar="TEXT", help="scenarios with it in the name")
    options = parser.parse_args()
    if shutil.which("wrk") is None:
        parser.exit(1, "There is no wrk: install Debian's package of that name.\n")

    has_postgresql = bool(os.environ.get("DATABASE_URL"))
    print(HEADER)
    for scenario in (*SQLITE, *([POSTGRESQL] if has_postgresql else [])):
        if options.only in scenario.name:
            with tempfile.TemporaryDirectory() as folder:
                figures = measure(scenario, Path(folder), options.rounds, options.seconds)
            print(*lines(scenario, figures), sep="\n", flush=True)
    if not has_postgresql:
        print("PostgreSQL: left out, as there is no DATABASE_URL.")


if __name__ == "__main__":
    main()
