"""Dead letters of cleanup: the stream still has a letter's records, or the letter is lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from oauth_broker.errors import ServiceUnavailable
from oauth_broker.operations.cleanup import Cleanup
from oauth_broker.operator.dead_letters import DeadLetters, Redriven
from oauth_broker.runtime.invocation import Invocation
from tests.support.client_error import client_error
from tests.support.clock import VirtualClock
from tests.support.lambda_context import Context
from tests.support.streams import (
    QUEUE_URL,
    STREAM_ARN,
    FakeQueue,
    FakeStreams,
    Shard,
    stream_record,
    without_image,
)
from tests.support.telemetry import Recorded
from tests.unit.test_cleanup import FakeSecretStore, unavailable

SHARD = "shardId-00000001541626099285-f35f62ef"


def letter(first: int, last: int, *, shard: str = SHARD, stream: str = STREAM_ARN) -> str:
    """Return a message about a DynamoDB stream in its documented form."""
    content = {
        "requestContext": {
            "requestId": "316aa6d0-8154-4d42-9af7-85d5f4a6bc81",
            "functionArn": "arn:aws:lambda:eu-west-1:123456789012:function:cleanup",
            "condition": "RetryAttemptsExhausted",
            "approximateInvokeCount": 101,
        },
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST"},
        "version": "1.0",
        "timestamp": "2026-11-14T00:13:49.717Z",
        "DDBStreamBatchInfo": {
            "shardId": shard,
            "startSequenceNumber": str(first),
            "endSequenceNumber": str(last),
            "approximateArrivalOfFirstRecord": "2026-11-14T00:13:19Z",
            "approximateArrivalOfLastRecord": "2026-11-14T00:13:19Z",
            "batchSize": 1,
            "streamArn": stream,
        },
    }
    return json.dumps(content)


@dataclass
class Arrangement:
    shard: Shard = field(default_factory=lambda: Shard([stream_record(f"session-{n}", n) for n in range(100, 110)]))
    queue: FakeQueue = field(default_factory=FakeQueue)
    clock: VirtualClock = field(default_factory=VirtualClock)
    telemetry: Recorded = field(default_factory=Recorded)

    def __post_init__(self) -> None:
        self.streams = FakeStreams({SHARD: self.shard})
        self.secret_store = FakeSecretStore(self.clock)
        cleanup = Cleanup(self.secret_store, self.clock, lambda size: b"\xff" * size)
        self.letters = DeadLetters(self.queue, QUEUE_URL, self.streams, cleanup)

    def put(self, *bodies: str) -> None:
        self.queue.bodies.update({f"letter-{len(self.queue.bodies) + n}": body for n, body in enumerate(bodies)})

    def redrive(self, limit: int = 10, seconds: float = 900, **options: bool) -> Redriven:
        return self.letters.redrive(limit, Invocation(Context(seconds, now=self.clock.now), self.telemetry), **options)

    def lines(self) -> list[tuple[str, str, str | None]]:
        """Return the log lines about the letters: level, event, reason."""
        return [
            (level, event, fields.get("reason"))
            for level, event, fields in self.telemetry.lines
            if event.startswith("dead_letter_")
        ]

    def fail(self, *sessions: str) -> None:
        self.secret_store.failing = lambda session_id: unavailable() if session_id in sessions else None


@pytest.fixture
def broker() -> Arrangement:
    return Arrangement()


def names(*numbers: int) -> list[str]:
    return [f"session-{number}" for number in numbers]


def test_the_secrets_a_letter_is_about_are_deleted_and_no_other(broker: Arrangement) -> None:
    broker.put(letter(103, 105))
    assert broker.redrive() == Redriven(redriven=1, secrets_deleted=3)
    assert broker.secret_store.deleted == names(103, 104, 105)
    assert broker.queue.bodies == {}
    assert broker.lines() == [("info", "dead_letter_redriven", None)]


def test_a_letter_about_one_record(broker: Arrangement) -> None:
    broker.put(letter(109, 109))
    assert broker.redrive() == Redriven(redriven=1, secrets_deleted=1)
    assert broker.secret_store.deleted == names(109)


def test_rows_that_cannot_have_a_secret_lie_between_and_cost_no_deletion(broker: Arrangement) -> None:
    broker.shard.records[4] = stream_record("session-104", 104, status="pending")
    broker.put(letter(103, 105))
    assert broker.redrive() == Redriven(redriven=1, secrets_deleted=2)
    assert broker.secret_store.deleted == names(103, 105)


def test_a_letter_about_a_stream_of_keys_alone_is_done(broker: Arrangement) -> None:
    broker.shard.records[:] = [without_image(record) for record in broker.shard.records]
    broker.put(letter(103, 105))
    assert broker.redrive() == Redriven(redriven=1, secrets_deleted=3)


def test_sequence_numbers_are_numbers_and_not_texts(broker: Arrangement) -> None:
    broker.shard.records[:0] = [stream_record(f"session-{n}", n) for n in (8, 9, 99)]
    broker.put(letter(9, 100))
    assert broker.redrive() == Redriven(redriven=1, secrets_deleted=3)
    assert broker.secret_store.deleted == names(9, 99, 100)


@pytest.mark.parametrize("name", ["INSERT", "MODIFY"])
def test_a_session_that_lives_is_not_touched_though_its_changes_lie_between(broker: Arrangement, name: str) -> None:
    broker.shard.records[4] = stream_record("a session that lives", 104, name)
    broker.put(letter(103, 105))
    assert broker.redrive() == Redriven(redriven=1, secrets_deleted=2)
    assert broker.secret_store.deleted == names(103, 105)


@pytest.mark.parametrize("page", [1, 2, 3, 4])
@pytest.mark.parametrize("empty_pages", [0, 1, 50])
@pytest.mark.parametrize("closed", [True, False])
def test_a_letter_is_read_however_the_stream_hands_out_its_records(
    broker: Arrangement, page: int, empty_pages: int, closed: bool
) -> None:
    broker.streams.page, broker.streams.empty_pages, broker.shard.closed = page, empty_pages, closed
    broker.put(letter(102, 109))
    assert broker.redrive() == Redriven(redriven=1, secrets_deleted=8)
    assert broker.secret_store.deleted == names(*range(102, 110))


def test_nothing_is_read_beyond_the_last_record_of_a_letter(broker: Arrangement) -> None:
    broker.streams.page = 2
    broker.put(letter(100, 101))
    broker.redrive(limit=1)
    assert broker.streams.calls == 2


def trim_all(broker: Arrangement) -> None:
    broker.shard.trimmed_to = 106


def trim_silently(broker: Arrangement) -> None:
    broker.shard.trimmed_to = 106
    broker.streams.strict = False


def trim_to_the_end(broker: Arrangement) -> None:
    broker.shard.trimmed_to = 200


def trim_to_the_end_of_a_closed_shard(broker: Arrangement) -> None:
    broker.shard.trimmed_to = 200
    broker.shard.closed = True


def trim_while_reading(broker: Arrangement) -> None:
    get_records = broker.streams.get_records

    def trimmed_now(**parameters: str) -> dict[str, Any]:
        broker.shard.trimmed_to = 106
        return get_records(**parameters)

    broker.streams.get_records = trimmed_now  # type: ignore[method-assign]


def lose_the_shard(broker: Arrangement) -> None:
    broker.streams.shards.clear()


GONE: list[Callable[[Arrangement], None]] = [
    trim_all,
    trim_silently,
    trim_to_the_end,
    trim_to_the_end_of_a_closed_shard,
    trim_while_reading,
    lose_the_shard,
]


@pytest.mark.parametrize("gone", GONE)
def test_a_letter_whose_records_are_gone_is_lost_and_stays_until_it_is_dropped(
    broker: Arrangement, gone: Callable[[Arrangement], None]
) -> None:
    gone(broker)
    broker.put(letter(103, 105))
    assert broker.redrive() == Redriven(lost=1)
    assert broker.secret_store.calls == []
    assert len(broker.queue.bodies) == 1
    ((level, event, reason),) = broker.lines()
    assert (level, event) == ("warning", "dead_letter_lost")
    assert reason in ("trimmed", "not_found")
    broker.queue.hidden.clear()
    assert broker.redrive(drop_lost=True) == Redriven(lost=1)
    assert broker.queue.bodies == {}


def test_the_rest_of_a_letter_is_deleted_though_its_oldest_records_are_gone(broker: Arrangement) -> None:
    broker.shard.trimmed_to = 104
    broker.put(letter(102, 106))
    assert broker.redrive() == Redriven(lost=1, secrets_deleted=3)
    assert broker.secret_store.deleted == names(104, 105, 106)
    assert len(broker.queue.bodies) == 1


def test_a_letter_of_which_something_is_gone_is_not_dropped_before_the_rest_is_deleted(broker: Arrangement) -> None:
    broker.shard.trimmed_to = 104
    broker.fail(*names(105))
    broker.put(letter(102, 106))
    broker.redrive(drop_lost=True)
    assert len(broker.queue.bodies) == 1
    broker.fail()
    broker.queue.hidden.clear()
    assert broker.redrive(drop_lost=True) == Redriven(lost=1, secrets_deleted=3)
    assert broker.queue.bodies == {}


def test_a_stream_that_is_gone_has_lost_its_letters(broker: Arrangement) -> None:
    broker.put(letter(103, 105, stream="arn:aws:dynamodb:eu-west-1:123456789012:table/former/stream/1"))
    assert broker.redrive() == Redriven(lost=1)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{",
        "null",
        "[]",
        "{}",
        '{"DDBStreamBatchInfo": {}}',
        letter(103, 105).replace('"103"', "103"),
        letter(103, 105).replace('"105"', '"1e2"'),
        letter(103, 105).replace('"105"', '""'),
        letter(103, 105).replace("shardId", "shard"),
    ],
)
def test_a_message_that_is_no_letter_is_lost_too(broker: Arrangement, body: str) -> None:
    broker.put(body)
    assert broker.redrive() == Redriven(lost=1)
    assert broker.lines() == [("warning", "dead_letter_lost", "unreadable")]
    assert broker.streams.calls == 0


@pytest.mark.parametrize("drop_lost", [True, False])
def test_a_letter_is_kept_until_its_last_secret_is_deleted(broker: Arrangement, drop_lost: bool) -> None:
    broker.fail(*names(104))
    broker.put(letter(103, 105))
    assert broker.redrive(drop_lost=drop_lost) == Redriven(kept=1, secrets_deleted=2, secrets_not_deleted=1)
    assert broker.lines() == [("warning", "dead_letter_kept", "secrets_not_deleted")]
    assert len(broker.queue.bodies) == 1
    broker.fail()
    broker.queue.hidden.clear()
    assert broker.redrive() == Redriven(redriven=1, secrets_deleted=3)
    assert broker.queue.bodies == {}


def test_a_secret_that_fails_on_the_first_page_keeps_a_letter_whose_last_page_succeeds(broker: Arrangement) -> None:
    broker.streams.page = 1
    broker.fail(*names(103))
    broker.put(letter(103, 105))
    assert broker.redrive().kept == 1
    assert len(broker.queue.bodies) == 1


def test_a_secret_that_cannot_be_deleted_holds_up_no_other_letter_for_long(broker: Arrangement) -> None:
    broker.fail(*names(100))
    broker.put(letter(100, 100), letter(101, 101))
    started = broker.clock.now()
    assert broker.redrive() == Redriven(redriven=1, kept=1, secrets_deleted=1, secrets_not_deleted=1)
    assert broker.clock.now() - started <= 10


@pytest.mark.parametrize("code", ["LimitExceededException", "InternalServerError", "AccessDeniedException"])
def test_a_letter_is_kept_where_the_stream_cannot_be_read(broker: Arrangement, code: str) -> None:
    broker.streams.failures.append(client_error(code))
    broker.put(letter(103, 105))
    assert broker.redrive(drop_lost=True) == Redriven(kept=1)
    assert broker.lines() == [("warning", "dead_letter_kept", f"dynamodbstreams:{code}")]
    broker.queue.hidden.clear()
    assert broker.redrive().redriven == 1


def test_a_stream_that_never_comes_to_its_records_is_not_asked_for_ever(broker: Arrangement) -> None:
    broker.streams.empty_pages = 1_000_000
    broker.put(letter(103, 105))
    assert broker.redrive(drop_lost=True) == Redriven(kept=1)
    assert broker.streams.calls < 200


def test_the_line_about_a_letter_does_not_name_the_last_session_in_it(broker: Arrangement) -> None:
    broker.fail(*names(104))
    broker.put(letter(103, 105))
    broker.redrive()
    (fields,) = [fields for _, event, fields in broker.telemetry.lines if event == "dead_letter_kept"]
    assert "session" not in fields


def test_no_more_letters_are_taken_than_asked_for(broker: Arrangement) -> None:
    broker.put(*(letter(number, number) for number in range(100, 105)))
    assert broker.redrive(2) == Redriven(redriven=2, secrets_deleted=2)
    assert broker.letters.count() == 3
    assert broker.redrive(100) == Redriven(redriven=3, secrets_deleted=3)
    assert broker.letters.count() == 0


def test_letters_that_were_taken_a_moment_ago_are_counted(broker: Arrangement) -> None:
    broker.fail(*names(103))
    broker.put(letter(103, 103), letter(104, 104))
    broker.redrive()
    assert broker.letters.count() == 1


def test_a_letter_that_is_shown_twice_is_done_once(broker: Arrangement) -> None:
    broker.queue.hides = False
    broker.fail(*names(103))
    broker.put(letter(103, 103))
    assert broker.redrive(5) == Redriven(kept=1, secrets_not_deleted=1)


def test_a_letter_about_what_is_long_deleted_is_done(broker: Arrangement) -> None:
    broker.put(letter(103, 105), letter(104, 105))
    assert broker.redrive() == Redriven(redriven=2, secrets_deleted=5)


def test_no_letter_is_begun_without_time_for_it(broker: Arrangement) -> None:
    broker.put(letter(103, 105))
    assert broker.redrive(seconds=20) == Redriven()
    assert broker.queue.hidden == set()


def test_a_letter_that_takes_longer_than_there_is_time_is_kept(broker: Arrangement) -> None:
    broker.secret_store.call_seconds = 5
    broker.streams.page = 1
    broker.put(letter(100, 109), letter(100, 100))
    outcome = broker.redrive(seconds=40)
    assert (outcome.kept, outcome.redriven) == (1, 0)
    assert 0 < outcome.secrets_deleted < 10
    assert len(broker.queue.bodies) == 2
    assert broker.lines() == [("warning", "dead_letter_kept", "too_little_time")]


@pytest.mark.parametrize("call", ["receive", "delete"])
def test_a_queue_that_fails_is_told_of_and_loses_no_letter(broker: Arrangement, call: str) -> None:
    broker.queue.failures[call] = "AccessDenied"
    broker.put(letter(103, 105))
    with pytest.raises(ServiceUnavailable) as raised:
        broker.redrive()
    assert raised.value.reason == "sqs:AccessDenied"
    assert len(broker.queue.bodies) == 1


def test_a_queue_that_cannot_be_counted_is_told_of(broker: Arrangement) -> None:
    broker.queue.failures["count"] = "QueueDoesNotExist"
    with pytest.raises(ServiceUnavailable) as raised:
        broker.letters.count()
    assert raised.value.reason == "sqs:QueueDoesNotExist"
