"""The work on a claimed sign-in: exchange Aries' code (Aries step 3), store the tokens, issue the app's code."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from oauth_broker.aries.client import Provider, ProviderFailure, ProviderTokens
from oauth_broker.clock import Backoff, Clock
from oauth_broker.config.clients import Client, Registry
from oauth_broker.config.dialect import Outcome
from oauth_broker.config.settings import Settings
from oauth_broker.errors import (
    AccessDenied,
    InvalidScope,
    OAuthError,
    PageError,
    RedirectError,
    ServerError,
    ServiceUnavailable,
    TemporarilyUnavailable,
)
from oauth_broker.oauth.scope import canonical_scope
from oauth_broker.oauth.tokens import app_digest, authorization_code, request_mac
from oauth_broker.operations.rate_limits import HOUR, RateLimits
from oauth_broker.runtime.aws import AWS_CALL_SECONDS
from oauth_broker.runtime.invocation import Invocation
from oauth_broker.secret import Secret, base64url, digest
from oauth_broker.sessions.conditional_update import ConditionFailed
from oauth_broker.sessions.row import IN_ROW, SignIn
from oauth_broker.sessions.session_secret import SessionSecret
from oauth_broker.sessions.table import SignIns
from oauth_broker.sessions.token_store import StoredTokens, TokenStore
from oauth_broker.web import pages

# The life of the app's code. RFC 6749 section 4.1.2 recommends at most ten minutes. Apps redeem it within seconds.
CODE_SECONDS = 60
# Reserved for the last write and the answer.
ANSWER_SECONDS = 3.0

SIGN_IN_ERRORS: dict[str, OAuthError] = {
    error.code: error
    for error in (
        AccessDenied("The sign-in was declined."),
        InvalidScope("The scope was not granted."),
        ServerError("The sign-in failed."),
        TemporarilyUnavailable("The sign-in failed for now. Try again in a moment."),
    )
}


@dataclass(frozen=True, slots=True)
class Browser:
    """A callback with a cookie of some browser. The row has the hash of the right browser's cookie."""

    session_id: str
    secret: Secret
    lease_id: str

    @property
    def hash(self) -> str:
        """The hash to compare with the row's ``browser_hash``."""
        return digest(self.secret.reveal())


class Exchange:
    """The work of the one worker with the claim of a sign-in."""

    def __init__(
        self,
        settings: Settings,
        sign_ins: SignIns,
        token_store: TokenStore,
        provider: Provider,
        clock: Clock,
        random_bytes: Callable[[int], bytes],
    ) -> None:
        self._registry = settings.registry
        self._sign_ins = sign_ins
        self._token_store = token_store
        self._stores_in_row = settings.tokens_in_row
        self._provider = provider
        self._clock = clock
        self._random_bytes = random_bytes
        self._backoff = Backoff(clock, random_bytes)
        self._limits = RateLimits(settings.sign_in_limit, HOUR, clock)

    def __call__(self, row: SignIn, code: Secret, browser: Browser, invocation: Invocation) -> SignIn:
        """Move the claimed sign-in to ``issued``, and return its row.

        Raises RedirectError if the sign-in fails, and PageError if the browser may not be redirected to the app.
        """
        self._refuse_claimed(row, browser, invocation)
        self._refuse_floods(row, invocation)
        return self._complete(row, code, browser, invocation)

    def _refuse_claimed(self, row: SignIn, browser: Browser, invocation: Invocation) -> None:
        """Fail the sign-in if somebody altered its row, or if its redirect URI or scope is not registered any more."""
        try:
            client = checked_app(row, browser, self._registry, invocation)
        except PageError as refusal:
            self._fail(row, ServerError.code, refusal.reason, invocation, may_have_a_secret=False)
            raise
        if not client.allows_scope(row.scope):
            raise self._fail(row, InvalidScope.code, "scope_removed", invocation, may_have_a_secret=False)

    def _refuse_floods(self, row: SignIn, invocation: Invocation) -> None:
        """Fail the sign-in if its app and source have finished too many, because each makes a secret or a larger row.

        The check comes after the claim, because the row alone names the app. Reading the row before the claim would
        cost every sign-in one more call.
        """
        if self._limits.is_exceeded(row.client_id, invocation.source):
            error, reason = TemporarilyUnavailable.code, "too_many_sign_ins_from_source"
            raise self._fail(row, error, reason, invocation, may_have_a_secret=False)

    def _complete(self, row: SignIn, code: Secret, browser: Browser, invocation: Invocation) -> SignIn:
        try:
            tokens = self._provider.exchange(code, Secret(row.code_verifier), row.provider_redirect_uri, invocation)
            if tokens.scope is not None and canonical_scope(tokens.scope) != row.scope:
                raise self._fail(row, InvalidScope.code, "scope_differs", invocation, may_have_a_secret=False)
            self._limits.count(row.client_id, invocation.source)
            stored = self._store(row, tokens, invocation)
            if not self._stores_in_row:
                invocation.count("SecretsCreated")
            return self._issue(row, stored, browser, invocation)
        except ProviderFailure as failure:
            if failure.outcome is Outcome.MISCONFIGURED:
                invocation.count("ProviderMisconfigured")
            passes = failure.outcome in (Outcome.REFUSED, Outcome.AMBIGUOUS)
            error = _error_code(passes=passes)
            raise self._fail(row, error, failure.reason, invocation, may_have_a_secret=False) from failure
        except ConditionFailed as failure:
            raise self._fail_after_storing(row, ServerError.code, "took_too_long", invocation) from failure
        except ServiceUnavailable as failure:
            error = _error_code(passes=failure.retriable)
            raise self._fail_after_storing(row, error, failure.reason, invocation) from failure

    def _store(self, row: SignIn, tokens: ProviderTokens, invocation: Invocation) -> StoredTokens:
        secret = SessionSecret(
            session_key=Secret(base64url(self._random_bytes(32))),
            holder=app_digest(row.client_id, row.redirect_uri, row.app_code_challenge),
            access_token=tokens.access_token,
            refresh_token=tokens.refresh_token,
            access_expires_at=tokens.expires_at,
            access_seconds=tokens.expires_in,
            scope=row.scope,
        )
        create = self._token_store.create_in_row if self._stores_in_row else self._token_store.create
        return self._backoff.until_done(
            lambda: create(row, secret),
            lambda: invocation.remaining() - AWS_CALL_SECONDS - ANSWER_SECONDS,
        )

    def _issue(self, row: SignIn, stored: StoredTokens, browser: Browser, invocation: Invocation) -> SignIn:
        now = self._clock.now()
        issued = replace(
            row,
            code_hash=digest(authorization_code(row.session_id, browser.secret).reveal()),
            code_expires_at=int(now) + CODE_SECONDS,
            secret_version=stored.version,
            access_expires_at=stored.secret.access_expires_at,
            access_seconds=stored.secret.access_seconds,
            token_scope=row.scope,
            token_store=IN_ROW if self._stores_in_row else "",
            sealed=stored.sealed,
        )
        self._backoff.until_done(
            lambda: self._sign_ins.issue(issued, self._clock.now()),
            lambda: invocation.remaining() - AWS_CALL_SECONDS - ANSWER_SECONDS,
        )
        return issued

    def _fail_after_storing(self, row: SignIn, error: str, reason: str, invocation: Invocation) -> RedirectError:
        # The secret may be there even if the answer of its creation was lost. A session in the row has none.
        return self._fail(row, error, reason, invocation, may_have_a_secret=not self._stores_in_row)

    def _fail(
        self, row: SignIn, error: str, reason: str, invocation: Invocation, *, may_have_a_secret: bool
    ) -> RedirectError:
        try:
            self._sign_ins.fail_claimed(
                row.session_id, row.lease_id, error, reason, self._clock.now(), may_have_a_secret=may_have_a_secret
            )
        except (ServiceUnavailable, ConditionFailed) as failure:
            # The claim expires by itself. A reload of the callback waits until then, and does not get the error.
            invocation.log("failure_not_noted", reason=failure.reason)
        return redirect_error(row, error, reason)


def checked_app(row: SignIn, browser: Browser, registry: Registry, invocation: Invocation) -> Client:
    """Return the app of the row. The browser may be redirected to it.

    Raises PageError if the row differs from the request at the beginning, or if its redirect URI is not registered any
    more. The browser must not be redirected in that case.
    """
    if not hmac.compare_digest(row.request_mac, request_mac(browser.secret, row.asked)):
        invocation.count("RowsAltered")
        raise pages.unknown_sign_in("altered_row")
    client = registry.find(row.client_id)
    if client is None or not client.allows_redirect(row.redirect_uri):
        raise pages.bad_link("redirect_uri_removed")
    return client


def _error_code(*, passes: bool) -> str:
    return TemporarilyUnavailable.code if passes else ServerError.code


def redirect_error(
    row: SignIn, error: str, reason: str, means: Literal["failed", "declined", "repeated"] = "failed"
) -> RedirectError:
    """Return the failure that sends the browser back to the app of ``row`` with ``error``."""
    described = SIGN_IN_ERRORS.get(error, SIGN_IN_ERRORS[ServerError.code])
    return RedirectError(described, reason, row.redirect_uri, row.app_state or None, row.client_id, means)
