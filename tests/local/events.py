"""The event bus of the local stack, with a rule and a queue, as a deployment would have them for a backend."""

from __future__ import annotations

import json
from typing import Any

from tests.local.aws import LocalAws

BUS = "sessions"
_MOST_MESSAGES = 10


class ReceivedEvents:
    """The events that the rule hands to the queue."""

    def __init__(self, aws: LocalAws) -> None:
        """Make the bus, the rule and the queue."""
        queue = aws.create_queue("session-events")
        self._sqs = aws.client("sqs")
        self._url = self._sqs.get_queue_url(QueueName="session-events")["QueueUrl"]
        events = aws.client("events")
        events.create_event_bus(Name=BUS)
        pattern = {"source": ["aries-token-broker"]}
        events.put_rule(Name="session-events", EventBusName=BUS, EventPattern=json.dumps(pattern))
        targets = [{"Id": "queue", "Arn": queue}]
        failed = events.put_targets(Rule="session-events", EventBusName=BUS, Targets=targets)["FailedEntryCount"]
        assert not failed

    def take(self) -> list[dict[str, Any]]:
        """Return the events that came since the last call, in the order of the queue."""
        found: list[dict[str, Any]] = []
        while True:
            answer = self._sqs.receive_message(QueueUrl=self._url, MaxNumberOfMessages=_MOST_MESSAGES)
            messages = answer.get("Messages", [])
            if not messages:
                return found
            for message in messages:
                found.append(json.loads(message["Body"]))
                self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=message["ReceiptHandle"])

    def lines(self) -> list[str]:
        """Return one line for each event since the last call. No event has a secret."""
        return [f"  {event['detail-type']:<16} {json.dumps(event['detail'])}" for event in self.take()]
