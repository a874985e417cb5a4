"""A batch of removed rows: deletions, reports, and the time that it takes if Secrets Manager fails."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest

from oauth_broker.errors import NotAllowed, ServiceUnavailable, Throttled
from oauth_broker.operations.cleanup import Cleanup, Deletions
from oauth_broker.runtime.aws import AWS_CALL_SECONDS
from oauth_broker.runtime.invocation import Invocation
from oauth_broker.secret import session_reference
from oauth_broker.sessions.session_secret import SessionSecret
from tests.support.clock import VirtualClock
from tests.support.lambda_context import Context
from tests.support.streams import stream_record, without_image
from tests.support.telemetry import Recorded

FUNCTION_SECONDS = 60.0


def unavailable() -> ServiceUnavailable:
    return ServiceUnavailable("secretsmanager:InternalServiceError")


def throttled() -> ServiceUnavailable:
    return Throttled("secretsmanager:ThrottlingException")


def refused() -> ServiceUnavailable:
    return ServiceUnavailable("secretsmanager:InvalidParameterException", retriable=False)


def denied() -> ServiceUnavailable:
    return NotAllowed("secretsmanager:AccessDeniedException", retriable=False)


@dataclass
class FakeSecretStore:
    """Deletes secrets, unless ``failing`` makes a failure for the session. Each call takes ``call_seconds``."""

    clock: VirtualClock
    failing: Callable[[str], ServiceUnavailable | None] = lambda session_id: None
    call_seconds: float = 0.0
    deleted: list[str] = field(default_factory=list)
    calls: list[tuple[float, str]] = field(default_factory=list)

    def delete(self, session_id: str) -> None:
        self.calls.append((self.clock.now(), session_id))
        self.clock.sleep(self.call_seconds)
        if failure := self.failing(session_id):
            raise failure
        self.deleted.append(session_id)

    def create(self, session_id: str, secret: SessionSecret) -> str:
        raise AssertionError("nothing is written here")

    def read(self, session_id: str, version: str) -> SessionSecret | None:
        raise AssertionError("nothing is read here")

    def store(self, session_id: str, fence: int, secret: SessionSecret) -> str:
        raise AssertionError("nothing is written here")


class Arrangement:
    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.secret_store = FakeSecretStore(self.clock)
        self.telemetry = Recorded()

    def fail(self, failure: Callable[[], ServiceUnavailable], *sessions: str) -> None:
        self.secret_store.failing = lambda session_id: failure() if not sessions or session_id in sessions else None

    def clean(self, *records: object, seconds: float = FUNCTION_SECONDS) -> list[str]:
        """Run the function's own operation; return its reported records."""
        started = self.clock.now()
        cleanup = Cleanup(self.secret_store, self.clock, lambda size: b"\xff" * size)
        answer = cleanup({"Records": list(records)}, Invocation(Context(seconds, now=self.clock.now), self.telemetry))
        assert self.clock.now() < started + seconds, "the function would have been stopped"
        assert answer.keys() == {"batchItemFailures"}
        assert all(item.keys() == {"itemIdentifier"} for item in answer["batchItemFailures"])
        return sorted(item["itemIdentifier"] for item in answer["batchItemFailures"])

    def counted(self, metric: str) -> int:
        return sum(name == metric for name, _ in self.telemetry.metrics)

    def lines(self) -> list[tuple[str | None, str | None]]:
        assert {event for _, event, _ in self.telemetry.lines} <= {"secret_not_deleted", "secret_access_denied"}
        return sorted(
            ((fields.get("session"), fields.get("reason")) for _, _, fields in self.telemetry.lines), key=repr
        )


@pytest.fixture
def broker() -> Arrangement:
    return Arrangement()


def batch(size: int) -> list[dict[str, Any]]:
    return [stream_record(f"session-{index}", 100 + index) for index in range(size)]


@pytest.mark.parametrize("kind", [unavailable, throttled, refused])
@pytest.mark.parametrize("poisoned", [0, 2, 4])
def test_a_secret_that_cannot_be_deleted_holds_up_no_other(
    broker: Arrangement, poisoned: int, kind: Callable[[], ServiceUnavailable]
) -> None:
    broker.fail(kind, f"session-{poisoned}")
    assert broker.clean(*batch(5)) == [str(100 + poisoned)]
    assert sorted(broker.secret_store.deleted) == [f"session-{index}" for index in range(5) if index != poisoned]


def test_every_failure_is_reported_counted_and_logged_once(broker: Arrangement) -> None:
    broker.fail(unavailable, "session-1", "session-3")
    assert broker.clean(*batch(5)) == ["101", "103"]
    assert broker.counted("SecretsDeleted") == 3
    assert broker.counted("SecretsNotDeleted") == 2
    reason = "secretsmanager:InternalServiceError"
    assert broker.lines() == sorted((session_reference(f"session-{index}"), reason) for index in (1, 3))


def test_a_failure_that_passes_is_waited_for(broker: Arrangement) -> None:
    failures = [throttled(), unavailable(), unavailable()]
    broker.secret_store.failing = lambda _: failures.pop() if failures else None
    assert broker.clean(*batch(3)) == []
    assert len(broker.secret_store.deleted) == 3
    assert broker.counted("SecretsNotDeleted") == 0
    assert broker.telemetry.lines == []


@pytest.mark.parametrize("kind", [unavailable, throttled])
@pytest.mark.parametrize("size", [1, 100])
def test_an_outage_is_met_with_few_calls_and_takes_all_the_time_there_is(
    broker: Arrangement, size: int, kind: Callable[[], ServiceUnavailable]
) -> None:
    broker.fail(kind)
    assert broker.clean(*batch(size)) == sorted(str(100 + index) for index in range(size))
    times = [time for time, _ in broker.secret_store.calls]
    pauses = [later - earlier for earlier, later in pairwise(times)]
    assert pauses == sorted(pauses)
    assert pauses[0] < 0.5
    # Secrets Manager allows 50 calls a second, far more than this.
    assert pauses[-1] >= 1.5
    assert len(times) < FUNCTION_SECONDS
    # Lambda's tries for a record therefore last for the hours of an outage.
    assert times[-1] - times[0] > 0.8 * FUNCTION_SECONDS


def test_records_without_time_in_an_outage_are_reported_too(broker: Arrangement) -> None:
    broker.fail(unavailable)
    broker.clean(*batch(100))
    assert len(broker.lines()) == broker.counted("SecretsNotDeleted") == 100
    assert {reason for _, reason in broker.lines()} == {"secretsmanager:InternalServiceError", "not_tried"}


def test_throttling_is_counted(broker: Arrangement) -> None:
    failures = [throttled(), throttled()]
    broker.secret_store.failing = lambda _: failures.pop() if failures else None
    broker.clean(*batch(3))
    assert broker.telemetry.metrics.count(("AwsThrottled", {"aws_service": "secretsmanager"})) == 2


def test_a_deletion_denied_for_a_missing_right_is_tried_twice_then_counts_as_absent_and_holds_up_nothing(
    broker: Arrangement,
) -> None:
    broker.fail(denied, "session-0", "session-1")
    started = broker.clock.now()
    assert broker.clean(*batch(4)) == []
    assert broker.clock.now() - started <= 3
    tried = [session for _, session in broker.secret_store.calls]
    assert tried == ["session-0", "session-1", "session-2", "session-3", "session-0", "session-1"]
    assert (broker.counted("SecretAccessDenied"), broker.counted("SecretsDeleted")) == (2, 2)
    assert broker.counted("SecretsNotDeleted") == 0


def test_a_right_that_was_just_given_is_in_force_at_the_second_try(broker: Arrangement) -> None:
    failures = [denied()]
    broker.secret_store.failing = lambda _: failures.pop() if failures else None
    assert broker.clean(*batch(2)) == []
    assert broker.secret_store.deleted == ["session-1", "session-0"]
    assert broker.counted("SecretAccessDenied") == 0


def test_the_record_comes_again_if_there_is_no_time_for_a_second_try(broker: Arrangement) -> None:
    def fail(session_id: str) -> ServiceUnavailable:
        return denied() if session_id == "session-0" else unavailable()

    broker.secret_store.failing = fail
    assert broker.clean(*batch(2)) == ["100", "101"]
    assert broker.counted("SecretAccessDenied") == 0


def test_a_batch_of_deletions_denied_for_a_missing_right_takes_some_seconds(broker: Arrangement) -> None:
    """Sign-ins without a secret must not hold up a shard, for any answer of AWS to their names."""
    broker.fail(denied)
    broker.secret_store.call_seconds = 0.05
    started = broker.clock.now()
    assert broker.clean(*batch(100)) == []
    assert broker.clock.now() - started < 15
    assert broker.counted("SecretAccessDenied") == 100


def test_cleanup_does_not_wait_after_a_final_refusal(broker: Arrangement) -> None:
    broker.fail(refused, "session-0", "session-1")
    started = broker.clock.now()
    assert broker.clean(*batch(4)) == ["100", "101"]
    assert broker.clock.now() == started
    assert len(broker.secret_store.calls) == 4


@pytest.mark.parametrize("call_seconds", [0.0, 0.03, 1.0, float(AWS_CALL_SECONDS)])
@pytest.mark.parametrize("works", [True, False])
def test_the_function_reports_before_it_is_stopped(broker: Arrangement, call_seconds: float, works: bool) -> None:
    broker.secret_store.call_seconds = call_seconds
    if not works:
        broker.fail(unavailable)
    reported = broker.clean(*batch(3000))
    # A little time is left, and all possible work is done.
    assert len(reported) == 3000 - len(broker.secret_store.deleted)
    done = int(53 / call_seconds) if call_seconds else 3000
    assert len(broker.secret_store.deleted) == (pytest.approx(min(done, 3000), abs=1) if works else 0)


def test_without_time_nothing_is_begun_and_everything_reported(broker: Arrangement) -> None:
    assert broker.clean(*batch(2), seconds=AWS_CALL_SECONDS) == ["100", "101"]
    assert broker.secret_store.calls == []


def test_other_changes_than_removals_are_left_alone(broker: Arrangement) -> None:
    assert broker.clean(stream_record("a", 1, "INSERT"), stream_record("b", 2, "MODIFY")) == []
    assert broker.secret_store.calls == []


@pytest.mark.parametrize("status", ["claimed", "issued", "active", "failed", "dead", "revoked", "a later release's"])
def test_a_row_that_may_have_a_secret_has_it_deleted(broker: Arrangement, status: str) -> None:
    assert broker.clean(stream_record("a", 1, status=status)) == []
    assert broker.secret_store.deleted == ["a"]


@pytest.mark.parametrize(
    "removed",
    [
        stream_record("a", 1, status="pending"),
        *(stream_record("a", 1, status=status, token_store="none") for status in ("failed", "active", "dead")),
        stream_record("a", 1, status="active", token_store="row"),
    ],
)
def test_a_row_that_cannot_have_a_secret_costs_no_deletion(broker: Arrangement, removed: dict[str, Any]) -> None:
    assert broker.clean(removed, stream_record("b", 2)) == []
    assert broker.secret_store.deleted == ["b"]
    assert broker.telemetry.lines == []


@pytest.mark.parametrize("view_type", ["KEYS_ONLY", "NEW_IMAGE"])
def test_a_record_without_an_old_image_counts_as_one_that_may_have_a_secret(
    broker: Arrangement, view_type: str
) -> None:
    assert broker.clean(without_image(stream_record("a", 1), view_type)) == []
    assert broker.secret_store.deleted == ["a"]


@pytest.mark.parametrize("image", [None, "?", []])
def test_an_old_image_that_makes_no_sense_counts_as_none(broker: Arrangement, image: Any) -> None:
    record = stream_record("a", 1)
    record["dynamodb"]["OldImage"] = image
    assert broker.clean(record) == []
    assert broker.secret_store.deleted == ["a"]


@pytest.mark.parametrize("key", ["cut-offs", "sweep:everyone", "sweep:client:trader-ios", "sweep:count"])
def test_the_control_items_of_the_table_have_no_status_and_no_secret(broker: Arrangement, key: str) -> None:
    removed = stream_record(key, 1)
    del removed["dynamodb"]["OldImage"]["status"]
    assert broker.clean(removed) == []
    assert broker.secret_store.calls == []
    # Without the image the function cannot tell, and deleting a missing secret does no harm.
    assert broker.clean(without_image(removed)) == []
    assert broker.telemetry.lines == []


MALFORMED: list[tuple[Any, str]] = [
    ({}, ""),
    (None, ""),
    ("REMOVE", ""),
    ({"eventName": "REMOVE"}, ""),
    ({"eventName": "REMOVE", "dynamodb": None}, ""),
    ({"eventName": "REMOVE", "dynamodb": {"SequenceNumber": "7"}}, "7"),
    ({"eventName": "REMOVE", "dynamodb": {"SequenceNumber": "7", "Keys": {}}}, "7"),
    ({"eventName": "REMOVE", "dynamodb": {"SequenceNumber": "7", "Keys": {"session_id": {"N": "1"}}}}, "7"),
    ({"eventName": "REMOVE", "dynamodb": {"SequenceNumber": "7", "Keys": {"session_id": {"S": 1}}}}, "7"),
    ({"eventName": "REMOVE", "dynamodb": {"SequenceNumber": "7", "Keys": {"session_id": {"S": ""}}}}, "7"),
    ({"eventName": "REMOVE", "dynamodb": {"Keys": {"session_id": {"S": "a"}}}}, ""),
    ({"eventName": "REMOVE", "dynamodb": {"SequenceNumber": 7, "Keys": {"session_id": {"S": "a"}}}}, ""),
    ({"eventName": "REMOVE", "dynamodb": {"SequenceNumber": "", "Keys": {"session_id": {"S": "a"}}}}, ""),
    ({"eventName": "TRUNCATE", "dynamodb": {"SequenceNumber": "7", "Keys": {"session_id": {"S": "a"}}}}, "7"),
    ({"dynamodb": {"SequenceNumber": "7", "Keys": {"session_id": {"S": "a"}}}}, "7"),
]


@pytest.mark.parametrize(("malformed", "number"), MALFORMED)
def test_a_record_of_a_wrong_shape_is_a_failure_with_a_log_line_and_holds_up_no_other(
    broker: Arrangement, malformed: Any, number: str
) -> None:
    first, second = batch(2)
    started = broker.clock.now()
    # Lambda would take an empty identifier for the failure of the whole batch, and would bisect it.
    assert broker.clean(first, malformed, second) == [number]
    assert broker.secret_store.deleted == ["session-0", "session-1"]
    assert broker.clock.now() == started
    assert broker.lines() == [(None, "malformed_record")]
    assert broker.counted("SecretsNotDeleted") == 1


def test_a_line_about_a_malformed_record_does_not_name_the_session_before_it(broker: Arrangement) -> None:
    broker.fail(refused)
    broker.clean(*batch(1), {"eventName": "REMOVE"})
    assert (None, "malformed_record") in broker.lines()


def with_time_left(broker: Arrangement, seconds: float, *records: object) -> Deletions:
    cleanup = Cleanup(broker.secret_store, broker.clock, lambda size: b"\xff" * size)
    invocation = Invocation(Context(900, now=broker.clock.now), broker.telemetry)
    return cleanup.delete_secrets(records, invocation, time_left=seconds)


def test_the_time_ends_if_nothing_is_deleted(broker: Arrangement) -> None:
    broker.fail(unavailable)
    started = broker.clock.now()
    outcome = with_time_left(broker, 10, *batch(2))
    assert (outcome.deleted, sorted(outcome.failed)) == (0, ["100", "101"])
    assert 5 < broker.clock.now() - started <= 10


def test_the_time_does_not_end_while_secrets_are_deleted(broker: Arrangement) -> None:
    broker.secret_store.call_seconds = 3
    assert with_time_left(broker, 10, *batch(50)) == Deletions(50, ())


@pytest.mark.parametrize("seed", range(200))
def test_exactly_the_records_that_are_not_deleted_are_reported(seed: int) -> None:
    chance = random.Random(seed)
    broker = Arrangement()
    likely = chance.random()
    kinds = [unavailable, throttled, refused]
    broker.secret_store.failing = lambda _: chance.choice(kinds)() if chance.random() < likely else None
    broker.secret_store.call_seconds = chance.choice([0.0, 0.05, 2.0])
    records = batch(chance.randrange(40))
    reported = broker.clean(*records)
    numbers = {f"session-{index}": str(100 + index) for index in range(len(records))}
    left = numbers.keys() - set(broker.secret_store.deleted)
    assert reported == sorted(numbers[name] for name in left)
    assert len(broker.secret_store.deleted) == len(set(broker.secret_store.deleted)) == broker.counted("SecretsDeleted")
