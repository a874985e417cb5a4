"""The rights of a refresh token, judged from one row: a pure function, the same for all its callers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from oauth_broker.config.clients import Client
from oauth_broker.oauth.requests import RefreshTokenGrant
from oauth_broker.oauth.scope import scope_values
from oauth_broker.sessions.row import SignIn


class Verdict(Enum):
    """The verdict on a presented refresh token."""

    # The session does not exist, or has ended.
    ENDED = auto()
    # The session is another client's.
    FOREIGN = auto()
    # The session began before a mass sign-out.
    BEFORE_MASS_SIGN_OUT = auto()
    # The token is neither the current nor the previous one. It is forged or superseded: the session key can tell.
    UNKNOWN_TOKEN = auto()
    # The app is not registered for the session's scope any more.
    DISALLOWED = auto()
    # The app asks for more than the granted scope.
    WIDER = auto()
    # The session was redeemed or refreshed within the grace: the app gets the same refresh token again.
    REPLAY = auto()
    # The previous token came after the grace, and late retries are not allowed.
    SUPERSEDED = auto()
    # The access token lives long enough, or is newer than the one that the caller first found. It is the answer.
    SERVED = auto()
    # Another worker holds the lease.
    WAIT = auto()
    # Aries wants to be left alone for a while.
    PAUSED = auto()
    # The worker may take the lease.
    READY = auto()


@dataclass(frozen=True, slots=True)
class Terms:
    """The terms by which a request is judged.

    ``replay_after`` is the arrival of the request, less the grace. If the session began or was refreshed later, the app
    gets the same refresh token again. The arrival decides, not the time of the look: a request within the grace stays
    within it, however long it waits. Otherwise an abandoned request could outlive the grace here, and supersede the
    token that the app got meanwhile.

    ``late_retry`` tells whether the app may use the previous token again after the grace, because the answer with the
    next token may be lost. Sessions that began up to ``not_before`` were signed out.
    """

    replay_after: float
    late_retry: bool
    not_before: int


def has_ended(row: SignIn, client: Client, now: float) -> bool:
    """Tell whether the session is over, perhaps because nobody used it for as long as the app's registration says."""
    return row.status != "active" or not row.is_live(now) or row.ends_by(client.idle_seconds) <= now


def end_reason(row: SignIn | None, client: Client, now: float) -> str:
    """Return the reason for the log why there is no session, or none any more."""
    is_idle = row is not None and row.status == "active" and (row.ends_at or row.expires_at) > now
    return "session_idle" if is_idle else "session_ended"


def judge(row: SignIn | None, grant: RefreshTokenGrant, terms: Terms, now: float) -> Verdict:
    """Judge ``grant`` by ``row``.

    The order matters: a caller without one of the two tokens must not learn of a lease.
    """
    presented = grant.token
    if row is None or has_ended(row, grant.client, now):
        return Verdict.ENDED
    if row.client_id != grant.client.client_id:
        return Verdict.FOREIGN
    if row.is_before_mass_sign_out(terms.not_before):
        return Verdict.BEFORE_MASS_SIGN_OUT
    if not (presented.has_hash(row.handle_hash) or presented.has_hash(row.previous_hash)):
        return Verdict.UNKNOWN_TOKEN
    if not grant.client.allows_scope(row.scope):
        return Verdict.DISALLOWED
    # RFC 6749 section 6 lets an app name less than the granted scope. The broker must let it: if Aries narrows a token,
    # the answer tells the app the narrower scope, and many libraries name that scope at the next refresh.
    if not scope_values(grant.scope or "") <= scope_values(row.scope):
        return Verdict.WIDER
    if row.rotated_at > terms.replay_after:
        return Verdict.REPLAY
    if not terms.late_retry and presented.has_hash(row.previous_hash):
        return Verdict.SUPERSEDED
    if row.is_paused(now):
        return Verdict.PAUSED
    return Verdict.WAIT if row.is_leased(now) else Verdict.READY
