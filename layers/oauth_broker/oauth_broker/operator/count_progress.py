"""The progress of a count of live sessions: one item of the sign-in table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from oauth_broker.errors import BrokerError
from oauth_broker.runtime.aws import DynamoDbClient, conditional_write, read_item
from oauth_broker.sessions.row import to_value

# No role of authorize, callback or revoke may write a key with this beginning.
_KEY = {"session_id": {"S": "sweep:count"}}


@dataclass(frozen=True, slots=True)
class Counted:
    """The progress of a count. ``live`` has the live sessions found so far, by app.

    ``read`` counts the rows looked at, and ``malformed`` the active ones that the broker cannot have written. All rows
    up to ``cursor`` are done. Times are seconds since 1970, 0 for never. ``saved_id`` names the last save.
    """

    live: Mapping[str, int] = field(default_factory=dict)
    read: int = 0
    malformed: int = 0
    cursor: str = ""
    started_at: int = 0
    saved_at: int = 0
    finished_at: int = 0
    saved_id: str = ""


class Overtaken(BrokerError):
    """Another invocation has saved its count after this one."""


class Counts:
    """The item of the newest count. Every method raises ServiceUnavailable if DynamoDB fails, and may be repeated."""

    def __init__(self, client: DynamoDbClient, table_name: str) -> None:
        self._client = client
        self._table_name = table_name

    def find(self) -> Counted | None:
        """Return the newest count, or None."""
        item = read_item(self._client, self._table_name, _KEY)
        return _from_item(item) if item else None

    def begin(self, counted: Counted) -> None:
        """Save a new count in place of one that began before it. Raises Overtaken if there is a newer one."""
        self._save(counted, "attribute_not_exists(started_at) OR started_at < :started_at", {})

    def save(self, counted: Counted, before: str) -> None:
        """Save a count that continues the one saved as ``before``. Raises Overtaken if another save came after that."""
        self._save(counted, "saved_id = :before", {":before": to_value(before)})

    def _save(self, counted: Counted, condition: str, values: dict[str, Any]) -> None:
        members = {name: _value(getattr(counted, name)) for name in _FIELDS}
        write = conditional_write(
            self._client.update_item,
            TableName=self._table_name,
            Key=_KEY,
            UpdateExpression="SET " + ", ".join(f"#{name} = :{name}" for name in members),
            ConditionExpression=condition,
            # Some of these words are reserved by DynamoDB.
            ExpressionAttributeNames={f"#{name}": name for name in members},
            ExpressionAttributeValues={f":{name}": value for name, value in members.items()} | values,
        )
        if not write.is_applied and write.item.get("saved_id") != members["saved_id"]:
            raise Overtaken("overtaken")


_FIELDS = tuple(Counted.__dataclass_fields__)


def _value(value: Any) -> dict[str, Any]:
    if isinstance(value, Mapping):
        return {"M": {name: to_value(number) for name, number in value.items()}}
    return to_value(value)


def _from_item(item: dict[str, Any]) -> Counted:
    def plain(value: dict[str, Any]) -> Any:
        match value:
            case {"N": number}:
                return int(number)
            case {"M": members}:
                return {name: int(number["N"]) for name, number in members.items()}
            case _:
                return value["S"]

    return Counted(**{name: plain(item[name]) for name in _FIELDS})
