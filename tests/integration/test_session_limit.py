"""The most sessions of one person with one app: a sign-in ends the session longest unused, and is never refused."""

from __future__ import annotations

from typing import Any
from unittest import mock

import pytest

from oauth_broker.people import session_rows
from oauth_broker.runtime.aws import read_some_items
from tests.local.aries.tokens import USERS
from tests.support.deployment import CLIENT_ID, GRACE, TABLE
from tests.support.operator import operate
from tests.support.people import code_of, device, listed, person_item, reference, references
from tests.support.world import Phone, World, running_world


def statuses(*phones: Phone) -> list[str]:
    return [phone.row()["status"] for phone in phones]


def at_intervals(world: World, number: int) -> list[Phone]:
    """Sign a person in on so many devices, a few seconds apart."""
    phones = []
    for _ in range(number):
        phones.append(device(world))
        world.clock.time += 5
    return phones


@pytest.mark.parametrize("store", ["secrets", "row"])
def test_beyond_the_limit_the_session_longest_unused_ends_and_never_the_new_one(store: str) -> None:
    with running_world(SESSION_LIMIT="3", TOKEN_STORE=store) as world:
        first, second, third = at_intervals(world, 3)
        world.clock.time += GRACE + 1
        assert first.refresh().status == 200
        fourth = device(world)
        assert statuses(first, second, third, fourth) == ["active", "revoked", "active", "active"]
        assert second.row()["timeline"][-1]["S"].endswith("revoked session_limit")
        assert references(listed(fourth)) == [reference(phone) for phone in (fourth, first, third)]
        # A person on call sees the ended session as long as its row.
        assert second.session_id in person_item(world, fourth)[f"sessions {CLIENT_ID}"]
        assert world.telemetry.counted("SessionsOverLimit") == 1
        assert len(world.session_secrets()) == (3 if store == "secrets" else 0)


def test_with_a_limit_of_one_the_last_sign_in_alone_lives() -> None:
    with running_world(SESSION_LIMIT="1") as world:
        first, second, third = at_intervals(world, 3)
        assert statuses(first, second, third) == ["revoked", "revoked", "active"]


def test_after_a_lower_limit_each_sign_in_ends_three_of_those_beyond_it_and_no_more() -> None:
    """The app waits meanwhile. If it repeated its code, then its new session would end."""
    with running_world() as world:
        phones = at_intervals(world, 5)
        world.environment["SESSION_LIMIT"] = "2"
        world._handlers.clear()
        next_one = device(world)
        assert statuses(*phones, next_one) == 3 * ["revoked"] + 3 * ["active"]
        world.clock.time += 1
        last = device(world)
        assert statuses(*phones, next_one, last) == 5 * ["revoked"] + 2 * ["active"]


def test_another_persons_sessions_and_those_of_unknown_people_do_not_count() -> None:
    with running_world(SESSION_LIMIT="1") as world:
        mine, other = device(world), device(world, USERS[1])
        unknown = [world.signed_in() for _ in range(2)]
        assert statuses(mine, other, *unknown) == 4 * ["active"]


def listed_ids(world: World, phone: Phone) -> set[str]:
    return set(person_item(world, phone)[f"sessions {CLIENT_ID}"])


def fill_up(world: World, phone: Phone, start: int = 0) -> None:
    """Write a hundred ids without a row into the person's item."""
    world.dynamodb.update_item(
        TableName=TABLE,
        Key={"session_id": {"S": "person#" + phone.row()["subject"].rpartition(".")[0]}},
        UpdateExpression="ADD #sessions :ids",
        ExpressionAttributeNames={"#sessions": f"sessions {CLIENT_ID}"},
        ExpressionAttributeValues={":ids": {"SS": [f"{number:043}" for number in range(start, start + 100)]}},
    )


def test_an_ended_session_makes_room_and_leaves_the_item_with_its_row() -> None:
    with running_world(SESSION_LIMIT="3") as world:
        gone, ended, signed_out, lives = at_intervals(world, 4)
        assert statuses(gone, ended, signed_out, lives) == ["revoked", *3 * ["active"]]
        lives_too = device(world)
        assert statuses(ended, signed_out, lives, lives_too) == ["revoked", *3 * ["active"]]
        assert signed_out.revoke().status == 200
        world.dynamodb.delete_item(TableName=TABLE, Key={"session_id": {"S": gone.session_id}})
        newest = device(world)
        assert statuses(lives, lives_too, newest) == 3 * ["active"]
        assert listed_ids(world, newest) == {
            phone.session_id for phone in (ended, signed_out, lives, lives_too, newest)
        }


def test_beyond_a_hundred_sessions_those_that_are_over_leave_the_item() -> None:
    with running_world(SESSION_LIMIT="2") as world:
        ended, signed_out, lives = at_intervals(world, 3)
        assert signed_out.revoke().status == 200
        fill_up(world, lives)
        newest = device(world)
        assert statuses(ended, signed_out, lives, newest) == ["revoked", "revoked", "active", "active"]
        assert listed_ids(world, newest) == {lives.session_id, newest.session_id}


def test_a_sign_in_under_way_and_one_that_has_just_expired_stay_in_the_item() -> None:
    with running_world(SESSION_LIMIT="1") as world:
        waiting = world.phone(scope="account:information user:information")
        code = code_of(waiting)
        with world.aws.dying_after("UpdateItem"):
            # The worker dies after it has added its session to the item.
            waiting.redeem(code)
        assert waiting.row()["status"] == "issued"
        expired = device(world)
        world.dynamodb.update_item(
            TableName=TABLE,
            Key={"session_id": {"S": expired.session_id}},
            UpdateExpression="SET expires_at = :now",
            ExpressionAttributeValues={":now": {"N": str(int(world.clock.now()))}},
        )
        world.clock.time += 60
        fill_up(world, expired)
        mine = device(world)
        assert listed_ids(world, mine) == {phone.session_id for phone in (waiting, expired, mine)}
        world.clock.time += 61
        fill_up(world, mine)
        mine = device(world)
        assert expired.session_id not in listed_ids(world, mine)
        assert waiting.session_id in listed_ids(world, mine)


def test_many_slow_reads_never_use_up_the_time_of_the_answer() -> None:
    with running_world(SESSION_LIMIT="1") as world:
        phone = device(world)
        for start in (0, 100, 200):
            fill_up(world, phone, start)
        world.clock.time += 1
        began = world.clock.time

        def slowly(*parameters: Any) -> Any:
            world.clock.time += 5.6
            return read_some_items(*parameters)

        with mock.patch.object(session_rows, "read_some_items", slowly):
            device(world)
        # A function has 29 seconds.
        assert world.clock.time - began < 28
        assert world.telemetry.counted("SessionLimitNotKept") == 1


def test_sessions_of_before_a_mass_sign_out_do_not_count() -> None:
    with running_world(SESSION_LIMIT="1") as world:
        old = device(world)
        world.clock.time += 60
        with world.aws.failing("Scan"):
            operate(world, action="revoke_all", client_id=CLIENT_ID)
        world.clock.time += 60
        world.telemetry.metrics.clear()
        device(world)
        # The sweep ends this session, and the mass sign-out is announced once.
        assert statuses(old) == ["active"]
        assert world.telemetry.counted("SessionsOverLimit") == 0


@pytest.mark.parametrize("operation", ["BatchGetItem", "DeleteSecret"])
@pytest.mark.parametrize("kind", ["throttled", "timed_out_though_applied", "access_denied", "not_deletable"])
def test_a_failure_never_fails_the_sign_in_and_the_next_sign_in_keeps_the_limit(operation: str, kind: str) -> None:
    with running_world(SESSION_LIMIT="1") as world:
        first = device(world)
        world.clock.time += 5
        with world.aws.failing(operation, kind):
            second = device(world)
        assert statuses(second) == ["active"]
        is_noted = (operation, kind) != ("DeleteSecret", "access_denied")
        assert world.telemetry.counted("SessionLimitNotKept") == is_noted
        world.clock.time += 5
        third = device(world)
        assert statuses(first, second, third) == ["revoked", "revoked", "active"]


def test_a_lost_time_never_fails_the_sign_in() -> None:
    with running_world(SESSION_LIMIT="1") as world:
        first = device(world)
        phone = world.phone(scope="account:information user:information")
        code = code_of(phone)
        fields = {
            "grant_type": "authorization_code",
            "client_id": phone.client_id,
            "code": code,
            "redirect_uri": phone.redirect_uri,
            "code_verifier": phone.verifier,
        }
        assert world.form("token", fields, seconds=24).status == 200
        assert statuses(first, phone) == ["active", "active"]
        assert world.telemetry.counted("SessionLimitNotKept") == 1


def test_below_the_limit_a_sign_in_makes_no_call_for_it() -> None:
    with running_world(SESSION_LIMIT="2") as world:
        device(world)
        world.aws.made.clear()
        device(world)
        assert "dynamodb:BatchGetItem" not in world.aws.made
        device(world)
        assert world.aws.made.count("dynamodb:BatchGetItem") == 1
