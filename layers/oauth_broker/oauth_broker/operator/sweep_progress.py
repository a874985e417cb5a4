"""How far a mass sign-out has got: one item of the sign-in table for each scope."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from oauth_broker.errors import BrokerError
from oauth_broker.runtime.aws import DynamoDbClient, conditional_write, translated
from oauth_broker.sessions.row import to_value


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the sweep of a scope up to a cut-off is.

    All rows up to ``cursor`` are done (all there are, once ``is_scanned``), save those in ``left``, which failed and
    come again. ``ended``, ``secrets_deleted`` and ``secrets_denied`` are what was counted when progress was saved: a
    process that died since did more. AWS refused to delete a secret that was denied, for want of a right. Times are
    seconds since 1970, 0 for never. ``saved_id`` is of the last save.
    """

    target: str
    not_before: int
    cursor: str = ""
    is_scanned: bool = False
    left: tuple[str, ...] = ()
    ended: int = 0
    secrets_deleted: int = 0
    secrets_denied: int = 0
    started_at: int = 0
    saved_at: int = 0
    finished_at: int = 0
    saved_id: str = ""


class Overtaken(BrokerError):
    """Another invocation has saved progress since this one did."""


class Sweeps:
    """The items. Every method raises ServiceUnavailable where DynamoDB fails, and is safe to repeat."""

    def __init__(self, client: DynamoDbClient, table_name: str) -> None:
        self._client = client
        self._table_name = table_name

    def find(self, target: str) -> Progress | None:
        """Return the newest sweep of the scope, or None."""
        with translated("dynamodb"):
            answer = self._client.get_item(TableName=self._table_name, Key=_key(target), ConsistentRead=True)
        return _from_item(target, answer["Item"]) if "Item" in answer else None

    def begin(self, target: str, not_before: int, now: float) -> Progress:
        """Return the sweep up to ``cut_off``, begun now or before; where there is one up to a later one, that."""
        progress = Progress(target, not_before, started_at=int(now), saved_at=int(now), saved_id="begun")
        refused = self._put(progress, "attribute_not_exists(cut_off) OR cut_off < :cut_off", {})
        return progress if refused is None else refused

    def save(self, progress: Progress, before: str) -> None:
        """Save progress, under a ``saved_id`` of its own, that was made from the progress saved as ``before``.

        Raises Overtaken where that is not the last any more. So an older sweep never moves a newer one, and of two
        workers at one sweep the slower one stops.
        """
        condition = "cut_off = :cut_off AND saved_id = :before"
        refused = self._put(progress, condition, {":before": to_value(before)})
        if refused is not None and refused.saved_id != progress.saved_id:
            raise Overtaken("overtaken")

    def _put(self, progress: Progress, condition: str, values: dict[str, Any]) -> Progress | None:
        """Write the item; return it as found where the condition refuses it."""
        members = {attribute: _value(getattr(progress, field)) for field, attribute in _ATTRIBUTES.items()}
        write = conditional_write(
            self._client.update_item,
            TableName=self._table_name,
            Key=_key(progress.target),
            UpdateExpression="SET " + ", ".join(f"#{name} = :{name}" for name in members),
            ConditionExpression=condition,
            # DynamoDB reserves some of the words.
            ExpressionAttributeNames={f"#{name}": name for name in members},
            ExpressionAttributeValues={f":{name}": value for name, value in members.items()} | values,
        )
        return None if write.is_applied else _from_item(progress.target, write.item)


# The stored attribute of each field. The target is the key.
_ATTRIBUTES = {field: field for field in Progress.__dataclass_fields__ if field != "target"} | {"not_before": "cut_off"}


def _key(target: str) -> dict[str, Any]:
    return {"session_id": {"S": f"sweep:{target}"}}


def _value(value: Any) -> dict[str, Any]:
    return to_value(int(value) if isinstance(value, bool) else value)


def _from_item(target: str, item: dict[str, Any]) -> Progress:
    def plain(value: dict[str, Any]) -> Any:
        match value:
            case {"N": number}:
                return int(number)
            case {"L": parts}:
                return tuple(part["S"] for part in parts)
            case _:
                return value["S"]

    members = {field: plain(item[attribute]) for field, attribute in _ATTRIBUTES.items()}
    return Progress(target, **members | {"is_scanned": bool(members["is_scanned"])})
