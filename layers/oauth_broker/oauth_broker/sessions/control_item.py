"""The one item of the table that every process which hands out tokens knows: it reads it every few seconds.

What stands there is in effect everywhere within that time, however many processes and sessions there are, and costs a
request next to nothing. It holds numbers by name: the cut-offs of mass sign-outs (`cut_offs`), and whether Aries wants
to be left alone (`pause`).
"""

from __future__ import annotations

from typing import Any

from oauth_broker.clock import Clock
from oauth_broker.runtime.aws import DynamoDbClient, conditional_write, translated

# No session id: those have 43 characters.
KEY = "cut-offs"
# After so many seconds a number that was written is known to every process.
CACHE_SECONDS = 5


class ControlItem:
    """What a process knows of the item, which is never older than CACHE_SECONDS.

    Every method raises ServiceUnavailable where DynamoDB fails.
    """

    def __init__(self, client: DynamoDbClient, table_name: str, clock: Clock) -> None:
        self._client = client
        self._table_name = table_name
        self._clock = clock
        self._cached: dict[str, float] = {}
        self._good_until = 0.0

    def numbers(self) -> dict[str, float]:
        """Return all numbers, as they were at most CACHE_SECONDS ago."""
        # Counted from before the reading, which may take its time.
        now = self._clock.now()
        if now >= self._good_until:
            self._cache(self.read(), now)
        return self._cached

    def known(self) -> dict[str, float]:
        """Return all numbers as the process last saw them, without a call."""
        return self._cached

    def read(self) -> dict[str, float]:
        """Return all numbers as they are now."""
        with translated("dynamodb"):
            answer = self._client.get_item(
                TableName=self._table_name, Key={"session_id": {"S": KEY}}, ConsistentRead=True
            )
        return _numbers(answer.get("Item", {}))

    def raise_to(self, name: str, number: float, most: float) -> float:
        """Set a number that never goes down; return the one that then stands. Repeating it is safe.

        What is more than ``most``, or no number, was put there by somebody else, and is replaced.
        """
        values = {":most": _value(most), ":type": {"S": "N"}}
        is_none = "attribute_not_exists(#name) OR NOT attribute_type(#name, :type)"
        self._set(name, number, f"{is_none} OR #name <= :number OR #name > :most", values)
        return self._cached[name]

    def swap(self, name: str, seen: float, number: float) -> bool:
        """Set a number if it is still ``seen``, which is 0 for none; tell whether this call did."""
        if not seen:
            return self._set(name, number, "attribute_not_exists(#name)", {})
        return self._set(name, number, "#name = :seen", {":seen": _value(seen)})

    def remove(self, *names: str) -> None:
        """Remove numbers. Already absent is success."""
        short = {f"#n{index}": name for index, name in enumerate(names)}
        self._update(
            UpdateExpression=f"REMOVE {', '.join(short)}",
            ConditionExpression="attribute_exists(session_id)",
            ExpressionAttributeNames=short,
        )

    def _set(self, name: str, number: float, condition: str, values: dict[str, Any]) -> bool:
        return self._update(
            UpdateExpression="SET #name = :number",
            ConditionExpression=condition,
            ExpressionAttributeNames={"#name": name},
            ExpressionAttributeValues={":number": _value(number), **values},
        )

    def _update(self, **parameters: Any) -> bool:
        """Update the item and cache it as it then is. Tell whether the condition was met."""
        now = self._clock.now()
        write = conditional_write(
            self._client.update_item,
            TableName=self._table_name,
            Key={"session_id": {"S": KEY}},
            ReturnValues="ALL_NEW",
            **parameters,
        )
        self._cache(_numbers(write.item), now)
        return write.is_applied

    def _cache(self, numbers: dict[str, float], now: float) -> None:
        self._cached = numbers
        self._good_until = now + CACHE_SECONDS


def _numbers(item: dict[str, Any]) -> dict[str, float]:
    return {name: float(value["N"]) for name, value in item.items() if "N" in value}


def _value(number: float) -> dict[str, str]:
    return {"N": f"{number:.3f}".rstrip("0").rstrip(".")}
