"""Finds rows of the sign-in table by other attributes than their key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from oauth_broker.runtime.aws import DynamoDbClient, translated

# This index holds keys alone, by the session's reference in log lines.
INDEX = "by_reference"
# Rows that one page reads: some seconds of work at the pace of a mass sign-out.
PAGE_ROWS = 100


@dataclass(frozen=True, slots=True)
class Page:
    """The keys of some rows. ``cursor`` leads to the next page; '' marks the last one."""

    session_ids: tuple[str, ...]
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
        start = {"ExclusiveStartKey": {"session_id": {"S": cursor}}} if cursor else {}
        with translated("dynamodb"):
            answer = self._client.scan(
                TableName=self._table_name,
                ConsistentRead=True,
                Limit=PAGE_ROWS,
                ProjectionExpression="session_id",
                FilterExpression=" AND ".join(conditions),
                ExpressionAttributeNames={"#status": "status"},
                ExpressionAttributeValues=values,
                **start,
            )
        last = answer.get("LastEvaluatedKey")
        found = tuple(item["session_id"]["S"] for item in answer["Items"])
        return Page(found, last["session_id"]["S"] if last else "")
