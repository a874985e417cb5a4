"""The benchmark compares sizes with bars, and a larger size misses its bar."""

from __future__ import annotations

import pytest

from tests.bench.size import BARS, measure, to_section
from tests.built.artifacts import DEPENDENCIES_LAYER, Size

pytestmark = pytest.mark.bench


def test_the_build_is_as_small_as_it_should_be() -> None:
    limits = measure(1).limits
    assert len(limits) == len(BARS) + 1
    assert all(limit.is_met for limit in limits)


def test_the_description_of_all_services_of_aws_would_be_noticed() -> None:
    (layer, function) = to_section({DEPENDENCIES_LAYER.name: Size(38 * 2**20, 0)}, Size(5 * 1024, 0)).limits
    assert not layer.is_met
    assert not function.is_met
