"""Measure everything, and write the report: ``make bench-report``.

``benchmarks/results/<version>.json`` holds all rounds. The tables and the pictures of
docs/benchmarks.md are made from that file. With ``--from FILE`` they are made again from an
earlier file, and nothing is measured.
"""

import argparse
import asyncio
import json
import re
import shutil
import statistics
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from . import connections, end_to_end, growth
from .in_process import INSTALLED, measure
from .report import Spread, as_json, ratio
from .scenarios import OURS, SCENARIOS

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "benchmarks.md"
IMAGES = ROOT / "docs" / "images"

# The rows that resemble a real site, and the arms that the first table compares with plain Django.
STOCK = (
    "a page: user, queries, template",
    "sync view, twelve middleware",
    "sync view, stock middleware",
    "async view, stock middleware",
)
POOLED = "handler and pool"
GAINS = ("pool", POOLED, "stack", "gunicorn gthread")
# The rows in which the whole stack is compared with our handler and the pool alone.
COSTS = ("async view, no middleware", "async view, stock middleware")

# The number of rounds, and the seconds that a turn takes: in process, and end to end.
ROUNDS, SECONDS = 201, 0.002
ROUNDS_OF_SERVERS, SECONDS_OF_SERVERS = end_to_end.ROUNDS, 1


def measured() -> dict[str, Any]:
    results = []
    for scenario in SCENARIOS:
        print(scenario.name, file=sys.stderr)
        results.append(asyncio.run(measure(scenario, ROUNDS, SECONDS)))
    grown = [asyncio.run(growth.grown(series, ROUNDS // 2, SECONDS)) for series in growth.SERIES]
    served = []
    if shutil.which("wrk"):
        for scenario, figures in end_to_end.run(ROUNDS_OF_SERVERS, SECONDS_OF_SERVERS):
            print(*end_to_end.lines(scenario, figures), sep="\n", file=sys.stderr)
            served.append(end_to_end.as_json(scenario, figures))
    return {
        **as_json(results),
        "cpu": _cpu(),
        "growth": [growth.as_json(each) for each in grown],
        "end_to_end": served,
        "connections": [asdict(each) for each in connections.run()],
    }


def _cpu() -> str:
    [model, *_] = re.findall(
        r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text("utf-8"), re.MULTILINE
    ) or ["unknown"]
    return str(model)


# --- the page ---


def tables(report: Mapping[str, Any]) -> dict[str, str]:
    """Return the tables of the page, each under the name of its place."""
    whole = [row for row in report["results"] if row["messages"] == 1]
    streams = [row for row in report["results"] if row["messages"] > 1]
    return {
        "machine": _machine(report),
        "gains": "\n".join(_gains(report["end_to_end"])),
        "costs": "\n".join(_costs(report)),
        "requests": "\n".join(_added(whole, "µs per request", 1e6, 1)),
        "messages": "\n".join(_added(streams, "ns per message", 1e9, 0)),
        "growth": "\n".join(_growth(report["growth"])),
        "servers": "\n".join(_served(report["end_to_end"])),
        "connections": "\n".join(_open(report["connections"])),
    }


def _machine(report: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{name} {v}" for name, v in report["versions"].items() if v)
    return f"{report['cpu']}, {report['machine']}; Python {report['python']}; {versions}."


def _gains(rows: list[Any]) -> Iterable[str]:
    yield f"| | {' | '.join(GAINS)} |"
    yield f"| --- |{' ---: |' * len(GAINS)}"
    for row in _as_sites_are(rows):
        rates = {arm: figures["rates"] for arm, figures in row["arms"].items()}
        cells = (_times(rates[arm], rates["plain"]) if arm in rates else "" for arm in GAINS)
        yield f"| {row['scenario']} | {' | '.join(cells)} |"


def _times(rates: Sequence[float], base: Sequence[float]) -> str:
    return f"{statistics.median(end_to_end.ratios(rates, base)):.1f}"


def _as_sites_are(rows: list[Any]) -> list[Any]:
    """Return the rows with Django's stock middleware in which Django responds, a page first."""
    shown = [row for name in STOCK for row in rows if row["scenario"] == name]
    if len(shown) != len(STOCK):
        raise ValueError(f"the report does not have all of the rows {', '.join(STOCK)}")
    return shown


def _costs(report: Mapping[str, Any]) -> Iterable[str]:
    """Yield what our layers add to a request: in process, and to the time that a server takes."""
    yield "| what is added | to | µs per request |"
    yield "| --- | --- | ---: |"
    [four] = [row for row in report["results"] if row["scenario"] == "mw=stack/req=no-origin"]
    added = four["added"][OURS]["median"] * 1e6
    yield f"| request ID, timing, CORS and lifespan | an app without a server | {added:.0f} |"
    rows = {row["scenario"]: row["arms"] for row in report["end_to_end"]}
    for name in COSTS:
        times = [1e6 / statistics.median(rows[name][arm]["rates"]) for arm in (POOLED, "stack")]
        yield f"| the whole stack | {name} | {times[1] - times[0]:.0f} of {times[1]:.0f} |"


def _added(rows: list[Any], unit: str, scale: float, decimals: int) -> Iterable[str]:
    yield f"| row | arm | {unit} | middle half | ours / theirs | peak KB |"
    yield "| --- | --- | ---: | ---: | ---: | ---: |"
    for row in rows:
        name = f"`{row['scenario']}`"
        for arm, figures in row["added"].items():
            spread = Spread(**figures)
            times = ratio(Spread(**row["added"][OURS]), spread)
            verdict = "no difference" if times is None else f"{times:.2f}"
            low, mid, high = (
                f"{value * scale:.{decimals}f}"
                for value in (spread.low, spread.median, spread.high)
            )
            peak = f"{row['peak'][arm] / 1024:.1f}"
            verdict = "" if arm == OURS else verdict
            yield f"| {name} | {arm} | {mid} | {low} to {high} | {verdict} | {peak} |"
            name = ""


def _growth(rows: list[Any]) -> Iterable[str]:
    yield "| what grows | arm | µs at zero | ns for each one more |"
    yield "| --- | --- | ---: | ---: |"
    for row in rows:
        name = f"{row['series']}, {row['sizes'][0]} to {row['sizes'][-1]}"
        for arm, fit in row["fit"].items():
            yield f"| {name} | {arm} | {fit['intercept'] * 1e6:.1f} | {fit['slope'] * 1e9:.1f} |"
            name = ""


def _served(rows: list[Any]) -> Iterable[str]:
    yield (
        "| row | arm | requests/s | vs. the first arm | p50, p99 ms | threads | MB | connections |"
    )
    yield "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |"
    for row in rows:
        name, base = row["scenario"], next(iter(row["arms"].values()))
        again = end_to_end.control(row["arms"])["rates"]
        for arm, figures in row["arms"].items():
            verdict = end_to_end.verdict(figures["rates"], base["rates"], again)
            p50, p99 = (statistics.median(figures[name]) * 1000 for name in ("p50", "p99"))
            yield (
                f"| {name} | {arm} | {statistics.median(figures['rates']):.0f}"
                f" | {'' if figures is base else verdict} | {p50:.1f}, {p99:.1f}"
                f" | {figures['threads']} | {figures['memory']} | {figures['connections'] or ''} |"
            )
            name = ""


def _open(rows: list[Any]) -> Iterable[str]:
    yield "| open connections | arm | KB for one more | threads for one more | threads in all |"
    yield "| --- | --- | ---: | ---: | ---: |"
    for row in rows:
        memory, threads = connections.Open(**row).fit()
        yield (
            f"| {row['numbers'][-1]} {row['kind']} | {row['arm']} | {memory:.0f} | {threads:.2f}"
            f" | {row['threads'][-1]} |"
        )


def put(page: str, made: Mapping[str, str]) -> str:
    """Return *page* with each table in its place, which is between two comments."""
    for name, table in made.items():
        place = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        page, times = place.subn(lambda found, text=table: f"{found[1]}{text}\n{found[2]}", page)
        if times != 1:
            raise ValueError(f"{PAGE.name} has {times} places for the table {name!r}")
    return page


# --- the pictures ---


def draw(report: Mapping[str, Any]) -> None:
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "asgi_middleware", "font.size": 9})
    IMAGES.mkdir(parents=True, exist_ok=True)
    _draw_growth(report["growth"], report["connections"])
    _draw_stock(_as_sites_are(report["end_to_end"]))
    _draw_served(report["end_to_end"])


def _draw_growth(rows: list[Any], opened: list[Any]) -> None:
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(rows) + 1, figsize=(13, 3.2), layout="constrained")
    for row in opened:
        label = f"{row['kind']}, {row['arm']}"
        axes[-1].plot(row["numbers"], row["threads"], "o-", label=label, ms=3)
    axes[-1].set(xlabel="open connections", ylabel="threads", ylim=(0, None))
    axes[-1].legend(frameon=False)
    for axis, row in zip(axes, rows, strict=False):
        for arm, spreads in row["added"].items():
            axis.plot(row["sizes"], [s["median"] * 1e6 for s in spreads], "o-", label=arm, ms=3)
        axis.set(xlabel=row["series"], ylabel="µs added", ylim=(0, None))
        if row["sizes"][-1] > 1000:
            axis.set_xscale("log")
        axis.legend(frameon=False)
    _save(figure, "benchmark-growth.svg")


def _draw_stock(rows: list[Any]) -> None:
    _draw_bars(rows, GAINS, "benchmark-stock.svg")


def _draw_served(rows: list[Any]) -> None:
    # Rows in which Django is never called are left out: their bars would dwarf all others.
    shown = [row for row in rows if "pool" in row["arms"]]
    _draw_bars(shown, [*end_to_end.ARMS[1:], *end_to_end.WSGI, "psycopg"], "benchmark-servers.svg")


def _draw_bars(rows: list[Any], arms: Sequence[str], file: str) -> None:
    from matplotlib import pyplot

    figure, axis = pyplot.subplots(figsize=(11, 0.75 * len(rows) + 1), layout="constrained")
    height = 0.8 / len(arms)
    for position, row in enumerate(rows):
        base = row["arms"]["plain"]["rates"]
        for place, arm in enumerate(arm for arm in arms if arm in row["arms"]):
            times = Spread.of(end_to_end.ratios(row["arms"][arm]["rates"], base))
            axis.barh(
                position + place * height,
                times.median,
                height,
                xerr=[[times.median - times.low], [times.high - times.median]],
                color=f"C{arms.index(arm)}",
                label=arm,
            )
    axis.axvline(1, color="grey", linewidth=1)
    axis.set(xlabel="requests per second, as multiples of plain Django's")
    axis.set_yticks([n + 0.3 for n in range(len(rows))], [row["scenario"] for row in rows])
    axis.invert_yaxis()
    handles = dict(zip(*reversed(axis.get_legend_handles_labels()), strict=True))
    axis.legend(handles.values(), handles.keys(), frameon=False, loc="center right")
    _save(figure, file)


def _save(figure: Any, name: str) -> None:
    # Without a date, the same figures make the same picture.
    figure.savefig(IMAGES / name, metadata={"Date": None, "Creator": None})


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.write", description=__doc__)
    parser.add_argument(
        "--from", dest="file", type=Path, help="use these results and measure nothing"
    )
    options = parser.parse_args()
    file = options.file or RESULTS / f"{INSTALLED[OURS]}.json"
    if options.file is None:
        report = measured()
        RESULTS.mkdir(exist_ok=True)
        file.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    report = json.loads(file.read_text(encoding="utf-8"))
    PAGE.write_text(put(PAGE.read_text(encoding="utf-8"), tables(report)), encoding="utf-8")
    draw(report)


if __name__ == "__main__":
    main()
