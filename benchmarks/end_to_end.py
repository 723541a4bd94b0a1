"""Requests per second through a real server: plain Django compared with our handler and layers.

    python -m benchmarks.end_to_end

This needs ``wrk`` and uvicorn, and takes some minutes. The arms of a scenario take turns, so
anything that slows the machine down slows them all. If DATABASE_URL is set, the benchmark also
queries that PostgreSQL database, and creates a table in it.
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
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from benchmarks.report import difference
from tests.servers.server import Server, clean_environment, serve

ROOT = Path(__file__).resolve().parents[1]
CONNECTIONS = 16
# The number of rounds. If an arm does not differ from the first arm, its median over 11 rounds lies
# outside all 11 rounds of the control in about one of 80 runs; over 5 rounds, in one of 6.
ROUNDS = 11
UVICORN = (
    *(sys.executable, "-m", "uvicorn", "benchmarks.end_to_end_app:application"),
    *("--port", "{port}", "--no-access-log", "--log-level", "warning"),
)
# Like the pool, they have 8 threads in one process.
WSGI = {
    "gunicorn gthread": (
        *(sys.executable, "-m", "gunicorn", "benchmarks.end_to_end_app:wsgi", "--workers", "1"),
        *("--worker-class", "gthread", "--threads", "8", "--bind", "127.0.0.1:{port}"),
    ),
    "granian WSGI": (
        *(sys.executable, "-m", "granian", "benchmarks.end_to_end_app:wsgi", "--interface", "wsgi"),
        *("--workers", "1", "--blocking-threads", "8", "--host", "127.0.0.1", "--port", "{port}"),
    ),
}


@dataclass(frozen=True)
class Scenario:
    """A page, and the arms that serve it, each with the environment variables of its app.

    *response* is a pattern for the status and the body.
    """

    name: str
    path: str
    arms: Mapping[str, Mapping[str, str]]
    response: str = "200 hello"
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def script(self) -> str:
        """The request as a Lua script for wrk."""
        headers = (f'wrk.headers["{name}"] = "{text}"' for name, text in self.headers.items())
        return "\n".join([f'wrk.method = "{self.method}"', *headers])


ARMS = ("plain", "plain again", "django", "pool", "handler", "handler and pool", "stack")
# Without the arm that does the same job in Django's MIDDLEWARE.
OURS = tuple(arm for arm in ARMS if arm != "django")


def everywhere(*arms: str, **environment: str) -> dict[str, Mapping[str, str]]:
    """Return *arms*, or all arms if none are given, with the same *environment*."""
    return {arm: {"ARM": arm, **environment} for arm in arms or ARMS}


SQLITE = (
    Scenario("async view, no middleware", "/async", everywhere(*ARMS, "pool, all calls")),
    Scenario("sync view, no middleware", "/sync", everywhere()),
    Scenario("async view, stock middleware", "/async", everywhere(MIDDLEWARE="stock")),
    Scenario("sync view, stock middleware", "/sync", everywhere(*ARMS, *WSGI, MIDDLEWARE="stock")),
    Scenario("sync view, twelve middleware", "/sync", everywhere(*OURS, MIDDLEWARE="twelve")),
    Scenario(
        "a page: user, queries, template",
        "/page",
        everywhere(*OURS, *WSGI, MIDDLEWARE="stock"),
        response="200 (?s:.*ann.*note 19.*)",
        headers={"Cookie": "sessionid=benchmarkbenchmark"},
    ),
    Scenario("one query, SQLite, CONN_MAX_AGE=0", "/query", everywhere()),
    Scenario("one query, SQLite, CONN_MAX_AGE=60", "/query", everywhere(CONN_MAX_AGE="60")),
    Scenario("slow view, 50 ms", "/slow", everywhere()),
    Scenario(
        "preflight, stock middleware",
        "/sync",
        everywhere(
            *("django-cors-headers", "django-cors-headers again", "CORSMiddleware", "stack"),
            MIDDLEWARE="stock",
        ),
        response="20[04] ",
        method="OPTIONS",
        headers={"Origin": "https://app.example", "Access-Control-Request-Method": "POST"},
    ),
    Scenario(
        "probe, stock middleware",
        "/livez",
        everywhere("plain", "plain again", "stack", MIDDLEWARE="stock"),
        response="200 .*",
    ),
)
# All arms except the plain ones have persistent connections, each in the way that works for it.
# Plain Django cannot use CONN_MAX_AGE: each request would leave a connection open, until PostgreSQL
# refuses new connections.
LASTING = {"CONN_MAX_AGE": "60", "MAX_OVERFLOW": "0"}
POSTGRESQL = Scenario(
    "one query, PostgreSQL",
    "/query",
    {
        "plain": {"ARM": "plain"},
        "plain again": {"ARM": "plain"},
        "psycopg": {"ARM": "plain", "PSYCOPG_POOL": "1"},
        "pool": {"ARM": "pool", **LASTING},
        "handler and pool": {"ARM": "handler and pool", **LASTING},
        "stack": {"ARM": "stack", **LASTING},
    },
)


@dataclass
class Figures:
    """The figures of one arm.

    For each round: requests per second, and the seconds within which 50 % and 99 % of the
    responses arrived. For all rounds: the number of failed requests, and the most threads, database
    connections and resident MB under load.
    """

    rates: list[float] = field(default_factory=list[float])
    p50: list[float] = field(default_factory=list[float])
    p99: list[float] = field(default_factory=list[float])
    failures: int = 0
    threads: int = 0
    connections: int = 0
    memory: int = 0


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
            server = serve(
                WSGI.get(arm, UVICORN), log=folder / f"{arm}.log", environment=environment
            )
            servers[arm] = stack.enter_context(server)
            _check(servers[arm], scenario, arm)
            _load(servers[arm], scenario, 1)  # warm
        order = list(scenario.arms)
        for _ in range(rounds):
            for arm in order:
                _turn(servers[arm], scenario, arm, seconds, figures[arm])
            order.append(order.pop(0))
    return figures


def _check(server: Server, scenario: Scenario, arm: str) -> None:
    """Exit unless the arm responds as the scenario says, because an error page would be fast."""
    url, headers = server.url + scenario.path, dict(scenario.headers)
    request = Request(url, headers=headers, method=scenario.method)  # noqa: S310
    try:
        with urlopen(request) as response:  # noqa: S310
            seen = f"{response.status} {response.read().decode()}"
    except HTTPError as error:
        seen = f"{error.code} {error.read().decode()}"
    if not re.fullmatch(scenario.response, seen):
        sys.exit(f"{scenario.name}: {arm} responds with {seen[:200]!r}\n{server.log()[-2000:]}")


def _turn(server: Server, scenario: Scenario, arm: str, seconds: int, figures: Figures) -> None:
    with ThreadPoolExecutor(1) as other:
        loading = other.submit(_load, server, scenario, seconds)
        while not loading.done():
            figures.threads = max(figures.threads, of_process(server, "Threads"))
            figures.memory = max(figures.memory, of_process(server, "VmRSS") // 1024)
            if scenario is POSTGRESQL:
                figures.connections = max(figures.connections, _connections(arm))
            time.sleep(0.1)
    loaded = loading.result()
    figures.rates.append(loaded.rate)
    figures.p50.append(loaded.p50)
    figures.p99.append(loaded.p99)
    figures.failures += loaded.failures


class Load(NamedTuple):
    """What wrk reports: requests per second, seconds, and how many responses were errors."""

    rate: float
    p50: float
    p99: float
    failures: int


def _load(server: Server, scenario: Scenario, seconds: int) -> Load:
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(scenario.script)
        script.flush()
        output = subprocess.run(  # noqa: S603
            [
                *("wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency"),
                *("-s", script.name),
                server.url + scenario.path,
            ],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
    [rate] = re.findall(r"Requests/sec:\s+([\d.]+)", output)
    latency = dict(re.findall(r"(50|99)%\s+([\d.]+[mu]?s)", output))
    failures = re.findall(r"Non-2xx or 3xx responses: (\d+)", output)
    return Load(
        float(rate), _seconds(latency["50"]), _seconds(latency["99"]), sum(map(int, failures))
    )


def _seconds(written: str) -> float:
    """Return the seconds in a duration that wrk writes, such as 1.23ms."""
    number, unit = re.fullmatch(r"([\d.]+)([a-z]+)", written).groups()  # type: ignore[union-attr]
    return float(number) * {"us": 1e-6, "ms": 1e-3, "s": 1.0}[unit]


def of_process(server: Server, name: str) -> int:
    """Return the kernel's figure for the server and its workers: Threads, or VmRSS in KB."""
    pid = server.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    figures: list[int] = []
    for process in (pid, *children):
        status = Path(f"/proc/{process}/status").read_text(encoding="ascii")
        figures += map(int, re.findall(rf"^{name}:\s+(\d+)", status, re.MULTILINE))
    return sum(figures)


def _connections(arm: str) -> int:
    import psycopg

    query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s"
    with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
        row = connection.execute(query, [f"benchmark-{arm}"]).fetchone()
    return row[0] if row else 0


HEADER = (
    f"{'scenario':<36}{'arm':<26}{'req/s':>7}{'ratio':>22}{'p50 ms':>8}{'p99 ms':>8}"
    f"{'threads':>9}{'MB':>6}{'connections':>13}"
)


Arm = TypeVar("Arm")


def ratios(rates: Sequence[float], base: Sequence[float]) -> list[float]:
    """Return the ratio of the rates, round by round."""
    return [a / b for a, b in zip(rates, base, strict=True)]


def control(arms: Mapping[str, Arm]) -> Arm:
    """Return the arm that repeats the first arm, or the first arm if none does."""
    first = next(iter(arms))
    return arms.get(f"{first} again", arms[first])


def verdict(rates: Sequence[float], base: Sequence[float], again: Sequence[float]) -> str:
    """Return how an arm compares with the first arm, which has the rates *base* and *again*."""
    times = difference(ratios(rates, base), ratios(again, base))
    return f"{times.median:.2f} ({times.low:.2f} to {times.high:.2f})" if times else "no difference"


def lines(scenario: Scenario, figures: Mapping[str, Figures]) -> list[str]:
    """Return a line for each arm, with its ratio to the first arm."""
    base, name = next(iter(figures.values())), scenario.name
    again = control(figures)
    result: list[str] = []
    for arm, each in figures.items():
        shown = "" if each is base else verdict(each.rates, base.rates, again.rates)
        failed = f"  {each.failures} failed" if each.failures else ""
        line = (
            f"{name:<36}{arm:<26}{statistics.median(each.rates):>7.0f}{shown:>22}"
            f"{statistics.median(each.p50) * 1000:>8.1f}{statistics.median(each.p99) * 1000:>8.1f}"
            f"{each.threads:>7}{each.memory:>6}{each.connections or '':>13}"
        )
        result.append((line + failed).rstrip())
        name = ""
    return result


def run(rounds: int, seconds: int, only: str = "") -> Iterator[tuple[Scenario, dict[str, Figures]]]:
    """Measure the scenarios with *only* in their names; that of PostgreSQL needs DATABASE_URL."""
    for scenario in (*SQLITE, *([POSTGRESQL] if os.environ.get("DATABASE_URL") else [])):
        if only in scenario.name:
            with tempfile.TemporaryDirectory() as folder:
                yield scenario, measure(scenario, Path(folder), rounds, seconds)


def as_json(scenario: Scenario, figures: Mapping[str, Figures]) -> dict[str, Any]:
    return {"scenario": scenario.name, "arms": {arm: asdict(f) for arm, f in figures.items()}}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.end_to_end", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="number of turns for each arm")
    parser.add_argument("--seconds", type=int, default=1, help="length of a turn")
    parser.add_argument(
        "--only", default="", metavar="TEXT", help="run only scenarios whose names include TEXT"
    )
    options = parser.parse_args()
    if shutil.which("wrk") is None:
        parser.exit(1, "wrk is not installed; install the Debian package `wrk`.\n")

    print(HEADER)
    for scenario, figures in run(options.rounds, options.seconds, options.only):
        print(*lines(scenario, figures), sep="\n", flush=True)
    if not os.environ.get("DATABASE_URL"):
        print("PostgreSQL is left out, because DATABASE_URL is not set.")


if __name__ == "__main__":
    main()
