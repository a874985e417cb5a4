"""The end of a session: the row becomes ``dead``, and the secret is deleted if there is one."""

from __future__ import annotations

from oauth_broker.clock import Clock
from oauth_broker.errors import InvalidGrant, NotAllowed, ServiceUnavailable
from oauth_broker.oauth.tokens import subject_of
from oauth_broker.runtime.invocation import Event, Invocation
from oauth_broker.sessions.conditional_update import ConditionFailed
from oauth_broker.sessions.row import SignIn, Value
from oauth_broker.sessions.secret_store import SecretStore
from oauth_broker.sessions.table import SignIns
from oauth_broker.sessions.verdict import Verdict

ENDED_STATES = frozenset({"dead", "revoked"})


def delete_secret(secret_store: SecretStore, session_id: str, invocation: Invocation) -> bool:
    """Delete the secret of a session after its row has ended. Tell whether the secret is gone for sure.

    Raises ServiceUnavailable if Secrets Manager fails. If AWS denies access, the secret counts as absent, with a
    metric: AWS does not document whether Secrets Manager answers so for an absent name. Otherwise a repeated sign-out
    could fail for ever.
    """
    try:
        secret_store.delete(session_id)
    except NotAllowed as refusal:
        note_not_allowed(refusal, invocation)
        return False
    return True


def note_not_allowed(refusal: NotAllowed, invocation: Invocation) -> None:
    """Count and log that AWS denied the deletion of the secret of the invocation's session."""
    invocation.count("SecretAccessDenied")
    invocation.log("secret_access_denied", level="warning", reason=refusal.reason)


class SessionEnd:
    """Moves active sessions to ``dead``, and deletes the secrets of those that have one.

    Every method returns a failure, and its caller raises it. Every method raises ServiceUnavailable if it cannot write
    the row.
    """

    def __init__(self, sign_ins: SignIns, secret_store: SecretStore, clock: Clock) -> None:
        self._sign_ins = sign_ins
        self._secret_store = secret_store
        self._clock = clock

    def end_refused(self, row: SignIn, invocation: Invocation) -> InvalidGrant:
        """End a session that Aries refuses for good. Raises ConditionFailed if this worker has lost the lease."""
        lease = "fence = :fence AND lease_id = :lease_id"
        return self._end(row, "provider_refused", invocation, lease, fence=row.fence, lease_id=row.lease_id)

    def end_reused(self, row: SignIn, reason: str, invocation: Invocation) -> InvalidGrant:
        """End a session after its token or code came a second time, because two parties must hold it."""
        # The count comes before the write, because the write's answer may be lost. A false alarm is better than none.
        invocation.count("ReuseDetected")
        return self._end(row, reason, invocation)

    def end_disallowed(self, row: SignIn, invocation: Invocation) -> InvalidGrant:
        """End a session after its app has lost the session's scope, whichever worker holds the lease."""
        return self._end(row, "scope_removed", invocation)

    def refusal(self, verdict: Verdict, row: SignIn, invocation: Invocation) -> InvalidGrant | None:
        """Return the refusal that a verdict asks for whoever the caller is, or None. A lost scope ends the session."""
        match verdict:
            case Verdict.FOREIGN:
                return InvalidGrant("foreign_client")
            case Verdict.BEFORE_MASS_SIGN_OUT:
                return InvalidGrant("mass_sign_out")
            case Verdict.DISALLOWED:
                return self.end_disallowed(row, invocation)
            case _:
                return None

    def _end(
        self, row: SignIn, reason: str, invocation: Invocation, condition: str = "", **values: Value
    ) -> InvalidGrant:
        """End the session.

        The row alone ends the session. If the session has a secret, the secret is useless from then on. This method
        tries to delete it at once, and cleanup deletes it in any case. A seal goes with the update of the row.
        """
        now, has_run_out = self._clock.now(), False
        try:
            self._sign_ins.end(row.session_id, "dead", reason, now, condition=condition, **values)
        except ConditionFailed as failure:
            # Another worker, or the SDK's retry of this write, already ended the session, or it has expired since the
            # row was read. All three count as success. The one other cause is a lost lease.
            if failure.found is not None and failure.found.status not in ENDED_STATES and failure.found.is_live(now):
                raise
            has_run_out = failure.found is None or failure.found.status not in ENDED_STATES
        # Nobody announces a session that has run out: its `session.started` has said when.
        if not has_run_out:
            invocation.announce(Event.ended(row.session_id, row.client_id, now, reason, subject_of(row.subject)))
        invocation.count("SessionsEnded", reason=reason)
        invocation.log("session_ended", level="warning", reason=reason)
        if not row.token_store:
            self._delete_secret(row, invocation)
        return InvalidGrant(reason)

    def _delete_secret(self, row: SignIn, invocation: Invocation) -> None:
        try:
            delete_secret(self._secret_store, row.session_id, invocation)
        except ServiceUnavailable as error:
            invocation.log("secret_not_deleted", level="warning", reason=error.reason)
