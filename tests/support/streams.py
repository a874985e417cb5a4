"""A DynamoDB stream and an SQS queue in memory. Unlike moto's, they have shards, pages and lost records."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tests.support.client_error import client_error

STREAM_ARN = "arn:aws:dynamodb:eu-west-1:123456789012:table/sign-ins/stream/2026-11-01T09:12:44.517"
QUEUE_URL = "https://sqs.eu-west-1.amazonaws.com/123456789012/dead-letters"


def stream_record(
    session_id: str, number: int, name: str = "REMOVE", at: float = 0.0, *, status: str = "active", **attributes: Any
) -> dict[str, Any]:
    """Return a record as GetRecords has it. The row had these attributes before the change."""
    key = {"session_id": {"S": session_id}}
    image = key | {name: {"S": value} for name, value in {"status": status, **attributes}.items()}
    return {
        "eventID": str(number),
        "eventName": name,
        "eventSource": "aws:dynamodb",
        "dynamodb": {
            "ApproximateCreationDateTime": datetime.fromtimestamp(at, UTC),
            "Keys": key,
            "SequenceNumber": str(number),
            "StreamViewType": "OLD_IMAGE",
            **({} if name == "INSERT" else {"OldImage": image}),
        },
    }


def without_image(record: dict[str, Any], view_type: str = "KEYS_ONLY") -> dict[str, Any]:
    """Return the same record from a stream without old images."""
    told = {name: value for name, value in record["dynamodb"].items() if name != "OldImage"}
    return record | {"dynamodb": told | {"StreamViewType": view_type}}


@dataclass
class Shard:
    """A shard of a stream.

    ``records`` are in the order of their numbers. Records below ``trimmed_to`` are gone. A ``closed`` shard gets no
    more records.
    """

    records: list[dict[str, Any]]
    trimmed_to: int = 0
    closed: bool = False

    def kept(self) -> list[dict[str, Any]]:
        return [record for record in self.records if number_of(record) >= self.trimmed_to]


@dataclass
class FakeStreams:
    """Hands out ``page`` records at once, after ``empty_pages`` without any. Each call raises the next of ``failures``.

    If ``strict`` is false, an iterator for lost records silently begins at the oldest record.
    """

    shards: dict[str, Shard]
    page: int = 1000
    empty_pages: int = 0
    strict: bool = True
    failures: list[Exception] = field(default_factory=list)
    calls: int = 0

    def describe_stream(self, **_: Any) -> dict[str, Any]:
        return {"StreamDescription": {"Shards": [{"ShardId": shard_id} for shard_id in self.shards]}}

    def get_shard_iterator(self, **parameters: str) -> dict[str, Any]:
        self._called()
        shard_id, kind = parameters["ShardId"], parameters["ShardIteratorType"]
        number = parameters["SequenceNumber"] if kind == "AT_SEQUENCE_NUMBER" else "0"
        if parameters["StreamArn"] != STREAM_ARN or shard_id not in self.shards:
            raise client_error("ResourceNotFoundException")
        if kind == "AT_SEQUENCE_NUMBER":
            self._check(shard_id, int(number))
        return {"ShardIterator": f"{shard_id} {number} {kind} 0"}

    def get_records(self, **parameters: str) -> dict[str, Any]:
        self._called()
        shard_id, number, kind, empty = parameters["ShardIterator"].split()
        if kind == "AT_SEQUENCE_NUMBER":
            self._check(shard_id, int(number))
        if int(empty) < self.empty_pages:
            return {"Records": [], "NextShardIterator": f"{shard_id} {number} {kind} {int(empty) + 1}"}
        found = [record for record in self.shards[shard_id].kept() if number_of(record) >= int(number)][: self.page]
        following = number_of(found[-1]) + 1 if found else int(number)
        left = [record for record in self.shards[shard_id].kept() if number_of(record) >= following]
        answer: dict[str, Any] = {"Records": found}
        if left or not self.shards[shard_id].closed:
            answer["NextShardIterator"] = f"{shard_id} {following} {kind} 0"
        return answer

    def _check(self, shard_id: str, number: int) -> None:
        if self.strict and number < self.shards[shard_id].trimmed_to:
            raise client_error("TrimmedDataAccessException")

    def _called(self) -> None:
        self.calls += 1
        if self.failures:
            raise self.failures.pop(0)


@dataclass
class FakeQueue:
    """``bodies`` are the messages, by id. ``hidden`` are the taken messages, which become visible again."""

    bodies: dict[str, str] = field(default_factory=dict)
    hidden: set[str] = field(default_factory=set)
    failures: dict[str, str] = field(default_factory=dict)
    hides: bool = True

    def receive_message(self, **parameters: Any) -> dict[str, Any]:
        self._fail("receive")
        assert parameters["QueueUrl"] == QUEUE_URL
        most = parameters["MaxNumberOfMessages"]
        shown = [message_id for message_id in self.bodies if message_id not in self.hidden][:most]
        if self.hides:
            self.hidden.update(shown)
        messages = [{"MessageId": name, "ReceiptHandle": f"handle {name}", "Body": self.bodies[name]} for name in shown]
        return {"Messages": messages} if messages else {}

    def delete_message(self, **parameters: str) -> None:
        self._fail("delete")
        del self.bodies[parameters["ReceiptHandle"].removeprefix("handle ")]

    def send_message(self, **parameters: str) -> None:
        self.bodies[str(len(self.bodies))] = parameters["MessageBody"]

    def get_queue_url(self, **parameters: str) -> dict[str, str]:
        assert parameters["QueueName"] == QUEUE_URL.rpartition("/")[2]
        return {"QueueUrl": QUEUE_URL}

    def get_queue_attributes(self, **parameters: Any) -> dict[str, Any]:
        self._fail("count")
        counts = {
            "ApproximateNumberOfMessages": len(self.bodies.keys() - self.hidden),
            "ApproximateNumberOfMessagesNotVisible": len(self.bodies.keys() & self.hidden),
        }
        return {"Attributes": {name: str(counts[name]) for name in parameters["AttributeNames"]}}

    def _fail(self, call: str) -> None:
        if call in self.failures:
            raise client_error(self.failures[call])


def number_of(record: dict[str, Any]) -> int:
    return int(record["dynamodb"]["SequenceNumber"])
