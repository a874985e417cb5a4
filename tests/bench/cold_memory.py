"""What a function's memory size does to the time that a person waits, and to the price: from the CPU time measured.

Lambda gives a function processor time by its memory, a whole core at 1,769 MB, and a whole core while it starts,
whatever its memory. It bills memory by time, waiting included: so what is computed costs the same at each size, and
what is waited for costs more at a larger one.
"""

from __future__ import annotations

from statistics import median

from tests.bench.cold_starts import Rounds
from tests.bench.cost_prices import PriceList
from tests.bench.figures import Figure
from tests.bench.waits import ARIES_MS, AWS_MS

MEMORY_SIZES = (256, 512, 1024, 1769)
# MB at which a function has one core.
_ONE_CORE = 1769
# Of the functions that a person waits for, and of the one that is called most.
_CALLS = {"authorize": (1, 0), "callback": (3, 1), "refresh": (4, 1)}
_MILLION = 1_000_000


def figures(found: Rounds) -> list[Figure]:
    """For each memory size: a cold start, a warm request, and a million of these in US dollars."""
    names = [name for name in _CALLS if ("ours", name) in found]
    return [figure for name in names for size in MEMORY_SIZES for figure in _at(found, name, size)]


def _at(found: Rounds, name: str, size: int) -> list[Figure]:
    share = min(1.0, size / _ONE_CORE)
    aws, aries = _CALLS[name]
    waited = (aws * AWS_MS + aries * ARIES_MS) / 1000
    price = PriceList.load().prices["lambda_gb_second"].of(size / 1024)
    rounds = found["ours", name]
    cold = [median(it.init_cpu + it.first_cpu / share for it in starts) + waited for starts in rounds]
    warm = [median(it.warm_cpu for it in starts) / share + waited for starts in rounds]
    at = f"{name} at {size} MB"
    return [
        Figure(f"{at}: cold start (estimate)", "ms", [seconds * 1000 for seconds in cold]),
        Figure(f"{at}: warm request (estimate)", "ms", [seconds * 1000 for seconds in warm]),
        Figure(f"{at}: Lambda's time for a million of these", "USD", [seconds * price * _MILLION for seconds in warm]),
    ]
