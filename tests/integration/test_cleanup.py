"""The stream of removed rows, through the real handler."""

from __future__ import annotations

from typing import Any

import pytest

from oauth_broker.oauth.tokens import secret_name
from oauth_broker.secret import session_reference
from tests.support.aws_calls import FAILURES
from tests.support.deployment import PREFIX
from tests.support.lambda_context import Context
from tests.support.streams import stream_record
from tests.support.world import World


def record(session_id: str, number: str, name: str = "REMOVE") -> dict[str, Any]:
    """Return a record of a row with a possible secret, as Lambda delivers it."""
    made = stream_record(session_id, int(number), name)
    made["dynamodb"]["ApproximateCreationDateTime"] = 0
    return made


def clean(world: World, *records: dict[str, Any]) -> list[str]:
    answer = world.handler("cleanup")({"Records": list(records)}, Context(now=world.clock.now))
    return [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]


def test_the_secret_of_every_removed_row_is_deleted(world: World) -> None:
    phones = [world.signed_in() for _ in range(3)]
    assert clean(world, *(record(phone.session_id, str(n)) for n, phone in enumerate(phones))) == []
    assert world.session_secrets() == []
    assert world.telemetry.counted("SecretsDeleted") == 3


def test_a_row_that_never_had_a_secret_is_a_success_and_so_is_a_repetition(world: World) -> None:
    phone = world.phone()
    phone.authorize()
    for _ in range(2):
        assert clean(world, record(phone.session_id, "1")) == []


def test_other_changes_than_removals_delete_nothing(world: World) -> None:
    phone = world.signed_in()
    assert clean(world, record(phone.session_id, "1", "MODIFY"), record(phone.session_id, "2", "INSERT")) == []
    assert len(world.session_secrets()) == 1


@pytest.mark.parametrize("kind", FAILURES)
def test_a_failure_that_passes_in_time_is_none(world: World, kind: str) -> None:
    phones = [world.signed_in() for _ in range(3)]
    with world.aws.failing("DeleteSecret", kind, times=2):
        assert clean(world, *(record(phone.session_id, str(n)) for n, phone in enumerate(phones))) == []
    assert world.session_secrets() == []
    assert world.telemetry.counted("SecretsNotDeleted") == 0


# AccessDenied counts as an absent secret: see tests/unit/test_cleanup.py.
@pytest.mark.parametrize("kind", [kind for kind in FAILURES if kind != "access_denied"])
def test_every_record_that_fails_to_the_end_is_reported_and_succeeds_later(world: World, kind: str) -> None:
    phones = [world.signed_in() for _ in range(3)]
    records = [record(phone.session_id, str(n)) for n, phone in enumerate(phones)]
    clean(world, records[0])
    with world.aws.failing("DeleteSecret", kind):
        assert sorted(clean(world, *records[1:])) == ["1", "2"]
    assert world.telemetry.counted("SecretsNotDeleted") == 2
    throttled = ("AwsThrottled", {"aws_service": "secretsmanager"})
    assert (throttled in world.telemetry.metrics) is (kind == "throttled")
    assert clean(world, *records) == []
    assert world.session_secrets() == []


def test_one_secret_that_cannot_be_deleted_is_told_of_and_the_others_are_deleted(world: World) -> None:
    phones = [world.signed_in() for _ in range(3)]
    poisoned = secret_name(PREFIX, phones[0].session_id)
    # Secrets Manager refuses to delete a secret with replicas.
    world.secretsmanager.replicate_secret_to_regions(SecretId=poisoned, AddReplicaRegions=[{"Region": "eu-central-1"}])
    assert clean(world, *(record(phone.session_id, str(n)) for n, phone in enumerate(phones))) == ["0"]
    assert world.session_secrets() == [poisoned]
    ((level, event, fields),) = [line for line in world.telemetry.lines if line[1] == "secret_not_deleted"]
    assert (level, event) == ("warning", "secret_not_deleted")
    assert fields["session"] == session_reference(phones[0].session_id)
    assert fields["reason"] == "secretsmanager:InvalidParameterException"
    assert fields["request_id"]
