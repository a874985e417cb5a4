"""The answer to a leak: all sessions are over at once, and in the end every secret is gone, whatever happens."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from math import ceil
from typing import Any
from unittest import mock

import pytest

from oauth_broker.oauth.tokens import secret_name
from oauth_broker.operator.mass_sign_out import IN_EFFECT_SECONDS
from oauth_broker.operator.search import PAGE_ROWS
from oauth_broker.operator.sweep import DELETIONS_PER_SECOND, UPDATES_PER_SECOND
from oauth_broker.secret import session_reference
from oauth_broker.sessions.control_item import CACHE_SECONDS
from oauth_broker.sessions.row import LEASE_MARGIN_SECONDS
from oauth_broker.sessions.sign_out import RESERVED_SECONDS
from tests.bench.cost_usage import WRITE_UNIT, Assumed, units
from tests.support.aws_calls import NOT_APPLIED, ProcessDied
from tests.support.deployment import CLIENT_ID, GRACE, OTHER_CLIENT_ID, PREFIX, TABLE
from tests.support.functions import ROOT
from tests.support.lambda_context import FUNCTION_SECONDS
from tests.support.long import long
from tests.support.operator import (
    EVERYONE,
    KINDS,
    OPERATOR,
    OPERATOR_SECONDS,
    assert_none_is_seen,
    at_call,
    audited,
    operate,
    reference,
    secrets_of,
)
from tests.support.world import Phone, World, running_world

APP: dict[str, Any] = {"action": "revoke_all", "client_id": CLIENT_ID}
# After the wait, time remains for some rows but not for all.
SHORT = 45


def other_app(world: World) -> Phone:
    return world.signed_in(
        client_id=OTHER_CLIENT_ID, redirect_uri="https://web.example.com/callback", scope="account:information"
    )


# More attributes of a session that keeps its tokens in the row.
IN_ROW: dict[str, Any] = {"token_store": {"S": "row"}, "sealed": {"L": [{"B": b"sealed" * 100}]}}


def populate(world: World, count: int, *, client_id: str = CLIENT_ID, **attributes: Any) -> list[str]:
    """Make unused sessions quickly, and return their ids."""
    now, store = int(world.clock.time), "-row" * ("token_store" in attributes)
    ids = [f"{client_id}{store}-{number:05}".rjust(43, "x") for number in range(count)]
    for session_id in ids:
        item = {
            "session_id": {"S": session_id},
            "status": {"S": "active"},
            "client_id": {"S": client_id},
            "expires_at": {"N": str(now + 1_000_000)},
            "created_at": {"N": str(now)},
            "secret_version": {"S": "version"},
            "reference": {"S": session_reference(session_id)},
        } | attributes
        world.dynamodb.put_item(TableName=TABLE, Item={name: value for name, value in item.items() if value})
        if "token_store" not in attributes:
            world.secretsmanager.create_secret(Name=secret_name(PREFIX, session_id), SecretString="canary")
    return ids


def statuses(world: World) -> list[str]:
    return sorted(item["status"]["S"] for item in world.rows() if "status" in item)


def session_secrets(world: World) -> list[str]:
    """Return the names of all session secrets, over all pages."""
    pages = world.secretsmanager.get_paginator("list_secrets").paginate()
    names = [secret["Name"] for page in pages for secret in page["SecretList"]]
    return [name for name in names if name.startswith(PREFIX)]


@contextmanager
def failing_secrets(world: World, names: set[str]) -> Iterator[None]:
    """Make the deletion of some secrets fail."""
    before = world.aws.before

    def watch(event_name: str, params: dict[str, Any], **event: Any) -> None:
        before(event_name, params=params, **event)
        if event_name.endswith(".DeleteSecret") and json.loads(params["body"])["SecretId"] in names:
            raise NOT_APPLIED["not_deletable"]()

    with mock.patch.object(world.aws, "before", watch):
        yield


def progress(world: World, scope: str = "everyone") -> dict[str, Any]:
    row = world.row(f"sweep:{scope}")
    assert row is not None
    return row


# The effect at once.


@pytest.mark.parametrize("command", [EVERYONE, APP])
def test_after_its_answer_every_process_refuses_sessions_and_codes_from_before(
    world: World, command: dict[str, Any]
) -> None:
    phone, redeeming = world.signed_in(), world.phone()
    code = redeeming.code()
    warm = [world.make_handler("token"), world.make_handler("refresh")]
    for handler in warm:
        # Each process has just read the not-before times, and there are none.
        assert phone.refresh(via=handler).status == 200
    # The time suffices for the effect alone, so the rows stay as they are.
    answer = operate(world, **command, within=IN_EFFECT_SECONDS + 20)
    assert (answer["in_effect"], answer["ended"], answer["finished"]) == (True, 0, False)
    assert phone.row()["status"] == "active"
    for handler in warm:
        assert phone.refresh(via=handler).json["error"] == "invalid_grant"
    assert redeeming.redeem(code).json["error"] == "invalid_grant"
    assert world.signed_in().refresh().status == 200


def test_it_does_not_answer_before_every_process_knows(world: World) -> None:
    phone = world.signed_in()
    token = world.make_handler("token")
    begun = world.clock.time
    commands: list[float] = []

    def read_just_before() -> None:
        assert phone.refresh(via=token).status == 200
        commands.append(world.clock.time)

    with world.aws.visited("UpdateItem", read_just_before):
        answer = operate(world, **EVERYONE)
    assert answer["in_effect"] is True
    assert world.clock.time - begun >= CACHE_SECONDS
    assert phone.refresh(via=token).status == 400


def test_without_time_for_that_it_says_that_it_is_not_in_effect_yet(world: World) -> None:
    world.signed_in()
    answer = operate(world, **EVERYONE, within=IN_EFFECT_SECONDS + 19)
    assert (answer["in_effect"], answer["finished"]) == (False, False)
    assert operate(world, **EVERYONE, **{"continue": True})["finished"] is True


def test_another_apps_sessions_live(world: World) -> None:
    phone, other = world.signed_in(), other_app(world)
    answer = operate(world, **APP)
    assert (answer["ended"], answer["secrets_deleted"], answer["finished"]) == (1, 1, True)
    world.clock.time += GRACE + 1
    assert phone.refresh().status == 400
    assert other.refresh().status == 200
    assert len(session_secrets(world)) == 1


def test_a_new_sign_in_is_not_touched_by_what_goes_on(world: World) -> None:
    old = world.signed_in()
    operate(world, **EVERYONE, within=IN_EFFECT_SECONDS + 20)
    new = world.signed_in()
    answer = operate(world, **EVERYONE, **{"continue": True})
    assert (answer["ended"], answer["finished"]) == (1, True)
    assert old.row()["status"] == "revoked"
    world.clock.time += GRACE + 1
    assert new.refresh().status == 200


# The end of the sweep.


def test_all_rows_in_whatever_state_are_over_and_no_secret_is_left(world: World) -> None:
    phones = [world.phone() for _ in range(6)]
    pending, issued, active, dead, gone, late = phones
    pending.authorize()
    issued.code()
    active.sign_in()
    code = dead.code()
    dead.redeem(code)
    with world.aws.failing("DeleteSecret"):
        dead.redeem(code)
    gone.sign_in()
    gone.revoke()
    late.sign_in()
    world.dynamodb.update_item(
        TableName=TABLE,
        Key={"session_id": {"S": late.session_id}},
        UpdateExpression="SET expires_at = :past",
        ExpressionAttributeValues={":past": {"N": str(int(world.clock.time) - 1)}},
    )
    answer = operate(world, **EVERYONE)
    assert (answer["ended"], answer["secrets_deleted"], answer["failed"]) == (3, 5, 0)
    assert answer["finished"] is True
    assert statuses(world) == ["active", "dead", "revoked", "revoked", "revoked", "revoked"]
    assert late.row()["status"] == "active"  # Its time was over before.
    assert session_secrets(world) == []
    events = [text["S"].partition(" ")[2] for text in active.row()["timeline"]]
    assert events[-1] == "revoked mass_sign_out"
    lines = [fields for _, event, fields in world.telemetry.lines if event == "session_ended"]
    assert [line["reason"] for line in lines].count("mass_sign_out") == 3


def test_a_row_that_does_not_tell_when_it_began_is_from_before(world: World) -> None:
    populate(world, 1, created_at=None)
    assert operate(world, **EVERYONE)["ended"] == 1
    assert session_secrets(world) == []


def test_it_tells_how_far_it_is_in_the_end(world: World) -> None:
    world.signed_in()
    answer = operate(world, **EVERYONE)
    assert answer == {
        "scope": "everyone",
        "cut_off": "2027-01-15T08:00:00Z",
        "in_effect": True,
        "ended": 1,
        "secrets_deleted": 1,
        "secrets_denied": 0,
        "failed": 0,
        "finished": True,
        "started_at": "2027-01-15T08:00:00Z",
        "last_progress_at": "2027-01-15T08:00:15Z",
        "finished_at": "2027-01-15T08:00:15Z",
    }
    for step in ("status", "continue"):
        world.clock.time += 60
        assert operate(world, **EVERYONE, **{step: True}) == answer


@pytest.mark.long
def test_several_pages_and_more_time_than_there_is_come_to_the_same_end(world: World) -> None:
    count = PAGE_ROWS * 2 + 7
    populate(world, count)
    populate(world, 3, client_id=OTHER_CLIENT_ID)
    answer = operate(world, **APP, within=SHORT)
    assert answer["finished"] is False
    assert '"continue": true' in answer["next"]
    ended = [answer["ended"]]
    while not answer["finished"]:
        assert 0 < answer["ended"] == answer["secrets_deleted"] < count
        answer = operate(world, **APP, **{"continue": True}, within=25)
        ended.append(answer["ended"])
    assert ended == sorted(set(ended))
    assert (answer["ended"], answer["secrets_deleted"], answer["failed"]) == (count, count, 0)
    assert statuses(world) == ["active"] * 3 + ["revoked"] * count
    assert len(session_secrets(world)) == 3
    assert world.aws.made.count("secrets-manager:DeleteSecret") == count


@pytest.mark.long
def test_secrets_are_deleted_no_faster_than_sign_outs_and_cleanup_can_bear(world: World) -> None:
    populate(world, 200)
    begun = world.clock.time + IN_EFFECT_SECONDS
    assert operate(world, **EVERYONE)["finished"] is True
    assert world.clock.time - begun == pytest.approx(199 / DELETIONS_PER_SECOND)


@pytest.mark.long
def test_sessions_in_the_row_take_no_call_of_secrets_manager_and_have_a_pace_of_their_own(world: World) -> None:
    populate(world, 60, **IN_ROW)
    begun = world.clock.time + IN_EFFECT_SECONDS
    answer = operate(world, **EVERYONE)
    assert (answer["ended"], answer["secrets_deleted"], answer["secrets_denied"]) == (60, 0, 0)
    assert (answer["failed"], answer["finished"]) == (0, True)
    assert "warning" not in answer
    assert "secrets-manager" not in world.aws.counted()
    assert world.clock.time - begun == pytest.approx(59 / UPDATES_PER_SECOND)
    assert [row for row in world.rows() if "sealed" in row] == []
    assert statuses(world) == ["revoked"] * 60


@pytest.mark.long
def test_in_a_table_with_both_kinds_of_sessions_the_pace_of_the_deletions_counts_deletions_alone(world: World) -> None:
    populate(world, 60, **IN_ROW)
    populate(world, 10)
    begun = world.clock.time + IN_EFFECT_SECONDS
    answer = operate(world, **EVERYONE)
    assert (answer["ended"], answer["secrets_deleted"], answer["finished"]) == (70, 10, True)
    assert world.aws.made.count("secrets-manager:DeleteSecret") == 10
    assert world.clock.time - begun <= 10 / DELETIONS_PER_SECOND + 60 / UPDATES_PER_SECOND
    assert session_secrets(world) == []


@pytest.mark.long
def test_a_flood_of_sign_ins_that_nobody_claimed_costs_a_sweep_no_deletion(world: World) -> None:
    """Anybody may begin sign-ins, and DynamoDB deletes the rows of the old ones late."""
    phone, now = world.signed_in(), world.clock.time
    unclaimed: dict[str, Any] = {"status": {"S": "pending"}, "secret_version": None, "token_store": None}
    populate(world, 40, **unclaimed)
    populate(world, 40, client_id=OTHER_CLIENT_ID, **unclaimed, expires_at={"N": str(int(now) - 1000)})
    begun = now + IN_EFFECT_SECONDS
    answer = operate(world, **EVERYONE)
    assert (answer["ended"], answer["secrets_deleted"], answer["finished"]) == (41, 1, True)
    assert world.aws.made.count("secrets-manager:DeleteSecret") == 1
    assert world.clock.time - begun <= 81 / UPDATES_PER_SECOND
    assert phone.refresh().json["error"] == "invalid_grant"


def test_the_pace_of_updates_leaves_half_of_a_partition_to_the_apps() -> None:
    """A scan goes through one partition after the other. A partition takes 1,000 write units a second."""
    # Rows with large tokens take one unit more than the usual ones.
    most = (units(Assumed().sealed_row_bytes, WRITE_UNIT) + 1) * UPDATES_PER_SECOND
    assert most <= 1000 / 2


# The pace, and the words of docs/operate.md.
PACES = [(DELETIONS_PER_SECOND, {}, "14 hours", 57), *long((UPDATES_PER_SECOND, IN_ROW, "3 hours", 12))]


@pytest.mark.parametrize(("pace", "attributes", "hours", "invocations"), PACES, ids=["secrets", "row"])
def test_a_million_sessions_take_as_long_as_the_page_says(
    world: World, pace: int, attributes: dict[str, Any], hours: str, invocations: int
) -> None:
    """A short invocation shows how many rows one second does."""
    seconds = 2
    populate(world, seconds * pace + 20, **attributes)
    operate(world, **EVERYONE, within=IN_EFFECT_SECONDS + RESERVED_SECONDS)
    done = operate(world, **EVERYONE, **{"continue": True}, within=RESERVED_SECONDS + seconds)["ended"]
    assert done == pytest.approx(seconds * pace, abs=1)
    million = 1_000_000 / pace
    assert ceil(million / (OPERATOR_SECONDS - RESERVED_SECONDS)) == invocations
    assert f"{round(million / 3600)} hours" == hours
    page = " ".join((ROOT / "docs" / "operate.md").read_text().split())
    assert f"{hours}, {invocations} invocations" in page


@pytest.mark.long
def test_a_thousand_sessions_are_signed_out_by_commands_that_answer_before_their_caller_gives_up_waiting(
    world: World, numbers: Callable[[str], None]
) -> None:
    count = 1000
    populate(world, count)
    phone = world.signed_in()
    begun = world.clock.time
    invocations, answer = 1, operate(world, **EVERYONE)
    assert 100 < answer["ended"] < count
    assert phone.refresh().status == 400
    while not answer["finished"]:
        assert world.clock.time - begun < 60
        begun = world.clock.time
        invocations += 1
        answer = operate(world, **EVERYONE, **{"continue": True})
    assert (answer["ended"], answer["failed"]) == (count + 1, 0)
    assert session_secrets(world) == []
    assert statuses(world) == ["revoked"] * (count + 1)
    numbers(f"{count + 1} sessions signed out by {invocations} commands")


# Failures at any call.


@pytest.mark.long
def test_it_goes_on_where_a_process_died(world: World) -> None:
    populate(world, PAGE_ROWS + 20)
    # In the second page.
    deaths = world.aws.dying_at("DeleteSecret")
    with world.aws.visited("Scan", lambda: None), world.aws.visited("UpdateItem", lambda: None):
        answer = operate(world, **EVERYONE, within=SHORT - 5)
    assert answer["finished"] is False
    with deaths:
        operate(world, **EVERYONE, **{"continue": True}, via=world.make_handler("operator"))
    assert operate(world, **EVERYONE, status=True)["ended"] == answer["ended"]
    again = operate(world, **EVERYONE, **{"continue": True}, seconds=900)
    assert (again["finished"], again["failed"]) == (True, 0)
    assert statuses(world) == ["revoked"] * (PAGE_ROWS + 20)
    assert session_secrets(world) == []


@pytest.mark.long
@pytest.mark.parametrize("store", ["secrets", "row"])
@pytest.mark.parametrize("kind", KINDS)
def test_whatever_happens_at_whatever_call_a_repetition_finishes_it(
    kind: str, store: str, numbers: Callable[[str], None]
) -> None:
    number = 0
    while True:
        number += 1
        with running_world(TOKEN_STORE=store) as world:
            populate(world, 3, **IN_ROW if store == "row" else {})
            phone = world.signed_in()
            with at_call(world, number, kind) as hit, suppress(ProcessDied):
                answer = operate(world, **EVERYONE)
                assert "finished" in answer or answer["error"] == "temporary_failure"
                if "finished" in answer:
                    assert answer["finished"] or not hit or answer["failed"] or answer["trouble"]
            if not hit:
                break
            # A person knows the command's answer only, and follows it.
            status = operate(world, **EVERYONE, status=True)
            again = {} if status.get("error") == "not_found" else {"continue": True}
            answer = operate(world, **EVERYONE, **again)
            assert (answer["in_effect"], answer["finished"], answer["failed"]) == (True, True, 0)
            assert statuses(world) == ["revoked"] * 4
            # If the right is missing, cleanup deletes the secret with its row.
            assert len(session_secrets(world)) == answer["secrets_denied"] <= 4 * (kind == "access_denied")
            assert phone.refresh().json["error"] == "invalid_grant"
            assert phone.sign_in().status == 200
    # Each of four sessions has an update, and a deletion if it has a secret.
    assert number > (12 if store == "secrets" else 8)
    numbers(f"a mass sign-out ({store}), each of {number - 1} calls {kind}: all completed by a repetition")


def test_a_row_that_fails_holds_up_no_other_and_comes_again(world: World) -> None:
    ids = populate(world, 5)
    bad = secret_name(PREFIX, ids[2])
    with failing_secrets(world, {bad}):
        answer = operate(world, **EVERYONE)
        assert (answer["ended"], answer["secrets_deleted"], answer["failed"]) == (5, 4, 1)
        assert answer["finished"] is False
        assert "InvalidParameterException" in answer["trouble"]
        assert session_secrets(world) == [bad]
        answer = operate(world, **EVERYONE, **{"continue": True})
        assert (answer["failed"], answer["finished"]) == (1, False)
    answer = operate(world, **EVERYONE, **{"continue": True})
    assert (answer["ended"], answer["secrets_deleted"], answer["failed"], answer["finished"]) == (5, 5, 0, True)
    assert session_secrets(world) == []


def test_a_right_that_is_missing_does_not_keep_a_mass_sign_out_from_its_end_and_is_told(world: World) -> None:
    """Secrets Manager may give this answer for an absent name, for instance of a session already over."""
    phones = [world.signed_in() for _ in range(3)]
    assert phones[0].revoke().status == 200
    with world.aws.failing("DeleteSecret", "access_denied"):
        answer = operate(world, **EVERYONE)
    assert (answer["ended"], answer["secrets_deleted"], answer["secrets_denied"]) == (2, 0, 3)
    assert (answer["failed"], answer["finished"]) == (0, True)
    assert "secretsmanager:DeleteSecret" in answer["warning"]
    assert world.telemetry.metrics.count(("SecretAccessDenied", {})) == 3
    assert {phone.refresh().json["error"] for phone in phones} == {"invalid_grant"}


def test_an_older_sweep_does_not_pass_for_a_sweep_that_never_started(world: World) -> None:
    world.signed_in()
    assert operate(world, **EVERYONE)["finished"] is True
    world.clock.time += 60
    phone = world.signed_in()
    # The first call writes the not-before time.
    with at_call(world, 2, "dies_before"), suppress(ProcessDied):
        operate(world, **EVERYONE, via=world.make_handler("operator"))
    status = operate(world, **EVERYONE, status=True)
    assert (status["finished"], status["secrets_deleted"], status["started_at"]) == (False, 0, None)
    assert status["cut_off"] == "2027-01-15T08:01:15Z"
    answer = operate(world, **EVERYONE, **{"continue": True})
    assert (answer["cut_off"], answer["finished"]) == (status["cut_off"], True)
    assert phone.row()["status"] == "revoked"


def test_rows_that_fail_here_and_there_stop_nobody(world: World) -> None:
    populate(world, 7)
    in_order = [item["session_id"]["S"] for item in world.rows()]
    bad = {secret_name(PREFIX, session_id) for session_id in in_order[:5:2]}
    operate(world, **EVERYONE, within=IN_EFFECT_SECONDS + 20)
    with failing_secrets(world, bad):
        answer = operate(world, **EVERYONE, **{"continue": True}, seconds=900)
    assert (answer["ended"], answer["secrets_deleted"], answer["failed"]) == (7, 4, 3)
    assert set(session_secrets(world)) == bad
    assert operate(world, **EVERYONE, **{"continue": True})["finished"] is True


@pytest.mark.long
def test_the_sweep_stops_and_says_why_if_one_row_after_the_other_fails(world: World) -> None:
    populate(world, 50)
    operate(world, **EVERYONE, within=IN_EFFECT_SECONDS + 20)
    begun = world.clock.time
    with world.aws.failing("DeleteSecret", "throttled"):
        answer = operate(world, **EVERYONE, **{"continue": True}, seconds=900)
    assert world.clock.time - begun < 40
    assert (answer["secrets_deleted"], answer["failed"], answer["finished"]) == (0, 3, False)
    assert "secretsmanager:ThrottlingException" in answer["trouble"]
    assert ("AwsThrottled", {"aws_service": "secretsmanager"}) in world.telemetry.metrics
    answer = operate(world, **EVERYONE, **{"continue": True}, seconds=900)
    assert (answer["ended"], answer["secrets_deleted"], answer["finished"]) == (50, 50, True)
    assert "trouble" not in answer


def test_a_moments_throttling_is_waited_out(world: World) -> None:
    populate(world, 5)
    with world.aws.failing("DeleteSecret", times=3), world.aws.failing("Scan", times=2):
        answer = operate(world, **EVERYONE)
    assert (answer["ended"], answer["secrets_deleted"], answer["finished"]) == (5, 5, True)


# The writes: the not-before time, the start of the sweep, its rows, its save.
@pytest.mark.parametrize("skip", range(6))
def test_the_sdks_own_repetitions_are_neither_counted_twice_nor_missed(world: World, skip: int) -> None:
    populate(world, 3)
    with world.aws.answer_lost_once("UpdateItem", skip=skip):
        answer = operate(world, **EVERYONE)
    assert (answer["ended"], answer["secrets_deleted"], answer["finished"]) == (3, 3, True)
    assert "trouble" not in answer


def test_a_refresh_under_way_when_its_row_is_swept_is_refused_and_leaves_no_secret(world: World) -> None:
    phone = world.signed_in()
    world.clock.time += GRACE + 1
    answers: list[dict[str, Any]] = []
    with world.aws.visited("PutSecretValue", lambda: answers.append(operate(world, **EVERYONE))):
        answer = phone.refresh()
    assert (answers[0]["ended"], answers[0]["finished"]) == (1, True)
    assert answer.status in (400, 503)
    assert phone.refresh().json["error"] == "invalid_grant"
    assert phone.row()["status"] == "revoked"
    assert "escrow" not in phone.row()
    assert session_secrets(world) == []


def test_a_sign_in_under_way_when_its_row_is_swept_is_over_and_leaves_no_secret(world: World) -> None:
    phone = world.phone()
    returning = phone.approve(phone.authorize())
    answers: list[dict[str, Any]] = []
    with world.aws.dying_after("CreateSecret"):
        phone.callback(returning)
    answers.append(operate(world, **EVERYONE))
    assert (answers[0]["ended"], answers[0]["finished"]) == (1, True)
    assert phone.row()["status"] == "revoked"
    assert session_secrets(world) == []
    # The callback's worker held the claim, so the command waited until its lease was over.
    assert world.clock.time >= float(phone.row()["lease_until"])
    assert "code" not in phone.callback(returning).headers.get("location", "")


def test_the_next_command_takes_the_sign_ins_under_way_and_this_one_tries_each_row_twice_at_most(
    world: World,
) -> None:
    # Several rows in succession. As failures they would count as an outage.
    until = world.clock.time + IN_EFFECT_SECONDS + FUNCTION_SECONDS + LEASE_MARGIN_SECONDS
    populate(world, 5, status={"S": "claimed"}, secret_version=None, lease_until={"N": str(until)})
    answer = operate(world, **EVERYONE)
    assert (answer["ended"], answer["secrets_deleted"], answer["failed"]) == (5, 0, 5)
    assert "sign_in_under_way" in answer["trouble"]
    # Each row has one try in the table, and one among the rows left over.
    assert world.aws.made.count("dynamodb:UpdateItem") <= 10 + 4
    world.clock.time = until
    answer = operate(world, **EVERYONE, **{"continue": True})
    assert (answer["secrets_deleted"], answer["failed"], answer["finished"]) == (5, 0, True)


# Two sweeps at once.


@pytest.mark.long
def test_the_slower_of_two_workers_stops_and_does_no_harm(world: World) -> None:
    count = PAGE_ROWS + 10
    populate(world, count)
    operate(world, **EVERYONE, within=IN_EFFECT_SECONDS + 20)
    others: list[dict[str, Any]] = []

    def work_too() -> None:
        others.append(operate(world, **EVERYONE, **{"continue": True}, seconds=900, via=world.make_handler("operator")))

    with world.aws.visited("DeleteSecret", work_too):
        answer = operate(world, **EVERYONE, **{"continue": True}, seconds=900)
    assert others[0]["finished"] is True
    assert answer["finished"] is True
    assert "Another invocation" in answer["trouble"]
    assert statuses(world) == ["revoked"] * count
    assert session_secrets(world) == []


@pytest.mark.long
def test_a_newer_one_takes_the_place_of_an_older_one_that_is_under_way(world: World) -> None:
    populate(world, 30)
    operate(world, **EVERYONE, within=IN_EFFECT_SECONDS + 20)
    newer: list[dict[str, Any]] = []

    def begin_anew() -> None:
        world.clock.time += 60
        populate(world, 2, client_id=OTHER_CLIENT_ID)
        newer.append(operate(world, **EVERYONE, within=IN_EFFECT_SECONDS + 20))

    with world.aws.visited("DeleteSecret", begin_anew):
        answer = operate(world, **EVERYONE, **{"continue": True})
    # Progress of the older sweep says nothing of the newer one's rows.
    assert answer["cut_off"] == newer[0]["cut_off"]
    assert answer["finished"] is False
    assert (answer["secrets_deleted"], answer["ended"]) == (0, 0)
    answer = operate(world, **EVERYONE, **{"continue": True})
    assert (answer["secrets_deleted"], answer["finished"]) == (32, True)
    assert statuses(world) == ["revoked"] * 32


def test_an_older_one_that_is_late_to_begin_does_not_take_the_place_of_a_newer_one(world: World) -> None:
    populate(world, 2)
    newer: list[dict[str, Any]] = []

    def begin_newer() -> None:
        world.clock.time += 60
        newer.append(operate(world, **EVERYONE, via=world.make_handler("operator")))

    # The newer command runs after the older one's not-before time is written, before its sweep starts.
    begin_older = world.aws.visited("UpdateItem", begin_newer)
    with world.aws.visited("UpdateItem", begin_older.__enter__):
        answer = operate(world, **EVERYONE)
    assert newer[0]["finished"] is True
    assert answer == newer[0]


def test_a_not_before_time_never_moves_back(world: World) -> None:
    phone = world.signed_in()
    operate(world, **EVERYONE)
    item = world.row("cut-offs")
    world.clock.time -= 3600
    answer = operate(world, **EVERYONE)
    assert world.row("cut-offs") == item
    assert answer["cut_off"] == "2027-01-15T08:00:00Z"
    world.clock.time += 3600
    assert phone.refresh().status == 400


def test_one_for_everyone_and_one_for_an_app_keep_apart(world: World) -> None:
    populate(world, 2)
    populate(world, 3, client_id=OTHER_CLIENT_ID)
    assert operate(world, **APP)["ended"] == 2
    assert operate(world, **EVERYONE)["ended"] == 3
    assert operate(world, **APP, status=True)["ended"] == 2
    assert progress(world, f"client:{CLIENT_ID}")["finished_at"] != progress(world)["finished_at"]


# Wrong requests.


def test_an_app_that_is_not_registered_is_refused_and_the_registered_ones_are_named(world: World) -> None:
    populate(world, 1)
    answer = operate(world, action="revoke_all", client_id="trader-iso")
    assert answer["error"] == "invalid_request"
    assert CLIENT_ID in answer["message"]
    assert '"removed_app"' in answer["message"]
    assert world.row("cut-offs") is None
    assert audited(world)[-1]["reason"] == "unknown_app"


def test_an_app_that_was_removed_from_the_registry_can_be_signed_out_on_purpose(world: World) -> None:
    populate(world, 2, client_id="trader-old")
    old: dict[str, Any] = {"action": "revoke_all", "client_id": "trader-old"}
    assert operate(world, **old, removed_app=True)["ended"] == 2
    assert operate(world, **old, status=True)["finished"] is True
    assert operate(world, **APP, removed_app=True)["error"] == "invalid_request"


def test_one_that_found_nothing_at_all_does_not_finish_in_silence(world: World) -> None:
    answer = operate(world, action="revoke_all", client_id="trader-iso", removed_app=True)
    assert (answer["finished"], answer["secrets_deleted"]) == (True, 0)
    assert "right one" in answer["warning"]
    populate(world, 1)
    populate(world, 1, **IN_ROW)
    for found in (2, 0):
        answer = operate(world, **EVERYONE)
        assert answer["ended"] == found
        assert "warning" not in answer
        world.clock.time += 60
    for row in world.rows():
        if "status" in row and "token_store" not in row:
            world.dynamodb.delete_item(TableName=TABLE, Key={"session_id": row["session_id"]})
    # If the tokens of all rows were sealed in them, then nothing is left of the sessions that were over already.
    assert "over already" in operate(world, **EVERYONE)["warning"]


@pytest.mark.parametrize("step", ["continue", "status"])
@pytest.mark.parametrize("command", [EVERYONE, APP])
def test_there_is_nothing_to_go_on_with_where_nothing_was_begun(
    world: World, command: dict[str, Any], step: str
) -> None:
    phone = world.signed_in()
    assert operate(world, **command, **{step: True})["error"] == "not_found"
    assert world.row("cut-offs") is None
    assert phone.refresh().status == 200


def test_to_look_changes_nothing(world: World) -> None:
    populate(world, 3)
    operate(world, **EVERYONE, within=IN_EFFECT_SECONDS + 20)
    before = (world.row("cut-offs"), progress(world), statuses(world))
    answer = operate(world, **EVERYONE, status=True)
    assert (answer["finished"], answer["ended"], answer["failed"]) == (False, 0, 0)
    assert (world.row("cut-offs"), progress(world), statuses(world)) == before


# Audit lines and answers.


def test_the_audit_lines_say_who_and_how_far_and_no_answer_or_line_has_a_secret(world: World) -> None:
    phones = [world.signed_in() for _ in range(3)]
    world.phone().code()
    secrets = secrets_of(world, phones)
    answers = [operate(world, **APP, within=IN_EFFECT_SECONDS + 20)]
    with world.aws.failing("DeleteSecret", "not_deletable"):
        answers.append(operate(world, **APP, **{"continue": True}))
    answers.append(operate(world, **APP, **{"continue": True}))
    line = {"action": "revoke_all", "operator": OPERATOR, "client_id": CLIENT_ID}
    assert audited(world) == [
        line | {"reason": "asked:start"},
        line | {"reason": "unfinished", "count": 0},
        line | {"reason": "asked:continue"},
        line | {"reason": "unfinished", "count": 3},
        line | {"reason": "asked:continue"},
        line | {"reason": "done", "count": 4},
    ]
    ended = [fields["session"] for _, event, fields in world.telemetry.lines if event == "session_ended"]
    assert {reference(phone) for phone in phones} < set(ended)
    assert len(ended) == 4
    assert_none_is_seen(world, secrets | secrets_of(world, phones), *answers)
