"""Rows of the table in general: read one, write a new one, update one under a condition.

A failed condition returns the row as found, so the caller can tell why it failed. An applied write may lose its answer.
When the SDK or the caller then repeats the write, its condition fails, and the row is as the first write left it. The
``lease_id``, the fence or the code's hash in the row shows this, and the write counts as done.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Literal

from oauth_broker.errors import BrokerError, ServiceUnavailable
from oauth_broker.runtime.aws import DynamoDbClient, Write, conditional_write, read_item
from oauth_broker.sessions.row import MALFORMED_ROW, SignIn, Value, from_item, to_item, to_value

_ONE_MORE_ENTRY = "timeline = list_append(if_not_exists(timeline, :none), :entry)"


class ConditionFailed(BrokerError):
    """The condition of an update failed. ``found`` is the row as found, or None if there is none."""

    def __init__(self, found: SignIn | None) -> None:
        super().__init__("condition_refused")
        self.found = found


def _never(found: SignIn) -> bool:
    return False


def _refuse_unless(already_applied: Callable[[SignIn], bool], write: Write) -> None:
    """Raise ConditionFailed if the condition of ``write`` failed, unless this very write made the row that it found."""
    if write.is_applied:
        return
    found = from_item(write.item) if write.item else None
    if found is None or not already_applied(found):
        raise ConditionFailed(found)


def _written(write: Callable[..., Any], **parameters: Any) -> Write:
    """Call ``write`` with a condition.

    If DynamoDB cannot apply an update to a row of another form, or to one that would grow too long, then somebody has
    written the row by other means. This must not look like an outage of DynamoDB.
    """
    try:
        return conditional_write(write, **parameters)
    except ServiceUnavailable as failure:
        if failure.retriable:
            raise
        raise ServiceUnavailable(MALFORMED_ROW, retriable=False) from failure


class Rows:
    """The rows of the table.

    Every write raises ConditionFailed with the row as found. Every method raises ServiceUnavailable if DynamoDB fails.
    """

    def __init__(self, client: DynamoDbClient, table_name: str) -> None:
        self._client = client
        self._table_name = table_name

    def find(self, session_id: str) -> SignIn | None:
        """Read a row, consistently."""
        item = read_item(self._client, self._table_name, {"session_id": {"S": session_id}})
        return from_item(item) if item else None

    def insert(self, row: SignIn, already_applied: Callable[[SignIn], bool]) -> None:
        """Write a new row, and never over an existing one. ``already_applied`` is as for ``update``.

        The SDK may give up a write and repeat it, and the first attempt may land late, at any time of the sign-in or of
        its session. Over the row of that time it would bring an ended session back, or throw a live one away.
        """
        write = _written(
            self._client.put_item,
            TableName=self._table_name,
            Item=to_item(row),
            ConditionExpression="attribute_not_exists(session_id)",
        )
        _refuse_unless(already_applied, write)

    def update(
        self,
        session_id: str,
        timeline_entry: str,
        update: str,
        condition: str,
        already_applied: Callable[[SignIn], bool] = _never,
        /,
        **values: Value,
    ) -> None:
        """Update a row if ``condition`` holds.

        ``:x`` stands for the value x, and ``#x`` for an attribute x with a name that DynamoDB reserves. If the
        condition fails, ``already_applied`` tells whether this very write made the row as found. ``timeline_entry`` is
        one more entry for the row's timeline, or ''. If there is one, ``update`` begins with SET.
        """
        # This asks for no row, because parsing one takes a sixth of the call.
        self._update(session_id, timeline_entry, update, condition, "NONE", already_applied, values)

    def update_and_read(
        self,
        session_id: str,
        timeline_entry: str,
        update: str,
        condition: str,
        already_applied: Callable[[SignIn], bool] = _never,
        /,
        **values: Value,
    ) -> SignIn:
        """Do as ``update`` and return the new row."""
        return from_item(
            self._update(session_id, timeline_entry, update, condition, "ALL_NEW", already_applied, values)
        )

    def update_and_take(
        self, session_id: str, timeline_entry: str, update: str, condition: str, /, **values: Value
    ) -> dict[str, Any]:
        """Do as ``update`` and return the new row in DynamoDB's form, unparsed."""
        return self._update(session_id, timeline_entry, update, condition, "ALL_NEW", _never, values)

    def _update(
        self,
        session_id: str,
        timeline_entry: str,
        update: str,
        condition: str,
        wanted: Literal["NONE", "ALL_NEW"],
        already_applied: Callable[[SignIn], bool],
        values: dict[str, Value],
    ) -> dict[str, Any]:
        """Update a row, and return it in DynamoDB's form if ``wanted`` asks for it."""
        if timeline_entry:
            update = update.replace("SET ", f"SET {_ONE_MORE_ENTRY}, ", 1)
            values = {**values, "none": (), "entry": (timeline_entry,)}
        names = {f"#{name}": name for name in re.findall(r"#(\w+)", f"{update} {condition}")}
        # DynamoDB refuses an empty map of names.
        optional = {"ExpressionAttributeNames": names} if names else {}
        write = _written(
            self._client.update_item,
            TableName=self._table_name,
            Key={"session_id": {"S": session_id}},
            UpdateExpression=update,
            ConditionExpression=condition,
            ExpressionAttributeValues={f":{name}": to_value(value) for name, value in values.items()},
            ReturnValues=wanted,
            **optional,
        )
        _refuse_unless(already_applied, write)
        return write.item
