"""A process' knowledge of mass sign-outs, and the greatest age of this knowledge."""

from __future__ import annotations

from typing import Any

import pytest

from oauth_broker.errors import ServiceUnavailable
from oauth_broker.sessions.control_item import CACHE_SECONDS, ControlItem
from oauth_broker.sessions.not_before import NotBefore
from tests.support.client_error import client_error
from tests.support.clock import VirtualClock


class Table:
    """One item, or an exception for every reading. A reading may take time."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.item: dict[str, Any] | Exception | None = None
        self.seconds = 0.0
        self.asked: list[dict[str, Any]] = []

    def get_item(self, **parameters: Any) -> Any:
        self.asked.append(parameters)
        found = self.item
        self.clock.time += self.seconds
        if isinstance(found, Exception):
            raise found
        return {"Item": found} if found else {}

    def put_item(self, **parameters: Any) -> Any:
        raise AssertionError("nothing is written here")

    update_item = delete_item = batch_get_item = query = scan = put_item


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def table(clock: VirtualClock) -> Table:
    return Table(clock)


@pytest.fixture
def not_before(table: Table, clock: VirtualClock) -> NotBefore:
    return NotBefore(ControlItem(table, "sign-ins", clock), clock)


def test_without_a_mass_sign_out_there_is_no_not_before_time(not_before: NotBefore, table: Table) -> None:
    assert not_before.of("app") == 0
    assert table.asked == [{"TableName": "sign-ins", "Key": {"session_id": {"S": "cut-offs"}}, "ConsistentRead": True}]


@pytest.mark.parametrize(
    ("everyone", "app", "expected"), [(100, None, 100), (None, 200, 200), (100, 200, 200), (300, 200, 300)]
)
def test_the_later_of_everyones_and_the_apps_counts(
    not_before: NotBefore, table: Table, everyone: int | None, app: int | None, expected: int
) -> None:
    values = {"everyone": everyone, "client:app": app, "client:other": 999}
    table.item = {"session_id": {"S": "cut-offs"}} | {
        name: {"N": str(value)} for name, value in values.items() if value is not None
    }
    assert not_before.of("app") == expected


def test_one_apps_mass_sign_out_is_no_other_apps(not_before: NotBefore, table: Table) -> None:
    table.item = {"session_id": {"S": "cut-offs"}, "client:app": {"N": "100"}}
    assert not_before.of("everyone") == not_before.of("other") == 0


def test_the_not_before_times_are_read_again_after_exactly_their_time_and_not_before(
    not_before: NotBefore, table: Table, clock: VirtualClock
) -> None:
    for _ in range(10):
        not_before.of("app")
        not_before.of("other")
    clock.time += CACHE_SECONDS - 0.001
    not_before.of("app")
    assert len(table.asked) == 1
    clock.time += 0.001
    table.item = {"everyone": {"N": "100"}}
    assert not_before.of("app") == 100
    assert len(table.asked) == 2


def test_an_item_that_took_long_to_read_is_as_old_as_its_request(
    not_before: NotBefore, table: Table, clock: VirtualClock
) -> None:
    table.seconds = 3
    assert not_before.of("app") == 0
    table.seconds = 0
    table.item = {"everyone": {"N": "100"}}
    clock.time += CACHE_SECONDS - 3
    assert not_before.of("app") == 100


def test_unreadable_times_let_nobody_in_even_if_older_ones_are_known(
    not_before: NotBefore, table: Table, clock: VirtualClock
) -> None:
    assert not_before.of("app") == 0
    clock.time += CACHE_SECONDS
    table.item = client_error("ThrottlingException")
    for _ in range(2):
        with pytest.raises(ServiceUnavailable, match=r"^dynamodb:ThrottlingException$"):
            not_before.of("app")
    table.item = None
    assert not_before.of("app") == 0
