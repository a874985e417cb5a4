"""Ending a session that must not go on."""

from __future__ import annotations

from oauth_broker.clock import Clock
from oauth_broker.errors import Busy
from oauth_broker.invocation import Invocation
from oauth_broker.sign_in import SignIn, Value
from oauth_broker.sign_ins import Refused, SignIns
from oauth_broker.vault import Vault

ENDED = frozenset({"dead", "revoked"})


class Endings:
    """Moves active sessions to ``dead`` and deletes their secrets."""

    def __init__(self, sign_ins: SignIns, vault: Vault, clock: Clock) -> None:
        self._sign_ins = sign_ins
        self._vault = vault
        self._clock = clock

    def end_refused(self, row: SignIn, invocation: Invocation) -> None:
        """End a session that Aries refuses for good; raises Refused where this worker has lost its lease."""
        lease = "fence = :fence AND lease_id = :lease_id"
        self._end(row.session_id, "provider_refused", invocation, lease, fence=row.fence, lease_id=row.lease_id)

    def end_reused(self, session_id: str, reason: str, invocation: Invocation) -> None:
        """End a session whose token or code came a second time, so that two parties must be holding it."""
        # Before the write, whose answer may be lost: rather an alarm too many.
        invocation.count("ReuseDetected")
        self._end(session_id, reason, invocation)

    def _end(self, session_id: str, reason: str, invocation: Invocation, condition: str = "", **values: Value) -> None:
        """End the session; raises Busy where the row cannot be written.

        The row decides. The secret, to which nothing leads any more, is deleted at once where that works, and by
        cleanup in any case.
        """
        try:
            self._sign_ins.end(session_id, "dead", reason, self._clock.now(), condition=condition, **values)
        except Refused as refused:
            # Ended by somebody else, or by this very write, repeated by the SDK: as good.
            if refused.found is not None and refused.found.status not in ENDED:
                raise
        invocation.count("SessionsEnded", reason=reason)
        invocation.log("session_ended", level="warning", reason=reason)
        try:
            self._vault.delete(session_id)
        except Busy as error:
            invocation.log("secret_not_deleted", level="warning", reason=error.reason)
