"""The pause of a process that knows the control item, call by call."""

from __future__ import annotations

from typing import Any

import pytest

from oauth_broker.control_item import KEPT_SECONDS, ControlItem
from oauth_broker.errors import Busy, Paused
from oauth_broker.pause import Pause
from tests.faults.aws import MemoryDynamoDb, client_error
from tests.unit.fakes import FakeClock

PAUSE_SECONDS = 10
REFUSALS = 5


class Process:
    """One process: what it knows, and what it may do."""

    def __init__(self, table: Any, clock: FakeClock) -> None:
        self.item = ControlItem(table, "table", clock)
        self.pause = Pause(self.item, clock)

    @property
    def may_ask(self) -> bool:
        try:
            self.pause.admit()
        except Paused:
            return False
        return True


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def table() -> MemoryDynamoDb:
    return MemoryDynamoDb()


@pytest.fixture
def processes(table: MemoryDynamoDb, clock: FakeClock) -> list[Process]:
    return [Process(table, clock) for _ in range(3)]


def stored(table: MemoryDynamoDb) -> dict[str, str]:
    return {name: value["N"] for name, value in table.items.get("cut-offs", {}).items() if "N" in value}


def test_fewer_refusals_in_a_row_than_five_pause_nobody(processes: list[Process], table: MemoryDynamoDb) -> None:
    for _ in range(REFUSALS - 1):
        processes[0].pause.refused()
    assert stored(table) == {"aries_refusals": "4"}
    assert all(process.may_ask for process in processes)


def test_five_of_whichever_processes_pause_all_of_them_within_the_time_that_they_keep_the_item(
    processes: list[Process], clock: FakeClock
) -> None:
    first, second, third = processes
    assert third.may_ask
    for number in range(REFUSALS):
        (first, second)[number % 2].pause.refused()
    assert (first.may_ask, second.may_ask) == (False, True)
    clock.time += KEPT_SECONDS
    assert [process.may_ask for process in processes] == [False, False, False]
    assert third.pause.left() == PAUSE_SECONDS - KEPT_SECONDS


def test_after_a_pause_one_asks_and_the_others_wait_as_long_again(processes: list[Process], clock: FakeClock) -> None:
    for _ in range(REFUSALS):
        processes[0].pause.refused()
    clock.time += PAUSE_SECONDS
    assert [process.may_ask for process in processes] == [True, False, False]
    clock.time += PAUSE_SECONDS - 0.01
    assert [process.may_ask for process in processes] == [False, False, False]
    clock.time += 0.01
    assert [process.may_ask for process in reversed(processes)] == [True, False, False]


def test_a_success_ends_the_pause_and_sets_the_count_back(
    processes: list[Process], clock: FakeClock, table: MemoryDynamoDb
) -> None:
    for _ in range(REFUSALS):
        processes[0].pause.refused()
    clock.time += PAUSE_SECONDS
    assert processes[0].may_ask
    assert not processes[1].may_ask
    processes[0].pause.served()
    assert stored(table) == {}
    clock.time += KEPT_SECONDS
    assert all(process.may_ask for process in processes)


def test_a_success_costs_nothing_where_nothing_was_refused(processes: list[Process], table: MemoryDynamoDb) -> None:
    assert processes[0].may_ask
    reads = len(table.log)
    processes[0].pause.served()
    assert len(table.log) == reads


@pytest.mark.parametrize("ahead", [16, 1e6, 1e12])
def test_a_time_that_no_process_sets_holds_up_nobody(
    processes: list[Process], clock: FakeClock, table: MemoryDynamoDb, ahead: float
) -> None:
    table.items["cut-offs"] = {
        "session_id": {"S": "cut-offs"},
        "aries_paused_until": {"N": f"{clock.time + ahead:.3f}"},
    }
    # Who asks first sets it right; the others wait for that one.
    assert [process.may_ask for process in processes] == [True, False, False]
    processes[0].pause.served()
    clock.time += KEPT_SECONDS
    assert all(process.may_ask for process in processes)


def test_the_cut_offs_stay_where_they_are(processes: list[Process], table: MemoryDynamoDb) -> None:
    item = processes[0].item
    assert item.raise_to("everyone", 100) == 100
    for _ in range(REFUSALS):
        processes[1].pause.refused()
    processes[1].pause.served()
    assert stored(table) == {"everyone": "100"}
    assert item.raise_to("everyone", 99) == 100
    assert item.raise_to("everyone", 100) == 100


def test_a_table_that_fails_is_busy(processes: list[Process], table: MemoryDynamoDb) -> None:
    def throttled(**_: object) -> object:
        raise client_error("ThrottlingException")

    for _ in range(REFUSALS):
        processes[0].pause.refused()
    table.update_item = table.get_item = throttled  # type: ignore[assignment]
    for call in (processes[0].pause.refused, processes[0].pause.served, processes[1].pause.admit):
        with pytest.raises(Busy):
            call()
