"""The conditional updates of a refresh: take the lease, give it back, commit.

A lease lets one worker at a time speak to Aries for a session; a fence is the number of the lease, so that a worker
that lost its lease can neither commit nor be mistaken for its successor.
"""

from __future__ import annotations

from dataclasses import dataclass

from oauth_broker.requests import RefreshTokenGrant
from oauth_broker.sign_in import SignIn, Value
from oauth_broker.sign_ins import SignIns

# A lease, and the claim of a sign-in, outlive their worker by this much, so that one which has lapsed has a dead
# holder: clocks differ, and Aries may take a moment longer over a request that was given up.
LEASE_MARGIN_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Lease:
    """A lease that a worker asks for: a random id, by which it recognises its own write, and its end."""

    lease_id: str
    until: float


class Leases:
    """Leases on active sessions. Every method raises Refused with the row as found, and Busy where DynamoDB fails."""

    def __init__(self, sign_ins: SignIns, *, late_retry: bool) -> None:
        self._sign_ins = sign_ins
        # The previous token may be used again once the grace is over: the answer that replaced it was lost.
        self._presentable = "(handle_hash = :hash OR previous_hash = :hash)" if late_retry else "handle_hash = :hash"

    def take(self, grant: RefreshTokenGrant, lease: Lease, now: float, settled: float) -> SignIn:
        """Take the lease for the holder of the grant's token, under a new fence.

        ``settled`` is now less the grace: a session that was refreshed after it is answered again, not refreshed again.
        """
        scope: dict[str, Value] = {} if grant.scope is None else {"scope": grant.scope}
        return self._sign_ins.update(
            grant.token.session_id,
            "SET lease_id = :lease_id, lease_until = :lease_until ADD fence :one",
            "#status = :active AND client_id = :client_id AND expires_at > :now_seconds AND rotated_at <= :settled"
            " AND (attribute_not_exists(lease_until) OR lease_until <= :now) AND "
            + self._presentable
            + (" AND #scope = :scope" if scope else ""),
            lambda found: found.lease_id == lease.lease_id,
            lease_id=lease.lease_id,
            lease_until=lease.until,
            one=1,
            active="active",
            client_id=grant.client.client_id,
            now_seconds=int(now),
            now=now,
            settled=settled,
            hash=grant.token.hash,
            **scope,
        )

    def release(self, row: SignIn) -> SignIn:
        """Give the lease and its fence back: nothing is under way at Aries, and nothing was stored under the fence."""
        return self._give_fence_back(row, " REMOVE lease_id, lease_until")

    def settle(self, row: SignIn) -> SignIn:
        """Give the fence back and keep the lease: nothing was or will be stored, but Aries may still be at it."""
        return self._give_fence_back(row, "")

    def _give_fence_back(self, row: SignIn, also: str) -> SignIn:
        # Fences without a stored answer would have to be looked for by every later worker, one outage long.
        return self._sign_ins.update(
            row.session_id,
            "SET fence = :before" + also,
            "fence = :fence AND lease_id = :lease_id",
            before=row.fence - 1,
            fence=row.fence,
            lease_id=row.lease_id,
        )

    def commit(self, row: SignIn, token_hash: str, now: float) -> SignIn:
        """Commit a refresh: the only linearization point.

        ``row`` is the leased row with the new ``generation``, ``handle_hash``, ``secret_version``,
        ``access_expires_at``, ``token_scope`` and ``escrow``; ``token_hash`` is the presented token's. Values are set,
        never added, so that an update that is applied twice changes nothing.
        """
        values: dict[str, Value] = {"escrow": row.escrow} if row.escrow else {}
        return self._sign_ins.update(
            row.session_id,
            "SET generation = :next, previous_hash = :presented, handle_hash = :handle_hash,"
            " secret_version = :secret_version, access_expires_at = :access_expires_at, token_scope = :token_scope,"
            " committed_fence = :fence, rotated_at = :rotated_at"
            + (", escrow = :escrow REMOVE" if values else " REMOVE escrow,")
            + " lease_id, lease_until",
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
            lease_id=row.lease_id,
            active="active",
            now=int(now),
            **values,
        )
