"""``make bench``: measures all parts, prints their tables, and writes every round to ``results.json`` beside this file.

Ratios, since no two machines, and no two minutes of one, are alike: what is compared is measured in turns in the same
rounds. ``python -m tests.bench cold warm`` measures these parts alone and leaves the other parts' results as they are.
"""

from __future__ import annotations

import argparse
import sys
import time

from tests.bench import results
from tests.bench.parts import PARTS


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Measure the broker.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all, if none is named")
    parser.add_argument("--rounds", type=int, default=7, help="how often everything is measured (7)")
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


main()
