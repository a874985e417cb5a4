"""A mass sign-out at the token endpoints: sessions begun at or before the not-before time are over."""

from __future__ import annotations

from typing import Any

import pytest

from oauth_broker.sessions.control_item import CACHE_SECONDS
from tests.support.deployment import CLIENT_ID, GRACE, OTHER_CLIENT_ID, TABLE
from tests.support.operator import EVERYONE, operate
from tests.support.row_writer import RowWriter
from tests.support.world import World


def set_not_before(world: World, scope: str, at: float) -> None:
    world.dynamodb.put_item(TableName=TABLE, Item={"session_id": {"S": "cut-offs"}, scope: {"N": str(int(at))}})
    world.clock.time += CACHE_SECONDS


@pytest.mark.parametrize("scope", ["everyone", f"client:{CLIENT_ID}"])
@pytest.mark.parametrize("function", ["token", "refresh"])
@pytest.mark.parametrize("later", [0, GRACE + 1])
def test_a_session_from_before_is_neither_refreshed_nor_answered_again(
    world: World, scope: str, function: str, later: int
) -> None:
    phone = world.signed_in()
    world.clock.time += later
    calls = world.aries.token_calls
    set_not_before(world, scope, world.clock.time)
    answer = phone.refresh(function=function)
    assert (answer.status, answer.json["error"]) == (400, "invalid_grant")
    assert world.aries.token_calls == calls
    (reason,) = [fields["reason"] for _, event, fields in world.telemetry.lines if event == "refused"]
    assert reason == "mass_sign_out"
    assert ("RefreshesRejected", {"reason": "mass_sign_out"}) in world.telemetry.metrics


def test_the_previous_token_and_a_forged_one_are_answered_alike(world: World) -> None:
    phone = world.signed_in()
    first = phone.refresh_token
    world.clock.time += GRACE + 1
    phone.refresh()
    set_not_before(world, "everyone", world.clock.time)
    forged = first[:-1] + ("A" if first[-1] != "A" else "B")
    answers = [phone.refresh(token) for token in (first, forged, phone.refresh_token)]
    first_answer, *others = [(answer.status, answer.failure) for answer in answers]
    assert others == [first_answer] * 2
    assert answers[0].json["error"] == "invalid_grant"


def test_a_code_from_before_is_not_redeemed(world: World) -> None:
    phone = world.phone()
    code = phone.code()
    set_not_before(world, "everyone", world.clock.time)
    answer = phone.redeem(code)
    assert (answer.status, answer.json["error"]) == (400, "invalid_grant")
    assert phone.row()["status"] == "issued"


def test_a_sign_in_of_the_very_second_is_over_and_one_of_the_next_lives(world: World) -> None:
    early, late = world.phone(), world.phone()
    code = early.code()
    now = world.clock.time
    world.clock.time += 1
    late_code = late.code()
    set_not_before(world, "everyone", now)
    assert early.redeem(code).status == 400
    assert late.redeem(late_code).status == 200


def test_other_apps_sessions_live(world: World) -> None:
    phone = world.signed_in()
    world.clock.time += GRACE + 1
    set_not_before(world, f"client:{OTHER_CLIENT_ID}", world.clock.time)
    assert phone.refresh().status == 200


def test_signing_out_works_as_ever(world: World) -> None:
    phone = world.signed_in()
    set_not_before(world, "everyone", world.clock.time)
    assert phone.revoke().status == 200
    assert world.session_secrets() == []


def test_the_app_must_come_again_if_the_not_before_times_cannot_be_read(world: World) -> None:
    phone = world.phone()
    code = phone.code()
    # Redeeming a code reads its row first, and the not-before times after it.
    with world.aws.answering_routine_with("throttled"):
        assert phone.redeem(code).status == 503
        assert phone.refresh("a" * 43 + ".1." + "b" * 43).status == 503
    assert phone.redeem(code).status == 200
    world.clock.time += GRACE + 1
    with world.aws.answering_routine_with("throttled"):
        answer = phone.refresh()
    assert answer.status == 503
    assert answer.sentence.startswith("Temporarily unavailable")
    assert phone.refresh().status == 200


def test_a_warm_process_reads_them_once_in_their_time_however_much_it_serves(world: World) -> None:
    phone = world.signed_in()
    world.clock.time += CACHE_SECONDS
    world.aws.routine.clear()
    for _ in range(20):
        assert phone.refresh().status == 200
        world.clock.time += CACHE_SECONDS / 20
    assert world.aws.routine == ["dynamodb:GetItem"]


# Values from an attacker with the right to write the item.
HOSTILE = [{"S": "x"}, {"N": "9999999999999"}, {"NULL": True}]


@pytest.mark.parametrize("value", HOSTILE, ids=str)
@pytest.mark.parametrize("scope", ["everyone", f"client:{CLIENT_ID}"])
def test_a_foreign_not_before_time_signs_nobody_out_and_keeps_nobody_signed_in(
    world: World, scope: str, value: dict[str, Any]
) -> None:
    RowWriter(world, ("UpdateItem",)).update("cut-offs", {scope: value})
    world.clock.time += CACHE_SECONDS
    phone = world.signed_in()
    world.clock.time += GRACE + 1
    assert phone.refresh().status == 200
    command = EVERYONE if scope == "everyone" else {"action": "revoke_all", "client_id": CLIENT_ID}
    assert "error" not in operate(world, **command)
    world.clock.time += CACHE_SECONDS
    assert phone.refresh().status == 400
    world.clock.time += 1
    assert world.signed_in().refresh().status == 200
