"""The ``authorization_code`` grant: redeem the broker's code (RFC 6749 section 4.1.3, RFC 7636 section 4.6)."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import replace

from oauth_broker.clock import Clock
from oauth_broker.config.clients import Client
from oauth_broker.config.settings import Settings
from oauth_broker.errors import InvalidGrant
from oauth_broker.oauth.pkce import challenge_of, verifies
from oauth_broker.oauth.requests import AuthorizationCodeGrant
from oauth_broker.oauth.tokens import RefreshToken, app_digest, session_id_of_code, subject_of
from oauth_broker.operations.token_response import TokenResponse, backend_handle
from oauth_broker.people.identification import Identification
from oauth_broker.runtime.invocation import Event, Invocation
from oauth_broker.secret import base64url, digest
from oauth_broker.sessions.conditional_update import ConditionFailed
from oauth_broker.sessions.not_before import NotBefore
from oauth_broker.sessions.row import SignIn
from oauth_broker.sessions.session_end import ENDED_STATES, SessionEnd
from oauth_broker.sessions.session_secret import SessionSecret
from oauth_broker.sessions.table import SignIns
from oauth_broker.sessions.token_store import TokenStore
from oauth_broker.sessions.verdict import end_reason, has_ended

_CODE_WAS_ISSUED = frozenset({"issued", "active", *ENDED_STATES})


class Redeem:
    """The ``authorization_code`` grant."""

    def __init__(
        self,
        settings: Settings,
        sign_ins: SignIns,
        not_before: NotBefore,
        token_store: TokenStore,
        session_end: SessionEnd,
        clock: Clock,
        random_bytes: Callable[[int], bytes],
        identification: Identification | None,
    ) -> None:
        self._settings = settings
        self._sign_ins = sign_ins
        self._not_before = not_before
        self._token_store = token_store
        self._session_end = session_end
        self._clock = clock
        self._random_bytes = random_bytes
        self._identification = identification

    def __call__(self, grant: AuthorizationCodeGrant, invocation: Invocation) -> TokenResponse:
        """Redeem the code and start the session.

        Raises InvalidGrant, the same for every cause. Raises ServiceUnavailable if the app can still redeem the code
        later. If a code comes again with the right verifier, its session ends (RFC 6749 section 4.1.2). A wrong
        verifier changes nothing. The broker reads secrets only after the caller has proved possession.
        """
        # The code's life counts up to here: reading the secret and asking Aries who the person is may take seconds.
        now = self._clock.now()
        row = self._proven(grant, now, invocation)
        if row.status in ENDED_STATES or (row.status == "active" and has_ended(row, grant.client, now)):
            raise InvalidGrant(end_reason(row, grant.client, now))
        if row.status == "active":
            raise self._session_end.end_reused(row, "code_reused", invocation)
        # This comes after the check for reuse: a code that comes again ends its session under any registration.
        if not grant.client.allows_redirect(row.redirect_uri):
            raise InvalidGrant("redirect_uri_removed")
        if not grant.client.allows_scope(row.scope):
            raise InvalidGrant("scope_removed")
        if row.is_before_mass_sign_out(self._not_before.of(row.client_id)):
            raise InvalidGrant("mass_sign_out")
        secret = self._token_store.committed(row)
        proven = app_digest(grant.client.client_id, row.redirect_uri, challenge_of(grant.code_verifier))
        if not hmac.compare_digest(secret.holder, proven):
            # The caller fits the row, but did not begin the sign-in: somebody has written the row.
            invocation.count("RowsAltered")
            raise InvalidGrant("altered_row")
        token = RefreshToken.mint(row.session_id, 1, secret.session_key)
        refreshable = self._settings.lets_refresh(grant.client) and secret.refresh_token is not None
        known = self._identification and self._identification.before_redemption(row, secret, invocation)
        if known:
            row = replace(row, subject=known.signed)
        session = self._activate(row, token, secret, grant.client, refreshable=refreshable)
        invocation.count("SignInsSucceeded")
        invocation.log("sign_in_succeeded")
        if self._identification and known:
            self._identification.after_redemption(session, known, grant.client, invocation)
        invocation.announce(_started(session, grant.client))
        ends_by = session.ends_by(grant.client.idle_seconds)
        handle = backend_handle(row.session_id, secret, grant.client)
        return TokenResponse(secret, token.text if refreshable else None, ends_by, handle)

    def _proven(self, grant: AuthorizationCodeGrant, now: float, invocation: Invocation) -> SignIn:
        """Return the row of the code, after the caller has proved by the verifier that it started the sign-in."""
        session_id = session_id_of_code(grant.code)
        if session_id is None:
            raise InvalidGrant("malformed_code")
        invocation.about_session(session_id, grant.client.client_id)
        row = self._sign_ins.find(session_id)
        if row is None or not row.is_live(now) or row.status not in _CODE_WAS_ISSUED:
            raise InvalidGrant("unknown_code")
        if not hmac.compare_digest(row.code_hash, digest(grant.code.reveal())):
            raise InvalidGrant("forged_code")
        if row.client_id != grant.client.client_id:
            raise InvalidGrant("foreign_client")
        if grant.redirect_uri not in (None, row.redirect_uri):
            raise InvalidGrant("other_redirect_uri")
        if not verifies(grant.code_verifier, row.app_code_challenge):
            raise InvalidGrant("wrong_verifier")
        if row.status == "issued" and row.code_expires_at <= now:
            raise InvalidGrant("code_expired")
        return row

    def _activate(
        self, row: SignIn, token: RefreshToken, secret: SessionSecret, client: Client, *, refreshable: bool
    ) -> SignIn:
        """Start the session, and return its row."""
        now = self._clock.now()
        # A session without refresh ends with its access token, because no token leads to it any more.
        ends_at = int(now) + self._settings.session_seconds(client) if refreshable else secret.access_expires_at
        row = replace(row, handle_hash=token.hash, ends_at=ends_at, rotated_at=now)
        row = replace(row, expires_at=row.expiry(client.idle_seconds))
        lease_id = base64url(self._random_bytes(16))
        try:
            self._sign_ins.redeem(row, lease_id, now)
        except ConditionFailed as failure:
            # A request beside this one redeemed the code, or the sign-in has ended meanwhile. If an app sends its
            # request twice at once, it keeps the session of the other request. A code that was redeemed before has
            # ended it above.
            raise InvalidGrant("code_expired_or_redeemed") from failure
        return row


def _started(session: SignIn, client: Client) -> Event:
    return Event(
        "session.started",
        int(session.rotated_at),
        session.session_id,
        session.client_id,
        began_at=session.created_at,
        ends_at=session.ends_at,
        idle_days=client.idle_days or None,
        subject=subject_of(session.subject),
    )
