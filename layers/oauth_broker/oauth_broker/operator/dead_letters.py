"""The dead letters of cleanup: the batches of removed rows that Lambda gave up on, done after all.

A letter names a place in the table's stream and no more
(https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-errors.html), and a stream keeps its records for 24
hours. After that nobody can tell which secrets a letter was about: it is lost. What it leaves behind is told by its
age: a secret of a session that was created more than SessionDays and a day ago belongs to no session any more.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from oauth_broker.errors import ServiceUnavailable
from oauth_broker.operations.cleanup import Cleanup
from oauth_broker.runtime.aws import DynamoDbStreamsClient, SqsClient, error_code, translated
from oauth_broker.runtime.invocation import Invocation

# A letter that is taken and not done is shown again after this.
_HIDDEN_SECONDS = 60
# Without waiting, SQS asks some of its servers only, and may find nothing where there is something.
_WAIT_SECONDS = 1
# No letter is begun with less time: to take it, to find its place, to read, to delete one secret and to remove it.
_LETTER_SECONDS = 30
# No page of records is begun with less: to delete one secret, and to remove the letter.
_PAGE_SECONDS = 15
# How long it is tried in vain to delete secrets before the next letter has its turn: a person is waiting.
_TIME_LEFT_SECONDS = 10
# A stream may answer with no records several times before it comes to the next ones.
_MOST_EMPTY_PAGES = 100

_Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Redriven:
    """What became of the letters that were taken, in numbers.

    ``redriven`` letters are done and gone. ``kept`` ones are still in the queue, since a secret could not be deleted or
    the stream not be read: worth another try. ``lost`` ones name records that the stream does not have any more, or
    secrets that AWS refuses to delete for want of a right, which may not exist; they are still in the queue, save where
    they were to be dropped. ``secrets_deleted`` counts repetitions and secrets that
    did not exist, too.
    """

    redriven: int = 0
    kept: int = 0
    lost: int = 0
    secrets_deleted: int = 0
    secrets_not_deleted: int = 0


class _Lost(Exception):
    """Nothing more can be done for the letter from here. The message says why, in a word for the log."""


class _Trimmed(_Lost):
    """The oldest of the letter's records, at the least, are gone."""


class DeadLetters:
    """The queue in which cleanup's dead letters lie."""

    def __init__(self, queue: SqsClient, queue_url: str, streams: DynamoDbStreamsClient, cleanup: Cleanup) -> None:
        self._queue = queue
        self._queue_url = queue_url
        self._streams = streams
        self._cleanup = cleanup

    def count(self) -> int:
        """Return how many letters there are, about, those included that were taken a moment ago.

        Raises ServiceUnavailable.
        """
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        with translated("sqs"):
            answer = self._queue.get_queue_attributes(QueueUrl=self._queue_url, AttributeNames=names)
        return sum(int(answer["Attributes"][name]) for name in names)

    def redrive(self, limit: int, invocation: Invocation, *, drop_lost: bool = False) -> Redriven:
        """Take up to ``limit`` letters and delete the secrets of the rows they are about.

        Raises ServiceUnavailable if SQS fails.

        A letter is removed from the queue once all its secrets are deleted. One that is not done is shown again after a
        minute. A lost one is removed only with ``drop_lost``: it keeps the alarm on until somebody has looked for the
        secrets it leaves behind, and says so. No letter is begun that the invocation might not finish.
        """
        tally: Counter[str] = Counter()
        seen = set()
        for _ in range(limit):
            letter = self._take() if invocation.remaining() > _LETTER_SECONDS else None
            if letter is None:
                break
            if letter["MessageId"] not in seen:
                seen.add(letter["MessageId"])
                self._handle(letter, invocation, tally, drop_lost=drop_lost)
        return Redriven(**tally)

    def _take(self) -> dict[str, str] | None:
        with translated("sqs"):
            answer: dict[str, list[dict[str, str]]] = self._queue.receive_message(
                QueueUrl=self._queue_url,
                MaxNumberOfMessages=1,
                WaitTimeSeconds=_WAIT_SECONDS,
                VisibilityTimeout=_HIDDEN_SECONDS,
            )
        return next(iter(answer.get("Messages", [])), None)

    def _handle(self, letter: dict[str, str], invocation: Invocation, tally: Counter[str], *, drop_lost: bool) -> None:
        try:
            self._delete_secrets(_Place.parse(letter["Body"]), invocation, tally)
            what, reason = "redriven", None
        except _Lost as lost:
            what, reason = "lost", str(lost)
        except ServiceUnavailable as unavailable:
            what, reason = "kept", unavailable.reason
        if what == "redriven" or (what == "lost" and drop_lost):
            self._remove(letter)
        tally[what] += 1
        invocation.about_session("")
        invocation.log(f"dead_letter_{what}", level="info" if what == "redriven" else "warning", reason=reason)

    def _remove(self, letter: dict[str, str]) -> None:
        with translated("sqs"):
            self._queue.delete_message(QueueUrl=self._queue_url, ReceiptHandle=letter["ReceiptHandle"])

    def _delete_secrets(self, place: _Place, invocation: Invocation, tally: Counter[str]) -> None:
        """Delete the secrets of all removals in ``place``; raises ServiceUnavailable where one is left, and _Lost."""
        failed, denied, lost = 0, 0, None
        try:
            for records in self._records(place):
                if invocation.remaining() < _PAGE_SECONDS:
                    raise ServiceUnavailable("too_little_time")
                outcome = self._cleanup.delete_secrets(records, invocation, time_left=_TIME_LEFT_SECONDS)
                failed += len(outcome.failed)
                denied += len(outcome.denied)
                tally["secrets_deleted"] += outcome.deleted
                tally["secrets_not_deleted"] += len(outcome.failed) + len(outcome.denied)
        except _Lost as error:
            lost = error
        # First of all what can still be deleted.
        if failed:
            raise ServiceUnavailable("secrets_not_deleted")
        if denied:
            # Perhaps there is no such secret: a person looks, and drops the letter.
            raise _Lost("secret_access_denied")
        if lost:
            raise lost

    def _records(self, place: _Place) -> Iterator[list[_Record]]:
        """Yield the records in ``place``, page by page; raises _Lost at the end where there are not all of them."""
        ends = {place.first, place.last}
        for page in self._pages(place):
            numbers = [int(record["dynamodb"]["SequenceNumber"]) for record in page]
            yield [record for record, number in zip(page, numbers, strict=True) if number in place]
            ends.difference_update(numbers)
            if any(number >= place.last for number in numbers):
                break
        if ends:
            raise _Trimmed("trimmed")

    def _pages(self, place: _Place) -> Iterator[list[_Record]]:
        """Yield what the shard has from the first record of ``place`` on or, where that is gone, all it has."""
        try:
            yield from self._pages_from(place, "AT_SEQUENCE_NUMBER", SequenceNumber=str(place.first))
        except _Trimmed:
            yield from self._pages_from(place, "TRIM_HORIZON")

    def _pages_from(self, place: _Place, kind: str, **position: str) -> Iterator[list[_Record]]:
        answer = self._asked(
            self._streams.get_shard_iterator,
            StreamArn=place.stream_arn,
            ShardId=place.shard_id,
            ShardIteratorType=kind,
            **position,
        )
        iterator, empty = answer["ShardIterator"], 0
        # A shard that is closed has an end.
        while iterator:
            answer = self._asked(self._streams.get_records, ShardIterator=iterator)
            empty = 0 if answer["Records"] else empty + 1
            if empty > _MOST_EMPTY_PAGES:
                # A shard that is open has no end, and may have nothing left.
                raise (
                    _Trimmed("trimmed") if kind == "TRIM_HORIZON" else ServiceUnavailable("dynamodbstreams:no_records")
                )
            yield answer["Records"]
            iterator = answer.get("NextShardIterator")

    @staticmethod
    def _asked(call: Callable[..., Any], **parameters: str) -> dict[str, Any]:
        with translated("dynamodbstreams"):
            try:
                answer: dict[str, Any] = call(**parameters)
            except ClientError as error:
                if error_code(error) == "TrimmedDataAccessException":
                    raise _Trimmed("trimmed") from error
                # The stream, or the shard, is gone with all its records.
                if error_code(error) == "ResourceNotFoundException":
                    raise _Lost("not_found") from error
                raise
        return answer


@dataclass(frozen=True, slots=True)
class _Place:
    """A part of a shard of a stream: the records from ``first`` to ``last``, by sequence number."""

    stream_arn: str
    shard_id: str
    first: int
    last: int

    @classmethod
    def parse(cls, body: str) -> _Place:
        """Read a letter; raises _Lost where it is not one of Lambda's."""
        try:
            content = json.loads(body)
        except ValueError:
            content = None
        match content:
            case {
                "DDBStreamBatchInfo": {
                    "streamArn": str(stream_arn),
                    "shardId": str(shard_id),
                    "startSequenceNumber": str(first),
                    "endSequenceNumber": str(last),
                }
            } if first.isdecimal() and last.isdecimal():
                return cls(stream_arn, shard_id, int(first), int(last))
            case _:
                raise _Lost("unreadable")

    def __contains__(self, number: int) -> bool:
        return self.first <= number <= self.last
