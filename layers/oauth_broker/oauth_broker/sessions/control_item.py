"""The control item of the table. Every process that hands out tokens reads it again every few seconds.

A number in the item takes effect everywhere within that time, however many processes and sessions there are, and costs
a request next to nothing. The numbers have names: the not-before times of mass sign-outs (`not_before`), and the pause
of all refreshes (`operations.pause`).
"""

from __future__ import annotations

from typing import Any

from oauth_broker.clock import Clock
from oauth_broker.runtime.aws import DynamoDbClient, conditional_write, read_item

# A session id has 43 characters, so this key is never a session's.
CONTROL_ITEM_KEY = "cut-offs"
_KEY = {"session_id": {"S": CONTROL_ITEM_KEY}}
# After at most this many seconds, every process knows a new number.
CACHE_SECONDS = 5


class ControlItem:
    """The control item, with the process' copy of its numbers.

    A method that calls DynamoDB raises ServiceUnavailable if DynamoDB fails.
    """

    def __init__(self, client: DynamoDbClient, table_name: str, clock: Clock) -> None:
        self._client = client
        self._table_name = table_name
        self._clock = clock
        self._cached: dict[str, float] = {}
        self._good_until = 0.0

    def numbers(self) -> dict[str, float]:
        """Return all numbers, as they were at most CACHE_SECONDS ago."""
        # The age counts from before the read, because the read may take a while.
        now = self._clock.now()
        if now >= self._good_until:
            self._cache(self.read(), now)
        return self._cached

    def known(self) -> dict[str, float]:
        """Return all numbers as the process last saw them, without a call."""
        return self._cached

    def read(self) -> dict[str, float]:
        """Return all numbers as they are now."""
        return _numbers(read_item(self._client, self._table_name, _KEY))

    def raise_to(self, name: str, number: float, most: float) -> float:
        """Set a number that never goes down, and return the stored one. Repeating it is safe.

        A stored value above ``most``, or of another type, comes from somebody else. This call replaces it.
        """
        values = {":most": _value(most), ":type": {"S": "N"}}
        is_none = "attribute_not_exists(#name) OR NOT attribute_type(#name, :type)"
        self._set(name, number, f"{is_none} OR #name <= :number OR #name > :most", values)
        return self._cached[name]

    def swap(self, name: str, seen: float, number: float) -> bool:
        """Set a number if it is still ``seen``, and tell whether this call did. 0 stands for an absent number."""
        if not seen:
            return self._set(name, number, "attribute_not_exists(#name)", {})
        return self._set(name, number, "#name = :seen", {":seen": _value(seen)})

    def remove(self, *names: str) -> None:
        """Remove numbers. An absent number counts as success."""
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
        """Update the item, cache its numbers, and tell whether the condition held."""
        now = self._clock.now()
        write = conditional_write(
            self._client.update_item,
            TableName=self._table_name,
            Key=_KEY,
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
