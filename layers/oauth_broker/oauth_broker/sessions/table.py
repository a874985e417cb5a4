"""The sign-in table: every state change of a row is one conditional update here.

Every condition also compares ``expires_at`` with now, since DynamoDB's TTL deletes late, by up to days. A refused
condition returns the row as it was found, so that the caller can tell why. A write that was applied and whose answer
was lost finds, when the SDK or its caller repeats it, the row as it left it: it is told by the ``lease_id``, the fence
or the code's hash there, and counts as done.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Literal

from oauth_broker.errors import BrokerError
from oauth_broker.runtime.aws import DynamoDbClient, Write, conditional_write, translated
from oauth_broker.sessions.row import NO_TOKENS, SignIn, Value, entry, from_item, to_item, to_value

# Seconds that a dead or revoked row is kept, for repeated sign-outs and for support.
ENDED_ROW_SECONDS = 24 * 60 * 60
# How long a person may take at Aries, and the callback after that.
SIGN_IN_SECONDS = 10 * 60


_ONE_MORE_ENTRY = "timeline = list_append(if_not_exists(timeline, :none), :entry)"


class ConditionFailed(BrokerError):
    """A conditional update was refused. ``found`` is the row as it was, or None where there is none."""

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


class SignIns:
    """The table.

    Every method raises ServiceUnavailable where DynamoDB fails, and every update ConditionFailed with the row as found.
    """

    def __init__(self, client: DynamoDbClient, table_name: str) -> None:
        self._client = client
        self._table_name = table_name

    def save(self, row: SignIn) -> None:
        """Write a new row, and never over one that is there; raises ConditionFailed where that is another's.

        A write that the SDK has given up and repeated may land late, at any time of the sign-in or of its session. Over
        the row as it is by then it would bring a session back that has ended, or throw a live one away.
        """
        write = conditional_write(
            self._client.put_item,
            TableName=self._table_name,
            Item=to_item(row),
            ConditionExpression="attribute_not_exists(session_id)",
        )
        _refuse_unless(lambda found: found.browser_hash == row.browser_hash, write)

    def find(self, session_id: str) -> SignIn | None:
        """Read a row, consistently."""
        with translated("dynamodb"):
            answer = self._client.get_item(
                TableName=self._table_name, Key={"session_id": {"S": session_id}}, ConsistentRead=True
            )
        item = answer.get("Item")
        return from_item(item) if item else None

    def claim(self, session_id: str, browser_hash: str, lease_id: str, lease_until: float, now: float) -> SignIn:
        """Claim a pending sign-in for its own browser, before the code is exchanged: one code is exchanged once."""
        return self.update_and_read(
            session_id,
            entry(now, "claimed"),
            "SET #status = :claimed, lease_id = :lease_id, lease_until = :lease_until, expires_at = :expires_at",
            "#status = :pending AND expires_at > :now AND browser_hash = :browser_hash",
            lambda found: found.status == "claimed" and found.lease_id == lease_id,
            claimed="claimed",
            pending="pending",
            browser_hash=browser_hash,
            lease_id=lease_id,
            lease_until=lease_until,
            # A person who took nearly all the time there was still gets a code that lives.
            expires_at=int(now) + SIGN_IN_SECONDS,
            now=int(now),
        )

    def fail_pending(
        self, session_id: str, browser_hash: str, lease_id: str, error: str, reason: str, now: float
    ) -> SignIn:
        """Fail a pending sign-in for its own browser: Aries sent an error, and there is nothing to exchange."""
        return self.update_and_read(
            session_id,
            entry(now, "failed", reason),
            "SET #status = :failed, failed_error = :error, lease_id = :lease_id, token_store = :no_tokens"
            " REMOVE code_verifier",
            "#status = :pending AND expires_at > :now AND browser_hash = :browser_hash",
            lambda found: found.status == "failed" and found.lease_id == lease_id,
            failed="failed",
            no_tokens=NO_TOKENS,
            pending="pending",
            error=error,
            browser_hash=browser_hash,
            lease_id=lease_id,
            now=int(now),
        )

    def fail_claimed(
        self, session_id: str, lease_id: str, error: str, reason: str, now: float, *, may_have_a_secret: bool
    ) -> None:
        """Fail a sign-in that this worker claimed; a reload of the callback is answered with the same error.

        ``may_have_a_secret`` is False only if this worker never asked for a secret: nobody else ever will, since a
        sign-in is claimed once. Cleanup is not called for such a row.
        """
        no_secret: dict[str, Value] = {} if may_have_a_secret else {"no_tokens": NO_TOKENS}
        self.update(
            session_id,
            entry(now, "failed", reason),
            "SET #status = :failed, failed_error = :error"
            + ("" if may_have_a_secret else ", token_store = :no_tokens")
            + " REMOVE code_verifier, lease_until",
            "#status = :claimed AND lease_id = :lease_id AND expires_at > :now",
            **no_secret,
            failed="failed",
            claimed="claimed",
            error=error,
            lease_id=lease_id,
            now=int(now),
        )

    def issue(self, row: SignIn, now: float) -> None:
        """Move a sign-in that this worker claimed to ``issued``, with the code, times and secret of ``row``."""
        self.update(
            row.session_id,
            entry(now, "issued"),
            "SET #status = :issued, code_hash = :code_hash, code_expires_at = :code_expires_at,"
            " secret_version = :secret_version, access_expires_at = :access_expires_at,"
            " token_scope = :token_scope, fence = :zero, committed_fence = :zero REMOVE code_verifier, lease_until",
            "#status = :claimed AND lease_id = :lease_id AND expires_at > :now",
            # Wherever the row may have been moved since, only this worker gives it this code.
            lambda found: found.code_hash == row.code_hash,
            issued="issued",
            claimed="claimed",
            code_hash=row.code_hash,
            code_expires_at=row.code_expires_at,
            secret_version=row.secret_version,
            access_expires_at=row.access_expires_at,
            token_scope=row.token_scope,
            lease_id=row.lease_id,
            zero=0,
            now=int(now),
        )

    def redeem(self, row: SignIn, handle_hash: str, lease_id: str, expires_at: int, now: float) -> None:
        """Move an issued sign-in to ``active``: the code is used once, and under all that was checked in ``row``."""
        self.update(
            row.session_id,
            entry(now, "redeemed"),
            "SET #status = :active, handle_hash = :handle_hash, generation = :one, rotated_at = :rotated_at,"
            " expires_at = :expires_at, lease_id = :lease_id",
            "#status = :issued AND code_hash = :code_hash AND code_expires_at > :now AND expires_at > :now"
            " AND client_id = :client_id AND redirect_uri = :redirect_uri AND app_code_challenge = :challenge",
            lambda found: found.lease_id == lease_id,
            active="active",
            issued="issued",
            handle_hash=handle_hash,
            one=1,
            rotated_at=now,
            expires_at=expires_at,
            lease_id=lease_id,
            code_hash=row.code_hash,
            client_id=row.client_id,
            redirect_uri=row.redirect_uri,
            challenge=row.app_code_challenge,
            now=int(now),
        )

    def end(
        self,
        session_id: str,
        status: Literal["dead", "revoked"],
        reason: str,
        now: float,
        *,
        condition: str = "",
        **values: Value,
    ) -> None:
        """End an active session: ``status`` is ``dead`` or ``revoked``. The row is kept for a day."""
        self.update(
            session_id,
            entry(now, status, reason),
            "SET #status = :ended, expires_at = :kept_until REMOVE lease_id, lease_until, escrow",
            "#status = :active AND expires_at > :now" + (f" AND {condition}" if condition else ""),
            ended=status,
            kept_until=int(now) + ENDED_ROW_SECONDS,
            active="active",
            now=int(now),
            **values,
        )

    def end_in_any_state(self, session_id: str, reason: str, by: str, now: float) -> SignIn:
        """End a sign-in or session that is not over yet, whoever holds it. The row is kept for a day.

        ``by`` takes the place of the lease's id, so that who held it can write the row no more; repeated with the same
        one, it knows its own write. How long the lease is tells how long its holder may still be at it.
        """
        return self.update_and_read(
            session_id,
            entry(now, "revoked", reason),
            "SET #status = :ended, expires_at = :kept_until, lease_id = :by REMOVE code_verifier, escrow",
            "(#status = :pending OR #status = :claimed OR #status = :issued OR #status = :active)"
            " AND expires_at > :now",
            lambda found: found.lease_id == by,
            ended="revoked",
            kept_until=int(now) + ENDED_ROW_SECONDS,
            by=by,
            pending="pending",
            claimed="claimed",
            issued="issued",
            active="active",
            now=int(now),
        )

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
        """Update a row where ``condition`` holds.

        ``:x`` stands for the value x, and ``#x`` for the attribute x where DynamoDB reserves the word.
        ``already_applied`` tells whether a row that does not meet the condition is what this very write has made of
        it. ``timeline_entry`` is one more entry for the row's timeline, or ''; with one, ``update`` begins with SET.
        """
        # To parse a row that nobody looks at takes a sixth of the call.
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
        """Return the new row as DynamoDB has it, where that is wanted."""
        if timeline_entry:
            update = update.replace("SET ", f"SET {_ONE_MORE_ENTRY}, ", 1)
            values = {**values, "none": (), "entry": (timeline_entry,)}
        names = {f"#{name}": name for name in re.findall(r"#(\w+)", f"{update} {condition}")}
        # DynamoDB refuses an empty map of names.
        optional = {"ExpressionAttributeNames": names} if names else {}
        write = conditional_write(
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
