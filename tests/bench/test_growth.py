"""A small measurement of growth works, with a few processes and a small table."""

from __future__ import annotations

import pytest

from tests.bench import growth

pytestmark = pytest.mark.bench


def test_growth_is_measured_at_every_size_and_the_calls_are_those_of_the_budget() -> None:
    section = growth.measure(1, parallel={1: 2, 3: 1}, rows=(10, 2_000))
    shown = [comparison.name for comparison in section.comparisons]
    assert len(shown) == 8
    assert "CPU of a refresh: 3 processes in turn, 2,000 rows" in shown
    assert all(comparison.ours.median > 0 for comparison in section.comparisons)
    assert len(section.limits) == 4
    assert all(limit.is_met for limit in section.limits), section.to_markdown()
