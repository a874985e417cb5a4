"""Cleanup's dead letters, redriven by a person on call."""

from __future__ import annotations

from typing import Any

import boto3
import pytest

from tests.support.operator import OPERATOR, audited, operate, secrets_of
from tests.support.removals import Removals
from tests.support.world import World

ROW_SECONDS = 31 * 24 * 3600


class Trouble:
    """A broker with rows given up by cleanup, as a person on call finds it."""

    def __init__(self, world: World, count: int) -> None:
        self.world = world
        self.removals = Removals(world, most_retries=0, batch_size=1)
        phones = [world.signed_in() for _ in range(count)]
        self.secrets = secrets_of(world, phones)
        self.removals.expire(ROW_SECONDS)
        with world.aws.failing("DeleteSecret", "not_deletable"):
            self.removals.deliver(count + 1)
        queue: Any = boto3.Session().client("sqs")
        url = queue.get_queue_url(QueueName="CleanupDeadLetterQueue")["QueueUrl"]
        self.handler = world.make_handler("operator", DEAD_LETTER_QUEUE_URL=url)

    def redrive(self, **members: Any) -> dict[str, Any]:
        return operate(self.world, action="redrive", via=self.handler, **members)


def test_the_work_that_cleanup_gave_up_is_done(world: World) -> None:
    trouble = Trouble(world, 3)
    assert len(world.session_secrets()) == 3
    answer = trouble.redrive()
    assert answer == {
        "redriven": 3,
        "kept": 0,
        "lost": 0,
        "secrets_deleted": 3,
        "secrets_not_deleted": 0,
        "in_queue": 0,
    }
    assert world.session_secrets() == []
    line = {"action": "redrive", "operator": OPERATOR}
    assert audited(world) == [line | {"reason": "asked"}, line | {"reason": "done", "count": 3}]


def test_no_more_letters_are_taken_than_asked_for(world: World) -> None:
    trouble = Trouble(world, 3)
    answer = trouble.redrive(limit=2)
    assert (answer["redriven"], answer["in_queue"]) == (2, 1)
    assert len(world.session_secrets()) == 1


def test_a_letter_refused_for_a_missing_right_is_told_and_may_be_dropped(world: World) -> None:
    """Perhaps the right is missing, perhaps the secret. A person decides, and may drop the letter."""
    trouble = Trouble(world, 1)
    with world.aws.failing("DeleteSecret", "access_denied"):
        answer = trouble.redrive(limit=1)
    assert (answer["redriven"], answer["kept"], answer["lost"], answer["in_queue"]) == (0, 0, 1, 1)
    assert answer["secrets_not_deleted"] == 1
    lines = [fields for _, event, fields in world.telemetry.lines if event == "dead_letter_lost"]
    assert [fields["reason"] for fields in lines] == ["secret_access_denied"]


def test_a_letter_that_still_fails_is_kept_and_told(world: World) -> None:
    trouble = Trouble(world, 1)
    with world.aws.failing("DeleteSecret", "not_deletable"):
        answer = trouble.redrive(limit=1)
    assert (answer["redriven"], answer["kept"], answer["secrets_not_deleted"], answer["in_queue"]) == (0, 1, 1, 1)


def test_without_a_queue_it_is_said_what_is_missing(world: World) -> None:
    answer = operate(world, action="redrive")
    assert answer["error"] == "configuration_error"
    assert "DEAD_LETTER_QUEUE_URL" in answer["message"]


@pytest.mark.parametrize("operation", ["ReceiveMessage", "DeleteMessage", "GetQueueAttributes"])
def test_a_repetition_finishes_the_work_if_the_queue_fails(world: World, operation: str) -> None:
    trouble = Trouble(world, 1)
    with world.aws.failing(operation, "access_denied"):
        answer = trouble.redrive(limit=1)
    assert answer["error"] == "temporary_failure"
    assert "sqs:AccessDenied" in answer["message"]
    if operation == "DeleteMessage":
        # The letter is taken, and reappears after a minute of the machine's time: moto ignores the virtual clock.
        assert world.session_secrets() == []
    else:
        trouble.redrive()
        assert world.session_secrets() == []
