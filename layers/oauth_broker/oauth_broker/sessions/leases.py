"""The conditional updates of a refresh: take the lease, give it back, commit.

A lease lets one worker at a time speak to Aries for a session. A fence is the number of a lease. After a worker has
lost its lease, the fence keeps it from committing and tells it from its successor.
"""

from __future__ import annotations

from dataclasses import dataclass

from oauth_broker.oauth.requests import RefreshTokenGrant
from oauth_broker.sessions.conditional_update import Rows
from oauth_broker.sessions.row import IN_ROW, SignIn, Value, entry, extended
from oauth_broker.sessions.verdict import Terms


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

    def take(self, grant: RefreshTokenGrant, lease: Lease, terms: Terms, now: float) -> SignIn:
        """Take the lease for the holder of the grant's token, under a new fence.

        If the grant names a scope, the condition requires exactly the granted scope. `verdict.judge` decides about any
        other.
        """
        scope: dict[str, Value] = {} if grant.scope is None else {"scope": grant.scope}
        not_before: dict[str, Value] = {"not_before": terms.not_before} if terms.not_before else {}
        return self._rows.update_and_read(
            grant.token.session_id,
            "",
            "SET lease_id = :lease_id, lease_until = :lease_until ADD fence :one",
            "#status = :active AND client_id = :client_id AND expires_at > :now_seconds AND rotated_at <= :replay_after"
            " AND (attribute_not_exists(lease_until) OR lease_until <= :now) AND "
            + ("(handle_hash = :hash OR previous_hash = :hash)" if terms.late_retry else "handle_hash = :hash")
            + (" AND #scope = :scope" if scope else "")
            + (" AND created_at > :not_before" if not_before else ""),
            lambda found: found.lease_id == lease.lease_id,
            lease_id=lease.lease_id,
            lease_until=lease.until,
            one=1,
            active="active",
            client_id=grant.client.client_id,
            now_seconds=int(now),
            now=now,
            replay_after=terms.replay_after,
            hash=grant.token.hash,
            **scope,
            **not_before,
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

    def commit(self, row: SignIn, token_hash: str, now: float) -> None:
        """Commit a refresh: the only linearization point.

        ``row`` is the leased row with the new ``generation``, ``handle_hash``, ``secret_version``,
        ``access_expires_at``, ``token_scope``, ``escrow`` or ``sealed``, and ``timeline``. ``token_hash`` is the hash
        of the presented token. The update sets values and adds to none, so applying it twice changes nothing.
        """
        values: dict[str, Value] = {}
        tokens = " REMOVE escrow,"
        if row.token_store == IN_ROW:
            values, tokens = {"sealed": row.sealed}, ", sealed = :sealed REMOVE"
        elif row.escrow:
            values, tokens = {"escrow": row.escrow}, ", escrow = :escrow REMOVE"
        self._rows.update(
            row.session_id,
            "",
            "SET generation = :next, previous_hash = :presented, handle_hash = :handle_hash,"
            " secret_version = :secret_version, access_expires_at = :access_expires_at, token_scope = :token_scope,"
            " committed_fence = :fence, rotated_at = :rotated_at, timeline = :timeline"
            f"{tokens} lease_id, lease_until",
            "fence = :fence AND lease_id = :lease_id AND generation = :generation AND #status = :active"
            " AND expires_at > :now",
            lambda found: found.status == "active" and found.committed_fence == row.fence,
            next=row.generation,
            generation=row.generation - 1,
            presented=token_hash,
            handle_hash=row.handle_hash,
            secret_version=row.secret_version,
            access_expires_at=row.access_expires_at,
            token_scope=row.token_scope,
            fence=row.fence,
            rotated_at=now,
            timeline=row.timeline,
            lease_id=row.lease_id,
            active="active",
            now=int(now),
            **values,
        )
