"""The conditional updates of a refresh and of any other renewal: take the lease, give it back, commit.

A lease lets one worker at a time speak to Aries for a session. A fence is the number of a lease. After a worker has
lost its lease, the fence keeps it from committing and tells it from its successor.
"""

from __future__ import annotations

from dataclasses import dataclass

from oauth_broker.sessions.conditional_update import Rows
from oauth_broker.sessions.renewers import Renewer
from oauth_broker.sessions.row import IN_ROW, SignIn, Value, entry, extended


@dataclass(frozen=True, slots=True)
class Lease:
    """A lease to ask for: its random id and its end. The worker recognises its own write by the id."""

    lease_id: str
    until: float


class Leases:
    """Leases on active sessions.

    Every update raises ConditionFailed with the row as found. Every method raises ServiceUnavailable if DynamoDB fails.
    """

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def find(self, session_id: str) -> SignIn | None:
        """Read a row without taking its lease."""
        return self._rows.find(session_id)

    def take(self, renewer: Renewer, lease: Lease, now: float) -> SignIn:
        """Take the lease for this caller, under a new fence."""
        condition, values = renewer.lease_condition()
        if renewer.not_before:
            condition += " AND created_at > :not_before"
            values["not_before"] = renewer.not_before
        if idle_seconds := renewer.client.idle_seconds:
            # The verdict counts whole seconds, and so does this.
            condition += " AND rotated_at >= :used_since"
            values["used_since"] = int(now) - idle_seconds + 1
        return self._rows.update_and_read(
            renewer.session_id,
            "",
            "SET lease_id = :lease_id, lease_until = :lease_until ADD fence :one",
            "#status = :active AND client_id = :client_id AND expires_at > :now_seconds"
            f" AND (attribute_not_exists(lease_until) OR lease_until <= :now) AND {condition}",
            lambda found: found.lease_id == lease.lease_id,
            lease_id=lease.lease_id,
            lease_until=lease.until,
            one=1,
            active="active",
            client_id=renewer.client.client_id,
            now_seconds=int(now),
            now=now,
            **values,
        )

    def release(self, row: SignIn, reason: str, now: float) -> None:
        """Give back the lease and its fence: Aries has no request under way, and the fence has no stored answer."""
        self._end_attempt(row, reason, now, " REMOVE lease_id, lease_until")

    def pause(self, row: SignIn, reason: str, now: float, until: float) -> None:
        """Give back the lease and its fence, with a pause for Aries: no worker may take the lease before ``until``."""
        self._end_attempt(row, reason, now, ", lease_until = :until REMOVE lease_id", until=until)

    def give_back_fence(self, row: SignIn, reason: str, now: float) -> None:
        """Give back the fence and keep the lease: this worker stores no answer, but Aries may still be at work."""
        self._end_attempt(row, reason, now, "")

    def _end_attempt(self, row: SignIn, reason: str, now: float, also: str, **values: Value) -> None:
        # Every later worker looks under each fence since the last commit. An outage must not leave many empty fences.
        self._rows.update(
            row.session_id,
            "",
            "SET fence = :before, timeline = :timeline" + also,
            "fence = :fence AND lease_id = :lease_id",
            before=row.fence - 1,
            timeline=extended(row.timeline, entry(now, "refresh_failed", reason)),
            fence=row.fence,
            lease_id=row.lease_id,
            **values,
        )

    def commit(self, row: SignIn, renewer: Renewer, now: float) -> None:
        """Commit new tokens of Aries: the only linearization point.

        ``row`` is the leased row with all that changes (``Renewer.renewed``). The update sets values and adds to none,
        so applying it twice changes nothing.
        """
        (own_sets, own_values), (own_condition, compared) = renewer.commit_clauses(row, now)
        values: dict[str, Value] = {**own_values, **compared}
        tokens = " REMOVE escrow,"
        if row.token_store == IN_ROW:
            values["sealed"], tokens = row.sealed, ", sealed = :sealed REMOVE"
        elif row.escrow:
            values["escrow"], tokens = row.escrow, ", escrow = :escrow REMOVE"
        self._rows.update(
            row.session_id,
            "",
            f"SET {own_sets}, secret_version = :secret_version, access_expires_at = :access_expires_at,"
            " access_seconds = :access_seconds, token_scope = :token_scope, committed_fence = :fence,"
            f" ends_at = :ends_at, expires_at = :expires_at, timeline = :timeline{tokens} lease_id, lease_until",
            "fence = :fence AND lease_id = :lease_id AND #status = :active AND expires_at > :now"
            + (f" AND {own_condition}" if own_condition else ""),
            lambda found: found.status == "active" and found.committed_fence == row.fence,
            secret_version=row.secret_version,
            access_expires_at=row.access_expires_at,
            access_seconds=row.access_seconds,
            token_scope=row.token_scope,
            fence=row.fence,
            ends_at=row.ends_at,
            expires_at=row.expires_at,
            timeline=row.timeline,
            lease_id=row.lease_id,
            active="active",
            now=int(now),
            **values,
        )
