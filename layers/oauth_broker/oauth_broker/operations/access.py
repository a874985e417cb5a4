"""An access token for a caller that holds no refresh token of the session, and keeps none.

If the committed access token lives long enough, it is the answer, without a lease. Otherwise the caller's turn renews
it (`turn`, `renewal`): with the same lease, the same look for earlier answers, the same stores and the same fence as a
refresh. The commit rotates nothing, so the app never notices.

Nothing renews a token to keep it warm: each renewal is one more rotation at Aries, in which a death loses the session.
No process keeps an access token between two requests: each answer comes from a row that was read for it.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass, replace

from oauth_broker.clock import Backoff, Clock
from oauth_broker.config.clients import Client
from oauth_broker.errors import InsufficientScope, InvalidGrant, NotRefreshable, ServiceUnavailable
from oauth_broker.oauth.scope import scope_values
from oauth_broker.oauth.tokens import app_digest
from oauth_broker.operations.turn import Turns
from oauth_broker.runtime.aws import AWS_CALL_SECONDS
from oauth_broker.runtime.invocation import Invocation
from oauth_broker.sessions.leases import Leases
from oauth_broker.sessions.not_before import NotBefore
from oauth_broker.sessions.renewers import SessionRenewer
from oauth_broker.sessions.row import SignIn
from oauth_broker.sessions.session_end import SessionEnd
from oauth_broker.sessions.session_secret import SessionSecret
from oauth_broker.sessions.token_store import TokenStore
from oauth_broker.sessions.verdict import Verdict, end_reason

# The time to read the control item, the row and the committed tokens once more.
_LIVING_SECONDS = 3 * AWS_CALL_SECONDS


class Access:
    """Answers with an access token of a session, and renews it if too little of its life is left."""

    def __init__(
        self,
        leases: Leases,
        not_before: NotBefore,
        turns: Turns,
        token_store: TokenStore,
        session_end: SessionEnd,
        clock: Clock,
        random_bytes: Callable[[int], bytes],
    ) -> None:
        self._leases = leases
        self._not_before = not_before
        self._turns = turns
        self._token_store = token_store
        self._session_end = session_end
        self._clock = clock
        self._backoff = Backoff(clock, random_bytes)

    def __call__(
        self,
        client: Client,
        session_id: str,
        enough_seconds: int,
        is_proof_of: Callable[[SessionSecret], bool],
        invocation: Invocation,
        *,
        scope: str = "",
    ) -> SessionSecret:
        """Return the session's tokens.

        If less than ``enough_seconds`` (60 to 300) of the access token is left, and less than half of its life, they
        are renewed first. A caller whose session is renewed beside it gets those tokens, whatever their life.
        ``is_proof_of`` tells whether the session's secret confirms the caller's right. Raises InvalidGrant if the
        session has ended or ends here, or if the right is not confirmed. Raises InsufficientScope if the tokens have
        not all of ``scope``; the check comes before the renewal, which would not help. If the tokens cannot be renewed,
        the committed ones are the answer while they live; otherwise raises ServiceUnavailable, and the session is
        intact.
        """
        invocation.about_session(session_id, client.client_id)
        time_left = self._turns.time_left(invocation)
        not_before = self._backoff.until_done(lambda: self._not_before.of(client.client_id), time_left)
        row = self._backoff.until_done(lambda: self._leases.find(session_id), time_left)
        seen = row.committed_fence if row else 0
        renewer = SessionRenewer(client, session_id, seen, enough_seconds, not_before, is_proof_of)
        verdict, row, secret = self._proven(row, renewer, invocation)
        _refuse_narrower(secret, scope)
        if verdict is Verdict.SERVED:
            return secret
        renewed = self._renewed(row, secret, renewer, invocation, time_left)
        # Aries may grant less at a renewal.
        _refuse_narrower(renewed, scope)
        return renewed

    def _renewed(
        self,
        row: SignIn,
        secret: SessionSecret,
        renewer: SessionRenewer,
        invocation: Invocation,
        time_left: Callable[[], float],
    ) -> SessionSecret:
        """Return renewed tokens, or ``secret``, the committed ones, if no lease can help and they live."""
        if secret.refresh_token is None or not self._turns.settings.lets_refresh(renewer.client):
            # No lease can help.
            if secret.access_expires_at <= self._clock.now():
                raise NotRefreshable
            return secret
        answers = _Answers(self, renewer, invocation)
        try:
            return self._turns.of(renewer, answers, invocation, time_left).after_look(row)
        except (ServiceUnavailable, NotRefreshable) as failure:
            invocation.log("not_renewed", level="warning", reason=failure.reason)
            living = self._living(renewer, invocation)
            if living is None:
                raise
            return living

    def _proven(
        self, row: SignIn | None, renewer: SessionRenewer, invocation: Invocation
    ) -> tuple[Verdict, SignIn, SessionSecret]:
        """Return the verdict on a caller with a proven right, the row, and its tokens, or refuse.

        The proof comes before any write, so that a caller without one can neither take a lease nor end a session.
        """
        now = self._clock.now()
        verdict = renewer.judge(row, now)
        if row is None or verdict is Verdict.ENDED:
            raise InvalidGrant(end_reason(row, renewer.client, now))
        if verdict is not Verdict.DISALLOWED:
            self._refuse(verdict, row, invocation)
        secret = self._token_store.committed(row)
        renewer.refuse_forged(secret, invocation)
        if not hmac.compare_digest(secret.holder, app_digest(row.client_id, row.redirect_uri, row.app_code_challenge)):
            # The caller's right is to one app alone. Somebody has written another app into the row.
            invocation.count("RowsAltered")
            raise InvalidGrant("altered_row")
        self._refuse(verdict, row, invocation)
        return verdict, row, secret

    def _refuse(self, verdict: Verdict, row: SignIn, invocation: Invocation) -> None:
        refusal = self._session_end.refusal(verdict, row, invocation)
        if refusal:
            raise refusal

    def _living(self, renewer: SessionRenewer, invocation: Invocation) -> SessionSecret | None:
        """Return the committed tokens by a row read now, or None if their access token is over or cannot be read."""
        if invocation.remaining() <= _LIVING_SECONDS:
            return None
        try:
            # A mass sign-out may have begun meanwhile.
            renewer = replace(renewer, not_before=self._not_before.of(renewer.client.client_id))
            _, _, secret = self._proven(self._leases.find(renewer.session_id), renewer, invocation)
        except ServiceUnavailable as failure:
            invocation.log("living_token_not_read", level="warning", reason=failure.reason)
            return None
        return secret if secret.access_expires_at > self._clock.now() else None

    def resolved(self, verdict: Verdict, row: SignIn, renewer: SessionRenewer, invocation: Invocation) -> SessionSecret:
        """Return the committed tokens of a row that serves the caller, or refuse."""
        self._refuse(verdict, row, invocation)
        secret = self._token_store.committed(row)
        renewer.refuse_forged(secret, invocation)
        if secret.access_expires_at <= self._clock.now():
            raise ServiceUnavailable("renewed_token_expired")
        return secret


def _refuse_narrower(secret: SessionSecret, scope: str) -> None:
    if not scope_values(scope) <= scope_values(secret.scope):
        raise InsufficientScope


@dataclass(frozen=True, slots=True)
class _Answers:
    """The answers to one request."""

    access: Access
    renewer: SessionRenewer
    invocation: Invocation

    def renewed(self, row: SignIn, secret: SessionSecret) -> SessionSecret:
        """Answer with the tokens that this request has committed."""
        self.invocation.log("renewed")
        return secret

    def resolved(self, verdict: Verdict, row: SignIn) -> SessionSecret:
        """Answer with the committed tokens, or refuse."""
        return self.access.resolved(verdict, row, self.renewer, self.invocation)
