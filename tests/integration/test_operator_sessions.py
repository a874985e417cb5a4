"""A person on call looks at one session, and ends it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from oauth_broker.oauth.tokens import secret_name
from oauth_broker.sessions.row import LEASE_MARGIN_SECONDS
from oauth_broker.sessions.table import ENDED_ROW_SECONDS
from tests.support.deployment import APP_URI, CLIENT_ID, GRACE, PREFIX, TABLE
from tests.support.lambda_context import FUNCTION_SECONDS
from tests.support.operator import OPERATOR, assert_none_is_seen, audited, operate, reference, secrets_of
from tests.support.removals import Removals
from tests.support.world import Phone, World

# The virtual clock starts at 2027-01-15T08:00:00Z.
START = "2027-01-15T08:00:00Z"


def show(phone: Phone) -> dict[str, Any]:
    return operate(phone.world, action="session", session=reference(phone))


def revoke(phone: Phone, **options: Any) -> dict[str, Any]:
    return operate(phone.world, action="revoke", session=reference(phone), **options)


def pending(world: World) -> Phone:
    phone = world.phone()
    phone.authorize()
    return phone


def claimed(world: World) -> Phone:
    phone = world.phone()
    returning = phone.approve(phone.authorize())
    with world.aws.dying_after("UpdateItem"):
        phone.callback(returning)
    return phone


def issued(world: World) -> Phone:
    phone = world.phone()
    phone.code()
    return phone


def active(world: World) -> Phone:
    return world.signed_in()


def failed(world: World) -> Phone:
    phone = world.phone()
    phone.callback(f"error=access_denied&state={phone.authorize().query['state']}")
    return phone


def dead(world: World) -> Phone:
    phone = world.phone()
    code = phone.code()
    phone.redeem(code)
    phone.redeem(code)
    return phone


def revoked(world: World) -> Phone:
    phone = world.signed_in()
    phone.revoke()
    return phone


NOT_OVER = (pending, claimed, issued, active)
OVER = (failed, dead, revoked)


def test_a_session_is_told_with_its_timeline_and_nothing_secret(world: World) -> None:
    phone = world.signed_in()
    world.clock.time += GRACE + 1
    phone.refresh()
    answer = show(phone)
    assert answer == {
        "session": reference(phone),
        "client_id": CLIENT_ID,
        "status": "active",
        "signed_in": True,
        "signed_out_by_mass_sign_out_of": None,
        "created_at": START,
        "expires_at": "2027-02-14T08:00:00Z",
        "ends_at": "2027-02-14T08:00:00Z",
        "ends_if_unused_at": "2027-02-14T08:00:00Z",
        "last_used_at": "2027-01-15T08:01:01Z",
        "generation": 2,
        "last_refreshed_at": "2027-01-15T08:01:01Z",
        "last_renewed_at": None,
        "lease_held": False,
        "paused_by_aries_until": None,
        "secret_in_escrow": False,
        "tokens_in_row": False,
        "timeline": [
            {"at": START, "event": "started", "reason": None},
            {"at": START, "event": "claimed", "reason": None},
            {"at": START, "event": "issued", "reason": None},
            {"at": START, "event": "redeemed", "reason": None},
            {"at": "2027-01-15T08:01:01Z", "event": "refreshed", "reason": None},
        ],
    }
    assert_none_is_seen(world, secrets_of(world, [phone]), answer)


@pytest.mark.parametrize("make", [*NOT_OVER, *OVER])
def test_a_row_in_any_state_is_told(world: World, make: Callable[[World], Phone]) -> None:
    phone = make(world)
    answer = show(phone)
    assert answer["status"] == make.__name__
    assert answer["signed_in"] is (make is active)
    assert answer["lease_held"] is (make is claimed)
    assert answer["last_refreshed_at"] is None
    assert answer["timeline"][-1]["event"] == phone.row()["timeline"][-1]["S"].split()[1]
    assert APP_URI not in str(answer)
    assert_none_is_seen(world, secrets_of(world, [phone]), answer)


def test_a_reason_is_told_with_its_transition(world: World) -> None:
    assert show(dead(world))["timeline"][-1] == {"at": START, "event": "dead", "reason": "code_reused"}


def test_an_answer_in_escrow_is_told(world: World) -> None:
    phone = world.signed_in()
    world.clock.time += GRACE + 1
    with world.aws.failing("PutSecretValue", "access_denied"):
        phone.refresh()
    assert show(phone)["secret_in_escrow"] is True


def test_a_session_whose_time_is_over_is_signed_in_no_more(world: World) -> None:
    phone = world.signed_in()
    world.clock.time += 30 * 24 * 3600
    answer = show(phone)
    assert (answer["status"], answer["signed_in"]) == ("active", False)


def test_a_session_from_before_a_mass_sign_out_is_told_to_be_over_before_the_sweep_has_come_to_it(world: World) -> None:
    phone = world.signed_in()
    world.dynamodb.put_item(
        TableName=TABLE, Item={"session_id": {"S": "cut-offs"}, "everyone": {"N": str(int(world.clock.time))}}
    )
    answer = show(phone)
    assert (answer["status"], answer["signed_in"]) == ("active", False)
    assert answer["signed_out_by_mass_sign_out_of"] == START


@pytest.mark.parametrize("action", ["session", "revoke"])
def test_an_unknown_reference_is_told_with_how_long_rows_are_kept(world: World, action: str) -> None:
    world.signed_in()
    answer = operate(world, action=action, session="0" * 16)
    assert answer["error"] == "not_found"
    assert "a day after its end" in answer["message"]
    assert audited(world)[-1] == {
        "action": action,
        "operator": OPERATOR,
        "session": "0" * 16,
        "error": "not_found",
        "reason": "unknown_session",
    }


@pytest.mark.parametrize("make", NOT_OVER)
def test_a_session_is_ended_in_whatever_state_it_is(world: World, make: Callable[[World], Phone]) -> None:
    phone = make(world)
    secrets = secrets_of(world, [phone])
    before = phone.row()
    answer = revoke(phone)
    assert (answer["found"], answer["ended_now"], answer["secret_deleted"]) == (make.__name__, True, True)
    assert (answer["status"], answer["signed_in"]) == ("revoked", False)
    assert answer["timeline"][-1] == {"at": START, "event": "revoked", "reason": "operator"}
    assert world.session_secrets() == []
    row = phone.row()
    assert row["status"] == "revoked"
    assert not row.keys() & {"code_verifier", "escrow"}
    assert row["lease_id"] != before.get("lease_id")
    ended_at = world.clock.time if make is not claimed else world.clock.time - LEASE_MARGIN_SECONDS - FUNCTION_SECONDS
    assert int(row["expires_at"]) == int(ended_at) + ENDED_ROW_SECONDS
    (line,) = [fields for _, event, fields in world.telemetry.lines if event == "session_ended"]
    assert (line["session"], line["client_id"], line["reason"]) == (reference(phone), CLIENT_ID, "operator")
    assert world.telemetry.counted("SessionsEnded") == 0
    assert_none_is_seen(world, secrets, answer)


@pytest.mark.parametrize("make", OVER)
def test_an_ended_session_stays_as_it_is_and_is_told(world: World, make: Callable[[World], Phone]) -> None:
    phone = make(world)
    before = phone.row()
    answer = revoke(phone)
    assert (answer["found"], answer["status"], answer["ended_now"]) == (make.__name__, make.__name__, False)
    assert phone.row() == before
    assert audited(world)[-1]["reason"] == "ended_before"


def test_a_repetition_changes_nothing(world: World) -> None:
    phone = world.signed_in()
    revoke(phone)
    row = phone.row()
    world.clock.time += 5
    answer = revoke(phone)
    assert (answer["found"], answer["ended_now"], answer["secret_deleted"]) == ("revoked", False, True)
    assert phone.row() == row


def test_the_audit_lines_say_who_whom_and_what_came_of_it(world: World) -> None:
    phone = world.signed_in()
    revoke(phone)
    line = {"action": "revoke", "operator": OPERATOR, "session": reference(phone)}
    assert audited(world) == [line | {"reason": "asked"}, line | {"client_id": CLIENT_ID, "reason": "done"}]
    assert world.telemetry.metrics.count(("OperatorActions", {"action": "revoke"})) == 1


def test_after_it_nothing_of_the_session_is_answered(world: World) -> None:
    phone = world.signed_in()
    other = world.signed_in()
    revoke(phone)
    for later in (0, GRACE + 1):
        world.clock.time += later
        assert phone.refresh().json["error"] == "invalid_grant"
    assert phone.revoke().status == 200
    assert other.refresh().status == 200
    assert len(world.session_secrets()) == 1


def test_an_answer_in_escrow_goes_with_the_session(world: World) -> None:
    phone = world.signed_in()
    world.clock.time += GRACE + 1
    with world.aws.failing("PutSecretValue", "access_denied"):
        phone.refresh()
    assert "escrow" in phone.row()
    assert revoke(phone)["secret_in_escrow"] is False
    assert "escrow" not in phone.row()


def test_a_code_that_was_issued_is_not_redeemed_any_more(world: World) -> None:
    phone = world.phone()
    code = phone.code()
    revoke(phone)
    assert phone.redeem(code).json["error"] == "invalid_grant"
    assert phone.row()["status"] == "revoked"


def test_a_person_who_comes_back_from_aries_too_late_is_sent_to_no_app_with_a_code(world: World) -> None:
    phone = world.phone()
    returning = phone.approve(phone.authorize())
    revoke(phone)
    calls = world.aries.token_calls
    answer = phone.callback(returning)
    assert "location" not in answer.headers
    assert world.aries.token_calls == calls
    assert phone.sign_in().status == 200


def test_a_refresh_that_has_aries_answer_commits_nothing_and_leaves_no_secret(world: World) -> None:
    phone = world.signed_in()
    world.clock.time += GRACE + 1
    answers: list[dict[str, Any]] = []
    # The end comes just before Aries' answer is stored. The secret is gone, so the answer is sealed for the commit.
    with world.aws.visited("PutSecretValue", lambda: answers.append(revoke(phone))):
        answer = phone.refresh()
    assert answer.json["error"] == "invalid_grant"
    assert answers[0]["ended_now"] is True
    assert phone.row()["status"] == "revoked"
    assert "escrow" not in phone.row()
    assert world.session_secrets() == []
    assert world.telemetry.counted("Escrowed") == 1
    assert world.telemetry.counted("RefreshesSucceeded") == 0


def test_a_refresh_that_has_stored_aries_answer_commits_nothing_and_leaves_no_secret(world: World) -> None:
    phone = world.signed_in()
    world.clock.time += GRACE + 1

    commit = world.aws.visited("UpdateItem", lambda: revoke(phone))
    with world.aws.visited("PutSecretValue", commit.__enter__):
        answer = phone.refresh()
    assert answer.json["error"] == "invalid_grant"
    assert phone.row()["status"] == "revoked"
    assert world.session_secrets() == []


def test_a_worker_that_died_holding_the_lease_changes_nothing(world: World) -> None:
    phone = world.signed_in()
    world.clock.time += GRACE + 1
    with world.aws.dying_after("PutSecretValue"):
        phone.refresh(via=world.make_handler("token"))
    assert revoke(phone)["lease_held"] is True
    assert phone.refresh().json["error"] == "invalid_grant"
    assert world.session_secrets() == []


def in_the_middle_of_a_callback(world: World, act: Callable[[Phone], object]) -> tuple[Phone, Any]:
    """A person returns from Aries, and ``act`` runs just before the tokens are stored."""
    phone = world.phone()
    returning = phone.approve(phone.authorize())
    with world.aws.visited("CreateSecret", lambda: act(phone)):
        return phone, phone.callback(returning)


def test_a_callback_under_way_is_outwaited_so_that_the_secret_it_makes_does_not_survive(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    answers: list[dict[str, Any]] = []

    def revoke_meanwhile(phone: Phone) -> None:
        def store(seconds: float) -> None:
            # The callback stores its secret while the revocation waits for it.
            waited.append(seconds)
            world.clock.time += seconds
            world.secretsmanager.create_secret(Name=secret_name(PREFIX, phone.session_id), SecretString="canary")

        with monkeypatch.context() as waiting:
            waiting.setattr(world.clock, "sleep", store)
            answers.append(revoke(phone))
        assert world.session_secrets() == []

    phone, answer = in_the_middle_of_a_callback(world, revoke_meanwhile)
    assert waited == [FUNCTION_SECONDS + LEASE_MARGIN_SECONDS]
    assert (answers[0]["found"], answers[0]["secret_deleted"]) == ("claimed", True)
    assert phone.row()["status"] == "revoked"
    assert "code" not in answer.query


def test_a_repetition_deletes_the_secret_if_there_is_no_time_to_outwait_the_callback(world: World) -> None:
    answers: list[dict[str, Any]] = []
    phone, answer = in_the_middle_of_a_callback(world, lambda phone: answers.append(revoke(phone, within=30)))
    assert answers[0]["error"] == "temporary_failure"
    assert "sign_in_under_way" in answers[0]["message"]
    assert answer.query["error"] == "server_error"
    assert phone.row()["status"] == "revoked"
    assert len(world.session_secrets()) == 1
    assert revoke(phone)["secret_deleted"] is True
    assert world.session_secrets() == []


def test_without_a_repetition_cleanup_deletes_the_secret_when_the_row_expires(world: World) -> None:
    phone, _ = in_the_middle_of_a_callback(world, lambda phone: revoke(phone, within=30))
    assert len(world.session_secrets()) == 1
    removals = Removals(world)
    removals.expire(ENDED_ROW_SECONDS)
    removals.deliver()
    assert world.row(phone.session_id) is None
    assert world.session_secrets() == []
