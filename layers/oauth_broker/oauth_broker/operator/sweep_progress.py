"""The progress of a mass sign-out: one item of the sign-in table for each target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from oauth_broker.errors import BrokerError
from oauth_broker.runtime.aws import DynamoDbClient, conditional_write, read_item
from oauth_broker.sessions.row import to_value

_BEGUN = "begun"


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of the sweep of a target, for sessions up to its not-before time.

    All rows up to ``cursor`` are done, and all rows of the table if ``is_scanned``. The exceptions are in ``left``:
    they failed and are tried again. ``ended``, ``secrets_deleted`` and ``secrets_denied`` are counts at the last save;
    a process that died since then did more. A denied secret is one that AWS refused to delete because a right is
    missing. Times are seconds since 1970, 0 for never. ``saved_id`` names the last save.
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

    @property
    def is_just_begun(self) -> bool:
        """Tell whether no page is saved yet."""
        return self.saved_id == _BEGUN


class Overtaken(BrokerError):
    """Another invocation has saved progress after this one."""


class Sweeps:
    """The items. Every method raises ServiceUnavailable if DynamoDB fails, and may be repeated."""

    def __init__(self, client: DynamoDbClient, table_name: str) -> None:
        self._client = client
        self._table_name = table_name

    def find(self, target: str) -> Progress | None:
        """Return the newest sweep of the target, or None."""
        item = read_item(self._client, self._table_name, _key(target))
        return _from_item(target, item) if item else None

    def begin(self, target: str, not_before: int, now: float) -> Progress:
        """Return the sweep up to ``not_before``, begun now or before. A sweep up to a later time goes first."""
        progress = Progress(target, not_before, started_at=int(now), saved_at=int(now), saved_id=_BEGUN)
        refused = self._put(progress, "attribute_not_exists(cut_off) OR cut_off < :cut_off", {})
        return progress if refused is None else refused

    def save(self, progress: Progress, before: str) -> None:
        """Save progress under a new ``saved_id``. It must continue the progress saved as ``before``.

        Raises Overtaken if another save came after ``before``. An older sweep therefore never moves a newer one, and if
        two workers run one sweep, the slower one stops.
        """
        condition = "cut_off = :cut_off AND saved_id = :before"
        refused = self._put(progress, condition, {":before": to_value(before)})
        if refused is not None and refused.saved_id != progress.saved_id:
            raise Overtaken("overtaken")

    def _put(self, progress: Progress, condition: str, values: dict[str, Any]) -> Progress | None:
        """Write the item. If the condition refuses the write, return the item as found, otherwise None."""
        members = {attribute: _value(getattr(progress, field)) for field, attribute in _ATTRIBUTES.items()}
        write = conditional_write(
            self._client.update_item,
            TableName=self._table_name,
            Key=_key(progress.target),
            UpdateExpression="SET " + ", ".join(f"#{name} = :{name}" for name in members),
            ConditionExpression=condition,
            # Some of these words are reserved by DynamoDB.
            ExpressionAttributeNames={f"#{name}": name for name in members},
            ExpressionAttributeValues={f":{name}": value for name, value in members.items()} | values,
        )
        return None if write.is_applied else _from_item(progress.target, write.item)


# The stored attribute of each field. The target is in the key.
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
