"""The effect of a function's memory size on a person's wait and on the price, from the measured CPU time.

Lambda gives a function processor time in proportion to its memory: a whole core at 1,769 MB. Every function starts on a
whole core. Lambda bills memory by time, and includes waiting. Computing therefore costs the same at each size, and
waiting costs more at a larger size.
"""

from __future__ import annotations

from statistics import median

from tests.bench.cold_starts import Rounds
from tests.bench.cost_prices import PriceList
from tests.bench.figures import Figure
from tests.bench.waits import ARIES_MS, AWS_MS

MEMORY_SIZES = (256, 512, 1024, 1769)
# A function of this many MB has one core.
_ONE_CORE = 1769
# (calls of AWS, calls of Aries). A person waits for the first two; refresh gets the most calls.
_CALLS = {"authorize": (1, 0), "callback": (3, 1), "refresh": (4, 1)}
_MILLION = 1_000_000


def figures(found: Rounds) -> list[Figure]:
    """Estimate a cold start, a warm request, and a million warm requests in US dollars, by memory size."""
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
