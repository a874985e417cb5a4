"""A small measurement of the slowest refreshes works, and a search among the objects of the start is noticed."""

from __future__ import annotations

import pytest

from tests.bench import slowest

pytestmark = pytest.mark.bench


def test_the_slowest_refresh_has_no_search_among_the_objects_of_the_start() -> None:
    section = slowest.measure(1)
    assert [comparison.name.partition(" of the")[0] for comparison in section.comparisons] == [
        "median",
        "99th percentile",
        "worst",
    ]
    assert all(comparison.is_met for comparison in section.comparisons)


def test_a_search_among_the_objects_of_the_start_is_noticed() -> None:
    usual, slow = [0.005] * 999, [*[0.005] * 998, 0.035]
    for ours, is_met in ((usual, True), (slow, False)):
        section = slowest.to_section([ours], [slow])
        assert [comparison.is_met for comparison in section.comparisons] == [True, True, is_met]
