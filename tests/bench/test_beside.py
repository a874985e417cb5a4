"""Both brokers do the measured work."""

from __future__ import annotations

import pytest

from tests.bench import beside
from tests.bench.beside import Beside, Measured
from tests.bench.beside_stage import Stage

pytestmark = pytest.mark.bench


def test_the_application_of_flask_signs_in_refreshes_and_signs_out() -> None:
    with Stage.set("flask") as stage:
        assert stage.do("flask", "sign_in", 1).calls == {
            "dynamodb:PutItem": 1,
            "dynamodb:UpdateItem": 3,
            "dynamodb:GetItem": 1,
            "secretsmanager:CreateSecret": 1,
            "secretsmanager:GetSecretValue": 1,
            "aries:token": 1,
        }
        stage.do("flask", "refresh_and_try_again", 1)
        stage.do("flask", "sign_out_and_try_again", 1)


def test_work_that_goes_wrong_is_no_measurement() -> None:
    with Stage.set("flask") as stage:
        stage.do("flask", "sign_in", 1)
        stage.do("flask", "refresh", 1)
        with pytest.raises(RuntimeError, match="standard error"):
            # The only session has refreshed already, and no sign-in is left to refresh.
            stage.do("flask", "refresh", 1)


def test_both_are_measured_and_ours_makes_the_calls_of_its_budget() -> None:
    section = beside.measure(1, turns=2, times=2, warm_up=2)
    assert [comparison.name for comparison in section.comparisons[:2]] == ["CPU of a sign-in", "CPU of a refresh"]
    assert all(comparison.ours.median > 0 for comparison in section.comparisons)
    assert [limit.name for limit in section.limits if not limit.is_met] == []


def test_a_broker_of_ours_that_is_behind_or_makes_other_calls_misses_the_bars() -> None:
    measured = Beside()
    for side, cpu in (("ours", 0.011), ("flask", 0.010)):
        for what in ("sign_in", "refresh", "sign_out"):
            measured.operations[side, what] = Measured([cpu], [{"dynamodb:PutItem": 2.0, "aries:token": 1.0}])  # type: ignore[index]
        measured.peak[side] = [1.0]  # type: ignore[index]
    section = beside.section(measured)
    missed = [comparison.name for comparison in section.comparisons if not comparison.is_met]
    assert missed == ["CPU of a sign-in", "CPU of a refresh"]
    assert not any(limit.is_met for limit in section.limits)
