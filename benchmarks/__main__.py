"""Time every scenario, print a table, and write the results to a file."""

import argparse
import asyncio
import json
import sys
from pathlib import Path

from .in_process import measure
from .report import as_json, table
from .scenarios import SCENARIOS

# The number of rounds, and the seconds that a turn takes. Turns are many and short because, with a
# few long turns, a busy machine makes equal arms look different.
USUAL, QUICK = (201, 0.002), (41, 0.001)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="take a few seconds and give rougher figures"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results to FILE")
    options = parser.parse_args()
    rounds, seconds = QUICK if options.quick else USUAL

    print(f"Timing {len(SCENARIOS)} scenarios in {rounds} rounds ...", file=sys.stderr)
    results = [asyncio.run(measure(scenario, rounds, seconds)) for scenario in SCENARIOS]
    print(table(results))
    if options.json:
        options.json.write_text(json.dumps(as_json(results), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
