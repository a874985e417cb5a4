"""Lambda's work with a DynamoDB stream: read it, call the function with batches, repeat them, give them up.

It follows Lambda's developer guide:

- https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-batchfailurereporting.html
- https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-errors.html

The guide says: a batch "is bisected at the returned sequence number". Here, the records before that number are done,
and a batch is halved if its first record failed. The guide does not say how long Lambda waits before it repeats a
batch. Here, Lambda waits until the next round.
"""

from __future__ import annotations

import base64
import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from tests.local.aws import REGION
from tests.local.template import StreamTrigger

Record = dict[str, Any]
# Call the function of this name with this event; return its answer, or `{"errorMessage", "errorType"}`. All is JSON.
Invoke = Callable[[str, str], str]


class EventSourceMapping:
    """Reads a stream from its start, shard by shard. A failed batch holds up its own shard alone."""

    def __init__(
        self, streams: Any, sqs: Any, stream_arn: str, trigger: StreamTrigger, invoke: Invoke, now: Callable[[], float]
    ) -> None:
        """Begin to read. ``now`` gives the time, for the age of records."""
        described = streams.describe_stream(StreamArn=stream_arn)["StreamDescription"]
        self._shards = [_Shard(streams, stream_arn, shard["ShardId"]) for shard in described["Shards"]]
        self._sqs = sqs
        self._stream_arn = stream_arn
        self._trigger = trigger
        self._invoke = invoke
        self._now = now

    def deliver(self) -> None:
        """Do one round: hand over all records, in each shard up to the first failed batch."""
        for shard in self._shards:
            shard.read(self._trigger)
            while shard.batches:
                batch = shard.batches.popleft()
                if remaining := self._remaining(batch, shard):
                    shard.batches.extendleft(reversed(remaining))
                    break

    def _remaining(self, batch: _Batch, shard: _Shard) -> list[_Batch]:
        """Call the function with a batch. Return the rest to try again, in order."""
        batch = self._without_aged(batch, shard)
        if not batch.records:
            return []
        answer = json.loads(self._invoke(self._trigger.function, json.dumps({"Records": batch.records})))
        batch.calls += 1
        batch.crashed = isinstance(answer, dict) and "errorType" in answer
        first = self._first_failure(batch, answer)
        if first is None:
            return []
        if first > 0:
            return [_Batch(batch.records[first:])]
        if self._trigger.bisects and len(batch.records) > 1:
            middle = len(batch.records) // 2
            return [_Batch(batch.records[:middle]), _Batch(batch.records[middle:])]
        # A split does not count as a retry.
        if batch.calls > self._trigger.most_retries >= 0:
            self._give_up(batch, shard, "RetryAttemptsExhausted")
            return []
        return [batch]

    def _first_failure(self, batch: _Batch, answer: Any) -> int | None:
        """Return the index of the first failed record, or None if all succeeded."""
        if batch.crashed:
            return 0
        reported = answer.get("batchItemFailures") if isinstance(answer, dict) and self._trigger.reports_items else None
        numbers = [number_of(record) for record in batch.records]
        failed = [failure.get("itemIdentifier") for failure in reported or []]
        # If a reported failure names no record of the batch, the whole batch failed.
        return min((numbers.index(number) if number in numbers else 0 for number in failed), default=None)

    def _without_aged(self, batch: _Batch, shard: _Shard) -> _Batch:
        """Give up the records that are too old. They come first."""
        if self._trigger.most_age < 0:
            return batch
        oldest = self._now() - self._trigger.most_age
        arrivals = [_arrival(record) for record in batch.records]
        aged = next((index for index, arrival in enumerate(arrivals) if arrival >= oldest), len(arrivals))
        if aged == 0:
            return batch
        self._give_up(replace(batch, records=batch.records[:aged]), shard, "RecordAgeExceeded")
        return replace(batch, records=batch.records[aged:])

    def _give_up(self, batch: _Batch, shard: _Shard, condition: str) -> None:
        """Go on without a batch, and tell the destination for failures, if there is one."""
        if not self._trigger.on_failure:
            return
        queue_url = self._sqs.get_queue_url(QueueName=self._trigger.on_failure.rpartition(":")[2])["QueueUrl"]
        self._sqs.send_message(QueueUrl=queue_url, MessageBody=json.dumps(self._letter(batch, shard, condition)))

    def _letter(self, batch: _Batch, shard: _Shard, condition: str) -> dict[str, Any]:
        first, last = batch.records[0], batch.records[-1]
        letter: dict[str, Any] = {
            "requestContext": {
                "requestId": str(uuid4()),
                "functionArn": f"arn:aws:lambda:{REGION}:123456789012:function:{self._trigger.function}",
                "condition": condition,
                "approximateInvokeCount": batch.calls,
            },
            "version": "1.0",
            "timestamp": _iso(self._now(), "milliseconds"),
            "DDBStreamBatchInfo": {
                "shardId": shard.shard_id,
                "startSequenceNumber": number_of(first),
                "endSequenceNumber": number_of(last),
                "approximateArrivalOfFirstRecord": _iso(_arrival(first), "seconds"),
                "approximateArrivalOfLastRecord": _iso(_arrival(last), "seconds"),
                "batchSize": len(batch.records),
                "streamArn": self._stream_arn,
            },
        }
        if batch.calls:
            letter["responseContext"] = {"statusCode": 200, "executedVersion": "$LATEST"}
        if batch.crashed:
            letter["responseContext"]["functionError"] = "Unhandled"
        return letter


@dataclass
class _Batch:
    """A batch for the function. ``calls`` counts the calls with it. ``crashed`` is true if the last call raised."""

    records: list[Record]
    calls: int = 0
    crashed: bool = False


class _Shard:
    """A shard, read from its start. ``batches`` are the ones still to do."""

    def __init__(self, streams: Any, stream_arn: str, shard_id: str) -> None:
        self.shard_id = shard_id
        self.batches: deque[_Batch] = deque()
        self._streams = streams
        self._stream_arn = stream_arn
        answer = streams.get_shard_iterator(StreamArn=stream_arn, ShardId=shard_id, ShardIteratorType="TRIM_HORIZON")
        self._iterator: str | None = answer["ShardIterator"]

    def read(self, trigger: StreamTrigger) -> None:
        """Make batches of the new and wanted records."""
        wanted = [record for record in self._new() if trigger.wants(record)]
        size = trigger.batch_size
        self.batches.extend(_Batch(wanted[start : start + size]) for start in range(0, len(wanted), size))

    def _new(self) -> Iterator[Record]:
        while self._iterator:
            answer = self._streams.get_records(ShardIterator=self._iterator)
            self._iterator = answer.get("NextShardIterator")
            for record in answer["Records"]:
                yield json.loads(json.dumps({**record, "eventSourceARN": self._stream_arn}, default=_as_lambda_has_it))
            if not answer["Records"]:
                return


def number_of(record: Mapping[str, Any]) -> str:
    """Return a record's sequence number."""
    number: str = record["dynamodb"]["SequenceNumber"]
    return number


def _arrival(record: Record) -> float:
    time: float = record["dynamodb"]["ApproximateCreationDateTime"]
    return time


def _iso(time: float, precision: str) -> str:
    return datetime.fromtimestamp(time, UTC).isoformat(timespec=precision).replace("+00:00", "Z")


def _as_lambda_has_it(value: object) -> float | str:
    if isinstance(value, datetime):
        return value.timestamp()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    raise TypeError(f"unexpected in a stream record: {type(value).__name__}")
