"""Ending a session for good."""

from __future__ import annotations

from oauth_broker.clock import Clock
from oauth_broker.errors import Busy
from oauth_broker.invocation import Invocation
from oauth_broker.sign_in import Value
from oauth_broker.sign_ins import Refused, SignIns
from oauth_broker.vault import Vault


class Endings:
    """Moves active sessions to ``dead`` or ``revoked`` and deletes their secrets."""

    def __init__(self, sign_ins: SignIns, vault: Vault, clock: Clock) -> None:
        self._sign_ins = sign_ins
        self._vault = vault
        self._clock = clock

    def kill(
        self, session_id: str, reason: str, invocation: Invocation, *, condition: str = "", **values: Value
    ) -> None:
        """End a session that must not go on; raises Refused where it is not active or ``condition`` does not hold.

        Raises Busy where the row cannot be written. The row decides; the secret, which nothing leads to any more, is
        deleted at once where that works, and by cleanup in any case.
        """
        self._sign_ins.end(session_id, "dead", self._clock.now(), condition=condition, **values)
        invocation.count("SessionsEnded", reason=reason)
        invocation.log("session_ended", level="warning", session_id=session_id, reason=reason)
        try:
            self._vault.delete(session_id)
        except Busy as error:
            invocation.log("secret_not_deleted", level="warning", session_id=session_id, reason=error.reason)

    def kill_if_active(self, session_id: str, reason: str, invocation: Invocation) -> None:
        """End a session whose token or code was used twice; one that has ended meanwhile is as good."""
        try:
            self.kill(session_id, reason, invocation)
        except Refused:
            return
        invocation.count("ReuseDetected")
