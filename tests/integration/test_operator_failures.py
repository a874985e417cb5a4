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


@pytest.mark.parametrize("kind", [kind for kind in KINDS if not kind.startswith("dies")])
def test_a_check_says_which_call_failed_and_makes_all_the_others(kind: str) -> None:
    number = 0
    while True:
        number += 1
        with running_world() as world:
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
                "GetSecretValue": {"client_secret", "aries_token"} if number == 4 else {"aries_token"},
            }[operation]
            # This world has no queue.
            assert names == expected | {"dead_letters"}
            assert len(answer["checks"]) == 11
            assert ARIES_CLIENT_SECRET not in json.dumps([answer, world.telemetry.lines])
    assert number == 6


@pytest.mark.parametrize(
    "event", [json.loads(path.read_text()) for path in sorted((ROOT / "events").glob("operator_*.json"))], ids=str
)
def test_the_events_that_are_shipped_are_commands(world: World, event: dict[str, Any]) -> None:
    answer = operate(world, **event)
    assert answer.get("error") in (None, "not_found", "configuration_error")


@pytest.mark.parametrize("action", ["session", "revoke", "revoke_all", "redrive"])
def test_with_broken_settings_nothing_is_done_and_it_is_said_which_one_is_wrong(world: World, action: str) -> None:
    phone = world.signed_in()
    handler = world.make_handler("operator", APPS='{"trader-ios": 1}')
    members = {"session": {"session": reference(phone)}, "revoke": {"session": reference(phone)}}
    more = members.get(action, {"everyone": True} if action == "revoke_all" else {})
    answer = operate(world, action=action, via=handler, **more)
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
