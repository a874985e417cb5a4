"""A person on call looks at all sessions of a person, ends them, and forgets the person."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest

from oauth_broker.oauth.tokens import secret_name
from oauth_broker.people.person_items import PersonItem, PersonItems
from oauth_broker.secret import session_reference
from oauth_broker.sessions.sign_out import RESERVED_SECONDS
from oauth_broker.sessions.table import ENDED_ROW_SECONDS
from tests.local.aries.tokens import USERS
from tests.support.deployment import APPS, CLIENT_ID, GRACE, OTHER_CLIENT_ID, PREFIX, SUBJECT_KEY, TABLE
from tests.support.known_people import (
    BOTH_APPS,
    OTHER_USER,
    USER,
    item_of,
    of_another_person,
    of_nobody_known,
    of_the_other_app,
    phone_of_a_person,
    signed_in,
    subject_of,
)
from tests.support.operator import OPERATOR, assert_none_is_seen, audited, operate, reference, secrets_of
from tests.support.removals import Removals
from tests.support.world import World, running_world

# The virtual clock starts then.
START = "2027-01-15T08:00:00Z"


@pytest.fixture
def world() -> Iterator[World]:
    """A broker whose apps may both ask for the user. Whatever a test does, no line names a user or a subject."""
    with running_world(APPS=BOTH_APPS) as running:
        yield running
        names = [name for user in USERS for name in (user.id, user.email, user.name)]
        assert_none_is_seen(running, [*names, SUBJECT_KEY])


def person(world: World, action: str, user: Any = USER, **options: Any) -> dict[str, Any]:
    return operate(world, action=action, user=user, **options)


def assert_nobody_is_named(world: World, *answers: Any) -> None:
    """Check that neither the user's id nor the subject is in any log line, metric or answer."""
    assert_none_is_seen(world, [USER, OTHER_USER, subject_of(world), subject_of(world, OTHER_USER)], *answers)


# To look.


def test_all_sessions_of_a_person_are_told_over_all_apps_and_no_other_ones(world: World) -> None:
    first = signed_in(world)
    world.clock.time += GRACE + 1
    first.refresh()
    second = of_the_other_app(world)
    others = [of_another_person(world), of_nobody_known(world)]
    answer = person(world, "sessions")
    began = "2027-01-15T08:01:01Z"
    assert answer == {
        "live": 2,
        "sessions": [
            {
                "session": reference(second),
                "client_id": OTHER_CLIENT_ID,
                "status": "active",
                "signed_in": True,
                "created_at": began,
                "last_used_at": began,
                "ends_at": "2027-02-14T08:01:01Z",
                "ends_if_unused_at": "2027-02-14T08:01:01Z",
            },
            {
                "session": reference(first),
                "client_id": CLIENT_ID,
                "status": "active",
                "signed_in": True,
                "created_at": START,
                "last_used_at": began,
                "ends_at": "2027-02-14T08:00:00Z",
                "ends_if_unused_at": "2027-02-14T08:00:00Z",
            },
        ],
        "cut_offs": {},
    }
    assert_none_is_seen(world, secrets_of(world, [first, second, *others]), answer)
    assert_nobody_is_named(world, answer)


def test_each_is_told_as_the_report_of_one_session_has_it(world: World) -> None:
    phone = signed_in(world)
    (short,) = person(world, "sessions")["sessions"]
    whole = operate(world, action="session", session=reference(phone))
    assert {name: whole[name] for name in short} == short


def test_an_ended_session_is_told_for_a_day_and_its_reference_also_after_that(world: World) -> None:
    phone = signed_in(world)
    phone.revoke()
    (told,) = person(world, "sessions")["sessions"]
    assert (told["session"], told["status"], told["signed_in"]) == (reference(phone), "revoked", False)
    Removals(world).expire(ENDED_ROW_SECONDS)
    assert world.row(phone.session_id) is None
    answer = person(world, "sessions")
    assert answer["sessions"] == [
        {"session": reference(phone), "client_id": CLIENT_ID, "status": "gone", "signed_in": False}
    ]
    assert answer["live"] == 0


def test_a_session_from_before_a_mass_sign_out_is_told_to_be_over(world: World) -> None:
    signed_in(world)
    operate(world, action="revoke_all", everyone=True, within=RESERVED_SECONDS + 15)
    answer = person(world, "sessions")
    assert (answer["live"], answer["sessions"][0]["signed_in"]) == (0, False)


def test_a_number_is_the_same_id_as_its_digits(world: World) -> None:
    assert person(world, "revoke", 4711)["finished"] is True
    assert item_of(world, "4711") is not None
    assert person(world, "sessions", "4711")["cut_offs"].keys() == APPS.keys()


@pytest.mark.parametrize("action", ["sessions", "revoke", "forget"])
def test_where_no_session_is_known_it_is_said_why_one_may_not_be_found(world: World, action: str) -> None:
    phone = of_nobody_known(world)
    answer = person(world, action)
    assert answer["sessions"] == []
    assert "A session whose user the broker never learned is not found here" in answer["warning"]
    assert phone.refresh().status == 200


@pytest.mark.parametrize("action", ["sessions", "revoke", "forget"])
def test_the_audit_lines_have_the_action_and_the_number_and_neither_the_user_nor_a_session(
    world: World, action: str
) -> None:
    signed_in(world), signed_in(world)
    answer = person(world, action)
    line = {"action": action, "operator": OPERATOR}
    assert audited(world) == [line | {"reason": "asked"}, line | {"reason": "done", "count": 2}]
    assert_nobody_is_named(world, answer)


# What the broker cannot know.


@pytest.mark.parametrize("action", ["sessions", "revoke", "forget"])
@pytest.mark.parametrize("how", ["access_denied", "not_found", "throttled"])
def test_an_unreadable_key_is_a_failure_and_never_no_sessions(world: World, action: str, how: str) -> None:
    phone = signed_in(world)
    with world.aws.failing("GetSecretValue", how):
        answer = person(world, action, via=world.make_handler("operator"))
    assert answer.keys() == {"error", "message"}
    assert answer["error"] == "temporary_failure"
    assert answer["message"].startswith("The key of the subjects cannot be read (subject_key:")
    assert "Nothing was done." in answer["message"]
    assert audited(world)[-1]["error"] == "temporary_failure"
    assert phone.row()["status"] == "active"
    assert_nobody_is_named(world, answer)
    assert len(person(world, action)["sessions"]) == 1


def test_a_malformed_key_is_a_failure_too(world: World) -> None:
    signed_in(world)
    world.secretsmanager.put_secret_value(SecretId=world.environment["SUBJECT_KEY_ARN"], SecretString="short")
    answer = person(world, "sessions", via=world.make_handler("operator"))
    assert "(subject_key:malformed)" in answer["message"]


@pytest.mark.parametrize("action", ["sessions", "revoke", "forget"])
def test_a_deployment_that_asks_nobody_says_so(world: World, action: str) -> None:
    phone = signed_in(world)
    answer = person(world, action, via=world.make_handler("operator", ARIES_USER_URL=""))
    assert answer["error"] == "configuration_error"
    assert "this deployment asks nobody whose session it is" in answer["message"]
    assert audited(world)[-1]["reason"] == "nobody_is_asked"
    assert phone.row()["status"] == "active"


@pytest.mark.parametrize("action", ["sessions", "revoke", "forget"])
@pytest.mark.parametrize(
    "user",
    ["", "u" * 257, "é" * 129, "\ud800", True, None, 1.5, [USER], {"id": USER}, pytest.param(10**5000, id="digits")],
)
def test_a_malformed_id_is_refused_before_anything_is_asked(world: World, action: str, user: Any) -> None:
    answer = person(world, action, user)
    assert answer["error"] == "invalid_request"
    assert answer["message"].startswith('The member "user" must be the id of a user at Aries')
    assert audited(world)[-1]["reason"] == "wrong_user"
    assert world.aws.made == []


# To end.


def test_all_sessions_of_a_person_end_and_no_other_one(world: World) -> None:
    phones = [signed_in(world), of_the_other_app(world)]
    other, unknown = of_another_person(world), of_nobody_known(world)
    answer = person(world, "revoke")
    assert answer == {
        "cut_off": START,
        "ended": 2,
        "secrets_denied": 0,
        "finished": True,
        "sessions": [
            {
                "session": reference(phone),
                "client_id": phone.client_id,
                "found": "active",
                "ended_now": True,
                "secret_deleted": True,
            }
            for phone in sorted(phones, key=lambda phone: phone.client_id)
        ],
    }
    assert {phone.row()["status"] for phone in phones} == {"revoked"}
    assert phones[0].row()["timeline"][-1]["S"].endswith("revoked operator")
    assert len(world.session_secrets()) == 2
    world.clock.time += GRACE + 1
    assert [phone.refresh().status for phone in (*phones, other, unknown)] == [400, 400, 200, 200]
    assert_nobody_is_named(world, answer)
    ends = [fields["session"] for _, event, fields in world.telemetry.lines if event == "session_ended"]
    assert sorted(ends) == sorted(map(reference, phones))


def test_a_sign_in_under_way_does_not_slip_through_and_a_later_one_succeeds(world: World) -> None:
    under_way = phone_of_a_person(world)
    code = under_way.code()
    # The person has no item yet.
    assert person(world, "revoke")["ended"] == 0
    assert under_way.redeem(code).json["error"] == "invalid_grant"
    world.clock.time += 1
    assert under_way.sign_in().status == 200
    assert person(world, "sessions")["live"] == 1


def test_a_redemption_that_has_joined_ends_before_it_is_active(world: World) -> None:
    """The redemption is in the person's item, and the sign-out comes just before its row becomes active."""
    phone = phone_of_a_person(world)
    code = phone.code()
    answers: list[dict[str, Any]] = []
    # The first update joins the item, the second one is the row's.
    second = world.aws.visited("UpdateItem", lambda: answers.append(person(world, "revoke")))
    with world.aws.visited("UpdateItem", second.__enter__):
        answer = phone.redeem(code)
    assert answer.json["error"] == "invalid_grant"
    ((told,),) = [found["sessions"] for found in answers]
    assert (told["found"], told["ended_now"]) == ("issued", True)
    assert phone.row()["status"] == "revoked"
    assert world.session_secrets() == []


def test_the_cut_off_of_every_registered_app_and_of_every_app_of_the_item_is_set(world: World) -> None:
    signed_in(world)
    removed = {CLIENT_ID: json.loads(world.environment["APPS"])[CLIENT_ID]}
    of_the_other_app(world)
    handler = world.make_handler("operator", APPS=json.dumps(removed))
    assert person(world, "revoke", via=handler)["ended"] == 2
    assert person(world, "sessions")["cut_offs"] == {CLIENT_ID: START, OTHER_CLIENT_ID: START}


def test_a_repetition_changes_no_ended_session_and_deletes_what_is_left(world: World) -> None:
    phone = signed_in(world)
    with world.aws.failing("DeleteSecret"):
        answer = person(world, "revoke")
    assert answer["error"] == "temporary_failure"
    assert f"began up to {START}" in answer["message"]
    assert "Sessions ended now: 1." in answer["message"]
    assert "Repeat the same command" in answer["message"]
    lines = [fields for _, event, fields in world.telemetry.lines if event == "session_not_ended"]
    assert [line["session"] for line in lines] == [reference(phone)]
    assert len(world.session_secrets()) == 1
    row = phone.row()
    answer = person(world, "revoke")
    assert (answer["ended"], answer["finished"]) == (0, True)
    assert answer["sessions"][0]["found"] == "revoked"
    assert world.session_secrets() == []
    assert phone.row() == row


def test_a_session_that_fails_holds_up_no_other(world: World) -> None:
    phones = [signed_in(world) for _ in range(3)]
    failed = min(phones, key=lambda phone: phone.session_id)
    with world.aws.failing("DeleteSecret", times=1):
        answer = person(world, "revoke")
    assert "Sessions ended now: 3." in answer["message"]
    assert {phone.row()["status"] for phone in phones} == {"revoked"}
    assert world.session_secrets() == [secret_name(PREFIX, failed.session_id)]
    assert person(world, "revoke")["finished"] is True
    assert world.session_secrets() == []


def test_without_the_time_it_says_that_it_is_not_finished_and_a_repetition_finishes_it(world: World) -> None:
    phones = [signed_in(world) for _ in range(2)]
    answer = person(world, "revoke", within=RESERVED_SECONDS)
    assert (answer["finished"], answer["ended"]) == (False, 0)
    assert [(told["found"], told["ended_now"]) for told in answer["sessions"]] == 2 * [("active", False)]
    assert "Repeat the same command" in answer["next"]
    assert audited(world)[-1]["reason"] == "unfinished"
    # The cut-offs are set, so nothing is lost by the repetition.
    assert person(world, "sessions")["cut_offs"] == dict.fromkeys(APPS, START)
    assert person(world, "revoke")["ended"] == 2
    assert {phone.row()["status"] for phone in phones} == {"revoked"}


def test_while_no_secret_can_be_deleted_all_rows_end_and_the_next_command_goes_on(world: World) -> None:
    phones = [signed_in(world) for _ in range(3)]
    with world.aws.failing("DeleteSecret"):
        assert person(world, "revoke")["error"] == "temporary_failure"
    assert {phone.row()["status"] for phone in phones} == {"revoked"}
    assert len(world.session_secrets()) == 3
    answer = person(world, "revoke")
    assert (answer["finished"], answer["ended"], world.session_secrets()) == (True, 0, [])


@pytest.mark.parametrize("action", ["revoke", "forget"])
def test_repeated_commands_get_to_the_last_session_however_little_time_each_has(world: World, action: str) -> None:
    phones = [signed_in(world) for _ in range(5)]

    def slowly() -> None:
        world.clock.time += 3

    for _ in range(10):
        # Each deletion takes three seconds, and there is time for two.
        with world.aws.visited("DeleteSecret", slowly):
            answer = person(world, action, within=RESERVED_SECONDS + 4)
        if answer["finished"]:
            break
    assert answer["finished"] is True
    assert {phone.row()["status"] for phone in phones} == {"revoked"}
    assert world.session_secrets() == []


def test_a_missing_right_to_delete_a_secret_is_told(world: World) -> None:
    signed_in(world)
    with world.aws.failing("DeleteSecret", "access_denied"):
        answer = person(world, "revoke")
    assert (answer["ended"], answer["secrets_denied"], answer["finished"]) == (1, 1, True)
    assert "secretsmanager:DeleteSecret" in answer["warning"]
    assert answer["sessions"][0]["secret_deleted"] is False


def test_sessions_in_the_row_end_too() -> None:
    with running_world(TOKEN_STORE="row") as world:
        phone = signed_in(world)
        assert person(world, "revoke")["ended"] == 1
        assert (phone.row()["status"], "sealed" in phone.row()) == ("revoked", False)
        assert "secrets-manager:DeleteSecret" not in world.aws.made


# To forget.


def test_a_forgotten_person_has_no_item_and_no_session(world: World) -> None:
    phones = [signed_in(world), of_the_other_app(world)]
    other = of_another_person(world)
    answer = person(world, "forget")
    assert (answer["forgotten"], answer["finished"], answer["ended"]) == (True, True, 2)
    assert item_of(world) is None
    assert item_of(world, OTHER_USER) is not None
    assert {phone.row()["status"] for phone in phones} == {"revoked"}
    assert other.row()["status"] == "active"
    assert person(world, "sessions")["sessions"] == []
    assert_nobody_is_named(world, answer)


def test_to_forget_somebody_twice_or_nobody_leaves_no_item(world: World) -> None:
    for _ in range(2):
        answer = person(world, "forget")
        assert (answer["forgotten"], answer["finished"]) == (True, True)
        assert item_of(world) is None


def test_who_cannot_be_signed_out_is_not_forgotten_yet(world: World) -> None:
    signed_in(world)
    with world.aws.failing("DeleteSecret"):
        assert person(world, "forget")["error"] == "temporary_failure"
    assert item_of(world) is not None
    assert person(world, "forget", within=RESERVED_SECONDS)["forgotten"] is False
    assert item_of(world) is not None
    assert person(world, "forget")["forgotten"] is True
    assert (item_of(world), world.session_secrets()) == (None, [])


def test_a_session_that_joins_just_before_the_deletion_keeps_the_item(world: World) -> None:
    signed_in(world)
    answers: list[dict[str, Any]] = []

    def sign_in() -> None:
        world.clock.time += 1
        signed_in(world)

    with world.aws.visited("DeleteItem", sign_in):
        answers.append(person(world, "forget"))
    (answer,) = answers
    assert (answer["forgotten"], answer["finished"]) == (False, False)
    # The new session is in the item, so that a sign-out finds it.
    assert person(world, "sessions")["live"] == 1
    assert person(world, "forget")["forgotten"] is True
    assert item_of(world) is None


def test_who_signs_in_after_that_is_known_as_ever(world: World) -> None:
    signed_in(world)
    person(world, "forget")
    world.clock.time += 1
    phone = signed_in(world)
    (told,) = person(world, "sessions")["sessions"]
    assert (told["session"], told["signed_in"]) == (reference(phone), True)


# A writer of the table.


def written(world: World, user: str, session_ids: list[str], name: str = f"sessions {CLIENT_ID}") -> None:
    """Put the ids of sessions into a person's item, as a writer of the table does."""
    world.dynamodb.update_item(
        TableName=TABLE,
        Key={"session_id": {"S": f"person#{subject_of(world, user)}"}},
        UpdateExpression="ADD #name :ids",
        ExpressionAttributeNames={"#name": name},
        ExpressionAttributeValues={":ids": {"SS": session_ids}},
    )


@pytest.mark.parametrize("action", ["sessions", "revoke", "forget"])
def test_a_session_of_another_person_in_the_item_is_told_and_not_ended(world: World, action: str) -> None:
    victim, own = of_another_person(world), signed_in(world)
    written(world, USER, [victim.session_id])
    answer = person(world, action)
    told = {found["session"]: found.get("status", found.get("found")) for found in answer["sessions"]}
    assert told == {reference(victim): "foreign", reference(own): "active"}
    assert victim.row()["status"] == "active"
    assert world.telemetry.counted("RowsAltered") == 1
    assert_nobody_is_named(world, answer)


def test_a_row_that_the_broker_cannot_have_written_holds_up_nothing(world: World) -> None:
    bad, good = signed_in(world), signed_in(world)
    world.dynamodb.update_item(
        TableName=TABLE,
        Key={"session_id": {"S": bad.session_id}},
        UpdateExpression="SET generation = :text",
        ExpressionAttributeValues={":text": {"S": "x"}},
    )
    told = {found["session"]: found["status"] for found in person(world, "sessions")["sessions"]}
    assert told == {reference(bad): "malformed", reference(good): "active"}
    answer = person(world, "forget")
    found = {session["session"]: session["found"] for session in answer["sessions"]}
    assert found == {reference(bad): "malformed", reference(good): "active"}
    assert (answer["ended"], answer["forgotten"]) == (1, True)
    assert good.row()["status"] == "revoked"


def test_a_cut_off_that_was_not_set_is_never_taken_for_one_that_was(world: World) -> None:
    """DynamoDB compares no text with a number, so a cut-off that somebody wrote as a text refuses the update."""
    phone = signed_in(world)
    unchanged = PersonItem({CLIENT_ID: frozenset({phone.session_id})}, {})
    with mock.patch.object(PersonItems, "sign_out", return_value=unchanged):
        answer = person(world, "revoke")
    assert answer["error"] == "temporary_failure"
    assert "(person:malformed)" in answer["message"]
    assert phone.row()["status"] == "active"


def test_the_reference_of_a_listed_session_is_the_one_of_its_log_lines(world: World) -> None:
    phone = signed_in(world)
    (told,) = person(world, "sessions")["sessions"]
    lines = [fields["session"] for _, _, fields in world.telemetry.lines if "session" in fields]
    assert told["session"] == session_reference(phone.session_id)
    assert told["session"] in lines
