"""The pause in a process that knows the control item, call by call."""

from __future__ import annotations

from typing import Any

import pytest

from oauth_broker.errors import Paused, ServiceUnavailable
from oauth_broker.operations.pause import BACKENDS, Pause
from oauth_broker.sessions.control_item import CACHE_SECONDS, ControlItem
from tests.faults.aws import MemoryDynamoDb
from tests.support.client_error import client_error
from tests.support.clock import VirtualClock

PAUSE_SECONDS = 10
# References of sessions in log lines. The first digit gives each session a place of its own.
REFERENCES = [f"{digit:x}" + "0" * 15 for digit in range(16)]


class Process:
    """One process, with its knowledge and its permission."""

    def __init__(self, table: Any, clock: VirtualClock) -> None:
        self.item = ControlItem(table, "table", clock)
        self.pause = Pause(self.item, clock)

    def may_ask(self, *, was_refused: bool = False) -> bool:
        try:
            self.pause.admit(was_refused=was_refused)
        except Paused:
            return False
        return True

    def meets_refusals(self, sessions: int = 5) -> None:
        for reference in REFERENCES[:sessions]:
            self.pause.refused(reference)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def table() -> MemoryDynamoDb:
    return MemoryDynamoDb()


@pytest.fixture
def processes(table: MemoryDynamoDb, clock: VirtualClock) -> list[Process]:
    return [Process(table, clock) for _ in range(3)]


def who_may_ask(processes: list[Process]) -> list[bool]:
    return [process.may_ask() for process in processes]


def stored(table: MemoryDynamoDb) -> set[str]:
    return {name for name, value in table.items.get("cut-offs", {}).items() if "N" in value}


def test_fewer_refused_sessions_than_five_pause_nobody_however_often_they_are_refused(
    processes: list[Process], clock: VirtualClock
) -> None:
    for _ in range(100):
        processes[0].meets_refusals(4)
        clock.time += 1
    assert who_may_ask(processes) == [True, True, True]


def test_five_refused_sessions_pause_everybody_once_every_process_knows_of_them(
    processes: list[Process], clock: VirtualClock
) -> None:
    first, second, third = processes
    assert third.may_ask()
    for number, reference in enumerate(REFERENCES[:5]):
        (first, second)[number % 2].pause.refused(reference)
    clock.time += CACHE_SECONDS - 0.01
    assert who_may_ask(processes) == [True, True, True]
    clock.time += 0.01
    # In the pause, one of them asks.
    assert who_may_ask([third, second, first]) == [True, False, False]


def test_in_a_pause_one_asks_and_the_others_wait_as_long_again(processes: list[Process], clock: VirtualClock) -> None:
    processes[0].meets_refusals()
    clock.time += CACHE_SECONDS
    for _ in range(3):
        assert who_may_ask(processes) == [True, False, False]
        assert processes[1].pause.left() == PAUSE_SECONDS
        clock.time += PAUSE_SECONDS - 0.01
        assert who_may_ask(processes) == [False, False, False]
        clock.time += 0.01


def test_sessions_that_were_refused_themselves_let_others_go_first(
    processes: list[Process], clock: VirtualClock
) -> None:
    first, second, _ = processes
    first.meets_refusals()
    clock.time += CACHE_SECONDS
    assert not first.may_ask(was_refused=True)
    clock.time += PAUSE_SECONDS - 0.01
    assert not first.may_ask(was_refused=True)
    clock.time += 0.01
    assert first.may_ask(was_refused=True)
    # Aries refused it again, so the next one goes first once more.
    clock.time += PAUSE_SECONDS
    assert not first.may_ask(was_refused=True)
    assert second.may_ask()


def test_a_backend_that_must_let_others_go_first_does_not_prolong_the_pause_of_the_apps(
    table: MemoryDynamoDb, clock: VirtualClock
) -> None:
    apps, backends = Process(table, clock), Process(table, clock)
    backends.pause = Pause(backends.item, clock, BACKENDS, wider=Pause(backends.item, clock))
    apps.meets_refusals()
    clock.time += PAUSE_SECONDS
    backends.meets_refusals(2)
    clock.time += CACHE_SECONDS + 1
    # An app would be let through now.
    assert not backends.may_ask(was_refused=True)
    assert "aries_paused_until" not in stored(table)
    assert apps.may_ask(was_refused=True)


def test_a_success_ends_the_pause_and_forgets_the_refusals(
    processes: list[Process], clock: VirtualClock, table: MemoryDynamoDb
) -> None:
    processes[0].meets_refusals(16)
    clock.time += CACHE_SECONDS
    assert who_may_ask(processes) == [True, False, False]
    processes[0].pause.served()
    assert stored(table) == set()
    clock.time += CACHE_SECONDS
    assert who_may_ask(processes) == [True, True, True]


def test_a_success_before_the_pause_begins_keeps_it_away(processes: list[Process], clock: VirtualClock) -> None:
    first, second, _ = processes
    first.meets_refusals(4)
    assert second.may_ask()
    first.pause.refused(REFERENCES[5])
    second.pause.served()
    clock.time += CACHE_SECONDS
    assert who_may_ask(processes) == [True, True, True]


def test_a_success_costs_nothing_where_nothing_was_refused(processes: list[Process], table: MemoryDynamoDb) -> None:
    assert processes[0].may_ask()
    calls = len(table.log)
    processes[0].pause.served()
    assert len(table.log) == calls


def test_a_refusal_costs_nothing_where_its_place_is_taken(processes: list[Process], table: MemoryDynamoDb) -> None:
    processes[0].meets_refusals(1)
    calls = len(table.log)
    processes[0].meets_refusals(1)
    assert len(table.log) == calls


def test_the_item_stays_small_however_many_sessions_are_refused(
    processes: list[Process], table: MemoryDynamoDb
) -> None:
    for number in range(1000):
        processes[number % 3].pause.refused(f"{number:04x}"[::-1] + "0" * 12)
    assert len(stored(table)) == 16


@pytest.mark.parametrize("ahead", [16, 1e6, 1e12])
def test_a_time_that_no_process_sets_holds_up_nobody_for_longer_than_a_pause(
    processes: list[Process], clock: VirtualClock, table: MemoryDynamoDb, ahead: float
) -> None:
    processes[0].meets_refusals()
    clock.time += CACHE_SECONDS
    table.items["cut-offs"] |= {"aries_paused_until": {"N": f"{clock.time + ahead:.3f}"}}
    # The first process to ask sets it right; the others wait for its answer.
    assert who_may_ask(processes) == [True, False, False]
    clock.time += PAUSE_SECONDS
    assert who_may_ask(processes) == [True, False, False]


@pytest.mark.parametrize("value", [{"S": "x"}, {"N": "1e100"}], ids=["a text", "a time of the far future"])
@pytest.mark.parametrize("name", ["aries_paused_until", *(f"aries_refused_{digit:x}" for digit in range(5))])
def test_a_foreign_value_in_the_item_is_no_refusal_and_no_crash(
    processes: list[Process], clock: VirtualClock, table: MemoryDynamoDb, name: str, value: dict[str, str]
) -> None:
    table.items["cut-offs"] = {"session_id": {"S": "cut-offs"}, name: value}
    processes[0].meets_refusals(4)
    clock.time += CACHE_SECONDS
    assert who_may_ask(processes) == [True, True, True]
    processes[0].pause.served()


def test_a_table_that_fails_is_busy(processes: list[Process], table: MemoryDynamoDb) -> None:
    def throttled(**_: object) -> object:
        raise client_error("ThrottlingException")

    processes[0].meets_refusals(4)
    table.update_item = table.get_item = throttled  # type: ignore[assignment]
    with pytest.raises(ServiceUnavailable):
        processes[0].pause.refused(REFERENCES[5])
    with pytest.raises(ServiceUnavailable):
        processes[0].pause.served()
    with pytest.raises(ServiceUnavailable):
        processes[1].pause.admit(was_refused=False)
