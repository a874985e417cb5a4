"""Whose session it is: learned at the redemption or later, bound to the session, and kept in the person's item."""

from __future__ import annotations

import hmac
import json
from typing import Any

import pytest

from oauth_broker.oauth.tokens import is_subject_proven, signed_subject, subject_of
from oauth_broker.operations.exchange import CODE_SECONDS
from oauth_broker.people.person_items import MOST_SESSIONS, SIGNED_OUT_BY_ANOTHER, PersonItems
from oauth_broker.people.subjects import proven_subject
from oauth_broker.runtime.invocation import Invocation
from oauth_broker.secret import Secret, base64url
from oauth_broker.sessions.row import from_item
from tests.local.aries.tokens import USERS
from tests.support.deployment import CLIENT_ID, GRACE, OTHER_CLIENT_ID, SCOPE, SUBJECT_KEY, TABLE
from tests.support.lambda_context import Context
from tests.support.row_writer import RowWriter
from tests.support.world import World, assert_unavailable

USER_SCOPE = "account:information user:information"
DAY = 24 * 60 * 60


def expected_subject(world: World, user_id: str = USERS[0].id) -> str:
    said = f"{world.aries.profile_url}\0{user_id}".encode()
    return "k1." + base64url(hmac.digest(SUBJECT_KEY.encode(), said, "sha256"))


def items_of(world: World) -> PersonItems:
    return PersonItems(world.dynamodb, TABLE, world.clock)


def sessions_of(world: World, subject: str, client_id: str = CLIENT_ID) -> frozenset[str]:
    return items_of(world).find(subject).sessions_of(client_id)


def questions(world: World) -> int:
    """Count the questions to Aries whose access token it is."""
    return len([request for request in world.aries.requests if request.endpoint == "users/me"])


def test_a_session_says_whose_it_is_and_the_persons_item_lists_it(world: World) -> None:
    phone = world.signed_in(scope=USER_SCOPE)
    subject = expected_subject(world)
    assert subject_of(phone.row()["subject"]) == subject
    assert is_subject_proven(phone.row()["subject"], phone.session_id, world.tokens(phone.session_id).session_key)
    assert sessions_of(world, subject) == {phone.session_id}
    assert questions(world) == 1


def test_two_sessions_of_one_person_have_one_subject_and_another_person_has_another(world: World) -> None:
    one, two = (world.signed_in(scope=USER_SCOPE) for _ in range(2))
    assert subject_of(one.row()["subject"]) == subject_of(two.row()["subject"])
    # Each proof is its session's own.
    assert one.row()["subject"] != two.row()["subject"]
    other = world.phone(scope=USER_SCOPE)
    core = world.aries.core
    authorized = core.authorize(other.authorize().location.partition("?")[2])
    code = core.approve(authorized, USERS[1])
    answer = other.callback(f"code={code}&state={other.aries_state}")
    assert other.redeem(answer.query["code"]).status == 200
    assert subject_of(other.row()["subject"]) == expected_subject(world, USERS[1].id)
    assert sessions_of(world, expected_subject(world)) == {one.session_id, two.session_id}


def test_without_the_scope_nobody_is_asked(world: World) -> None:
    phone = world.signed_in(scope=SCOPE)
    assert "subject" not in phone.row()
    assert questions(world) == 0
    world.clock.time += 2 * DAY
    assert phone.refresh().status == 200
    assert questions(world) == 0


def test_without_the_url_nobody_is_asked(world: World) -> None:
    world.environment["ARIES_USER_URL"] = ""
    phone = world.signed_in(scope=USER_SCOPE)
    world.clock.time += GRACE + 1
    assert phone.refresh().status == 200
    assert "subject" not in phone.row()
    assert "subject_tried_at" not in phone.row()
    assert questions(world) == 0


@pytest.mark.parametrize("store", ["secrets", "row"])
def test_where_aries_does_not_say_it_the_sign_in_succeeds_and_a_refresh_asks_once_a_day(
    world: World, store: str
) -> None:
    world.environment["TOKEN_STORE"] = store
    silent = world.make_handler("token", ARIES_USER_URL=world.aries.url + "/nothing-here")
    phone = world.phone(scope=USER_SCOPE)
    assert phone.redeem(phone.code(), via=silent).status == 200
    assert "subject" not in phone.row()
    assert ("SubjectsNotFound", {"reason": "status_404"}) in world.telemetry.metrics
    world.clock.time += GRACE + 1
    assert phone.refresh(via=silent).status == 200
    assert int(phone.row()["subject_tried_at"]) == int(world.clock.time)
    up = world.make_handler("token")
    world.clock.time += GRACE + 1
    assert phone.refresh(via=up).status == 200
    assert questions(world) == 0
    world.clock.time += DAY
    assert phone.refresh(function="refresh").status == 200
    assert questions(world) == 1
    assert subject_of(phone.row()["subject"]) == expected_subject(world)
    assert sessions_of(world, expected_subject(world)) == {phone.session_id}
    # A subject never changes, and nobody asks again.
    world.clock.time += 2 * DAY
    assert phone.refresh(via=up).status == 200
    assert questions(world) == 1


def test_a_sign_in_that_the_person_signed_out_meanwhile_redeems_nothing(world: World) -> None:
    first = world.signed_in(scope=USER_SCOPE)
    subject = expected_subject(world)
    under_way = world.phone(scope=USER_SCOPE)
    code = under_way.code()
    items_of(world).sign_out(subject, CLIENT_ID, int(world.clock.time))
    answer = under_way.redeem(code)
    assert (answer.status, answer.json["error"]) == (400, "invalid_grant")
    assert under_way.row()["status"] == "issued"
    assert ("refused", SIGNED_OUT_BY_ANOTHER) in reasons(world)
    # The session that asked lives on, and so does the next sign-in.
    world.clock.time += GRACE + 1
    assert first.refresh().status == 200
    assert world.signed_in(scope=USER_SCOPE).row()["status"] == "active"
    # Another app of the person is another matter.
    assert not items_of(world).find(subject).is_cut_off(OTHER_CLIENT_ID, 0)


def reasons(world: World) -> list[tuple[str, Any]]:
    return [(event, fields.get("reason")) for _, event, fields in world.telemetry.lines]


@pytest.mark.parametrize("store", ["secrets", "row"])
def test_a_session_that_was_not_known_as_the_persons_at_their_sign_out_ends_when_it_is(
    world: World, store: str
) -> None:
    world.environment["TOKEN_STORE"] = store
    silent = world.make_handler("token", ARIES_USER_URL=world.aries.url + "/nothing-here")
    phone = world.phone(scope=USER_SCOPE)
    assert phone.redeem(phone.code(), via=silent).status == 200
    items_of(world).sign_out(expected_subject(world), CLIENT_ID, int(world.clock.time))
    world.clock.time += GRACE + 1
    answer = phone.refresh()
    assert (answer.status, answer.json["error"]) == (400, "invalid_grant")
    assert phone.row()["status"] == "revoked"
    assert phone.row()["timeline"][-1]["S"].endswith(SIGNED_OUT_BY_ANOTHER)
    assert world.session_secrets() == []


def test_a_key_that_cannot_be_read_puts_the_redemption_off(world: World) -> None:
    phone = world.phone(scope=USER_SCOPE)
    code = phone.code()
    key = world.environment["SUBJECT_KEY_ARN"]
    hidden = world.make_handler("token", SUBJECT_KEY_ARN=key + "-of-another")
    assert_unavailable(phone.redeem(code, via=hidden))
    assert phone.row()["status"] == "issued"
    # The same code is good a moment later.
    assert phone.redeem(code).status == 200
    assert sessions_of(world, expected_subject(world)) == {phone.session_id}


def test_a_key_that_cannot_be_read_never_fails_a_refresh(world: World) -> None:
    silent = world.make_handler("token", ARIES_USER_URL=world.aries.url + "/nothing-here")
    phone = world.phone(scope=USER_SCOPE)
    assert phone.redeem(phone.code(), via=silent).status == 200
    world.clock.time += GRACE + 1
    hidden = world.make_handler("token", SUBJECT_KEY_ARN=world.environment["SUBJECT_KEY_ARN"] + "-of-another")
    assert phone.refresh(via=hidden).status == 200
    # The next refresh tries again, because this one learned nothing about the person.
    assert "subject_tried_at" not in phone.row()
    world.clock.time += GRACE + 1
    assert phone.refresh().status == 200
    assert subject_of(phone.row()["subject"]) == expected_subject(world)


def test_a_pause_of_the_questions_uses_up_no_try(world: World) -> None:
    silent = world.make_handler("token", ARIES_USER_URL=world.aries.url + "/nothing-here")
    phones = [world.phone(scope=USER_SCOPE) for _ in range(3)]
    for phone in phones:
        assert phone.redeem(phone.code(), via=silent).status == 200
    world.clock.time += 20
    paused = world.signed_in(scope=SCOPE)
    assert phones[0].refresh(via=silent).status == 200
    world.clock.time += 9
    later = world.phone(scope=USER_SCOPE)
    assert later.redeem(later.code(), via=silent).status == 200
    assert ("SubjectsNotFound", {"reason": "paused"}) in world.telemetry.metrics
    assert "subject" not in paused.row()
    assert "subject_tried_at" not in later.row()


def test_a_later_subject_takes_the_place_of_the_try(world: World) -> None:
    silent = world.make_handler("token", ARIES_USER_URL=world.aries.url + "/nothing-here")
    phone = world.phone(scope=USER_SCOPE)
    assert phone.redeem(phone.code(), via=silent).status == 200
    world.clock.time += GRACE + 1
    assert phone.refresh(via=silent).status == 200
    assert "subject_tried_at" in phone.row()
    world.clock.time += DAY
    assert phone.refresh().status == 200
    assert "subject" in phone.row()
    assert "subject_tried_at" not in phone.row()


def test_a_short_key_is_no_key(world: World) -> None:
    world.secretsmanager.put_secret_value(SecretId=world.environment["SUBJECT_KEY_ARN"], SecretString="k" * 31)
    phone = world.phone(scope=USER_SCOPE)
    assert_unavailable(phone.redeem(phone.code()))


class TestTheItem:
    def test_a_cut_off_never_moves_back(self, world: World) -> None:
        items, now = items_of(world), int(world.clock.time)
        items.join("k1.s", CLIENT_ID, "a")
        assert items.sign_out("k1.s", CLIENT_ID, now).not_before == {CLIENT_ID: now}
        # An earlier one lands once more.
        found = items.sign_out("k1.s", CLIENT_ID, now - 5)
        assert found.not_before == {CLIENT_ID: now}
        assert found.sessions_of(CLIENT_ID) == {"a"}

    def test_a_cut_off_far_ahead_counts_as_none_and_is_replaced(self, world: World) -> None:
        items, now = items_of(world), int(world.clock.time)
        items.sign_out("k1.s", CLIENT_ID, now)
        update(world, "k1.s", f"not_before {CLIENT_ID}", {"N": str(now + DAY)})
        assert items.find("k1.s").not_before == {}
        assert items.sign_out("k1.s", CLIENT_ID, now).not_before == {CLIENT_ID: now}

    def test_it_lists_by_app_and_lives_for_a_year_after_the_last_sign_in(self, world: World) -> None:
        items = items_of(world)
        items.join("k1.s", CLIENT_ID, "a")
        world.clock.time += DAY
        items.join("k1.s", CLIENT_ID, "b")
        found = items.join("k1.s", OTHER_CLIENT_ID, "c")
        assert found.sessions == {CLIENT_ID: {"a", "b"}, OTHER_CLIENT_ID: {"c"}}
        assert world.row("person#k1.s")["expires_at"] == str(int(world.clock.time) + 366 * DAY)  # type: ignore[index]

    def test_who_is_over_leaves_and_an_absent_item_stays_absent(self, world: World) -> None:
        items = items_of(world)
        items.leave("k1.s", CLIENT_ID, ["a"])
        assert world.row("person#k1.s") is None
        for session_id in ("a", "b"):
            items.join("k1.s", CLIENT_ID, session_id)
        items.leave("k1.s", CLIENT_ID, ["a", "never-there"])
        assert items.find("k1.s").sessions_of(CLIENT_ID) == {"b"}
        assert items.forget("k1.s", items.find("k1.s"))
        assert world.row("person#k1.s") is None
        assert items.find("k1.s").sessions == {}

    def test_what_the_broker_cannot_have_written_is_left_out(self, world: World) -> None:
        items = items_of(world)
        update(world, "k1.s", f"sessions {CLIENT_ID}", {"S": "no set"})
        update(world, "k1.s", f"not_before {CLIENT_ID}", {"S": "no number"})
        assert items.find("k1.s").sessions == {}
        assert items.find("k1.s").not_before == {}
        assert items.join("k1.s", CLIENT_ID, "a").sessions == {}
        assert items.sign_out("k1.s", CLIENT_ID, 5).not_before == {CLIENT_ID: 5}

    @pytest.mark.parametrize("joins", [{"S": "x"}, {"N": "1e125"}, {"SS": ["x"]}, {"NULL": True}], ids=str)
    def test_a_count_to_which_nothing_can_be_added_holds_up_nobody(self, world: World, joins: dict[str, Any]) -> None:
        """The session is not in the item then. Otherwise a writer of items could keep a person from signing in."""
        items = items_of(world)
        items.join("k1.s", CLIENT_ID, "a")
        update(world, "k1.s", "joins", joins)
        assert items.join("k1.s", CLIENT_ID, "b").sessions_of(CLIENT_ID) == {"a"}
        assert items.sign_out("k1.s", CLIENT_ID, int(world.clock.time)).sessions_of(CLIENT_ID) == {"a"}
        assert items.forget("k1.s", items.find("k1.s"))

    @pytest.mark.parametrize("joins", ["1.5", "-3", "1e30"])
    def test_a_strange_count_is_compared_as_it_is(self, world: World, joins: str) -> None:
        items = items_of(world)
        items.join("k1.s", CLIENT_ID, "a")
        seen = items.find("k1.s")
        update(world, "k1.s", "joins", {"N": joins})
        assert not items.forget("k1.s", seen)
        assert items.forget("k1.s", items.find("k1.s"))

    def test_ids_that_are_no_key_of_a_row_are_left_out(self, world: World) -> None:
        items = items_of(world)
        update(world, "k1.s", f"sessions {CLIENT_ID}", {"SS": ["", "a", "x" * 44, "x" * 3000]})
        assert items.find("k1.s").sessions_of(CLIENT_ID) == {"a"}


def update(world: World, subject: str, name: str, value: dict[str, Any]) -> None:
    world.dynamodb.update_item(
        TableName=TABLE,
        Key={"session_id": {"S": f"person#{subject}"}},
        UpdateExpression="SET #name = :value",
        ExpressionAttributeNames={"#name": name},
        ExpressionAttributeValues={":value": value},
    )


@pytest.mark.parametrize("told", [True, False])
def test_a_subject_that_somebody_wrote_counts_as_none(world: World, told: bool) -> None:
    victim, attacker = world.signed_in(scope=USER_SCOPE), world.signed_in(scope=USER_SCOPE)
    key = Secret("the attacker's own" if told else world.tokens(attacker.session_id).session_key.reveal())
    theirs = signed_subject("k1." + 43 * "A", victim.session_id, key)
    RowWriter(world, ("UpdateItem",)).update(victim.session_id, {"subject": {"S": theirs}})
    stored = from_item(world.dynamodb.get_item(TableName=TABLE, Key={"session_id": {"S": victim.session_id}})["Item"])
    invocation = Invocation(Context(now=world.clock.now), world.telemetry)
    assert proven_subject(stored, world.tokens(victim.session_id), invocation) == ""
    assert ("RowsAltered", {}) in world.telemetry.metrics


def test_a_subject_that_somebody_wrote_is_replaced_by_the_persons_at_the_next_refresh(world: World) -> None:
    phone = world.signed_in(scope=USER_SCOPE)
    own = phone.row()["subject"]
    RowWriter(world, ("UpdateItem",)).update(phone.session_id, {"subject": {"S": f"k1.{43 * 'A'}.{22 * 'A'}"}})
    world.clock.time += GRACE + 1
    assert phone.refresh().status == 200
    assert world.telemetry.counted("RowsAltered") == 1
    assert phone.row()["subject"] == own
    world.clock.time += GRACE + 1
    assert phone.refresh().status == 200
    assert world.telemetry.counted("RowsAltered") == 1


def test_a_session_that_a_full_item_cannot_take_is_signed_in_and_makes_room_for_the_next(world: World) -> None:
    first = world.signed_in(scope=USER_SCOPE)
    subject = subject_of(first.row()["subject"])
    many = [f"{number:043}" for number in range(MOST_SESSIONS)]
    update(world, subject, f"sessions {CLIENT_ID}", {"SS": many})
    world.telemetry.metrics.clear()
    phone = world.signed_in(scope=USER_SCOPE)
    assert ("SubjectsNotFound", {"reason": "item_full"}) in world.telemetry.metrics
    assert "subject" not in phone.row()
    # No session of these has a row, and the sign-in has taken them out.
    assert items_of(world).find(subject).sessions_of(CLIENT_ID) == frozenset()
    world.clock.time += GRACE + 1
    assert phone.refresh().status == 200
    assert items_of(world).find(subject).sessions_of(CLIENT_ID) == {phone.session_id}


def test_a_code_that_came_in_time_is_redeemed_although_aries_takes_seconds_to_say_who_it_is(world: World) -> None:
    phone = world.phone(scope=USER_SCOPE)
    code = phone.callback(phone.approve(phone.authorize())).query["code"]
    world.clock.time += CODE_SECONDS - 1

    def slowly() -> None:
        world.clock.time += 2

    # The person's item is written after Aries' answer and before the row.
    with world.aws.visited("UpdateItem", slowly):
        assert phone.redeem(code).status == 200


def test_a_full_item_still_refuses_who_was_signed_out(world: World) -> None:
    first = world.signed_in(scope=USER_SCOPE)
    subject = subject_of(first.row()["subject"])
    update(world, subject, f"sessions {CLIENT_ID}", {"SS": [f"{number:043}" for number in range(MOST_SESSIONS)]})
    phone = world.phone(scope=USER_SCOPE)
    code = phone.callback(phone.approve(phone.authorize())).query["code"]
    items_of(world).sign_out(subject, CLIENT_ID, int(world.clock.time))
    assert phone.redeem(code).failure["error"] == "invalid_grant"


def test_a_session_that_a_written_item_cannot_take_is_signed_in_and_counted(world: World) -> None:
    first = world.signed_in(scope=USER_SCOPE)
    for name, value in (("joins", {"S": "no number"}), (f"sessions {CLIENT_ID}", {"S": "no set"})):
        world.telemetry.metrics.clear()
        update(world, subject_of(first.row()["subject"]), name, value)
        phone = world.signed_in(scope=USER_SCOPE)
        assert world.telemetry.counted("RowsAltered") == 1
        assert phone.refresh().status == 200


def test_the_id_at_aries_is_nowhere(world: World) -> None:
    phone = world.signed_in(scope=USER_SCOPE)
    world.clock.time += GRACE + 1
    assert phone.refresh().status == 200
    assert USERS[0].id not in json.dumps(world.rows(), default=str)
    assert USERS[0].id not in json.dumps(world.telemetry.lines, default=str)


def test_a_row_of_a_redeemed_sign_in_has_nothing_of_the_redirect_any_more_and_a_reload_shows_a_page(
    world: World,
) -> None:
    phone = world.phone(scope=USER_SCOPE)
    query = phone.approve(phone.authorize())
    code = phone.callback(query).query["code"]
    assert {"app_state", "request_mac"} <= phone.row().keys()
    assert phone.redeem(code).status == 200
    assert not {"app_state", "request_mac"} & phone.row().keys()
    answer = phone.callback(query)
    assert (answer.status, world.telemetry.counted("RowsAltered")) == (200, 0)
    assert ("page_shown", "reloaded_active") in reasons(world)
