"""Ending a sign-in or session from outside, in whatever state it is, together with its secret."""

from __future__ import annotations

from dataclasses import dataclass

from oauth_broker.clock import Clock
from oauth_broker.errors import ServiceUnavailable
from oauth_broker.runtime.invocation import Invocation
from oauth_broker.sessions.conditional_update import ConditionFailed
from oauth_broker.sessions.row import SignIn
from oauth_broker.sessions.secret_store import SecretStore
from oauth_broker.sessions.session_end import delete_secret
from oauth_broker.sessions.table import SignIns

# What the last row of an invocation, its last save and its answer may take; and what the waiting for a callback leaves
# of that.
RESERVED_SECONDS = 20
_RESERVED_AFTER_WAIT = 15

# A callback is at work on it, and there is not the time to wait for its end.
SIGN_IN_UNDER_WAY = "sign_in_under_way"


@dataclass(frozen=True, slots=True)
class Ended:
    """A row that is over, None where it is gone; ``by_this`` tells whether it was this that ended it."""

    row: SignIn | None
    by_this: bool


class AdminSignOut:
    """Ends rows for the operator, one at a time.

    Every method raises ServiceUnavailable where AWS fails, and can be repeated.

    The row is ended first, in one conditional update that every other worker's conditions meet: a claim, an issue, a
    redemption, a lease and a commit that come after it are refused. So it is with a sign-out (``revoke``).

    The secret is deleted second. A refresh under way cannot make it anew: it writes versions into a secret that exists.
    A callback under way can, since it creates one. Its claim tells how long it may be at it, so the secret is deleted
    after that. Should this process die in between, cleanup deletes the secret when the row expires, a day later.
    """

    def __init__(self, sign_ins: SignIns, secret_store: SecretStore, clock: Clock) -> None:
        self._sign_ins = sign_ins
        self._secret_store = secret_store
        self._clock = clock

    def end(self, session_id: str, reason: str, by: str, invocation: Invocation) -> Ended:
        """End the row, unless it is over. ``by`` is the same where it is repeated, and only there."""
        try:
            row = self._sign_ins.end_in_any_state(session_id, reason, by, self._clock.now())
        except ConditionFailed as refused:
            return Ended(refused.found, by_this=False)
        invocation.about_session(session_id, row.client_id)
        # Not counted as SessionsEnded: nobody needs to be told of what a person has decided.
        invocation.log("session_ended", level="warning", reason=reason)
        return Ended(row, by_this=True)

    def delete_secret(self, session_id: str, row: SignIn | None, invocation: Invocation) -> bool:
        """Delete the secret of a row that is over, for good; tell whether AWS let it."""
        if row is not None and not row.secret_version:
            self._outwait_callback(row.lease_until, invocation)
        return delete_secret(self._secret_store, session_id, invocation)

    def _outwait_callback(self, until: float, invocation: Invocation) -> None:
        pause = until - self._clock.now()
        if pause > invocation.remaining() - _RESERVED_AFTER_WAIT:
            raise ServiceUnavailable(SIGN_IN_UNDER_WAY, retriable=False)
        if pause > 0:
            self._clock.sleep(pause)
