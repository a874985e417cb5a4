"""The parts of the benchmark, in the order of their measurement."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tests.bench import beside, cold, growth, size, slowest, warm
from tests.bench.figures import Section

PARTS: Mapping[str, Callable[[int], Section]] = {
    "cold": cold.measure,
    "warm": warm.measure,
    "row": warm.measure_row,
    "slowest": slowest.measure,
    "size": size.measure,
    "beside": beside.measure,
    "growth": growth.measure,
}
