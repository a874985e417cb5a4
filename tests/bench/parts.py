"""The parts of the benchmark, in the order in which they are measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tests.bench.figures import Section

PARTS: Mapping[str, Callable[[int], Section]] = {}
