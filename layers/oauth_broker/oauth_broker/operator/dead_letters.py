"""The dead letters of cleanup: batches of removed rows that Lambda gave up on. This does their work later.

A letter names a place in the table's stream and nothing else
(https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-errors.html), and a stream keeps its records for 24
hours. After that, the secrets of a letter cannot be found: the letter is lost. Their age tells them: a secret that is
older than the longest life of a session (SessionDays, or an app's session_days) and a day belongs to no session.
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

# SQS shows a letter again after this time, if it was taken and not removed.
_HIDDEN_SECONDS = 60
# A receive call that does not wait asks some of SQS's servers alone, and may miss letters.
_WAIT_SECONDS = 1
# The least time for a letter: take it, find its place, read, delete one secret, remove it.
_LETTER_SECONDS = 30
# The least time for a page of records: delete one secret, remove the letter.
_PAGE_SECONDS = 15
# If no deletion succeeds for this long, the next letter has its turn, because a person is waiting.
_TIME_LEFT_SECONDS = 10
# A stream may answer several times with no records before it comes to the next ones.
_MOST_EMPTY_PAGES = 100

_Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Redriven:
    """The results for the letters taken, in numbers.

    - ``redriven``: done, and removed from the queue.
    - ``kept``: still in the queue, because a secret could not be deleted or the stream could not be read. Try again.
    - ``lost``: the stream has no such records any more, or AWS refuses the deletion because a right is missing (the
      secret may not exist). Such a letter stays in the queue unless the command drops it.
    - ``secrets_deleted``: also counts repeated deletions, and secrets that did not exist.
    """

    redriven: int = 0
    kept: int = 0
    lost: int = 0
    secrets_deleted: int = 0
    secrets_not_deleted: int = 0


class _Lost(Exception):
    """The letter's work cannot be done. The message is the reason code for the log."""


class _Trimmed(_Lost):
    """At least the oldest records of the letter are gone."""


class DeadLetters:
    """The queue of cleanup's dead letters."""

    def __init__(self, queue: SqsClient, queue_url: str, streams: DynamoDbStreamsClient, cleanup: Cleanup) -> None:
        self._queue = queue
        self._queue_url = queue_url
        self._streams = streams
        self._cleanup = cleanup

    def count(self) -> int:
        """Return the approximate number of letters, also those taken a moment ago. Raises ServiceUnavailable."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        with translated("sqs"):
            answer = self._queue.get_queue_attributes(QueueUrl=self._queue_url, AttributeNames=names)
        return sum(int(answer["Attributes"][name]) for name in names)

    def redrive(self, limit: int, invocation: Invocation, *, drop_lost: bool = False) -> Redriven:
        """Take up to ``limit`` letters and delete the secrets of their rows. Raises ServiceUnavailable if SQS fails.

        A letter is removed from the queue when all its secrets are deleted. Otherwise, SQS shows it again after a
        minute. A lost letter is removed only with ``drop_lost``: it keeps the alarm on until a person has looked for
        the secrets that it leaves behind. The method takes no letter if the time left may be too short to finish it.
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
        """Delete the secrets of all removals in ``place``. Raises ServiceUnavailable if one is left, and _Lost."""
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
        # A failure goes before a loss, because another try may still delete these secrets.
        if failed:
            raise ServiceUnavailable("secrets_not_deleted")
        if denied:
            # Perhaps the secret does not exist. A person must look, and then drop the letter.
            raise _Lost("secret_access_denied")
        if lost:
            raise lost

    def _records(self, place: _Place) -> Iterator[list[_Record]]:
        """Yield the records in ``place``, page by page. Raises _Lost at the end if records are missing."""
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
        """Yield the shard's records from the first one of ``place`` on or, if that one is gone, from the oldest on."""
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
        # A closed shard has an end: its last answer has no iterator.
        while iterator:
            answer = self._asked(self._streams.get_records, ShardIterator=iterator)
            empty = 0 if answer["Records"] else empty + 1
            if empty > _MOST_EMPTY_PAGES:
                # An open shard has no end, and may have no records left.
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
                # The stream or the shard is gone, and its records with it.
                if error_code(error) == "ResourceNotFoundException":
                    raise _Lost("not_found") from error
                raise
        return answer


@dataclass(frozen=True, slots=True)
class _Place:
    """The records of a shard from sequence number ``first`` to ``last``."""

    stream_arn: str
    shard_id: str
    first: int
    last: int

    @classmethod
    def parse(cls, body: str) -> _Place:
        """Read a letter. Raises _Lost if Lambda did not write it."""
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
