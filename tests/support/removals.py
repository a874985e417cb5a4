"""The expiry of rows of a world's table: the real ``cleanup`` behind the template's event source mapping."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from functools import cache
from typing import Any

from oauth_broker.operations.cleanup import Cleanup
from oauth_broker.operator.dead_letters import DeadLetters, Redriven
from oauth_broker.runtime import aws
from oauth_broker.runtime.invocation import Invocation
from oauth_broker.sessions.secret_store import SecretsManagerStore
from tests.local.event_source import EventSourceMapping
from tests.local.sweeper import Expiry
from tests.local.template import StreamTrigger, Template
from tests.support.deployment import PREFIX, TABLE
from tests.support.lambda_context import Context
from tests.support.world import World, own_client

# Lambda's longest timeout.
_OPERATOR_SECONDS = 900


@cache
def _template() -> Template:
    """Return the template, with values for the parameters without a default."""
    return Template({"AriesClientId": "aries-client", "Apps": "{}"}, created={})


def template_trigger() -> StreamTrigger:
    """Return the event source mapping of the template."""
    return _template().stream_trigger()


class Removals:
    """The way of a removed row to ``cleanup`` or to the dead letters.

    ``changes`` apply to the template's event source mapping. If a batch contains a session of ``crashing_on``, the
    function ends without an answer. ``calls`` lists the sessions of each call.
    """

    def __init__(self, world: World, streams: Any = None, **changes: Any) -> None:
        self.world = world
        self.crashing_on: set[str] = set()
        self.calls: list[list[str]] = []
        self._age = 0.0
        self._seconds = float(_template().properties("CleanupFunction")["Timeout"])
        self._sqs: Any = own_client("sqs")
        self._queue_url = self._sqs.create_queue(QueueName="CleanupDeadLetterQueue")["QueueUrl"]
        self._streams: Any = own_client("dynamodbstreams")
        world.dynamodb.update_time_to_live(
            TableName=TABLE, TimeToLiveSpecification={"Enabled": True, "AttributeName": "expires_at"}
        )
        self._expiry = Expiry(world.dynamodb, TABLE, world.clock.now)
        trigger = replace(template_trigger(), **changes)
        stream_arn = add_stream(world.dynamodb, TABLE)
        self._mapping = EventSourceMapping(
            streams or self._streams, self._sqs, stream_arn, trigger, self._invoke, self._now
        )

    def expire(self, seconds: float) -> None:
        """Let time pass, and let DynamoDB delete the rows expired by then."""
        self.world.clock.sleep(seconds)
        self._expiry.delete_expired()

    def age(self, seconds: float) -> None:
        """Make the records in the stream older by ``seconds``."""
        self._age += seconds

    def deliver(self, rounds: int = 1) -> None:
        """Let Lambda call the function. Each round after the first repeats the failures."""
        for _ in range(rounds):
            self._mapping.deliver()

    def letters(self) -> list[dict[str, Any]]:
        """Return the letters in the dead-letter queue, except the letters taken a moment ago."""
        queue: dict[str, Any] = {"QueueUrl": self._queue_url}
        messages: list[dict[str, str]] = []
        while taken := self._sqs.receive_message(**queue, MaxNumberOfMessages=10).get("Messages"):
            messages += taken
        for message in messages:
            handle = message["ReceiptHandle"]
            self._sqs.change_message_visibility(**queue, ReceiptHandle=handle, VisibilityTimeout=0)
        return [json.loads(message["Body"]) for message in messages]

    def redrive(self, limit: int, **options: bool) -> Redriven:
        """Redrive dead letters, as an operator does."""
        world = self.world
        secret_store = SecretsManagerStore(aws.secretsmanager(), PREFIX, world.environment["KEY_ID"])
        cleanup = Cleanup(secret_store, world.clock, lambda size: b"\xff" * size)
        letters = DeadLetters(self._sqs, self._queue_url, self._streams, cleanup)
        invocation = Invocation(Context(_OPERATOR_SECONDS, now=world.clock.now), world.telemetry)
        return letters.redrive(limit, invocation, **options)

    def _now(self) -> float:
        # moto gives records the machine's time, and not the time of the world's clock.
        return time.time() + self._age

    def _invoke(self, function: str, event: str) -> str:
        """Invoke the function as the Lambda service does."""
        assert function == "CleanupFunction"
        records = json.loads(event)["Records"]
        self.calls.append([record["dynamodb"]["Keys"]["session_id"]["S"] for record in records])
        if self.crashing_on.intersection(self.calls[-1]):
            return json.dumps({"errorMessage": "signal: killed", "errorType": "Runtime.ExitError"})
        answer = self.world.handler("cleanup")(json.loads(event), Context(self._seconds, now=self.world.clock.now))
        return json.dumps(answer)


def add_stream(dynamodb: Any, table: str) -> str:
    """Give the table a stream like the template's, if it has none. Return the stream's ARN."""
    described = dynamodb.describe_table(TableName=table)["Table"]
    if "LatestStreamArn" not in described:
        specification = {"StreamEnabled": True, **_template().properties("SignInsTable")["StreamSpecification"]}
        described = dynamodb.update_table(TableName=table, StreamSpecification=specification)["TableDescription"]
    arn: str = described["LatestStreamArn"]
    return arn
