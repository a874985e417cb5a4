"""What DynamoDB and Lambda do on their own: delete expired rows, and bring the stream of removals to ``cleanup``."""

from __future__ import annotations

import base64
import json
import time
from datetime import datetime
from threading import Event, Thread
from typing import Any

from tests.local.aws import LocalAws
from tests.local.runner import InProcessRunner
from tests.local.template import StreamTrigger

# DynamoDB takes up to days; a person at one machine should not have to wait.
_INTERVAL_SECONDS = 0.5


class Sweeper:
    """Works in a thread of its own between ``start`` and ``stop``."""

    def __init__(self, aws: LocalAws, table: str, runner: InProcessRunner, trigger: StreamTrigger) -> None:
        """Begin at the start of the table's stream; ``runner`` calls the function of ``trigger``."""
        self._dynamodb = aws.client("dynamodb")
        self._table = table
        self._expiry: str = self._dynamodb.describe_time_to_live(TableName=table)["TimeToLiveDescription"][
            "AttributeName"
        ]
        self._stream = _Stream(aws, table)
        self._runner = runner
        self._trigger = trigger
        self._stopping = Event()
        self._thread = Thread(target=self._work, daemon=True, name="sweeper")

    def start(self) -> None:
        """Start to work."""
        self._thread.start()

    def stop(self) -> None:
        """Finish what is being done and stop."""
        self._stopping.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._stopping.wait(_INTERVAL_SECONDS):
            self._delete_expired()
            self._deliver()

    def _delete_expired(self) -> None:
        expired = {
            "ExpressionAttributeNames": {"#expiry": self._expiry},
            "ExpressionAttributeValues": {":now": {"N": str(int(time.time()))}},
        }
        rows = self._dynamodb.scan(TableName=self._table, FilterExpression="#expiry <= :now", **expired)
        for row in rows["Items"]:
            # A row that was prolonged since the scan stays.
            try:
                self._dynamodb.delete_item(
                    TableName=self._table,
                    Key={"session_id": row["session_id"]},
                    ConditionExpression="#expiry <= :now",
                    **expired,
                )
            except self._dynamodb.exceptions.ConditionalCheckFailedException:
                continue

    def _deliver(self) -> None:
        """Hand over what is new; a record that failed, and all after it, come again in the next round."""
        records = self._stream.read()
        wanted = [record for record in records if self._trigger.wants(record)][: self._trigger.batch_size]
        failed = self._failed(wanted) if wanted else None
        if failed is not None:
            self._stream.go_on_at(failed)
        elif records:
            self._stream.go_on_after((wanted if len(wanted) == self._trigger.batch_size else records)[-1])

    def _failed(self, records: list[dict[str, Any]]) -> dict[str, Any] | None:
        """Call the function; return the first record that it could not do, as its partial batch response says."""
        answer = json.loads(self._runner.run(self._trigger.function, json.dumps({"Records": records})))
        if "errorType" in answer:
            return records[0]
        failures = {failure["itemIdentifier"] for failure in answer["batchItemFailures"]}
        return next((record for record in records if record["dynamodb"]["SequenceNumber"] in failures), None)


class _Stream:
    """The table's stream from its start: one shard. Reading alone does not move on; moto's iterators never expire."""

    def __init__(self, aws: LocalAws, table: str) -> None:
        self._client = aws.client("dynamodbstreams")
        self._arn: str = self._client.list_streams(TableName=table)["Streams"][0]["StreamArn"]
        (shard,) = self._client.describe_stream(StreamArn=self._arn)["StreamDescription"]["Shards"]
        self._shard: str = shard["ShardId"]
        self._iterator = self._iterator_at(ShardIteratorType="TRIM_HORIZON")

    def read(self) -> list[dict[str, Any]]:
        """Return the records from the position on, shaped as Lambda hands them to a function."""
        records = self._client.get_records(ShardIterator=self._iterator)["Records"]
        return [
            json.loads(json.dumps({**record, "eventSourceARN": self._arn}, default=_as_lambda_has_it))
            for record in records
        ]

    def go_on_at(self, record: dict[str, Any]) -> None:
        """Let the next read begin with ``record``."""
        self._move("AT_SEQUENCE_NUMBER", record)

    def go_on_after(self, record: dict[str, Any]) -> None:
        """Let the next read begin after ``record``."""
        self._move("AFTER_SEQUENCE_NUMBER", record)

    def _move(self, how: str, record: dict[str, Any]) -> None:
        number = record["dynamodb"]["SequenceNumber"]
        self._iterator = self._iterator_at(ShardIteratorType=how, SequenceNumber=number)

    def _iterator_at(self, **position: str) -> str:
        answer = self._client.get_shard_iterator(StreamArn=self._arn, ShardId=self._shard, **position)
        iterator: str = answer["ShardIterator"]
        return iterator


def _as_lambda_has_it(value: object) -> float | str:
    if isinstance(value, datetime):
        return value.timestamp()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    raise TypeError(f"unexpected in a stream record: {type(value).__name__}")
