"""Mass sign-outs: every session that began no later than a moment is over, of one app or of everyone's.

The cut-offs are one item of the table. Every process that hands out tokens reads it at most every few seconds, so that
a mass sign-out takes effect everywhere at once, however many sessions there are, and costs a request next to nothing.
"""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from oauth_broker.aws import DynamoDbClient, error_code, translated
from oauth_broker.clock import Clock

# No session id: those have 43 characters.
KEY = "cut-offs"
EVERYONE = "everyone"
# After so many seconds a cut-off that was written is in effect in every process.
KEPT_SECONDS = 5


def scope_of(client_id: str) -> str:
    """Return the name of the cut-off of one app's sessions; that of all sessions is EVERYONE."""
    return f"client:{client_id}"


class CutOffs:
    """What a process knows of the cut-offs: never older than KEPT_SECONDS."""

    def __init__(self, client: DynamoDbClient, table_name: str, clock: Clock) -> None:
        self._client = client
        self._table_name = table_name
        self._clock = clock
        self._kept: dict[str, int] = {}
        self._good_until = 0.0

    def of(self, client_id: str) -> int:
        """Return the second up to which sessions of the app are over, 0 where there is none.

        Raises Busy where that cannot be known: nobody who was signed out is let in because DynamoDB fails.
        """
        # Counted from before the reading, which may take its time.
        now = self._clock.now()
        if now >= self._good_until:
            self._kept = self._read()
            self._good_until = now + KEPT_SECONDS
        return max(self._kept.get(EVERYONE, 0), self._kept.get(scope_of(client_id), 0))

    def standing(self, scope: str) -> int:
        """Return the cut-off of one scope as it is now, 0 where there is none."""
        return self._read().get(scope, 0)

    def set(self, scope: str, second: int) -> int:
        """Sign out all sessions of the scope that began up to ``second``; return the cut-off that then stands.

        That is ``second``, or a later one: no cut-off ever moves back. Repeating it is safe.
        """
        with translated("dynamodb"):
            try:
                self._client.update_item(
                    TableName=self._table_name,
                    Key={"session_id": {"S": KEY}},
                    UpdateExpression="SET #scope = :second",
                    ConditionExpression="attribute_not_exists(#scope) OR #scope < :second",
                    ExpressionAttributeNames={"#scope": scope},
                    ExpressionAttributeValues={":second": {"N": str(second)}},
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                )
            except ClientError as error:
                if error_code(error) != "ConditionalCheckFailedException":
                    raise
                refused: Any = error.response
                return int(refused["Item"][scope]["N"])
        return second

    def _read(self) -> dict[str, int]:
        with translated("dynamodb"):
            answer = self._client.get_item(
                TableName=self._table_name, Key={"session_id": {"S": KEY}}, ConsistentRead=True
            )
        return {scope: int(value["N"]) for scope, value in answer.get("Item", {}).items() if "N" in value}
