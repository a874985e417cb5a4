"""The answers to a refresh that need no lease: its verdict decides between a replay and a refusal."""

from __future__ import annotations

from oauth_broker.clock import Clock
from oauth_broker.config.settings import Settings
from oauth_broker.errors import BrokerError, ForgedToken, InvalidScope, ServiceUnavailable
from oauth_broker.oauth.requests import RefreshTokenGrant
from oauth_broker.operations.token_response import TokenResponse
from oauth_broker.runtime.invocation import Invocation
from oauth_broker.sessions.renewers import refuse_forged
from oauth_broker.sessions.row import SignIn
from oauth_broker.sessions.session_end import SessionEnd
from oauth_broker.sessions.token_store import TokenStore
from oauth_broker.sessions.verdict import Verdict


class Resolution:
    """Answers a refresh by its verdict on a row that has not ended. No verdict here asks for a wait."""

    def __init__(self, settings: Settings, token_store: TokenStore, session_end: SessionEnd, clock: Clock) -> None:
        self._settings = settings
        self._token_store = token_store
        self._session_end = session_end
        self._clock = clock

    def __call__(
        self, verdict: Verdict, row: SignIn, grant: RefreshTokenGrant, invocation: Invocation
    ) -> TokenResponse:
        """Repeat the answer of the last refresh, or raise like Refresh."""
        if verdict is Verdict.REPLAY:
            return self._replay(row, grant, invocation)
        raise self.refusal(verdict, row, grant, invocation)

    def refusal(self, verdict: Verdict, row: SignIn, grant: RefreshTokenGrant, invocation: Invocation) -> BrokerError:
        """Return the failure of a verdict that refuses the token. Ends the session if two parties hold it."""
        refusal = self._session_end.refusal(verdict, row, invocation)
        if refusal:
            return refusal
        match verdict:
            case Verdict.WIDER:
                return InvalidScope("The scope must be no wider than the one that was granted.")
            case Verdict.SUPERSEDED:
                return self._session_end.end_reused(row, "token_reused", invocation)
            case _:
                return self._judge_unknown_token(row, grant, invocation)

    def _judge_unknown_token(self, row: SignIn, grant: RefreshTokenGrant, invocation: Invocation) -> BrokerError:
        """Tell a superseded token from a forged one, which proves nothing.

        Two parties hold a token that comes back after it was superseded, so its session ends.
        """
        token = grant.token
        if not token.is_authentic(self._token_store.committed(row).session_key):
            return ForgedToken()
        if token.generation < row.generation:
            return self._session_end.end_reused(row, "token_reused", invocation)
        # The app is ahead of the table: somebody restored the table from a backup.
        invocation.count("RestoredFromBackup")
        return ServiceUnavailable("restored_from_backup", retry_after=60)

    def _replay(self, row: SignIn, grant: RefreshTokenGrant, invocation: Invocation) -> TokenResponse:
        secret = self._token_store.committed(row)
        refuse_forged(grant.token, secret, invocation)
        now = self._clock.now()
        if secret.access_expires_at <= now:
            # The access token lived for less than the grace. A dead token is no answer, and the next refresh is near.
            raise ServiceUnavailable("replay_expired", row.rotated_at + self._settings.refresh_grace_seconds - now)
        invocation.count("RefreshesReplayed")
        invocation.log("refresh_replayed")
        return TokenResponse.of(row, secret, grant.client)
