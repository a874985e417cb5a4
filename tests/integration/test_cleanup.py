"""The stream of removed rows, through the real handler."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.aws_calls import FAILURES
from tests.support.functions import Context
from tests.support.world import World


def record(session_id: str, number: str, name: str = "REMOVE") -> dict[str, Any]:
    key = {"session_id": {"S": session_id}}
    return {
        "eventID": number,
        "eventName": name,
        "eventSource": "aws:dynamodb",
        "dynamodb": {"Keys": key, "OldImage": key, "SequenceNumber": number, "StreamViewType": "OLD_IMAGE"},
    }


def clean(world: World, *records: dict[str, Any]) -> list[str]:
    answer = world.handler("cleanup")({"Records": list(records)}, Context(world.clock.now))
    return [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]


def test_the_secret_of_every_removed_row_is_deleted(world: World) -> None:
    phones = [world.signed_in() for _ in range(3)]
    assert clean(world, *(record(phone.session_id, str(n)) for n, phone in enumerate(phones))) == []
    assert world.session_secrets() == []
    assert world.telemetry.counted("SecretsDeleted") == 3


def test_an_abandoned_sign_in_leaves_no_secret_behind(world: World) -> None:
    phone = world.phone()
    phone.code()
    assert len(world.session_secrets()) == 1
    assert clean(world, record(phone.session_id, "1")) == []
    assert world.session_secrets() == []


@pytest.mark.parametrize("operation", ["CreateSecret", "UpdateItem"])
def test_a_callback_that_died_anywhere_leaves_nothing_that_cleanup_does_not_find(world: World, operation: str) -> None:
    phone = world.phone()
    returning = phone.approve(phone.authorize())
    with world.aws.dying_after(operation):
        phone.callback(returning)
    clean(world, record(phone.session_id, "1"))
    assert world.session_secrets() == []


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
def test_the_batch_is_repeated_from_the_first_failure_on(world: World, kind: str) -> None:
    phones = [world.signed_in() for _ in range(3)]
    records = [record(phone.session_id, str(n)) for n, phone in enumerate(phones)]
    clean(world, records[0])
    with world.aws.failing("DeleteSecret", kind, times=1):
        assert clean(world, *records[1:]) == ["1"]
    assert clean(world, *records[1:]) == []
    assert world.session_secrets() == []
