"""Signing out: ``POST /oauth2/revoke`` (RFC 7009)."""

from __future__ import annotations

from contextlib import suppress

from oauth_broker.clock import Clock
from oauth_broker.config.settings import Settings
from oauth_broker.errors import InvalidGrant
from oauth_broker.oauth.requests import RevocationRequest
from oauth_broker.oauth.tokens import RefreshToken, subject_of
from oauth_broker.operations.rate_limits import MINUTE, RateLimits
from oauth_broker.runtime.invocation import Event, Invocation
from oauth_broker.sessions.conditional_update import ConditionFailed
from oauth_broker.sessions.row import SignIn, Value, entry
from oauth_broker.sessions.secret_store import SecretStore
from oauth_broker.sessions.session_end import ENDED_STATES, delete_secret
from oauth_broker.sessions.table import EndedSession, SignIns
from oauth_broker.sessions.token_store import TokenStore

_CLIENT = "client_id = :client_id"
_REASON = "signed_out"


class Revoke:
    """The revocation endpoint. Aries documents none of its own, so Aries' tokens live on there until they expire."""

    def __init__(
        self, settings: Settings, sign_ins: SignIns, secret_store: SecretStore, token_store: TokenStore, clock: Clock
    ) -> None:
        self._sign_ins = sign_ins
        self._secret_store = secret_store
        self._token_store = token_store
        self._clock = clock
        self._limits = RateLimits(settings.source_limit, MINUTE, clock)

    def __call__(self, request: RevocationRequest, invocation: Invocation) -> None:
        """End the session of any authentic token of the client, whatever its generation.

        Returns for every other token as well, because the app could do nothing about it (RFC 7009 section 2.2). Raises
        ServiceUnavailable unless the row has ended and the tokens are deleted, so a confirmed sign-out is a real one.
        (If AWS denies the deletion, see ``session_end.delete_secret``.)
        """
        token, client_id = request.token, request.client.client_id
        if token is None:
            return
        invocation.about_session(token.session_id, client_id)
        try:
            if self._limits.is_exceeded(client_id, invocation.source):
                self._refuse_unknown(token)
            known = f"{_CLIENT} AND (handle_hash = :hash OR previous_hash = :hash)"
            has_secret = self._end(token, known, client_id, invocation, hash=token.hash).has_secret
        except ConditionFailed as failure:
            if not self._end_as_found(failure.found, token, client_id, invocation):
                self._limits.count(client_id, invocation.source)
                return
            has_secret = failure.found is not None and not failure.found.token_store
        invocation.count("SignOuts")
        invocation.log("signed_out")
        if has_secret:
            delete_secret(self._secret_store, token.session_id, invocation)

    def _refuse_unknown(self, token: RefreshToken) -> None:
        """Raise ConditionFailed for an unknown token, without a write, because this address has tried many tokens."""
        row = self._sign_ins.find(token.session_id)
        if row is None or not (token.has_hash(row.handle_hash) or token.has_hash(row.previous_hash)):
            raise ConditionFailed(row)

    def _end(
        self, token: RefreshToken, condition: str, client_id: str, invocation: Invocation, **values: Value
    ) -> EndedSession:
        """End the session, and announce its end."""
        now = self._clock.now()
        try:
            ended = self._sign_ins.end(
                token.session_id, "revoked", _REASON, now, condition=condition, client_id=client_id, **values
            )
        except ConditionFailed as failure:
            # The SDK repeats a write if its answer was lost. The repetition finds what the first write did.
            found, own = failure.found, entry(now, "revoked", _REASON)
            if found is not None and found.client_id == client_id and found.timeline[-1:] == (own,):
                invocation.announce(Event.ended(token.session_id, client_id, now, _REASON, subject_of(found.subject)))
            raise
        invocation.announce(Event.ended(token.session_id, client_id, now, _REASON, subject_of(ended.subject)))
        return ended

    def _end_as_found(self, row: SignIn | None, token: RefreshToken, client_id: str, invocation: Invocation) -> bool:
        """End the session if the token is one of its older ones. Tell whether the session has ended, now or before."""
        if row is None or row.client_id != client_id:
            return False
        if row.status in ENDED_STATES or not row.is_live(self._clock.now()):
            # The session has ended. If it has a secret, the secret may still be there after a failed try.
            return True
        if row.status != "active":
            return False
        try:
            if not token.is_authentic(self._token_store.committed(row).session_key):
                return False
        except InvalidGrant:
            return True  # The session ended a moment ago.
        # The write fails if the session ended a moment ago. A secret of it is deleted all the same.
        with suppress(ConditionFailed):
            self._end(token, _CLIENT, client_id, invocation)
        return True
