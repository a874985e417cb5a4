"""Every AWS call of every operation fails in every way. The app is told to come back, and a later try succeeds."""

from __future__ import annotations

import pytest

from tests.support.aws_calls import FAILURES
from tests.support.deployment import GRACE
from tests.support.leases import LEASE_SECONDS
from tests.support.world import World, assert_unavailable


@pytest.mark.parametrize("kind", FAILURES)
def test_authorize_sends_the_browser_back_and_a_new_try_works(world: World, kind: str) -> None:
    phone = world.phone()
    with world.aws.failing("PutItem", kind):
        assert phone.authorize().query["error"] == "temporarily_unavailable"
    assert phone.code()


@pytest.mark.parametrize("kind", FAILURES)
def test_a_callback_that_cannot_claim_shows_a_page_and_a_reload_goes_on(world: World, kind: str) -> None:
    phone = world.phone()
    returning = phone.approve(phone.authorize())
    with world.aws.failing("UpdateItem", kind):
        answer = phone.callback(returning)
        assert answer.status == 503
        assert "location" not in answer.headers
    if kind != "timed_out_though_applied":
        assert phone.callback(returning).query["code"]
    else:
        # The claim has no holder any more, and Aries' code may be used up. The app must start again.
        world.clock.time += LEASE_SECONDS
        assert phone.callback(returning).query["error"] == "server_error"
    assert phone.sign_in().status == 200


@pytest.mark.parametrize("kind", FAILURES)
@pytest.mark.parametrize("operation", ["CreateSecret", "UpdateItem"])
def test_a_callback_that_cannot_store_goes_back_to_the_app_and_a_new_sign_in_works(
    world: World, operation: str, kind: str
) -> None:
    phone = world.phone()
    returning = phone.approve(phone.authorize())
    if operation == "CreateSecret":
        failing = world.aws.failing(operation, kind)
    else:
        failing = world.aws.failing_from("CreateSecret", operation, kind)
    with failing:
        answer = phone.callback(returning)
    expected = "server_error" if (operation, kind) == ("CreateSecret", "access_denied") else "temporarily_unavailable"
    assert answer.query["error"] == expected
    assert phone.sign_in().status == 200


@pytest.mark.parametrize("kind", FAILURES)
@pytest.mark.parametrize("operation", ["GetItem", "GetSecretValue", "UpdateItem"])
def test_a_code_stays_good_unless_its_redemption_was_applied(world: World, operation: str, kind: str) -> None:
    phone = world.phone()
    code = phone.code()
    with world.aws.failing(operation, kind):
        assert_unavailable(phone.redeem(code))
    answer = phone.redeem(code)
    if (operation, kind) == ("UpdateItem", "timed_out_though_applied"):
        assert answer.json["error"] == "invalid_grant"
        assert phone.sign_in().status == 200
    else:
        assert answer.status == 200


@pytest.mark.parametrize("kind", FAILURES)
@pytest.mark.parametrize("operation", ["UpdateItem", "GetSecretValue"])
def test_a_refresh_that_fails_loses_nothing_and_succeeds_once_the_lease_lapses(
    world: World, operation: str, kind: str
) -> None:
    phone = world.signed_in()
    world.clock.time += GRACE + 1
    with world.aws.failing(operation, kind):
        assert_unavailable(phone.refresh())
    world.clock.time += LEASE_SECONDS
    assert phone.refresh().status == 200


@pytest.mark.parametrize("kind", FAILURES)
def test_a_refresh_that_cannot_write_its_secret_succeeds_all_the_same(world: World, kind: str) -> None:
    phone = world.signed_in()
    world.clock.time += GRACE + 1
    with world.aws.failing("PutSecretValue", kind):
        assert phone.refresh().status == 200
    world.clock.time += GRACE + 1
    assert phone.refresh().status == 200


@pytest.mark.parametrize("kind", FAILURES)
def test_a_commit_that_fails_for_good_is_rolled_forward_or_replayed(world: World, kind: str) -> None:
    phone = world.signed_in()
    world.clock.time += GRACE + 1
    with world.aws.failing_from("PutSecretValue", "UpdateItem", kind):
        assert_unavailable(phone.refresh())
    if kind != "timed_out_though_applied":
        world.clock.time += LEASE_SECONDS
    assert phone.refresh().status == 200
    assert world.aries.refresh_calls == 1


@pytest.mark.parametrize("kind", FAILURES)
def test_a_replay_that_cannot_be_read_loses_nothing(world: World, kind: str) -> None:
    phone = world.signed_in()
    with world.aws.failing("GetSecretValue", kind):
        assert_unavailable(phone.refresh())
    assert phone.refresh().status == 200


@pytest.mark.parametrize("kind", FAILURES)
def test_a_session_that_cannot_be_ended_is_ended_by_the_next_try(world: World, kind: str) -> None:
    phone = world.phone()
    code = phone.code()
    phone.redeem(code)
    with world.aws.failing("UpdateItem", kind):
        assert_unavailable(phone.redeem(code))
    assert phone.redeem(code).json["error"] == "invalid_grant"
    assert phone.row()["status"] == "dead"


@pytest.mark.parametrize("kind", FAILURES)
def test_a_secret_that_cannot_be_deleted_keeps_no_dead_session_alive(world: World, kind: str) -> None:
    phone = world.phone()
    code = phone.code()
    phone.redeem(code)
    token = phone.refresh_token
    with world.aws.failing("DeleteSecret", kind):
        assert phone.redeem(code).json["error"] == "invalid_grant"
    assert phone.refresh(token).json["error"] == "invalid_grant"
