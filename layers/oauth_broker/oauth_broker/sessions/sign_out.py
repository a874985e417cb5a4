"""Ends a sign-in or session in any state, for the operator or for its person, and deletes its secret."""

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

# The last row of an invocation, its last save and its answer may take this long. A wait for a callback leaves the
# second number of it.
RESERVED_SECONDS = 20
_RESERVED_AFTER_WAIT = 15

# A callback works on the row, and the time left is too short to wait for its end.
SIGN_IN_UNDER_WAY = "sign_in_under_way"


@dataclass(frozen=True, slots=True)
class Ended:
    """A row that is over, or None if it is gone. ``by_this`` is true if this call ended it."""

    row: SignIn | None
    by_this: bool

    @property
    def may_have_a_secret(self) -> bool:
        """Tell whether there may be a secret to delete. If the row is gone, nobody knows where the tokens were.

        Anybody may begin sign-ins, so a sign-in that nobody claimed must cost no deletion. It has neither a version nor
        a lease, and a later claim is refused.
        """
        row = self.row
        if row is None:
            return True
        is_unclaimed = row.status in ("pending", "revoked") and not row.secret_version and not row.lease_until
        return not row.token_store and not is_unclaimed


class SignOut:
    """Ends rows, one at a time, whichever worker holds their lease.

    Every method raises ServiceUnavailable if AWS fails, and may be repeated.

    First, one conditional update ends the row, as a sign-out does (``revoke``). The conditions of all other workers
    refuse a later claim, issue, redemption, lease or commit.

    Second, the secret is deleted. A refresh under way cannot create it again, because it writes versions into an
    existing secret. A callback under way can, because it creates the secret. The callback's claim says how long it may
    take, and the deletion waits for its end. If this process dies in between, cleanup deletes the secret when the row
    expires, a day later.
    """

    def __init__(self, sign_ins: SignIns, secret_store: SecretStore, clock: Clock) -> None:
        self._sign_ins = sign_ins
        self._secret_store = secret_store
        self._clock = clock

    def end(self, session_id: str, reason: str, by: str, invocation: Invocation) -> Ended:
        """End the row, unless it is over. A repeated call, and no other, passes the same ``by``."""
        try:
            row = self._sign_ins.end_in_any_state(session_id, reason, by, self._clock.now())
        except ConditionFailed as refused:
            return Ended(refused.found, by_this=False)
        invocation.about_session(session_id, row.client_id)
        # The metric SessionsEnded does not count this, because a person's own decision needs no alarm.
        invocation.log("session_ended", level="warning", reason=reason)
        return Ended(row, by_this=True)

    def delete_secret(self, session_id: str, ended: Ended, invocation: Invocation) -> bool:
        """Delete the secret of a row that is over, for good, if it may have one. Return False if a right is missing."""
        if not ended.may_have_a_secret:
            return True
        row = ended.row
        if row is not None and not row.secret_version:
            self._outwait_callback(row.lease_until, invocation)
        return delete_secret(self._secret_store, session_id, invocation)

    def _outwait_callback(self, until: float, invocation: Invocation) -> None:
        pause = until - self._clock.now()
        if pause > invocation.remaining() - _RESERVED_AFTER_WAIT:
            raise ServiceUnavailable(SIGN_IN_UNDER_WAY, retriable=False)
        if pause > 0:
            self._clock.sleep(pause)
