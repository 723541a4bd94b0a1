"""Compare two files of results: ``python -m benchmarks.compare OLD NEW``.

Each arm of each scenario that is in both files gets a line: how its cost has changed, or
"no difference" if the spreads overlap.
"""

import argparse
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .report import Spread, ratio


def compared(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for each arm of each scenario that is in both files."""
    before = {row["scenario"]: row["added"] for row in old["results"]}
    for row in new["results"]:
        for arm, figures in row["added"].items():
            if arm in before.get(row["scenario"], {}):
                spread, previous = Spread(**figures), Spread(**before[row["scenario"]][arm])
                times = ratio(spread, previous)
                verdict = "no difference" if times is None else f"{times:.2f} of what it was"
                yield f"{row['scenario']:<33}{arm:<20}{verdict}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compare", description=__doc__)
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    options = parser.parse_args()
    old, new = (json.loads(path.read_text(encoding="utf-8")) for path in (options.old, options.new))
    if old["machine"] != new["machine"] or old.get("cpu") != new.get("cpu"):
        print("The files come from different machines: compare the ratios of arms, not the times.")
    print(*compared(old, new), sep="\n")


if __name__ == "__main__":
    main()
