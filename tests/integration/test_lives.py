"""The life of a session as its app is registered: its longest life, its end when it is unused, and no refresh."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from oauth_broker.oauth.tokens import session_id_of_code
from oauth_broker.secret import Secret
from tests.support.deployment import APPS, CLIENT_ID, GRACE, TABLE
from tests.support.operator import operate, reference
from tests.support.world import Phone, World, running_world

DAY = 24 * 60 * 60
IDLE_DAYS = 3
# The row of an unused session expires so many seconds after the session's end.
MARGIN = 120


def apps(**members: Any) -> str:
    """Return the apps, with more members for the app of the tests."""
    return json.dumps(APPS | {CLIENT_ID: APPS[CLIENT_ID] | members})


@pytest.fixture(params=["secrets", "row"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """A deployment in which the sessions of the app end when nobody used them for three days."""
    with running_world(TOKEN_STORE=request.param, APPS=apps(idle_days=IDLE_DAYS)) as running:
        yield running


def deploy(world: World, **environment: str) -> None:
    """Deploy with other variables: every function starts anew."""
    world.environment.update(environment)
    world._handlers.clear()


def reasons(world: World) -> list[str]:
    return [fields["reason"] for _, event, fields in world.telemetry.lines if event == "refused"]


def test_a_session_that_nobody_uses_ends_and_one_that_is_used_goes_on(world: World) -> None:
    used, unused = world.signed_in(), world.signed_in()
    for _ in range(2 * IDLE_DAYS):
        world.clock.time += DAY
        assert used.refresh().status == 200
    assert unused.refresh().json["error"] == "invalid_grant"
    assert reasons(world)[-1] == "session_idle"
    assert ("RefreshesRejected", {"reason": "session_idle"}) in world.telemetry.metrics
    # Aries heard nothing of the unused one.
    assert world.aries.refresh_calls == 2 * IDLE_DAYS
    world.clock.time += IDLE_DAYS * DAY
    assert used.refresh().status == 400


@pytest.mark.parametrize(("before", "status"), [(1, 200), (0, 400), (-1, 400)])
def test_it_ends_to_the_second(world: World, before: int, status: int) -> None:
    phone = world.signed_in()
    world.clock.time = int(float(phone.row()["rotated_at"])) + IDLE_DAYS * DAY - before
    assert phone.refresh().status == status


def test_a_refresh_that_begins_in_the_last_second_is_committed(world: World) -> None:
    phone = world.signed_in()
    end = int(float(phone.row()["rotated_at"])) + IDLE_DAYS * DAY
    world.clock.time = end - 1

    def pass_time() -> None:
        world.clock.time = end + 20

    write = "PutSecretValue" if world.environment["TOKEN_STORE"] == "secrets" else "Encrypt"
    with world.aws.visited(write, pass_time):
        assert phone.refresh().status == 200
    world.clock.time += GRACE + 1
    assert phone.refresh().status == 200


def test_the_row_expires_two_minutes_after_the_session_so_that_dynamodb_deletes_it(world: World) -> None:
    phone = world.signed_in()
    row = phone.row()
    assert int(row["ends_at"]) == int(float(row["rotated_at"])) + 30 * DAY
    assert int(row["expires_at"]) == int(float(row["rotated_at"])) + IDLE_DAYS * DAY + MARGIN
    world.clock.time += DAY
    phone.refresh()
    later = phone.row()
    assert later["ends_at"] == row["ends_at"]
    assert int(float(later["rotated_at"])) == int(float(row["rotated_at"])) + DAY
    assert int(later["expires_at"]) == int(row["expires_at"]) + DAY


def test_a_replay_is_no_use(world: World) -> None:
    phone = world.signed_in()
    world.clock.time += GRACE + 1
    token = phone.refresh_token
    phone.refresh()
    used_at = phone.row()["rotated_at"]
    world.clock.time += GRACE - 1
    assert phone.refresh(token).status == 200
    assert phone.row()["rotated_at"] == used_at


def test_the_answer_says_how_long_the_refresh_token_lives(world: World) -> None:
    phone = world.phone()
    assert phone.sign_in().json["refresh_token_expires_in"] == IDLE_DAYS * DAY
    world.clock.time += GRACE + 1
    token = phone.refresh_token
    assert phone.refresh().json["refresh_token_expires_in"] == IDLE_DAYS * DAY
    world.clock.time += 10
    assert phone.refresh(token).json["refresh_token_expires_in"] == IDLE_DAYS * DAY - 10
    # In the last days of the longest life, that life counts.
    for _ in range(28):
        world.clock.time += DAY
        answer = phone.refresh()
    left = int(phone.row()["ends_at"]) - int(world.clock.time)
    assert answer.json["refresh_token_expires_in"] == left < IDLE_DAYS * DAY


def test_todays_registration_counts(world: World) -> None:
    phone = world.signed_in()
    world.clock.time += 2 * DAY
    deploy(world, APPS=apps(idle_days=2))
    assert phone.refresh().status == 400
    deploy(world, APPS=apps(idle_days=3))
    assert phone.refresh().status == 200
    # Without idle sessions, the row expires with the session again. The row learns of it at the next refresh.
    deploy(world, APPS=apps())
    world.clock.time += GRACE + 1
    assert phone.refresh().status == 200
    assert phone.row()["expires_at"] == phone.row()["ends_at"]
    world.clock.time += 20 * DAY
    assert phone.refresh().status == 200


def test_a_session_of_the_release_before_idles_from_its_last_refresh_and_keeps_its_end(world: World) -> None:
    phone = world.signed_in()
    expires_at = str(int(world.clock.time) + 20 * DAY)
    world.dynamodb.update_item(
        TableName=TABLE,
        Key={"session_id": {"S": phone.session_id}},
        UpdateExpression="SET expires_at = :expires_at REMOVE ends_at",
        ExpressionAttributeValues={":expires_at": {"N": expires_at}},
    )
    world.clock.time += IDLE_DAYS * DAY - 5
    assert phone.refresh().status == 200
    row = phone.row()
    assert row["ends_at"] == expires_at
    assert int(row["expires_at"]) == int(float(row["rotated_at"])) + IDLE_DAYS * DAY + MARGIN


def test_an_idle_session_of_the_release_before_is_refused(world: World) -> None:
    phone = world.signed_in()
    world.dynamodb.update_item(
        TableName=TABLE,
        Key={"session_id": {"S": phone.session_id}},
        UpdateExpression="SET expires_at = ends_at REMOVE ends_at",
    )
    world.clock.time += IDLE_DAYS * DAY + 1
    assert phone.refresh().status == 400
    assert world.aries.refresh_calls == 0


def test_a_code_that_comes_again_for_an_idle_session_is_no_reuse(world: World) -> None:
    phone = world.phone()
    code = phone.code()
    phone.redeem(code)
    assert session_id_of_code(Secret(code)) == phone.session_id
    world.clock.time += IDLE_DAYS * DAY
    assert phone.redeem(code).status == 400
    assert reasons(world)[-1] == "session_idle"
    assert world.telemetry.counted("ReuseDetected") == 0


def test_a_sign_out_of_an_idle_session_is_confirmed_and_leaves_nothing(world: World) -> None:
    phone = world.signed_in()
    world.clock.time += IDLE_DAYS * DAY + 1
    assert phone.revoke().status == 200
    assert phone.row()["status"] == "revoked"
    assert world.session_secrets() == []


def test_a_person_on_call_sees_when_a_session_ends_and_that_it_idled(world: World) -> None:
    phone = world.signed_in()
    shown = operate(world, action="session", session=reference(phone))
    assert shown["signed_in"]
    assert shown["last_used_at"] == "2027-01-15T08:00:00Z"
    assert shown["ends_if_unused_at"] == "2027-01-18T08:00:00Z"
    assert shown["ends_at"] == "2027-02-14T08:00:00Z"
    assert shown["expires_at"] == "2027-01-18T08:02:00Z"
    world.clock.time += IDLE_DAYS * DAY
    assert not operate(world, action="session", session=reference(phone))["signed_in"]


def test_an_app_has_a_longest_life_of_its_own() -> None:
    with running_world(APPS=apps(session_days=7)) as world:
        phone = world.signed_in()
        assert int(phone.row()["expires_at"]) == int(world.clock.time) + 7 * DAY
        assert phone.row()["ends_at"] == phone.row()["expires_at"]
        for _ in range(6):
            world.clock.time += DAY
            assert phone.refresh().status == 200
        world.clock.time += DAY
        assert phone.refresh().status == 400
        assert reasons(world)[-1] == "session_ended"


def test_a_registration_moves_no_end_of_a_session_that_lives() -> None:
    with running_world() as world:
        phone = world.signed_in()
        deploy(world, APPS=apps(session_days=1))
        world.clock.time += 2 * DAY
        assert phone.refresh().status == 200


def test_an_app_without_refresh_gets_no_refresh_token_and_its_session_ends_with_the_access_token() -> None:
    with running_world(APPS=apps(refresh=False)) as world:
        phone = world.phone()
        answer = phone.sign_in()
        assert not {"refresh_token", "refresh_token_expires_in"} & answer.json.keys()
        assert int(phone.row()["expires_at"]) == int(world.clock.time) + answer.json["expires_in"]


@pytest.mark.parametrize("function", ["token", "refresh"])
def test_an_app_that_may_not_refresh_any_more_is_told_so_and_nothing_ends(function: str) -> None:
    with running_world() as world:
        phone = world.refreshable()
        deploy(world, APPS=apps(refresh=False))
        answer = phone.refresh(function=function)
        assert (answer.status, answer.json["error"]) == (400, "unauthorized_client")
        assert world.aries.refresh_calls == 0
        deploy(world, APPS=apps())
        assert phone.refresh(function=function).status == 200


def test_a_whole_sign_in_with_a_provider_that_takes_basic() -> None:
    with running_world(dialect="standard-basic") as world:
        phone = world.refreshable()
        assert phone.refresh().status == 200
        sent = [request for request in world.aries.requests if request.endpoint == "token"]
        assert len(sent) == 2
        assert all(request.headers["authorization"].startswith("Basic ") for request in sent)


# Parameters that go to Aries.

PASSED = {"prompt": "login", "login_hint": "ann@example.com", "max_age": "600"}


def passed(phone: Phone, **asked: str) -> dict[str, str]:
    return {name: value for name, value in phone.authorize(**asked).query.items() if name in PASSED}


@pytest.mark.parametrize("pass_on", ["", "prompt", "login_hint,max_age", "prompt,login_hint,max_age"])
def test_a_parameter_goes_to_aries_if_the_deployment_lets_it_through(pass_on: str) -> None:
    with running_world(PASS_ON=pass_on) as world:
        phone = world.phone()
        assert passed(phone, **PASSED) == {name: PASSED[name] for name in pass_on.split(",") if name}
        assert passed(world.phone()) == {}
        assert phone.redeem(phone.callback(phone.approve(phone.authorize(**PASSED))).query["code"]).status == 200
        assert "ann@example.com" not in str([world.telemetry.lines, world.rows()])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("prompt", value) for value in ("other", "login  consent", " login", "login,consent", "create")),
        *(("login_hint", value) for value in ("a\nb", "x" * 257)),
        *(("max_age", value) for value in ("-1", "1.5", "ten", "1" * 10)),
    ],
)
def test_a_malformed_one_is_refused_and_ignored_if_it_is_not_let_through(name: str, value: str) -> None:
    with running_world(PASS_ON="prompt,login_hint,max_age") as world:
        refused = world.phone().authorize(**{name: value})
        assert refused.query["error"] == "invalid_request"
        assert name in refused.query["error_description"]
        assert not world.rows()
        deploy(world, PASS_ON="")
        assert "error" not in world.phone().authorize(**{name: value}).query


@pytest.mark.parametrize(("prompt", "error"), [("none", "login_required"), ("none login", "invalid_request")])
@pytest.mark.parametrize("pass_on", ["", "prompt"])
def test_none_is_never_passed_on(prompt: str, error: str, pass_on: str) -> None:
    with running_world(PASS_ON=pass_on) as world:
        assert world.phone().authorize(prompt=prompt).query["error"] == error
