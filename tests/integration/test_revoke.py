"""Sign-outs through the real handler."""

from __future__ import annotations

import pytest

from tests.support.aws_calls import FAILURES
from tests.support.deployment import GRACE, OTHER_CLIENT_ID
from tests.support.world import Answer, Phone, World


def assert_signed_out(answer: Answer) -> None:
    """Check for the answer that every client can read: 200 and an empty JSON object."""
    assert (answer.status, answer.body, answer.headers["content-type"]) == (200, "{}", "application/json")


def assert_ended(world: World, phone: Phone) -> None:
    assert phone.row()["status"] == "revoked"
    assert world.session_secrets() == []
    assert phone.refresh().json["error"] == "invalid_grant"


@pytest.fixture
def phone(world: World) -> Phone:
    return world.refreshable()


def test_a_sign_out_ends_the_session_and_deletes_its_secret(world: World, phone: Phone) -> None:
    assert_signed_out(phone.revoke())
    assert_ended(world, phone)
    assert world.aries.refresh_calls == 0


def test_a_sign_out_may_be_repeated(world: World, phone: Phone) -> None:
    for _ in range(3):
        assert_signed_out(phone.revoke())
    assert_ended(world, phone)


@pytest.mark.parametrize("generations", [1, 2, 4])
def test_any_token_that_the_session_ever_had_signs_it_out(world: World, phone: Phone, generations: int) -> None:
    first = phone.refresh_token
    for _ in range(generations):
        phone.refresh()
        world.clock.time += GRACE + 1
    assert_signed_out(phone.revoke(first))
    assert_ended(world, phone)


@pytest.mark.parametrize("token", ["garbage", "a" * 43 + ".1." + "b" * 43, "ä", "x" * 9000])
def test_garbage_is_answered_like_a_sign_out(world: World, phone: Phone, token: str) -> None:
    assert_signed_out(phone.revoke(token))
    assert phone.refresh().status == 200


def test_a_forged_token_signs_nobody_out(world: World, phone: Phone) -> None:
    assert_signed_out(phone.revoke(f"{phone.session_id}.1.{'A' * 43}"))
    assert phone.refresh().status == 200


def test_an_access_token_is_none_of_ours_and_ends_nothing(world: World, phone: Phone) -> None:
    assert_signed_out(phone.revoke(phone.access_token, token_type_hint="access_token"))
    assert phone.refresh().status == 200


@pytest.mark.parametrize("older", [False, True])
def test_another_client_signs_nobody_out(world: World, phone: Phone, older: bool) -> None:
    token = phone.refresh_token
    for _ in range(2 if older else 0):
        phone.refresh()
        world.clock.time += GRACE + 1
    assert_signed_out(phone.revoke(token, client_id=OTHER_CLIENT_ID))
    assert phone.refresh().status == 200


def test_a_missing_token_is_an_invalid_request(world: World, phone: Phone) -> None:
    answer = world.form("revoke", {"client_id": phone.client_id})
    assert (answer.status, answer.json["error"]) == (400, "invalid_request")


def test_an_unknown_client_is_refused(world: World, phone: Phone) -> None:
    answer = phone.revoke(client_id="nobody")
    assert (answer.status, answer.json["error"]) == (401, "invalid_client")
    assert phone.refresh().status == 200


@pytest.mark.parametrize(
    ("operation", "kind"),
    [
        (operation, kind)
        for operation in ("UpdateItem", "DeleteSecret")
        for kind in FAILURES
        if (operation, kind) != ("DeleteSecret", "access_denied")
    ],
)
def test_a_sign_out_that_could_not_be_done_is_never_confirmed(
    world: World, phone: Phone, operation: str, kind: str
) -> None:
    with world.aws.failing(operation, kind):
        answer = phone.revoke()
        assert answer.status == 503
        assert answer.sentence.startswith("Temporarily unavailable")
    assert_signed_out(phone.revoke())
    assert_ended(world, phone)


def test_a_sign_out_is_confirmed_though_the_right_to_delete_is_missing_and_the_refusal_is_counted(
    world: World, phone: Phone
) -> None:
    """The row has ended. Secrets Manager may give this answer for an absent name, as after a first sign-out."""
    with world.aws.failing("DeleteSecret", "access_denied"):
        for _ in range(2):
            assert_signed_out(phone.revoke())
            assert phone.row()["status"] == "revoked"
    assert world.telemetry.metrics.count(("SecretAccessDenied", {})) == 2
    denied = [fields["reason"] for _, event, fields in world.telemetry.lines if event == "secret_access_denied"]
    assert denied == ["secretsmanager:AccessDeniedException"] * 2
    assert phone.refresh().json["error"] == "invalid_grant"


def test_an_ended_session_is_over_though_the_right_to_read_its_secret_is_missing(world: World, phone: Phone) -> None:
    with world.aws.failing("GetSecretValue", "access_denied"):
        # While the session lives, a missing right loses nothing.
        assert phone.refresh().status == 503
        with world.aws.visited("GetSecretValue", phone.revoke):
            answer = phone.refresh()
    assert (answer.status, answer.json["error"]) == (400, "invalid_grant")


def test_a_sign_out_by_an_old_token_is_confirmed_only_when_the_secret_is_gone(world: World, phone: Phone) -> None:
    first = phone.refresh_token
    for _ in range(2):
        phone.refresh()
        world.clock.time += GRACE + 1
    with world.aws.failing("DeleteSecret", "throttled"):
        assert phone.revoke(first).status == 503
    assert_signed_out(phone.revoke(first))
    assert world.session_secrets() == []


def test_an_old_token_whose_session_cannot_be_read_is_not_confirmed_either(world: World, phone: Phone) -> None:
    first = phone.refresh_token
    for _ in range(2):
        phone.refresh()
        world.clock.time += GRACE + 1
    for kind in ("throttled", "not_found"):
        with world.aws.failing("GetSecretValue", kind):
            assert phone.revoke(first).status == 503
    assert_signed_out(phone.revoke(first))
    assert_ended(world, phone)


def test_a_session_that_ended_by_itself_is_signed_out_all_the_same(world: World, phone: Phone) -> None:
    world.clock.time = int(phone.row()["expires_at"])
    assert_signed_out(phone.revoke())
    assert world.session_secrets() == []


def test_the_sdk_meeting_its_own_sign_out_goes_on(world: World, phone: Phone) -> None:
    with world.aws.answer_lost_once("UpdateItem"):
        assert_signed_out(phone.revoke())
    assert_ended(world, phone)


def test_a_sign_out_in_the_middle_of_another_is_as_good(world: World, phone: Phone) -> None:
    first = phone.refresh_token
    for _ in range(2):
        phone.refresh()
        world.clock.time += GRACE + 1
    newest = phone.refresh_token
    with world.aws.visited("GetSecretValue", lambda: phone.revoke(newest)):
        answer = phone.revoke(first)
    # The secret was gone before the request could check its token.
    assert answer.status in (200, 503)
    assert_signed_out(phone.revoke(first))
    assert_ended(world, phone)


def test_a_sign_out_removes_the_sealed_answer_from_the_row(world: World, phone: Phone) -> None:
    with world.aws.failing("PutSecretValue", "throttled"):
        phone.refresh()
    assert "escrow" in phone.row()
    assert_signed_out(phone.revoke())
    assert "escrow" not in phone.row()
    assert_ended(world, phone)
