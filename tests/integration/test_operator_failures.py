"""Every AWS call of every command fails in every way: the answer says so clearly, and a repetition completes it.

The mass sign-out and the redrive have these tests in their own modules.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest

from tests.support.aws_calls import ProcessDied
from tests.support.deployment import ARIES_CLIENT_SECRET
from tests.support.functions import ROOT
from tests.support.known_people import (
    BOTH_APPS,
    USER,
    item_of,
    of_another_person,
    of_the_other_app,
    signed_in,
    subject_of,
)
from tests.support.long import long_but
from tests.support.operator import KINDS, assert_none_is_seen, at_call, audited, operate, reference, secrets_of
from tests.support.world import World, running_world


@pytest.mark.parametrize("kind", long_but(["dies_after", "access_denied"], KINDS))
@pytest.mark.parametrize(("action", "calls"), [("session", 3), ("revoke", 4)])
def test_a_failure_is_told_and_a_repetition_completes_the_command(
    world: World, action: str, calls: int, kind: str
) -> None:
    for number in range(1, calls + 1):
        phone = world.signed_in()
        secrets = secrets_of(world, [phone])
        command = {"action": action, "session": reference(phone), "via": world.make_handler("operator")}
        answer: dict[str, Any] = {}
        with at_call(world, number, kind) as hit, suppress(ProcessDied):
            answer = operate(world, **command)
        assert hit
        assert_none_is_seen(world, secrets, answer)
        if (action, number, kind) == ("revoke", 4, "access_denied"):
            # The row has ended, and Secrets Manager may give this answer for an absent name.
            assert (answer["ended_now"], answer["secret_deleted"]) == (True, False)
        elif answer:
            assert answer["error"] == "temporary_failure"
            assert "repeat the same command" in answer["message"]
            assert audited(world)[-1]["error"] == "temporary_failure"
        assert "error" not in operate(world, **command)
        assert phone.refresh().status == (200 if action == "session" else 400)
        assert len(world.session_secrets()) == (number if action == "session" else 0)
    # The command makes no further call.
    phone = world.signed_in()
    with at_call(world, calls + 1, kind) as hit:
        operate(world, action=action, session=reference(phone), via=world.make_handler("operator"))
    assert hit == []


# The calls of a command about a person: the key, the item, a cut-off for each of the three apps, all rows at once, and
# then for each session its end and its secret's deletion. A list reads the control item of mass sign-outs once.
PERSON_CALLS = {"sessions": 2 + 1 + 1, "revoke": 5 + 1 + 2 * 2, "forget": 5 + 1 + 2 * 2 + 1}


@pytest.mark.parametrize("kind", long_but(["dies_after", "access_denied"], KINDS))
# The calls of forget are those of revoke, and one more.
@pytest.mark.parametrize("action", long_but(["forget"], PERSON_CALLS))
def test_a_failure_about_a_person_is_told_and_a_repetition_completes_the_command(action: str, kind: str) -> None:
    calls = PERSON_CALLS[action]
    for number in range(1, calls + 2):
        with running_world(APPS=BOTH_APPS) as world:
            phones = [signed_in(world), of_the_other_app(world)]
            other = of_another_person(world)
            secrets = secrets_of(world, [*phones, other]) | {USER, subject_of(world)}
            command = {"action": action, "user": USER, "via": world.make_handler("operator")}
            answer: dict[str, Any] = {}
            with at_call(world, number, kind) as hit, suppress(ProcessDied):
                answer = operate(world, **command)
            # The command makes no further call.
            assert bool(hit) == (number <= calls)
            assert_none_is_seen(world, secrets, answer)
            if hit and hit[0].endswith("DeleteSecret") and kind == "access_denied":
                # The row has ended, and Secrets Manager may give this answer for an absent name.
                assert (answer["secrets_denied"], answer["finished"]) == (len(hit), True)
            elif hit and answer:
                assert answer["error"] == "temporary_failure"
                assert "epeat the same command" in answer["message"]
                assert audited(world)[-1]["error"] == "temporary_failure"
            again = operate(world, **command)
            assert "error" not in again
            if action == "sessions":
                assert again["live"] == 2
                assert {phone.row()["status"] for phone in phones} == {"active"}
                continue
            assert again["finished"] is True
            assert {phone.row()["status"] for phone in phones} == {"revoked"}
            # A person who was forgotten has no item, so a repetition finds no secret that was left. Cleanup deletes it.
            left = 2 if action == "forget" and "secrets_denied" in answer else 0
            assert len(world.session_secrets()) <= 1 + left
            assert other.refresh().status == 200
            assert (item_of(world) is None) == (action == "forget")


@pytest.mark.parametrize("action", ["revoke", "forget"])
def test_an_answer_that_the_sdk_lost_changes_nothing(action: str) -> None:
    for operation, times in (("UpdateItem", 4), ("DeleteSecret", 2), ("DeleteItem", int(action == "forget"))):
        for skipped in range(times):
            with running_world(APPS=BOTH_APPS) as world:
                phones = [signed_in(world), of_the_other_app(world)]
                with world.aws.answer_lost_once(operation, skip=skipped):
                    answer = operate(world, action=action, user=USER)
                assert (answer["ended"], answer["finished"]) == (2, True)
                assert {phone.row()["status"] for phone in phones} == {"revoked"}
                assert world.session_secrets() == []
                assert (item_of(world) is None) == (action == "forget")


@pytest.mark.parametrize("kind", [kind for kind in KINDS if not kind.startswith("dies")])
def test_a_check_says_which_call_failed_and_makes_all_the_others(kind: str) -> None:
    number = 0
    while True:
        number += 1
        with running_world(EVENT_BUS="sessions") as world:
            handler = world.make_handler("operator", ARIES_AUTHORIZE_URL=world.aries.authorize_url)
            with at_call(world, number, kind) as hit:
                answer = operate(world, action="check", via=handler)
            if not hit:
                break
            names = {found["name"] for found in answer["checks"] if not found["ok"]}
            operation = hit[0].split(".")[-1]
            expected = {
                "GetItem": {"table"},
                "Query": {"index"},
                "GetAccountSettings": {"concurrency"},
                # The reads: the client secret twice, and the key of the subjects.
                "GetSecretValue": {
                    5: {"client_secret", "aries_token", "subject_key"},
                    6: {"aries_token", "subject_key"},
                    7: {"subject_key"},
                }.get(number, set()),
                "DescribeEventBus": {"event_bus"},
            }[operation]
            # This world has no queue.
            assert names == expected | {"dead_letters"}
            assert len(answer["checks"]) == 14
            assert ARIES_CLIENT_SECRET not in json.dumps([answer, world.telemetry.lines])
    assert number == 8


@pytest.mark.parametrize(
    "event", [json.loads(path.read_text()) for path in sorted((ROOT / "events").glob("operator_*.json"))], ids=str
)
def test_the_events_that_are_shipped_are_commands(world: World, event: dict[str, Any]) -> None:
    answer = operate(world, **event)
    assert answer.get("error") in (None, "not_found", "configuration_error")


@pytest.mark.parametrize(
    "action", ["session", "sessions", "revoke", "revoke_user", "revoke_all", "forget", "count", "redrive"]
)
def test_with_broken_settings_nothing_is_done_and_it_is_said_which_one_is_wrong(world: World, action: str) -> None:
    phone = world.signed_in()
    handler = world.make_handler("operator", APPS='{"trader-ios": 1}')
    one, person = {"session": reference(phone)}, {"user": USER}
    members: dict[str, dict[str, Any]] = {
        "session": one,
        "revoke": one,
        "sessions": person,
        "revoke_user": person,
        "forget": person,
        "revoke_all": {"everyone": True},
    }
    answer = operate(world, action=action.removesuffix("_user"), via=handler, **members.get(action, {}))
    assert answer["error"] == "configuration_error"
    assert answer["message"].startswith("APPS: app 'trader-ios'")
    assert phone.refresh().status == 200
    assert audited(world)[-1]["error"] == "configuration_error"


def test_a_bug_is_answered_without_its_words_and_noted(world: World) -> None:
    phone = world.signed_in()

    def stumble() -> None:
        raise KeyError("canary")

    with world.aws.visited("Query", stumble):
        answer = operate(world, action="session", session=reference(phone))
    assert answer["error"] == "internal_error"
    assert answer["request_id"]
    assert "canary" not in json.dumps([answer, world.telemetry.lines])
    assert world.telemetry.counted("InternalErrors") == 1
