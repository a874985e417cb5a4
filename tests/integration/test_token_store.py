"""Sessions that keep their tokens in the row, beside sessions with a secret."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from oauth_broker.sessions.row import may_have_a_secret
from tests.local.aries import Fault
from tests.support.deployment import GRACE, TABLE
from tests.support.operator import operate
from tests.support.world import Phone, World, running_world

SECRETS = {"TOKEN_STORE": "secrets"}


@pytest.fixture
def row_world() -> Iterator[World]:
    with running_world(TOKEN_STORE="row") as world:
        yield world


@contextmanager
def without_secrets_manager(world: World) -> Iterator[None]:
    """Assert that the block calls Secrets Manager for no session. It may read the client secret of Aries once."""
    world.aws.made.clear()
    yield
    made = [call for call in world.aws.made if call.startswith("secrets-manager:")]
    assert made in ([], ["secrets-manager:GetSecretValue"])


def warm(world: World) -> Phone:
    """A session in a process that has read the Aries client secret."""
    phone = world.signed_in()
    world.clock.time += GRACE + 1
    assert phone.refresh().status == 200
    world.clock.time += GRACE + 1
    return phone


def item(world: World, phone: Phone) -> dict[str, Any]:
    """The session's row as DynamoDB has it."""
    found: dict[str, Any] = world.dynamodb.get_item(TableName=TABLE, Key={"session_id": {"S": phone.session_id}})[
        "Item"
    ]
    return found


def without(world: World, phone: Phone, *attributes: str) -> None:
    world.dynamodb.update_item(
        TableName=TABLE,
        Key={"session_id": {"S": phone.session_id}},
        UpdateExpression="REMOVE " + ", ".join(attributes),
    )


def put(world: World, phone: Phone, **attributes: Any) -> None:
    world.dynamodb.update_item(
        TableName=TABLE,
        Key={"session_id": {"S": phone.session_id}},
        UpdateExpression="SET " + ", ".join(f"{name} = :{name}" for name in attributes),
        ExpressionAttributeValues={f":{name}": value for name, value in attributes.items()},
    )


def test_a_session_in_the_row_has_no_secret_and_shows_no_token(row_world: World) -> None:
    phone = warm(row_world)
    row = item(row_world, phone)
    assert row["token_store"] == {"S": "row"}
    assert len(row["sealed"]["L"]) == 1
    assert row_world.session_secrets() == []
    assert row_world.telemetry.counted("SecretsCreated") == 0
    assert not may_have_a_secret(row)
    assert phone.access_token.encode() not in row["sealed"]["L"][0]["B"]


def test_the_store_of_a_session_is_chosen_at_its_sign_in_and_never_changes(row_world: World) -> None:
    in_row = warm(row_world)
    row_world.environment |= SECRETS
    row_world._handlers.clear()
    with_secret = warm(row_world)
    for phone, store in ((in_row, {"S": "row"}), (with_secret, None)):
        assert phone.refresh().status == 200
        assert item(row_world, phone).get("token_store") == store
        assert ("sealed" in item(row_world, phone)) is (store is not None)
    assert len(row_world.session_secrets()) == 1
    row_world.environment |= {"TOKEN_STORE": "row"}
    row_world._handlers.clear()
    row_world.clock.time += GRACE + 1
    for phone in (in_row, with_secret):
        assert phone.refresh().status == 200
        assert phone.revoke().status == 200
    assert row_world.session_secrets() == []


def test_neither_refresh_nor_sign_out_nor_an_end_touches_secrets_manager(row_world: World) -> None:
    phone, refused, reused, ended, everyone = (warm(row_world) for _ in range(5))
    first = reused.refresh_token
    for _ in range(2):
        assert reused.refresh().status == 200
        row_world.clock.time += GRACE + 1
    with without_secrets_manager(row_world):
        assert phone.refresh().status == 200
        assert phone.revoke().status == 200
        row_world.aries.faults.append(Fault("invalid_grant"))
        assert refused.refresh().json["error"] == "invalid_grant"
        assert reused.refresh(first).json["error"] == "invalid_grant"
        reference = item(row_world, ended)["reference"]["S"]
        assert operate(row_world, action="revoke", session=reference)["signed_in"] is False
        assert operate(row_world, action="revoke_all", everyone=True)["finished"] is True
    for over, status in ((phone, "revoked"), (refused, "dead"), (reused, "dead"), (ended, "revoked")):
        row = item(row_world, over)
        assert row["status"] == {"S": status}
        assert "sealed" not in row
        assert row["token_store"] == {"S": "row"}
        assert not may_have_a_secret(row)
    assert everyone.refresh().json["error"] == "invalid_grant"


def test_the_release_before_leaves_the_session_alone(row_world: World) -> None:
    phone = warm(row_world)
    row, asked = item(row_world, phone), row_world.aries.token_calls
    # That release does not read these attributes.
    without(row_world, phone, "token_store", "sealed")
    assert phone.refresh().status == 503
    assert row_world.aries.token_calls == asked
    put(row_world, phone, token_store=row["token_store"], sealed=row["sealed"])
    row_world.clock.time += 60
    assert phone.refresh().status == 200


def test_a_seal_of_another_row_does_not_open_and_ends_nothing(row_world: World) -> None:
    victim, thief = warm(row_world), warm(row_world)
    own = item(row_world, victim)["sealed"]
    put(row_world, victim, sealed=item(row_world, thief)["sealed"])
    assert victim.refresh().status == 503
    put(row_world, victim, sealed=own)
    row_world.clock.time += 60
    assert victim.refresh().status == 200


@pytest.mark.parametrize("operation", ["Decrypt", "Encrypt"])
def test_a_session_outlives_a_kms_that_refuses_for_a_while(row_world: World, operation: str) -> None:
    phone = warm(row_world)
    with row_world.aws.failing(operation, "throttled", times=1):
        answer = phone.refresh()
    assert answer.status == (503 if operation == "Decrypt" else 200)
    row_world.clock.time += 60
    assert phone.refresh().status == 200


def test_a_sign_in_fails_without_a_trace_of_a_secret_if_kms_refuses(row_world: World) -> None:
    phone = row_world.phone()
    with row_world.aws.failing("Encrypt", "throttled"):
        answer = phone.callback(phone.approve(phone.authorize()))
    assert answer.query["error"] == "temporarily_unavailable"
    (row,) = [row for row in row_world.rows() if row.get("status") == {"S": "failed"}]
    assert not may_have_a_secret(row)


def test_nobody_waits_at_a_sign_in_for_a_right_that_is_missing(row_world: World) -> None:
    phone = row_world.phone()
    began = row_world.clock.time
    with row_world.aws.failing("Encrypt", "access_denied"):
        answer = phone.callback(phone.approve(phone.authorize()))
    assert answer.query["error"] == "server_error"
    assert row_world.clock.time - began < 1
    assert row_world.aws.made.count("kms:Encrypt") == 1


def test_a_sign_in_names_the_store_itself_whatever_its_row_said_before(world: World) -> None:
    phone = world.phone()
    returning = phone.approve(phone.authorize())
    world.dynamodb.update_item(
        TableName=TABLE,
        Key={"session_id": {"S": phone.session_id}},
        UpdateExpression="SET token_store = :row",
        ExpressionAttributeValues={":row": {"S": "row"}},
    )
    assert phone.redeem(phone.callback(returning).query["code"]).status == 200
    assert "sealed" not in item(world, phone)
