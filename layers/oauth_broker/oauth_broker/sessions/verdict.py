"""What the holder of a refresh token may do, judged from one row: pure, and the same wherever it is asked."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from oauth_broker.oauth.requests import RefreshTokenGrant, scope_values
from oauth_broker.sessions.row import SignIn


class Verdict(Enum):
    """How a presented refresh token stands to a row.

    ``ENDED_STATES``: no such session, or none any more. ``FOREIGN``: another client's. ``BEFORE_MASS_SIGN_OUT``: one
    that began before a mass sign-out. ``UNKNOWN_TOKEN``: neither the current nor the previous token; forged or
    superseded, which only the session key tells. ``DISALLOWED``: the app is not registered for the session's scope
    any more. ``WIDER``: a scope is asked for that was not granted. ``REPLAY``: redeemed or refreshed within the
    grace, to be answered again. ``SUPERSEDED``: the previous token after the grace, where late retries are not allowed.
    ``WAIT``: another worker holds the lease. ``PAUSED``: Aries wants to be left alone for a while. ``READY``: the lease
    may be taken.
    """

    ENDED = auto()
    FOREIGN = auto()
    BEFORE_MASS_SIGN_OUT = auto()
    UNKNOWN_TOKEN = auto()
    DISALLOWED = auto()
    WIDER = auto()
    REPLAY = auto()
    SUPERSEDED = auto()
    WAIT = auto()
    PAUSED = auto()
    READY = auto()


@dataclass(frozen=True, slots=True)
class Terms:
    """By what a request is judged.

    A session that began or was refreshed after ``replay_after`` is answered again, not refreshed again: when the
    request came in, less the grace. One that came within the grace stays within it, however long it waits; judged by
    the time of the look, one that was given up could outlive the grace here and supersede the token that its app was
    given meanwhile.
    ``late_retry`` tells whether the previous token may be used again once the grace is over: the answer that replaced
    it was lost. Sessions that began no later than ``cut_off`` were signed out.
    """

    replay_after: float
    late_retry: bool
    not_before: int


def judge(row: SignIn | None, grant: RefreshTokenGrant, terms: Terms, now: float) -> Verdict:
    """Judge ``grant`` by ``row``. The order matters: only a holder of one of the two tokens may learn of a lease."""
    presented = grant.token
    if row is None or row.status != "active" or not row.is_live(now):
        return Verdict.ENDED
    if row.client_id != grant.client.client_id:
        return Verdict.FOREIGN
    if row.is_before_mass_sign_out(terms.not_before):
        return Verdict.BEFORE_MASS_SIGN_OUT
    if not (presented.has_hash(row.handle_hash) or presented.has_hash(row.previous_hash)):
        return Verdict.UNKNOWN_TOKEN
    if not grant.client.allows_scope(row.scope):
        return Verdict.DISALLOWED
    # RFC 6749 section 6 lets an app name less than was granted. It must: Aries may narrow a token, and the answer then
    # tells the app the narrower scope, which many libraries name at the next refresh.
    if not scope_values(grant.scope or "") <= scope_values(row.scope):
        return Verdict.WIDER
    if row.rotated_at > terms.replay_after:
        return Verdict.REPLAY
    if not terms.late_retry and presented.has_hash(row.previous_hash):
        return Verdict.SUPERSEDED
    if row.is_paused(now):
        return Verdict.PAUSED
    return Verdict.WAIT if row.is_leased(now) else Verdict.READY
