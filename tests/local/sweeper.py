"""The background work of DynamoDB and Lambda: delete expired rows, and bring the stream of removals to ``cleanup``."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Event, Thread
from typing import Any

from tests.local.aws import LocalAws
from tests.local.event_source import EventSourceMapping
from tests.local.runner import Runner
from tests.local.template import StreamTrigger

# DynamoDB takes up to days. A person at one machine should not have to wait.
_INTERVAL_SECONDS = 0.5


class TimeToLive:
    """Works in a thread of its own between ``start`` and ``stop``."""

    def __init__(self, aws: LocalAws, table: str, runner: Runner, trigger: StreamTrigger) -> None:
        """Begin at the start of the table's stream; ``runner`` calls the function of ``trigger``."""
        self._expiry = Expiry(aws.client("dynamodb"), table, time.time)
        streams = aws.client("dynamodbstreams")
        stream_arn = streams.list_streams(TableName=table)["Streams"][0]["StreamArn"]
        self._mapping = EventSourceMapping(streams, aws.client("sqs"), stream_arn, trigger, runner.run, time.time)
        self._stopping = Event()
        self._thread = Thread(target=self._work, daemon=True, name="sweeper")

    def start(self) -> None:
        """Start to work."""
        self._thread.start()

    def stop(self) -> None:
        """Finish the current round and stop."""
        self._stopping.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._stopping.wait(_INTERVAL_SECONDS):
            self._expiry.delete_expired()
            self._mapping.deliver()


class Expiry:
    """DynamoDB's time to live."""

    def __init__(self, dynamodb: Any, table: str, now: Callable[[], float]) -> None:
        """Read the name of the expiry attribute from the table."""
        self._dynamodb = dynamodb
        self._table = table
        self._now = now
        described = dynamodb.describe_time_to_live(TableName=table)["TimeToLiveDescription"]
        self._attribute: str = described["AttributeName"]

    def delete_expired(self) -> None:
        """Delete every expired row."""
        expired = {
            "ExpressionAttributeNames": {"#expiry": self._attribute},
            "ExpressionAttributeValues": {":now": {"N": str(int(self._now()))}},
        }
        rows = self._dynamodb.scan(TableName=self._table, FilterExpression="#expiry <= :now", **expired)
        for row in rows["Items"]:
            # A row stays if it was prolonged after the scan.
            try:
                self._dynamodb.delete_item(
                    TableName=self._table,
                    Key={"session_id": row["session_id"]},
                    ConditionExpression="#expiry <= :now",
                    **expired,
                )
            except self._dynamodb.exceptions.ConditionalCheckFailedException:
                continue
