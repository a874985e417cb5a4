"""Finding rows of the sign-in table otherwise than by their key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from oauth_broker.runtime.aws import DynamoDbClient, translated

# Keys alone, by what log lines call a session.
INDEX = "by_reference"
# Rows that one page looks at: at the pace of a mass sign-out, some seconds of work.
PAGE_ROWS = 100


@dataclass(frozen=True, slots=True)
class Page:
    """The keys of some rows. ``cursor`` leads to the next page; it is '' on the last one."""

    session_ids: tuple[str, ...]
    cursor: str


class SessionSearch:
    """Searches the table. Every method raises ServiceUnavailable where DynamoDB fails."""

    def __init__(self, client: DynamoDbClient, table_name: str) -> None:
        self._client = client
        self._table_name = table_name

    def find(self, reference: str) -> str | None:
        """Return the id of the session that log lines call ``reference``, or None.

        A row of the last second may not be found yet; one that was just deleted may be found still.
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
        """Return the next rows, in whatever state, that began up to ``cut_off``, of one app or of all.

        In the order of the table, which stays the same, from just behind the row ``cursor`` on: that may be any key, of
        a row that is gone, too. A row that does not tell when it began is older than that. The table's control items
        have no status.
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
