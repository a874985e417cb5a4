"""A person on call counts the live sessions of every app."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest

from oauth_broker.operator.count import PAGES_PER_SECOND
from oauth_broker.secret import session_reference
from oauth_broker.sessions.sign_out import RESERVED_SECONDS
from tests.bench.cost_prices import PriceList
from tests.bench.cost_usage import READ_UNIT, Assumed, units
from tests.support.aws_calls import ProcessDied
from tests.support.deployment import CLIENT_ID, OTHER_CLIENT_ID, TABLE
from tests.support.functions import ROOT
from tests.support.long import long_but
from tests.support.operator import EVERYONE, KINDS, OPERATOR, assert_none_is_seen, at_call, audited, operate
from tests.support.world import World, running_world

START = "2027-01-15T08:00:00Z"
MEGABYTE = 1024 * 1024


def count(world: World, **options: Any) -> dict[str, Any]:
    return operate(world, action="count", **options)


def populate(world: World, number: int, *, client_id: str = CLIENT_ID, size: int = 0, **attributes: Any) -> list[str]:
    """Make rows of active sessions quickly, each with ``size`` more bytes, and return their ids."""
    now = int(world.clock.time)
    ids = [f"{client_id}-{size}-{len(attributes)}-{place:05}".rjust(43, "x") for place in range(number)]
    for session_id in ids:
        item = {
            "session_id": {"S": session_id},
            "status": {"S": "active"},
            "client_id": {"S": client_id},
            "created_at": {"N": str(now)},
            "rotated_at": {"N": f"{now}.5"},
            "ends_at": {"N": str(now + 1_000_000)},
            "expires_at": {"N": str(now + 1_000_000)},
            "reference": {"S": session_reference(session_id)},
        } | attributes
        if size:
            item["escrow"] = {"L": [{"B": size * b"x"}]}
        world.dynamodb.put_item(TableName=TABLE, Item=item)
    return ids


def in_three_pages(world: World) -> int:
    """Fill some three megabytes, and return the number of live sessions."""
    return len(populate(world, 8, size=390_000)) + len(populate(world, 2, client_id=OTHER_CLIENT_ID, size=1000))


def test_live_sessions_are_counted_by_app(world: World) -> None:
    populate(world, 3)
    populate(world, 2, client_id=OTHER_CLIENT_ID)
    world.signed_in()
    answer = count(world)
    assert answer == {
        "live": 6,
        "by_app": {CLIENT_ID: 4, OTHER_CLIENT_ID: 2},
        # The count's own progress is a row of the table, too.
        "rows_read": 7,
        "malformed": 0,
        "finished": True,
        "started_at": START,
        "last_progress_at": START,
        "finished_at": START,
    }
    line = {"action": "count", "operator": OPERATOR}
    assert audited(world) == [line | {"reason": "asked:start"}, line | {"reason": "done", "count": 6}]


def test_in_an_empty_table_there_is_none(world: World) -> None:
    answer = count(world)
    assert (answer["live"], answer["by_app"], answer["finished"]) == (0, {}, True)


def test_what_is_over_or_not_a_session_yet_does_not_count(world: World) -> None:
    live = world.signed_in()
    pending, issued, revoked, dead = (world.phone() for _ in range(4))
    pending.authorize()
    issued.code()
    revoked.sign_in()
    revoked.revoke()
    code = dead.code()
    dead.redeem(code)
    dead.redeem(code)
    past = {"N": str(int(world.clock.time))}
    populate(world, 2, expires_at=past)
    populate(world, 2, client_id=OTHER_CLIENT_ID, ends_at=past)
    assert count(world)["by_app"] == {live.client_id: 1}


def test_an_idle_session_does_not_count_by_todays_registration(world: World) -> None:
    populate(world, 2)
    apps = world.environment["APPS"].replace('"scopes"', '"idle_days": 1, "scopes"')
    handler = world.make_handler("operator", APPS=apps)
    assert count(world, via=handler)["live"] == 2
    world.clock.time += 86_400
    assert count(world, via=handler)["live"] == 0
    world.clock.time += 1
    assert count(world)["live"] == 2


def test_a_session_from_before_a_mass_sign_out_does_not_count_before_the_sweep_has_come_to_it(world: World) -> None:
    populate(world, 2)
    operate(world, **EVERYONE, within=RESERVED_SECONDS + 15)
    new = world.signed_in()
    assert count(world)["by_app"] == {new.client_id: 1}


def test_a_row_that_the_broker_cannot_have_written_counts_apart(world: World) -> None:
    populate(world, 1)
    populate(world, 2, client_id=OTHER_CLIENT_ID, rotated_at={"S": "x"})
    answer = count(world)
    assert (answer["by_app"], answer["malformed"]) == ({CLIENT_ID: 1}, 2)


# A large table.


def test_every_page_is_counted_once(world: World) -> None:
    live = in_three_pages(world)
    answer = count(world)
    assert (answer["live"], answer["finished"]) == (live, True)
    assert world.aws.made.count("dynamodb:Scan") >= 3


def test_without_the_time_it_says_so_and_goes_on_where_it_stopped(world: World) -> None:
    live = in_three_pages(world)
    # Time for one page, and for the pause before the next one.
    answer = count(world, within=RESERVED_SECONDS + 0.1)
    assert answer["finished"] is False
    assert answer["finished_at"] is None
    assert 0 < answer["live"] < live
    assert '"continue": true' in answer["next"]
    assert audited(world)[-1]["reason"] == "unfinished"
    world.clock.time += 1
    assert count(world, status=True) == answer
    done = count(world, **{"continue": True})
    assert (done["live"], done["finished"], done["started_at"]) == (live, True, START)
    assert "next" not in done
    # No page was read twice.
    scans = world.aws.made.count("dynamodb:Scan")
    count(world)
    assert world.aws.made.count("dynamodb:Scan") == 2 * scans


def test_a_finished_count_stands_until_a_new_one_begins(world: World) -> None:
    populate(world, 2)
    done = count(world)
    populate(world, 3, client_id=OTHER_CLIENT_ID)
    world.clock.time += 5
    assert count(world, **{"continue": True}) == count(world, status=True) == done
    assert count(world)["live"] == 5


@pytest.mark.parametrize("step", ["continue", "status"])
def test_what_was_never_begun_is_not_found(world: World, step: str) -> None:
    answer = count(world, **{step: True})
    assert answer["error"] == "not_found"
    assert audited(world)[-1]["reason"] == "no_count"


def test_no_answer_and_no_line_has_a_session_id(world: World) -> None:
    ids = populate(world, 8, size=390_000)
    answer = count(world, within=RESERVED_SECONDS + 0.1)
    assert answer["finished"] is False
    assert_none_is_seen(world, ids, answer, count(world, **{"continue": True}))


def test_pages_leave_more_than_half_of_a_partition_to_the_apps(world: World) -> None:
    """A scan goes through one partition after the other, and a partition takes 3,000 read units a second."""
    assert units(MEGABYTE, READ_UNIT) * PAGES_PER_SECOND < 3000 / 2
    in_three_pages(world)
    begun = world.clock.time
    assert count(world)["finished"] is True
    pages = world.aws.made.count("dynamodb:Scan")
    assert world.clock.time - begun == pytest.approx((pages - 1) / PAGES_PER_SECOND)


def test_of_two_counts_at_once_the_older_one_stops(world: World) -> None:
    live = in_three_pages(world)
    newer: list[dict[str, Any]] = []

    def begin() -> None:
        world.clock.time += 1
        newer.append(count(world, via=world.make_handler("operator")))

    with world.aws.visited("Scan", begin):
        answer = count(world)
    assert answer["error"] == "temporary_failure"
    assert '"status": true' in answer["message"]
    assert newer[0]["live"] == live
    assert count(world, status=True) == newer[0]


def test_a_beginning_that_lands_once_more_changes_no_number(world: World) -> None:
    populate(world, 3)
    done = count(world)
    with world.aws.answer_lost_once("UpdateItem"):
        again = count(world)
    # A second count of the same second is refused, because it looks like the beginning of the first one.
    assert again["error"] == "temporary_failure"
    world.clock.time += 1
    with world.aws.answer_lost_once("UpdateItem"):
        assert count(world)["live"] == done["live"]


# Failures at any call.


@pytest.mark.parametrize("kind", long_but(["dies_after"], KINDS))
def test_whatever_happens_at_whatever_call_a_repetition_finishes_it(kind: str) -> None:
    number = 0
    while True:
        number += 1
        with running_world() as world:
            live = in_three_pages(world)
            answer: dict[str, Any] = {}
            with at_call(world, number, kind) as hit, suppress(ProcessDied):
                answer = count(world, via=world.make_handler("operator"))
            if not hit:
                assert (answer["live"], answer["finished"]) == (live, True)
                break
            if answer:
                assert answer["error"] == "temporary_failure"
            world.clock.time += 1
            status = count(world, status=True)
            again = {} if status.get("error") == "not_found" else {"continue": True}
            assert (count(world, **again)["live"], count(world, status=True)["finished"]) == (live, True)
    # The beginning, the mass sign-outs' times, and a read and a save of each page.
    assert number > 7


# The words of docs/operate.md.


def test_the_cost_and_the_time_are_those_of_the_page() -> None:
    page = " ".join((ROOT / "docs" / "operate.md").read_text().split())
    read = PriceList.load().prices["dynamodb_read"]
    assumed = Assumed()

    def dollars(row_bytes: int) -> float:
        return read.of(1_000_000 * row_bytes / READ_UNIT)

    def minutes(row_bytes: int) -> float:
        return 1_000_000 * row_bytes / MEGABYTE / PAGES_PER_SECOND / 60

    # A scan rounds the units of a page, and not of each row.
    secrets, row = assumed.row_bytes, assumed.sealed_row_bytes
    assert f"about {dollars(secrets):.2f} dollars and {minutes(secrets):.0f} minutes" in page
    assert f"about {dollars(row):.2f} dollars and {minutes(row):.0f} minutes" in page
