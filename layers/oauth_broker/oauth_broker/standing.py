"""What the holder of a refresh token may do, judged from one row: pure, and the same wherever it is asked."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from oauth_broker.requests import RefreshTokenGrant
from oauth_broker.sign_in import SignIn


class Standing(Enum):
    """How a presented refresh token stands to a row.

    ``ENDED``: no such session, or none any more. ``FOREIGN``: another client's. ``STRANGER``: neither the current nor
    the previous token; forged or superseded, which only the session key tells. ``WIDER``: another scope is asked for
    than was granted. ``REPLAY``: refreshed within the grace, to be answered again. ``SUPERSEDED``: the previous token
    after the grace, where late retries are not allowed. ``WAIT``: another worker holds the lease. ``READY``: the lease
    may be taken.
    """

    ENDED = auto()
    FOREIGN = auto()
    STRANGER = auto()
    WIDER = auto()
    REPLAY = auto()
    SUPERSEDED = auto()
    WAIT = auto()
    READY = auto()


@dataclass(frozen=True, slots=True)
class Policy:
    """The grace in seconds, and whether the previous token may be used again once it is over."""

    grace: float
    late_retry: bool


def stand(row: SignIn | None, grant: RefreshTokenGrant, policy: Policy, arrived: float, now: float) -> Standing:
    """Judge ``grant`` by ``row``. The order matters: only a holder of one of the two tokens may learn of a lease.

    ``arrived`` is when the request came in: a request that came within the grace stays within it, however long it
    waits. Judged by ``now``, one that was given up could outlive the grace here and supersede the token that its app
    was given meanwhile.
    """
    presented = grant.token.hash
    if row is None or row.status != "active" or not row.is_live(now):
        return Standing.ENDED
    if row.client_id != grant.client.client_id:
        return Standing.FOREIGN
    if presented not in (row.handle_hash, row.previous_hash):
        return Standing.STRANGER
    if grant.scope is not None and grant.scope != row.scope:
        return Standing.WIDER
    if row.rotated_at > arrived - policy.grace:
        return Standing.REPLAY
    if presented == row.previous_hash and not policy.late_retry:
        return Standing.SUPERSEDED
    return Standing.WAIT if row.is_leased(now) else Standing.READY
