"""Finds rows of the sign-in table by other attributes than their key."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from oauth_broker.errors import ServiceUnavailable
from oauth_broker.runtime.aws import DynamoDbClient, translated
from oauth_broker.sessions.row import SignIn, from_item

# This index holds keys alone, by the session's reference in log lines.
INDEX = "by_reference"
# Rows that one page reads: some seconds of work at the pace of a mass sign-out.
PAGE_ROWS = 100
# The attributes by which a session is live or not.
_LIFE = ("session_id", "client_id", "created_at", "expires_at", "ends_at", "rotated_at")


@dataclass(frozen=True, slots=True)
class Page:
    """The keys of some rows. ``cursor`` leads to the next page; '' marks the last one."""

    session_ids: tuple[str, ...]
    cursor: str


@dataclass(frozen=True, slots=True)
class ActivePage:
    """The active sessions among the rows of one megabyte of the table.

    ``read`` counts the rows that were read, and ``malformed`` the active ones that the broker cannot have written.
    ``cursor`` leads to the next page; '' marks the last one.
    """

    rows: tuple[SignIn, ...]
    read: int
    malformed: int
    cursor: str


class SessionSearch:
    """Searches the table. Every method raises ServiceUnavailable if DynamoDB fails."""

    def __init__(self, client: DynamoDbClient, table_name: str) -> None:
        self._client = client
        self._table_name = table_name

    def find(self, reference: str) -> str | None:
        """Return the id of the session with this reference, or None.

        The index may lag by a second: it may lack a new row, and may still have a deleted one.
        """
        with translated("dynamodb"):
            answer = self._client.query(
                TableName=self._table_name,
                IndexName=INDEX,
                KeyConditionExpression="#reference = :reference",
                ExpressionAttributeNames={"#reference": "reference"},
                ExpressionAttributeValues={":reference": {"S": reference}},
                Limit=1,
            )
        return next((str(item["session_id"]["S"]) for item in answer["Items"]), None)

    def page(self, not_before: int, client_id: str | None, cursor: str) -> Page:
        """Return the next rows in any state, of one app or of all, that began no later than ``not_before``.

        They come in the table's own order, which does not change, and start just behind the key ``cursor``; the row of
        that key may be gone. A row with no ``created_at`` counts as old enough. The table's control items have no
        status.
        """
        conditions = ["attribute_exists(#status)", "(attribute_not_exists(created_at) OR created_at <= :not_before)"]
        values: dict[str, Any] = {":not_before": {"N": str(not_before)}}
        if client_id is not None:
            conditions.append("client_id = :client_id")
            values[":client_id"] = {"S": client_id}
        answer = self._scanned(
            cursor,
            Limit=PAGE_ROWS,
            ProjectionExpression="session_id",
            FilterExpression=" AND ".join(conditions),
            ExpressionAttributeValues=values,
        )
        found = tuple(item["session_id"]["S"] for item in answer["Items"])
        return Page(found, _cursor(answer))

    def active_page(self, cursor: str) -> ActivePage:
        """Return the next active sessions, in the table's own order as ``page``. A page is one megabyte of rows.

        A row has the attributes alone that tell its app and its life.
        """
        answer = self._scanned(
            cursor,
            ProjectionExpression=f"#status, {', '.join(_LIFE)}",
            FilterExpression="#status = :active",
            ExpressionAttributeValues={":active": {"S": "active"}},
        )
        rows = []
        for item in answer["Items"]:
            with suppress(ServiceUnavailable):
                rows.append(from_item(item))
        return ActivePage(tuple(rows), answer["ScannedCount"], len(answer["Items"]) - len(rows), _cursor(answer))

    def _scanned(self, cursor: str, **parameters: Any) -> dict[str, Any]:
        start = {"ExclusiveStartKey": {"session_id": {"S": cursor}}} if cursor else {}
        with translated("dynamodb"):
            answer: dict[str, Any] = self._client.scan(
                TableName=self._table_name,
                ConsistentRead=True,
                ExpressionAttributeNames={"#status": "status"},
                **parameters,
                **start,
            )
        return answer


def _cursor(answer: dict[str, Any]) -> str:
    last = answer.get("LastEvaluatedKey")
    return str(last["session_id"]["S"]) if last else ""
