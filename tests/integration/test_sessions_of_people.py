"""A person's sessions: listed in one of them, and ended from it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from oauth_broker.people.other_sessions import SIGN_IN_AGAIN_SECONDS
from oauth_broker.secret import digest, session_reference
from tests.local.aries.tokens import USERS
from tests.support.deployment import APPS, CLIENT_ID, GRACE, OTHER_CLIENT_ID, TABLE
from tests.support.operator import operate
from tests.support.people import (
    END_PATH,
    LIST_PATH,
    PERSON_SCOPE,
    code_of,
    device,
    ended,
    listed,
    person_item,
    reference,
    references,
)
from tests.support.world import Phone, World, assert_unavailable, running_world

OTHER_APP: dict[str, Any] = {"client_id": OTHER_CLIENT_ID, "redirect_uri": "https://web.example.com/callback"}


def apps(**sessions: str) -> str:
    """Return two apps that both may ask who the person is, with these values of their member sessions."""
    registered = {
        "ios": (CLIENT_ID, APPS[CLIENT_ID]),
        "web": (OTHER_CLIENT_ID, APPS[OTHER_CLIENT_ID] | {"scopes": PERSON_SCOPE.split()}),
    }
    return json.dumps(
        {
            client_id: app | ({"sessions": sessions[name]} if name in sessions else {})
            for name, (client_id, app) in registered.items()
        }
    )


@pytest.fixture
def two_apps() -> Iterator[World]:
    """A broker with two apps, of which the first shows a person the sessions of all apps."""
    with running_world(APPS=apps(ios="person")) as running:
        yield running


def is_signed_in(phone: Phone) -> bool:
    row = phone.world.row(phone.session_id)
    return row is not None and row["status"] == "active"


def later(world: World, seconds: float = 61) -> None:
    """Let the limit of one request a minute pass."""
    world.clock.time += seconds


class TestTheList:
    def test_has_the_persons_sessions_with_their_times_the_current_one_first_and_then_the_last_used(
        self, world: World
    ) -> None:
        first = device(world)
        world.clock.time += 10
        second = device(world)
        world.clock.time += GRACE + 1
        third = device(world)
        assert first.refresh().status == 200
        began = [int(phone.row()["created_at"]) for phone in (first, second, third)]
        used = [int(float(phone.row()["rotated_at"])) for phone in (first, second, third)]
        answer = listed(third)
        assert answer.json["complete"] is True
        assert answer.json["sessions"] == [
            {
                "session": reference(phone),
                "client_id": CLIENT_ID,
                "created_at": began[number],
                "last_used_at": used[number],
                "current": phone is third,
            }
            for number, phone in ((2, third), (0, first), (1, second))
        ]

    def test_has_nothing_of_anybody_elses(self, world: World) -> None:
        mine, other = device(world), device(world, USERS[1])
        assert references(listed(mine)) == [reference(mine)]
        assert references(listed(other)) == [reference(other)]

    def test_is_not_complete_if_nobody_knows_whose_session_it_is(self, world: World) -> None:
        unknown = world.signed_in()
        device(world)
        answer = listed(unknown)
        assert references(answer) == [reference(unknown)]
        assert answer.json["complete"] is False

    def test_leaves_out_sessions_that_are_over_in_any_way(self, world: World) -> None:
        gone, signed_out, cut_off, mine = (device(world) for _ in range(4))
        world.dynamodb.delete_item(TableName=TABLE, Key={"session_id": {"S": gone.session_id}})
        assert signed_out.revoke().status == 200
        set_number(world, cut_off.session_id, "expires_at", world.clock.now())
        assert references(listed(mine)) == [reference(mine)]

    def test_leaves_out_idle_sessions_by_the_registration_of_today(self) -> None:
        with running_world() as world:
            idle = device(world)
            world.clock.time += 2 * 24 * 3600
            mine = device(world)
            assert references(listed(mine)) == [reference(mine), reference(idle)]
            registered = {**APPS, CLIENT_ID: APPS[CLIENT_ID] | {"idle_days": 1}}
            world.environment["APPS"] = json.dumps(registered)
            world._handlers.clear()
            assert references(listed(mine)) == [reference(mine)]

    def test_leaves_out_sessions_before_a_mass_sign_out_whose_sweep_has_not_come_to_them(self, world: World) -> None:
        old = device(world)
        world.clock.time += 60
        with world.aws.failing("Scan"):
            operate(world, action="revoke_all", client_id=CLIENT_ID)
        world.clock.time += 60
        mine = device(world)
        assert is_signed_in(old)
        assert references(listed(mine)) == [reference(mine)]

    def test_leaves_out_a_row_of_another_app_or_person_than_the_item_says(self, world: World) -> None:
        mine, renamed, foreign = device(world), device(world), device(world)
        set_text(world, renamed.session_id, "client_id", OTHER_CLIENT_ID)
        set_text(world, foreign.session_id, "subject", device(world, USERS[1]).row()["subject"])
        assert references(listed(mine)) == [reference(mine)]

    def test_is_not_complete_beside_a_row_that_the_broker_cannot_have_written(self, world: World) -> None:
        mine, broken = device(world), device(world)
        set_text(world, broken.session_id, "rotated_at", "never")
        answer = listed(mine)
        assert references(answer) == [reference(mine)]
        assert answer.json["complete"] is False

    def test_shows_one_app_its_own_sessions_and_another_those_of_all_apps(self, two_apps: World) -> None:
        ios, web = device(two_apps), device(two_apps, **OTHER_APP)
        assert references(listed(ios)) == [reference(ios), reference(web)]
        assert references(listed(web)) == [reference(web)]

    def test_is_read_in_batches_and_keys_that_were_left_out_are_asked_for_again(self, world: World) -> None:
        mine = device(world)
        item = world.dynamodb.get_item(TableName=TABLE, Key={"session_id": {"S": mine.session_id}})["Item"]
        names = [f"{number:03}".rjust(43, "x") for number in range(130)]
        for name in names:
            world.dynamodb.put_item(TableName=TABLE, Item=item | {"session_id": {"S": name}, "subject": {"S": ""}})
        key = {"session_id": {"S": "person#" + mine.row()["subject"].rpartition(".")[0]}}
        add = {":ids": {"SS": names}}
        world.dynamodb.update_item(
            TableName=TABLE,
            Key=key,
            UpdateExpression="ADD #sessions :ids",
            ExpressionAttributeNames={"#sessions": f"sessions {CLIENT_ID}"},
            ExpressionAttributeValues=add,
        )
        world.aws.made.clear()
        assert set(references(listed(mine))) == {reference(mine), *map(session_reference, names)}
        assert world.aws.made.count("dynamodb:BatchGetItem") == 2

    def test_is_read_ten_times_a_minute_by_one_person_from_whatever_session(self, world: World) -> None:
        mine, another, other = device(world), device(world), device(world, USERS[1])
        assert [listed(phone).status for phone in 5 * (mine, another)] == 10 * [200]
        refused = listed(mine)
        assert refused.status == 429
        assert refused.headers["retry-after"] == "6"
        assert refused.sentence == "Too many requests of one person, nothing is lost: send it again later"
        assert listed(other).status == 200
        later(world, 7)
        assert listed(another).status == 200


class TestTheToken:
    """The proof of a right: as a refresh judges it, but without a lease and without a change."""

    def test_may_be_the_previous_one_within_the_grace_and_changes_nothing(self, world: World) -> None:
        phone = device(world)
        world.clock.time += GRACE + 1
        first = phone.refresh_token
        assert phone.refresh().status == 200
        row = phone.row()
        assert listed(phone, token=first).status == 200
        assert listed(phone).status == 200
        assert phone.row() == row

    def test_is_refused_if_it_is_the_previous_one_after_the_grace_and_its_session_lives(self, world: World) -> None:
        phone = device(world)
        world.clock.time += GRACE + 1
        first = phone.refresh_token
        assert phone.refresh().status == 200
        world.clock.time += GRACE + 1
        for answer in (listed(phone, token=first), ended(phone, token=first, others="true")):
            assert (answer.status, answer.failure["error"]) == (400, "invalid_grant")
        assert is_signed_in(phone)
        # It may be a late retry of the app, so a refresh serves it.
        assert phone.refresh(first).status == 200

    @pytest.mark.parametrize("ask", [listed, lambda phone, **fields: ended(phone, others="true", **fields)])
    def test_that_was_superseded_ends_the_session_as_in_a_refresh(self, world: World, ask: Any) -> None:
        phone = device(world)
        first = phone.refresh_token
        for _ in range(2):
            world.clock.time += GRACE + 1
            assert phone.refresh().status == 200
        assert ask(phone, token=first).failure["error"] == "invalid_grant"
        assert phone.row()["status"] == "dead"
        assert world.telemetry.counted("ReuseDetected") == 1
        assert ("SessionsEnded", {"reason": "token_reused"}) in world.telemetry.metrics

    def test_that_was_superseded_within_the_setting_revoke_ends_the_session_too(self) -> None:
        with running_world(LATE_RETRY="revoke") as world:
            phone = device(world)
            first = phone.refresh_token
            world.clock.time += GRACE + 1
            assert phone.refresh().status == 200
            world.clock.time += GRACE + 1
            assert listed(phone, token=first).failure["error"] == "invalid_grant"
            assert phone.row()["status"] == "dead"

    @pytest.mark.parametrize("ask", [listed, lambda phone, **fields: ended(phone, others="true", **fields)])
    def test_that_is_forged_malformed_foreign_or_over_is_refused_alike_and_changes_nothing(
        self, world: World, ask: Any
    ) -> None:
        phone, over = device(world), device(world)
        assert over.revoke().status == 200
        forged = phone.refresh_token[:-43] + 43 * "A"
        unknown = 43 * "z" + ".1." + 43 * "A"
        row = phone.row()
        answers = [
            ask(phone, token=forged),
            ask(phone, token=unknown),
            ask(phone, token="x"),
            ask(phone, client_id=OTHER_CLIENT_ID),
            ask(over),
        ]
        assert {(answer.status, json.dumps(answer.failure)) for answer in answers} == {
            (400, json.dumps(answers[0].failure))
        }
        assert answers[0].failure["error"] == "invalid_grant"
        assert phone.row() == row

    def test_with_the_rows_hash_but_not_of_its_key_is_refused_with_an_alarm(self, world: World) -> None:
        phone = device(world)
        forged = phone.refresh_token[:-43] + 43 * "A"
        set_text(world, phone.session_id, "handle_hash", digest(forged))
        assert listed(phone, token=forged).status == 400
        assert world.telemetry.counted("RowsAltered") == 1

    def test_of_a_row_whose_subject_somebody_wrote_shows_no_session_of_that_person(self, world: World) -> None:
        thief, victim = device(world), device(world, USERS[1])
        set_text(world, thief.session_id, "subject", victim.row()["subject"])
        answer = listed(thief)
        assert references(answer) == [reference(thief)]
        assert answer.json["complete"] is False
        assert ended(thief, others="true").json == {"ended": 0, "complete": False}
        assert ended(thief, session=reference(victim)).json == {"ended": 0, "complete": False}
        assert is_signed_in(victim)
        assert world.telemetry.counted("RowsAltered") == 3

    def test_in_a_header_or_a_url_is_not_read(self, world: World) -> None:
        phone = device(world)
        for path in (LIST_PATH, END_PATH):
            answer = world.call(
                "sessions",
                "POST",
                path,
                query=f"client_id={CLIENT_ID}&token={phone.refresh_token}&others=true",
                headers={
                    "content-type": "application/x-www-form-urlencoded",
                    "authorization": f"Bearer {phone.refresh_token}",
                },
                body=f"client_id={CLIENT_ID}&others=true",
            )
            assert answer.failure["error"] == "invalid_request"


class TestEndingTheOthers:
    def test_ends_each_of_the_persons_sessions_of_the_app_but_the_own_and_deletes_their_secrets(
        self, world: World
    ) -> None:
        others, foreign = [device(world) for _ in range(3)], device(world, USERS[1])
        mine = device(world)
        answer = ended(mine, others="true")
        assert (answer.status, answer.json) == (200, {"ended": 3, "complete": True})
        for phone in others:
            assert phone.row()["status"] == "revoked"
            assert phone.row()["timeline"][-1]["S"].endswith("revoked signed_out_by_another")
            assert phone.refresh().failure["error"] == "invalid_grant"
        assert len(world.session_secrets()) == 2
        assert references(listed(mine)) == [reference(mine)]
        assert is_signed_in(foreign)
        # A person on call sees the ended sessions as long as their rows.
        assert set(person_item(world, mine)[f"sessions {CLIENT_ID}"]) == {phone.session_id for phone in (mine, *others)}
        world.clock.time += GRACE + 1
        assert mine.refresh().status == 200
        assert world.telemetry.counted("SessionsEndedByPeople") == 3

    def test_of_sessions_in_the_row_ends_them_too(self) -> None:
        with running_world(TOKEN_STORE="row") as world:
            other, mine = device(world), device(world)
            assert ended(mine, others="true").json == {"ended": 1, "complete": True}
            assert other.row()["status"] == "revoked"
            assert "sealed" not in other.row()

    def test_refuses_a_sign_in_that_was_under_way(self, world: World) -> None:
        waiting = world.phone(scope=PERSON_SCOPE)
        code = code_of(waiting)
        mine = device(world)
        assert ended(mine, others="true").json == {"ended": 0, "complete": True}
        assert waiting.redeem(code).failure["error"] == "invalid_grant"
        later(world)
        assert is_signed_in(device(world))

    def test_needs_a_sign_in_of_the_last_fifteen_minutes(self, world: World) -> None:
        other, mine = device(world), device(world)
        world.clock.time += SIGN_IN_AGAIN_SECONDS
        for fields in ({"others": "true"}, {"session": reference(other)}):
            answer = ended(mine, **fields)
            assert (answer.status, answer.failure["error"]) == (403, "sign_in_again")
        assert is_signed_in(other)
        assert "not_before" not in str(person_item(world, mine).keys())
        # The new session need not be the oldest: a fresh sign-in may end the others at once.
        assert ended(device(world), others="true").json == {"ended": 2, "complete": True}

    def test_is_done_by_one_person_once_a_minute_and_a_refused_request_does_not_count(self, world: World) -> None:
        mine, another, other = device(world), device(world), device(world, USERS[1])
        assert ended(mine, session=reference(another)).status == 200
        again = device(world)
        refused = ended(again, others="true")
        assert (refused.status, refused.headers["retry-after"]) == (429, "60")
        assert refused.sentence
        assert is_signed_in(mine)
        assert ended(other, others="true").status == 200
        later(world)
        assert ended(again, others="true").json == {"ended": 1, "complete": True}

    def test_where_nobody_knows_whose_session_it_is_ends_nothing_and_says_so(self, world: World) -> None:
        unknown, other = world.signed_in(), device(world)
        assert ended(unknown, others="true").json == {"ended": 0, "complete": False}
        assert is_signed_in(other)

    def test_of_all_apps_ends_the_sessions_of_each_and_refuses_a_first_sign_in_that_was_under_way(self) -> None:
        with running_world(APPS=apps(ios="person", web="person")) as world:
            waiting = world.phone(scope=PERSON_SCOPE, **OTHER_APP)
            code = code_of(waiting)
            mine = device(world)
            assert ended(mine, others="true").json == {"ended": 0, "complete": True}
            assert waiting.redeem(code).failure["error"] == "invalid_grant"
            later(world)
            web = device(world, **OTHER_APP)
            later(world)
            # The refused sign-in counts too: its tokens were still stored.
            assert ended(device(world), others="true").json == {"ended": 3, "complete": True}
            assert len(world.session_secrets()) == 1
            assert not is_signed_in(web)
            assert not is_signed_in(mine)

    def test_of_an_app_that_shows_its_own_sessions_alone_leaves_those_of_other_apps(self, two_apps: World) -> None:
        ios, web = device(two_apps), device(two_apps, **OTHER_APP)
        assert ended(web, others="true").json == {"ended": 0, "complete": True}
        later(two_apps)
        assert ended(web, session=reference(ios)).json == {"ended": 0, "complete": True}
        assert is_signed_in(ios)
        later(two_apps)
        assert ended(ios, others="true").json == {"ended": 1, "complete": True}
        assert not is_signed_in(web)

    @pytest.mark.parametrize("operation", ["GetItem", "UpdateItem", "DeleteSecret", "GetSecretValue"])
    @pytest.mark.parametrize("kind", ["throttled", "timed_out_though_applied"])
    def test_that_a_store_failed_is_a_503_and_the_same_request_goes_on(
        self, world: World, operation: str, kind: str
    ) -> None:
        others, mine = [device(world) for _ in range(2)], device(world)
        with world.aws.failing(operation, kind):
            assert_unavailable(ended(mine, others="true"))
        answer = ended(mine, others="true")
        assert answer.json["complete"] is True
        assert not any(map(is_signed_in, others))
        assert len(world.session_secrets()) == 1

    def test_while_no_secret_can_be_deleted_ends_all_of_them_and_says_503(self, world: World) -> None:
        others, mine = [device(world) for _ in range(4)], device(world)
        with world.aws.failing("DeleteSecret"):
            assert_unavailable(ended(mine, others="true"))
        assert not any(map(is_signed_in, others))
        assert len(world.session_secrets()) == 5
        assert ended(mine, others="true").json == {"ended": 0, "complete": True}
        assert len(world.session_secrets()) == 1

    def test_without_time_is_a_503_and_the_same_request_goes_on(self, world: World) -> None:
        other, mine = device(world), device(world)
        fields = f"client_id={CLIENT_ID}&token={mine.refresh_token}&others=true"
        headers = {"content-type": "application/x-www-form-urlencoded"}
        assert_unavailable(world.call("sessions", "POST", END_PATH, headers=headers, body=fields, seconds=13))
        assert is_signed_in(other)
        assert ended(mine, others="true").json == {"ended": 1, "complete": True}

    def test_is_held_up_by_no_row_that_the_broker_cannot_have_written_and_says_that_one_may_be_left(
        self, world: World
    ) -> None:
        phones = [device(world) for _ in range(3)]
        mine = device(world)
        broken = min(phones, key=lambda phone: phone.session_id)
        set_text(world, broken.session_id, "timeline", "never")
        answer = ended(mine, others="true")
        assert answer.json == {"ended": 2, "complete": False}
        assert [is_signed_in(phone) for phone in phones if phone is not broken] == [False, False]

    def test_takes_sessions_without_a_row_out_of_the_item(self, world: World) -> None:
        gone, mine = device(world), device(world)
        world.dynamodb.delete_item(TableName=TABLE, Key={"session_id": {"S": gone.session_id}})
        assert ended(mine, others="true").json == {"ended": 0, "complete": True}
        assert person_item(world, mine)[f"sessions {CLIENT_ID}"] == [mine.session_id]

    def test_logs_from_which_session_the_others_were_ended(self, world: World) -> None:
        other, mine = device(world), device(world)
        world.telemetry.lines.clear()
        ended(mine, session=reference(other))
        (asked,) = [fields for _, event, fields in world.telemetry.lines if event == "end_of_sessions_asked"]
        (line,) = [fields for _, event, fields in world.telemetry.lines if event == "other_session_ended"]
        assert (asked["session"], line["session"]) == (reference(mine), reference(other))
        assert asked["request_id"] == line["request_id"]

    def test_logs_one_line_for_each_session_by_its_reference(self, world: World) -> None:
        other, mine = device(world), device(world)
        world.telemetry.lines.clear()
        ended(mine, others="true")
        said = [fields for _, event, fields in world.telemetry.lines if event == "other_session_ended"]
        assert [(fields["session"], fields["reason"]) for fields in said] == [
            (reference(other), "signed_out_by_another")
        ]


class TestEndingOne:
    def test_ends_that_session_alone(self, world: World) -> None:
        other, kept, mine = device(world), device(world), device(world)
        assert ended(mine, session=reference(other)).json == {"ended": 1, "complete": True}
        assert [is_signed_in(phone) for phone in (other, kept, mine)] == [False, True, True]
        later(world)
        assert ended(mine, session=reference(other)).json == {"ended": 0, "complete": True}

    def test_of_the_own_session_is_a_sign_out_however_old_it_is(self, world: World) -> None:
        mine = device(world)
        world.clock.time += 2 * SIGN_IN_AGAIN_SECONDS
        assert ended(mine, session=reference(mine)).json == {"ended": 1, "complete": True}
        assert mine.row()["timeline"][-1]["S"].endswith("revoked signed_out")
        assert world.session_secrets() == []
        assert world.telemetry.counted("SignOuts") == 1

    def test_of_anybody_else_ends_nothing(self, world: World) -> None:
        mine, other = device(world), device(world, USERS[1])
        assert ended(mine, session=reference(other)).json == {"ended": 0, "complete": True}
        assert is_signed_in(other)

    @pytest.mark.parametrize(
        "fields",
        [
            {},
            {"others": "false"},
            {"others": "true", "session": 16 * "a"},
            {"session": "a"},
            {"session": 16 * "A"},
            {"session": 17 * "a"},
        ],
    )
    def test_needs_exactly_one_well_formed_parameter(self, world: World, fields: dict[str, str]) -> None:
        mine, other = device(world), device(world)
        answer = ended(mine, **fields)
        assert (answer.status, answer.failure["error"]) == (400, "invalid_request")
        assert is_signed_in(mine)
        assert is_signed_in(other)


def set_text(world: World, session_id: str, name: str, value: str) -> None:
    """Write an attribute of a row, as somebody with access to the table could."""
    _set(world, session_id, name, {"S": value})


def set_number(world: World, session_id: str, name: str, value: float) -> None:
    _set(world, session_id, name, {"N": str(int(value))})


def _set(world: World, session_id: str, name: str, value: dict[str, str]) -> None:
    world.dynamodb.update_item(
        TableName=TABLE,
        Key={"session_id": {"S": session_id}},
        UpdateExpression="SET #name = :value",
        ExpressionAttributeNames={"#name": name},
        ExpressionAttributeValues={":value": value},
    )
