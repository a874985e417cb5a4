"""``make bench``: measures all parts, prints their tables, and writes every round to ``results.json`` beside this file.

The tables hold ratios, because machines differ, and so do two minutes of one machine. The benchmark measures both sides
of a ratio in turns in the same rounds. ``python -m tests.bench cold warm`` measures two parts alone and keeps the
results of the other parts.
"""

from __future__ import annotations

import argparse
import sys
import time

from tests.bench import results
from tests.bench.cost import table_of_sizes
from tests.bench.parts import PARTS


def main() -> None:
    """Measure the parts named on the command line, or all parts."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Measure the broker.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"one of {', '.join(PARTS)}; or all parts")
    parser.add_argument("--rounds", type=int, default=7, help="rounds of each part (7)")
    asked = parser.parse_args()
    if unknown := set(asked.parts) - PARTS.keys():
        parser.error(f"there is no part {', '.join(sorted(unknown))}")
    sections = results.read()
    for name in asked.parts or PARTS:
        print(f"{name} ...", file=sys.stderr, flush=True)
        started = time.monotonic()
        sections[name] = PARTS[name](asked.rounds)
        print(f"{sections[name].to_markdown()}\n", flush=True)
        print(f"{name}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    results.write({name: sections[name] for name in PARTS if name in sections})
    # The table of costs uses the measured times.
    results.write_cost(table_of_sizes())


main()
