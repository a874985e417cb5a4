"""The events of sessions on their way to other programs: when they go out, what they say, and whom they cost nothing.

Every event that goes out here is held against docs/events.schema.json (`tests.support.aws_calls`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

import pytest

from oauth_broker.oauth.tokens import subject_of
from oauth_broker.people.person_items import PersonItems
from oauth_broker.secret import session_reference
from tests.local.aries.tokens import USERS
from tests.support.announced import SCHEMA
from tests.support.aws_calls import FAILURES
from tests.support.deployment import APPS, CLIENT_ID, GRACE, OTHER_CLIENT_ID, SCOPE, TABLE
from tests.support.operator import (
    EVERYONE,
    assert_none_is_seen,
    operate,
    reference,
    secrets_of,
)
from tests.support.world import Answer, Phone, World, running_world

BUS = "sessions"
# With this scope Aries says whose session it is.
KNOWN = "account:information user:information"
DAY = 24 * 60 * 60


@pytest.fixture(params=["secrets", "row"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    with running_world(EVENT_BUS=BUS, TOKEN_STORE=request.param) as world:
        yield world


def told(world: World, kind: str) -> list[dict[str, Any]]:
    """Return the details of the events of one type."""
    return [event["detail"] for event in world.aws.events if event["detail-type"] == kind]


def named(phone: Phone) -> dict[str, str]:
    return {"session": session_reference(phone.session_id), "client_id": phone.client_id}


def changed(**members: Any) -> dict[str, str]:
    """Return the environment after a deployment with another registration of the app."""
    apps = deepcopy(APPS)
    apps[CLIENT_ID] |= members
    return {"APPS": json.dumps(apps)}


# The ways by which a session ends at the broker's hand, each with its reason. Each begins just after a sign-in.


def signs_out(world: World, phone: Phone) -> Answer:
    return phone.revoke()


def signs_out_with_the_previous_token(world: World, phone: Phone) -> Answer:
    first = phone.refresh_token
    world.clock.time += GRACE + 1
    assert phone.refresh().status == 200
    return phone.revoke(first)


def signs_out_with_an_old_token(world: World, phone: Phone) -> Answer:
    first = phone.refresh_token
    for _ in range(2):
        world.clock.time += GRACE + 1
        assert phone.refresh().status == 200
    return phone.revoke(first)


def uses_an_old_token(world: World, phone: Phone) -> Answer:
    first = phone.refresh_token
    for _ in range(2):
        world.clock.time += GRACE + 1
        assert phone.refresh().status == 200
    return phone.refresh(first)


def uses_an_old_token_by_the_refresh_endpoint(world: World, phone: Phone) -> Answer:
    first = phone.refresh_token
    for _ in range(2):
        world.clock.time += GRACE + 1
        assert phone.refresh().status == 200
    return phone.refresh(first, function="refresh")


def is_refused_by_aries(world: World, phone: Phone) -> Answer:
    world.clock.time += GRACE + 1
    for family in world.aries.core.families():
        world.aries.core.revoke_family(family)
    return phone.refresh()


def loses_its_scope(world: World, phone: Phone) -> Answer:
    scopes = [scope for scope in APPS[CLIENT_ID]["scopes"] if scope != SCOPE.split()[0]]
    return phone.refresh(via=world.make_handler("token", **changed(scopes=scopes)))


WAYS: list[tuple[Callable[[World, Phone], Answer], str]] = [
    (signs_out, "signed_out"),
    (signs_out_with_the_previous_token, "signed_out"),
    (signs_out_with_an_old_token, "signed_out"),
    (uses_an_old_token, "token_reused"),
    (uses_an_old_token_by_the_refresh_endpoint, "token_reused"),
    (is_refused_by_aries, "provider_refused"),
    (loses_its_scope, "scope_removed"),
]
EVERY_WAY = pytest.mark.parametrize(("end", "reason"), WAYS, ids=[end.__name__ for end, _ in WAYS])


class TestTheBeginning:
    def test_a_session_that_begins_is_announced_with_its_end(self, world: World) -> None:
        phone = world.phone()
        code = phone.code()
        began, world.clock.time = int(world.clock.time), world.clock.time + 20
        assert world.aws.events == []
        assert phone.redeem(code).status == 200
        at = int(world.clock.time)
        (event,) = told(world, "session.started")
        assert event == named(phone) | {
            "event_id": f"{session_reference(phone.session_id)}:session.started",
            "at": at,
            "began_at": began,
            "ends_at": at + 30 * DAY,
        }
        assert len(world.aws.events) == 1

    def test_the_person_is_named_if_known(self, world: World) -> None:
        one, other = (world.signed_in(scope=KNOWN) for _ in range(2))
        first, second = told(world, "session.started")
        assert first["subject"] == second["subject"] == subject_of(one.row()["subject"])
        assert first["session"] != second["session"] == session_reference(other.session_id)

    def test_the_days_of_the_app_count(self, world: World) -> None:
        phone = world.phone()
        via = world.make_handler("token", **changed(session_days=90, idle_days=7))
        assert phone.redeem(phone.code(), via=via).status == 200
        (event,) = told(world, "session.started")
        assert (event["ends_at"] - event["at"], event["idle_days"]) == (90 * DAY, 7)

    def test_a_session_without_a_refresh_ends_with_its_access_token(self, world: World) -> None:
        phone = world.phone()
        answer = phone.redeem(phone.code(), via=world.make_handler("token", **changed(refresh=False)))
        assert "refresh_token" not in answer.json
        (event,) = told(world, "session.started")
        assert event["ends_at"] - event["at"] == answer.json["expires_in"]

    def test_a_redemption_whose_write_lost_its_answer_is_announced(self, world: World) -> None:
        phone = world.phone()
        code = phone.code()
        with world.aws.answer_lost_once("UpdateItem"):
            assert phone.redeem(code).status == 200
        assert len(told(world, "session.started")) == 1

    def test_nothing_else_of_a_sign_in_or_a_session_is_announced(self, world: World) -> None:
        phone = world.signed_in()
        assert phone.refresh().status == 200
        world.clock.time += GRACE + 1
        assert phone.refresh().status == 200
        assert phone.redeem("a" * 43 + "." + "b" * 43).status == 400
        assert phone.refresh("a" * 43 + ".1." + "b" * 43).status == 400
        assert world.phone().authorize().status == 302
        assert [event["detail-type"] for event in world.aws.events] == ["session.started"]


class TestTheEnd:
    @EVERY_WAY
    @pytest.mark.parametrize("scope", [SCOPE, KNOWN])
    def test_of_a_session_is_announced_once_with_its_reason_and_its_person(
        self, world: World, end: Callable[[World, Phone], Answer], reason: str, scope: str
    ) -> None:
        phone = world.signed_in(scope=scope)
        subject = subject_of(phone.row().get("subject", ""))
        assert bool(subject) is (scope == KNOWN)
        end(world, phone)
        (event,) = told(world, "session.ended")
        assert event == named(phone) | ({"subject": subject} if subject else {}) | {
            "event_id": f"{session_reference(phone.session_id)}:session.ended",
            "at": int(world.clock.time),
            "reason": reason,
        }
        world.clock.time += 1
        phone.revoke()
        phone.refresh()
        world.clock.time += GRACE + 1
        phone.refresh()
        assert len(world.aws.events) == 2

    def test_by_two_sign_outs_in_one_second_may_be_told_twice_in_the_same_words(self, world: World) -> None:
        phone = world.signed_in()
        for _ in range(2):
            assert phone.revoke().body == "{}"
        first, *copies = told(world, "session.ended")
        assert copies == [first]

    @EVERY_WAY
    def test_has_a_reason_that_the_schema_names(
        self, world: World, end: Callable[[World, Phone], Answer], reason: str
    ) -> None:
        assert reason in SCHEMA["$defs"]["ended"]["properties"]["reason"]["examples"]

    def test_by_a_code_that_comes_again_is_announced(self, world: World) -> None:
        phone = world.phone()
        code = phone.code()
        assert phone.redeem(code).status == 200
        assert phone.redeem(code).status == 400
        assert phone.redeem(code).status == 400
        (event,) = told(world, "session.ended")
        assert event["reason"] == "code_reused"

    def test_by_the_person_on_call_is_announced(self, world: World) -> None:
        phone = world.signed_in()
        for _ in range(2):
            assert operate(world, action="revoke", session=reference(phone))["status"] == "revoked"
        (event,) = told(world, "session.ended")
        assert event == named(phone) | {
            "event_id": f"{reference(phone)}:session.ended",
            "at": int(world.clock.time),
            "reason": "operator",
        }

    def test_of_a_sign_in_that_became_no_session_is_not_announced(self, world: World) -> None:
        begun, coded = world.phone(), world.phone()
        begun.authorize()
        coded.code()
        world.clock.time += GRACE + 1
        for phone in (begun, coded):
            assert operate(world, action="revoke", session=reference(phone))["ended_now"]
        assert world.aws.events == []

    def test_whose_write_lost_its_answer_is_announced(self, world: World) -> None:
        phone, other, third = world.signed_in(), world.signed_in(), world.signed_in()
        with world.aws.answer_lost_once("UpdateItem"):
            assert phone.revoke().status == 200
        with world.aws.answer_lost_once("UpdateItem"):
            assert operate(world, action="revoke", session=reference(other))["ended_now"]
        world.clock.time += GRACE + 1
        for family in world.aries.core.families():
            world.aries.core.revoke_family(family)
        # The lease is the first update, and the end of the session is the second.
        with world.aws.answer_lost_once("UpdateItem", skip=1):
            assert third.refresh().status == 400
        assert [event["reason"] for event in told(world, "session.ended")] == [
            "signed_out",
            "operator",
            "provider_refused",
        ]

    def test_by_running_out_is_not_announced(self, world: World) -> None:
        phone = world.signed_in()
        world.clock.time += 31 * DAY
        assert phone.refresh().status == 400
        phone.revoke()
        assert [event["detail-type"] for event in world.aws.events] == ["session.started"]

    @pytest.mark.parametrize("is_deleted", [False, True])
    def test_by_running_out_just_before_the_broker_would_have_ended_it_is_not_announced(
        self, *, is_deleted: bool
    ) -> None:
        with running_world(EVENT_BUS=BUS) as world:
            phone = world.signed_in()
            first = phone.refresh_token
            for _ in range(2):
                world.clock.time += GRACE + 1
                assert phone.refresh().status == 200
            world.clock.time = int(phone.row()["expires_at"]) - 5

            def run_out() -> None:
                world.clock.time += 10
                if is_deleted:
                    world.dynamodb.delete_item(TableName=TABLE, Key={"session_id": {"S": phone.session_id}})

            with world.aws.visited("GetSecretValue", run_out):
                assert phone.refresh(first).json["error"] == "invalid_grant"
            assert ("SessionsEnded", {"reason": "token_reused"}) in world.telemetry.metrics
            assert told(world, "session.ended") == []

    def test_is_announced_in_the_name_of_its_own_app_alone(self, world: World) -> None:
        phone = world.signed_in()
        for client_id in (CLIENT_ID, OTHER_CLIENT_ID):
            assert phone.revoke(client_id=client_id).body == "{}"
        assert [event["client_id"] for event in told(world, "session.ended")] == [CLIENT_ID]

    def test_that_somebody_asks_for_with_a_forged_token_is_not_announced(self, world: World) -> None:
        phone = world.signed_in()
        forged = f"{phone.session_id}.1.{'A' * 43}"
        assert phone.revoke(forged).status == 200
        assert phone.refresh(forged).status == 400
        assert phone.revoke().status == 200
        world.clock.time += 2
        for client_id in (CLIENT_ID, OTHER_CLIENT_ID):
            assert phone.revoke(forged, client_id=client_id).status == 200
        assert len(told(world, "session.ended")) == 1

    def test_is_announced_although_the_secret_could_not_be_deleted(self) -> None:
        with running_world(EVENT_BUS=BUS) as world:
            phone = world.signed_in()
            with world.aws.failing("DeleteSecret", "server_error"):
                assert phone.revoke().status == 503
            assert len(told(world, "session.ended")) == 1
            other = world.signed_in()
            with world.aws.failing("DeleteSecret", "server_error"):
                assert operate(world, action="revoke", session=reference(other))["error"]
            assert len(told(world, "session.ended")) == 2


class TestAMassSignOut:
    def test_of_an_app_is_one_event_once_it_is_in_effect(self, world: World) -> None:
        for _ in range(3):
            world.signed_in()
        world.clock.time += 1
        world.aws.events.clear()
        seen: list[float] = []
        with world.aws.visited("PutEvents", lambda: seen.append(world.clock.time)):
            answer = operate(world, action="revoke_all", client_id=CLIENT_ID)
        assert answer["finished"]
        assert answer["ended"] == 3
        ((event,),) = [world.aws.events]
        at = event["detail"]["at"]
        assert event["detail"] == {
            "event_id": f"{CLIENT_ID}@{at}:sessions.revoked_all",
            "client_id": CLIENT_ID,
            "at": at,
        }
        assert seen == [at + 15]
        again = operate(world, action="revoke_all", client_id=CLIENT_ID, **{"continue": True})
        assert again["finished"]
        assert len(world.aws.events) == 1

    def test_of_everybody_names_no_app(self, world: World) -> None:
        world.signed_in()
        world.clock.time += 1
        assert operate(world, **EVERYONE)["finished"]
        (event,) = told(world, "sessions.revoked_all")
        assert event.keys() == {"event_id", "at"}
        assert told(world, "session.ended") == []

    def test_a_session_of_before_can_tell_by_its_beginning_that_it_is_meant(self, world: World) -> None:
        world.signed_in()
        world.clock.time += 1
        operate(world, **EVERYONE)
        world.clock.time += 1
        world.signed_in()
        before, after = (event["began_at"] for event in told(world, "session.started"))
        (event,) = told(world, "sessions.revoked_all")
        assert before <= event["at"] < after

    def test_is_announced_by_the_next_invocation_if_the_first_one_had_no_time_for_it(self, world: World) -> None:
        world.signed_in()
        world.clock.time += 1
        operate(world, **EVERYONE, within=25)
        assert told(world, "sessions.revoked_all") == []
        world.clock.time += 20
        operate(world, **EVERYONE, **{"continue": True})
        assert len(told(world, "sessions.revoked_all")) == 1

    def test_is_not_announced_by_a_look_at_it(self, world: World) -> None:
        world.clock.time += 1
        operate(world, **EVERYONE, within=25)
        operate(world, **EVERYONE, status=True)
        assert world.aws.events == []


class TestAFailingBus:
    @pytest.mark.parametrize("kind", FAILURES)
    def test_changes_no_answer(self, world: World, kind: str) -> None:
        with world.aws.failing("PutEvents", kind):
            phone = world.phone()
            answer = phone.redeem(phone.code())
            assert answer.status == 200
            assert phone.refresh().json["refresh_token"] == answer.json["refresh_token"]
            assert phone.revoke().body == "{}"
            reused = world.signed_in()
            first = reused.refresh_token
            for _ in range(2):
                world.clock.time += GRACE + 1
                assert reused.refresh().status == 200
            assert reused.refresh(first).failure == reused.refresh().failure
            last = world.signed_in()
            done = operate(world, action="revoke", session=reference(last))
            assert done["ended_now"]
        assert world.telemetry.counted("EventsNotSent") == 6
        assert world.telemetry.counted("EventsSent") == 0
        assert world.aws.made.count("eventbridge:PutEvents") == 6
        logged = [fields for _, event, fields in world.telemetry.lines if event == "event_not_sent"]
        assert len(logged) == 6
        assert all(fields["reason"].startswith("events:") for fields in logged)

    @EVERY_WAY
    def test_changes_no_end(self, world: World, end: Callable[[World, Phone], Answer], reason: str) -> None:
        phone = world.signed_in()
        with world.aws.failing("PutEvents", "timed_out"):
            answer = end(world, phone)
        assert answer.status in (200, 400)
        assert phone.row()["status"] in ("revoked", "dead")
        assert ("EventsNotSent", {"reason": "events"}) in world.telemetry.metrics

    def test_does_not_stop_a_mass_sign_out(self, world: World) -> None:
        phone = world.signed_in()
        world.clock.time += 1
        with world.aws.failing("PutEvents", "server_error"):
            assert operate(world, **EVERYONE)["finished"]
        assert phone.row()["status"] == "revoked"

    def test_that_does_not_exist_is_noted(self) -> None:
        with running_world(EVENT_BUS=BUS) as world:
            phone = world.phone()
            code = phone.code()
            via = world.make_handler("token", EVENT_BUS="another")
            with world.aws.failing("PutEvents", "not_found"):
                assert phone.redeem(code, via=via).status == 200
            (line,) = [fields for _, event, fields in world.telemetry.lines if event == "event_not_sent"]
            assert line["reason"] == "events:ResourceNotFoundException"
            assert line["session"] == reference(phone)

    def test_that_takes_no_more_within_the_last_second_of_a_function_is_not_asked(self, world: World) -> None:
        phone = world.phone()
        code = phone.code()

        def spend() -> None:
            world.clock.time += 28.5

        with world.aws.visited("UpdateItem", spend):
            assert phone.redeem(code).status == 200
        assert world.aws.events == []
        assert ("EventsNotSent", {"reason": "too_little_time"}) in world.telemetry.metrics


def test_the_end_of_a_session_that_the_person_signed_out_before_it_was_known_is_announced(world: World) -> None:
    silent = world.make_handler("token", ARIES_USER_URL=world.aries.url + "/nothing-here")
    known, phone = world.signed_in(scope=KNOWN), world.phone(scope=KNOWN)
    assert phone.redeem(phone.code(), via=silent).status == 200
    subject = subject_of(known.row()["subject"])
    PersonItems(world.dynamodb, TABLE, world.clock).sign_out(subject, CLIENT_ID, int(world.clock.time))
    world.clock.time += GRACE + 1
    assert phone.refresh().status == 400
    (event,) = told(world, "session.signed_out_by_another")
    assert event == named(phone) | {
        "event_id": f"{session_reference(phone.session_id)}:session.signed_out_by_another",
        "at": int(world.clock.time),
        "subject": subject,
    }
    assert told(world, "session.ended") == []


def test_no_event_shows_a_secret_an_address_or_who_the_person_is(world: World) -> None:
    phones = []
    for end, _ in WAYS:
        phone = world.signed_in(scope=KNOWN)
        secrets = secrets_of(world, [phone])
        end(world, phone)
        assert_none_is_seen(world, secrets | secrets_of(world, [phone]), world.aws.events)
        phones.append(phone)
    seen = json.dumps(world.aws.events)
    for phone in phones:
        assert phone.session_id not in seen
        assert phone.source not in seen
    assert not any(part in seen for user in USERS for part in (user.id, user.name, user.email))


def test_without_a_bus_no_event_goes_out_whatever_happens() -> None:
    with running_world() as world:
        for end, _ in WAYS:
            end(world, world.signed_in())
        world.clock.time += 1
        operate(world, **EVERYONE)
        assert not [call for call in world.aws.made if call.startswith("eventbridge:")]
        assert world.telemetry.counted("EventsSent") == world.telemetry.counted("EventsNotSent") == 0
