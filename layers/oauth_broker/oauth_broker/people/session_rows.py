"""The rows of a person's sessions, read many at a time."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from oauth_broker.clock import Backoff, Clock
from oauth_broker.errors import ServiceUnavailable
from oauth_broker.runtime.aws import AWS_CALL_SECONDS, DynamoDbClient, read_some_items
from oauth_broker.runtime.invocation import Invocation
from oauth_broker.sessions.row import SignIn, from_item

# DynamoDB's limit for one BatchGetItem.
_MOST_KEYS = 100
# DynamoDB may leave keys out if it is busy. The pauses between the tries for them take as long as this.
_LEFT_OUT_SECONDS = 3.0
_ANSWER_SECONDS = 1


@dataclass(frozen=True, slots=True)
class FoundRows:
    """The rows by session id, and the ids without a row. A row that the broker cannot have written is in neither."""

    rows: dict[str, SignIn]
    missing: frozenset[str]
    has_malformed: bool


class SessionRows:
    """Reads rows of the table."""

    def __init__(
        self, client: DynamoDbClient, table_name: str, clock: Clock, random_bytes: Callable[[int], bytes]
    ) -> None:
        self._client = client
        self._table_name = table_name
        self._backoff = Backoff(clock, random_bytes)

    def of(self, session_ids: Collection[str], invocation: Invocation) -> FoundRows:
        """Read the rows of these sessions, consistently.

        Raises ServiceUnavailable if DynamoDB fails, or if the time left is too short for one more call.
        """
        ids = sorted(session_ids)
        items = [
            item for at in range(0, len(ids), _MOST_KEYS) for item in self._items(ids[at : at + _MOST_KEYS], invocation)
        ]
        rows: dict[str, SignIn] = {}
        for item in items:
            try:
                row = from_item(item)
            except ServiceUnavailable:
                continue
            rows[row.session_id] = row
        present = {item["session_id"]["S"] for item in items}
        return FoundRows(rows, frozenset(session_ids) - present, has_malformed=len(rows) < len(items))

    def _items(self, session_ids: list[str], invocation: Invocation) -> list[dict[str, dict[str, str]]]:
        keys = [{"session_id": {"S": session_id}} for session_id in session_ids]
        items = []
        for _ in self._backoff.tries_for(_LEFT_OUT_SECONDS):
            if invocation.remaining() < AWS_CALL_SECONDS + _ANSWER_SECONDS:
                raise ServiceUnavailable("too_little_time")
            found, keys = read_some_items(self._client, self._table_name, keys)
            items += found
            if not keys:
                return items
        raise ServiceUnavailable("dynamodb:unprocessed_keys")
