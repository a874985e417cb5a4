"""One item for each person in the table of sign-ins: the person's sessions of each app, and their sign-outs.

The item comes first and the row after. A redemption adds its session to the item and reads the cut-off in one write,
and then activates the row. A sign-out of all others sets the cut-off and reads the sessions in one write, and then ends
each of them. Whichever write comes first, no session slips through: either the sign-out finds the session in the item,
or the redemption meets the cut-off.

The sessions in the item are therefore more than the person's live ones. A reader looks at each row. An index of the
table could not do this, because an index is eventually consistent.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from oauth_broker.clock import Clock
from oauth_broker.runtime.aws import DynamoDbClient, conditional_write, read_item

# The reason of a session that its person signed out from another one.
SIGNED_OUT_BY_ANOTHER = "signed_out_by_another"
# A session id has 43 characters and no #, so this key is never a session's.
_KEY_PREFIX = "person#"
_SESSIONS = "sessions "
_NOT_BEFORE = "not_before "
# No session lives longer than a year. A day more is room for clocks.
_ITEM_SECONDS = 366 * 24 * 60 * 60
# The most sessions of one app in an item. DynamoDB's limit of 400 KB for an item is far, and a write stays small.
MOST_SESSIONS = 400
# Clocks are wrong by less than this. A cut-off further ahead is none of the broker's.
_FUTURE_SECONDS = 2 * 60 * 60
# A session id has so many characters. DynamoDB refuses a whole read for one key that is empty or far too long.
_LONGEST_ID = 43
# A time in milliseconds and the sign-ins since. DynamoDB refuses to add to a number of more digits than it keeps.
_MOST_JOINS = 10**15


@dataclass(frozen=True, slots=True)
class PersonItem:
    """A person's item: the session ids by app, and the second up to which the app's other sessions were signed out.

    ``joins`` is the text of a number that grows with each added session, or '' if none was added. No later item of the
    person has the same number.
    """

    sessions: dict[str, frozenset[str]]
    not_before: dict[str, int]
    joins: str = ""

    def sessions_of(self, client_id: str) -> frozenset[str]:
        """Return the ids of the person's sessions of one app. Some may be over."""
        return self.sessions.get(client_id, frozenset())

    def is_cut_off(self, client_id: str, created_at: int) -> bool:
        """Tell whether a session that began at ``created_at`` was signed out by the person from another session."""
        not_before = self.not_before.get(client_id, 0)
        return bool(not_before) and created_at <= not_before


class PersonItems:
    """The items of people. Every method raises ServiceUnavailable if DynamoDB fails, and may be repeated."""

    def __init__(self, client: DynamoDbClient, table_name: str, clock: Clock) -> None:
        self._client = client
        self._table_name = table_name
        self._clock = clock

    def find(self, subject: str) -> PersonItem:
        """Read a person's item, consistently. An absent item is an empty one."""
        return self._item(read_item(self._client, self._table_name, _key(subject)))

    def join(self, subject: str, client_id: str, session_id: str) -> PersonItem:
        """Add a session to the person's item, and return the item as it is then.

        If the item has ``MOST_SESSIONS`` of the app, or if the broker cannot have written its set or number, then it
        stays as it is, without the session: a writer of the table could otherwise keep the person from signing in.
        """
        return self._update(
            subject,
            "SET expires_at = :until, joins = if_not_exists(joins, :first) + :one ADD #sessions :ids",
            {"#sessions": _SESSIONS + client_id},
            {
                ":ids": {"SS": [session_id]},
                ":first": {"N": str(int(self._clock.now() * 1000))},
                ":one": {"N": "1"},
                ":until": self._until(),
                ":set": {"S": "SS"},
                ":most": {"N": str(MOST_SESSIONS)},
                ":most_joins": {"N": str(_MOST_JOINS)},
                ":number": {"S": "N"},
            },
            "(attribute_not_exists(#sessions) OR (attribute_type(#sessions, :set) AND size(#sessions) < :most))"
            " AND (attribute_not_exists(joins) OR (attribute_type(joins, :number) AND joins <= :most_joins))",
        )

    def sign_out(self, subject: str, client_id: str, second: int) -> PersonItem:
        """Set the cut-off of one app's sessions, unless it is later already, and return the item as it is then.

        A cut-off never moves back. If it did, then an earlier sign-out that lands once more could let a session in that
        a later one has cut off. A stored cut-off of another type, or further ahead than any clock's error, is none of
        the broker's and is replaced.
        """
        return self._update(
            subject,
            "SET expires_at = :until, #not_before = :second",
            {"#not_before": _NOT_BEFORE + client_id},
            {
                ":second": {"N": str(second)},
                ":until": self._until(),
                ":most": {"N": str(self._most())},
                ":number": {"S": "N"},
            },
            "attribute_not_exists(#not_before) OR NOT attribute_type(#not_before, :number)"
            " OR #not_before <= :second OR #not_before > :most",
        )

    def leave(self, subject: str, client_id: str, session_ids: Collection[str]) -> None:
        """Take sessions that are over, for good, out of the item."""
        self._update(
            subject,
            "DELETE #sessions :ids",
            {"#sessions": _SESSIONS + client_id},
            {":ids": {"SS": sorted(session_ids)}},
            "attribute_exists(#sessions)",
        )

    def forget(self, subject: str, seen: PersonItem) -> bool:
        """Delete a person's item, unless a session has joined since ``seen``. Tell whether the item is gone.

        A live session in no item could not be signed out with the person's others. This holds too if the deletion
        lands once more after the person has come back: the number of joins begins with the time.
        """
        values = {":joins": {"N": seen.joins}} if seen.joins else {":number": {"S": "N"}}
        write = conditional_write(
            self._client.delete_item,
            TableName=self._table_name,
            Key=_key(subject),
            ConditionExpression="joins = :joins" if seen.joins else "NOT attribute_type(joins, :number)",
            ExpressionAttributeValues=values,
        )
        # A repetition finds no item.
        return write.is_applied or not write.item

    def _until(self) -> dict[str, str]:
        return {"N": str(int(self._clock.now()) + _ITEM_SECONDS)}

    def _most(self) -> int:
        return int(self._clock.now()) + _FUTURE_SECONDS

    def _update(
        self, subject: str, update: str, names: dict[str, str], values: dict[str, Any], condition: str
    ) -> PersonItem:
        """Update the item if ``condition`` holds, and return the item as it is or was."""
        write = conditional_write(
            self._client.update_item,
            TableName=self._table_name,
            Key=_key(subject),
            UpdateExpression=update,
            ConditionExpression=condition,
            ExpressionAttributeNames=names,
            ExpressionAttributeValues=values,
            ReturnValues="ALL_NEW",
        )
        return self._item(write.item)

    def _item(self, item: dict[str, Any]) -> PersonItem:
        """Read an item. An attribute or a session id of another form than the broker's is left out."""
        most = self._most()
        sessions = {
            name.removeprefix(_SESSIONS): frozenset(one for one in value["SS"] if 0 < len(one) <= _LONGEST_ID)
            for name, value in item.items()
            if name.startswith(_SESSIONS) and "SS" in value
        }
        not_before = {
            name.removeprefix(_NOT_BEFORE): int(float(value["N"]))
            for name, value in item.items()
            if name.startswith(_NOT_BEFORE) and "N" in value and float(value["N"]) <= most
        }
        return PersonItem(sessions, not_before, item.get("joins", {}).get("N", ""))


def _key(subject: str) -> dict[str, Any]:
    return {"session_id": {"S": _KEY_PREFIX + subject}}
