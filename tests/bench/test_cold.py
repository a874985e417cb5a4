"""The benchmark measures successful cold starts alone, and a slow start misses its bars."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.bench.cold import FLOOR_BARS, SIGN_IN_SECONDS, in_turns, to_section
from tests.bench.cold_memory import MEMORY_SIZES, figures
from tests.bench.cold_starts import ColdStart, ColdStarts, Kind, WrongStart, cold_starts
from tests.built.artifacts import BUILT

pytestmark = pytest.mark.bench


@pytest.fixture(scope="module")
def shared() -> Iterator[ColdStarts]:
    with cold_starts() as made:
        yield made


@pytest.fixture
def starts(shared: ColdStarts) -> ColdStarts:
    if shared.age > SIGN_IN_SECONDS:
        shared.prepare()
    return shared


def test_each_function_is_asked_for_what_makes_it_call_all_that_it_needs(starts: ColdStarts) -> None:
    assert starts.asked("authorize") == ["PutItem"]
    assert sorted(starts.asked("callback")) == ["CreateSecret", "UpdateItem", "UpdateItem", "aries"]
    # A sign-in asks whose it is. The process reads the key of the subjects, and the control item.
    of_person = ["GetItem", "GetItem", "UpdateItem", "UpdateItem", "user"]
    assert sorted(starts.asked("token")) == sorted([*of_person, "GetSecretValue", "GetSecretValue"])
    assert {"GetItem", "UpdateItem", "GetSecretValue", "PutSecretValue", "aries"} == set(starts.asked("refresh"))
    assert sorted(starts.asked("revoke")) == ["DeleteSecret", "UpdateItem"]
    # The row, the control item, the person's item, and the rows of the person's other sessions.
    of_list = ["BatchGetItem", "GetItem", "GetItem", "GetItem"]
    assert sorted(starts.asked("sessions")) == [*of_list, "GetSecretValue"]
    assert sorted(starts.asked("sessions", "row")) == ["BatchGetItem", "Decrypt", *of_list[1:]]
    assert starts.asked("metadata") == []
    assert sorted(starts.asked("backend")) == ["GetItem", "GetItem", "GetSecretValue"]
    assert sorted(starts.asked("backend", "row")) == ["Decrypt", "GetItem", "GetItem"]
    assert sorted(starts.asked("callback", "row")) == ["Encrypt", "UpdateItem", "UpdateItem", "aries"]
    assert sorted(starts.asked("token", "row")) == sorted([*of_person, "Decrypt", "GetSecretValue"])
    # The client secret of Aries stays a secret.
    assert sorted({*starts.asked("refresh", "row")} - {"GetItem", "UpdateItem"}) == [
        "Decrypt",
        "Encrypt",
        "GetSecretValue",
        "aries",
    ]


def test_all_three_kinds_of_every_round_are_in_the_table(starts: ColdStarts) -> None:
    section = to_section(in_turns(starts, ["authorize"], rounds=1))
    assert [comparison.name for comparison in section.comparisons] == [
        "authorize, and its floor",
        "authorize, and built the ordinary way",
    ]
    assert all(comparison.is_met for comparison in section.comparisons[1:])
    assert all(limit.is_met for limit in section.limits)
    assert len(section.figures) == 2 + 3 * len(MEMORY_SIZES)


def test_a_function_with_tokens_in_the_row_is_beside_the_same_with_secrets(starts: ColdStarts) -> None:
    # As many rounds as `make bench` has: another process can slow down one of them by more than the bar.
    section = to_section(in_turns(starts, ["token"], rounds=5))
    (limit,) = (limit for limit in section.limits if "tokens in the row" in limit.name)
    assert limit.name.startswith("token ")
    # One client more takes some time, and no other difference takes as much as its bar.
    assert limit.is_met


def test_a_slow_client_of_kms_is_noticed() -> None:
    ours = ColdStart(init_cpu=0.2, first_cpu=0.01, warm_cpu=0.002, wall=0.3, peak_bytes=50 * 2**20)
    for more, is_met in ((0.019, True), (0.021, False)):
        found = rounds_of(ours, ours, ours, "token") | {("row", "token"): [[replace(ours, init_cpu=0.2 + more)]]}
        (limit,) = (limit for limit in to_section(found).limits if "tokens in the row" in limit.name)
        assert limit.is_met is is_met


def test_a_slow_import_is_noticed(starts: ColdStarts, tmp_path: Path) -> None:
    app = (BUILT / "AuthorizeFunction" / "app.py").read_text()
    (tmp_path / "app.py").write_text(f"{app}\nsum(number * number for number in range(10_000_000))\n")
    slow = starts.start("ours", "authorize", extra=tmp_path)
    usual, floor, ordinary = (starts.start(kind, "authorize") for kind in ("ours", "floor", "ordinary"))
    assert slow.cpu > 1.5 * usual.cpu
    section = to_section(rounds_of(slow, floor, ordinary))
    assert not section.comparisons[0].is_met


def test_a_start_that_does_other_work_is_not_measured(starts: ColdStarts, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("def lambda_handler(event, context):\n  return {'statusCode': 302}\n")
    with pytest.raises(WrongStart, match="asked for"):
        starts.start("ours", "authorize", extra=tmp_path)


def test_a_start_that_fails_is_not_measured(starts: ColdStarts, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("def lambda_handler(event, context):\n  return {'statusCode': 500}\n")
    with pytest.raises(WrongStart, match="500"):
        starts.start("ours", "authorize", extra=tmp_path)


@pytest.mark.parametrize("name", FLOOR_BARS)
def test_every_bar_can_be_missed(name: str) -> None:
    floor = ColdStart(init_cpu=0.2, first_cpu=0.01, warm_cpu=0.002, wall=0.3, peak_bytes=50 * 2**20)
    slow = ColdStart(init_cpu=0.3, first_cpu=0.01, warm_cpu=0.002, wall=0.4, peak_bytes=65 * 2**20)
    section = to_section(rounds_of(slow, floor, slow, name))
    assert [comparison.is_met for comparison in section.comparisons] == [False, False]
    assert [limit.is_met for limit in section.limits] == [False]
    good = to_section(rounds_of(floor, floor, ColdStart(0.5, 0.01, 0.002, 0.6, 0), name))
    assert all(comparison.is_met for comparison in good.comparisons)
    assert all(limit.is_met for limit in good.limits)


def test_more_memory_is_quicker_and_dearer() -> None:
    start = ColdStart(init_cpu=0.2, first_cpu=0.01, warm_cpu=0.002, wall=0.3, peak_bytes=50 * 2**20)
    found = figures(rounds_of(start, start, start, "refresh"))
    cold, warm, dollars = ([figure.median for figure in found[first::3]] for first in range(3))
    assert cold == sorted(cold, reverse=True)
    assert warm == sorted(warm, reverse=True)
    assert dollars == sorted(dollars)


def rounds_of(
    ours: ColdStart, floor: ColdStart, ordinary: ColdStart, name: str = "authorize"
) -> dict[tuple[Kind, str], list[list[ColdStart]]]:
    kinds: dict[Kind, ColdStart] = {"ours": ours, "floor": floor, "ordinary": ordinary}
    return {(kind, name): [[start]] for kind, start in kinds.items()}
