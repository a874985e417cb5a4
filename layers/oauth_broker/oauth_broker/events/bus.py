"""The deployment's event bus at Amazon EventBridge: the news of sessions, for backends.

A function loads this module only if the parameter EventBus names a bus. The event goes out after the write that made it
true and before the answer. An event is a hint: it may be lost, come twice or come late, and the row alone decides.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from oauth_broker.errors import ServiceUnavailable
from oauth_broker.runtime.aws import EventsClient, translated
from oauth_broker.runtime.invocation import Event, Invocation
from oauth_broker.secret import session_reference

SOURCE = "aries-token-broker"
# PutEvents takes no more.
_MOST_ENTRIES = 10
# The answer needs the rest of the time.
_LEAST_SECONDS = 1.0


class EventBus:
    """Puts events on the bus ``name`` in the account and region of the stack."""

    def __init__(self, client: EventsClient, name: str) -> None:
        self._client = client
        self._name = name

    def send(self, events: Sequence[Event], invocation: Invocation) -> None:
        """Put the events, ten a call, in one try of 0.3 seconds each. Never raises.

        The request is done by now, so nothing here may change its answer. A failure is counted and logged instead. A
        second try would make the person wait for a hint.
        """
        for start in range(0, len(events), _MOST_ENTRIES):
            batch = events[start : start + _MOST_ENTRIES]
            try:
                refused = self._put(batch, invocation)
            except ServiceUnavailable as failure:
                refused = [failure.reason] * len(batch)
            except Exception as error:  # noqa: BLE001 - a bug here must not cost a session its tokens
                refused = [f"bug:{type(error).__name__}"] * len(batch)
            for _ in range(len(batch) - len(refused)):
                invocation.count("EventsSent")
            for reason in refused:
                invocation.count("EventsNotSent", reason=reason)
                invocation.log("event_not_sent", level="warning", reason=reason)

    def look_up(self) -> str:
        """Return the ARN of the bus. Raises ServiceUnavailable if there is none, or if AWS does not tell."""
        with translated("events"):
            return str(self._client.describe_event_bus(Name=self._name)["Arn"])

    def _put(self, batch: Sequence[Event], invocation: Invocation) -> list[str]:
        """Put at most ten events. Return the reason of each one that the bus refused."""
        if invocation.remaining() < _LEAST_SECONDS:
            return ["too_little_time"] * len(batch)
        with translated("events"):
            answer = self._client.put_events(Entries=[self._entry(event) for event in batch])
        if not answer["FailedEntryCount"]:
            return []
        return [f"events:{entry['ErrorCode']}" for entry in answer["Entries"] if "ErrorCode" in entry]

    def _entry(self, event: Event) -> dict[str, Any]:
        return {
            "Source": SOURCE,
            "DetailType": event.type,
            "Detail": json.dumps(detail(event)),
            "EventBusName": self._name,
            "Time": event.at,
        }


def detail(event: Event) -> dict[str, Any]:
    """Return the event's members as the bus gets them: docs/events.schema.json.

    ``event_id`` is the same for every copy of an event, so that a receiver can tell copies.
    """
    session = session_reference(event.session_id) if event.session_id else None
    about = session or f"{event.client_id or 'all'}@{event.at}"
    members = {
        "event_id": f"{about}:{event.type}",
        "session": session,
        "client_id": event.client_id,
        "at": event.at,
        "reason": event.reason,
        "began_at": event.began_at,
        "ends_at": event.ends_at,
        "idle_days": event.idle_days,
        "subject": event.subject or None,
    }
    return {name: value for name, value in members.items() if value is not None}
