"""``GET /oauth2/callback``: claim the sign-in, exchange the code, store the tokens, send the browser to the app."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Literal, NoReturn

from oauth_broker.aries.client import ARIES_CALL_SECONDS, STORE_SECONDS, Provider, ProviderFailure, ProviderTokens
from oauth_broker.clock import Backoff, Clock
from oauth_broker.config.clients import Client
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
from oauth_broker.oauth.redirects import AuthorizationResponse
from oauth_broker.oauth.requests import ProviderCallback, canonical_scope
from oauth_broker.oauth.tokens import authorization_code, holder, request_mac, session_id_of
from oauth_broker.operations.rate_limits import HOUR, RateLimits
from oauth_broker.runtime.aws import AWS_CALL_SECONDS
from oauth_broker.runtime.invocation import Invocation
from oauth_broker.secret import Secret, base64url, digest
from oauth_broker.sessions.conditional_update import ConditionFailed
from oauth_broker.sessions.leases import LEASE_MARGIN_SECONDS
from oauth_broker.sessions.row import SignIn
from oauth_broker.sessions.secret_store import SecretStore
from oauth_broker.sessions.session_secret import SessionSecret
from oauth_broker.sessions.table import SignIns
from oauth_broker.web import pages
from oauth_broker.web.cookies import BrowserCookies
from oauth_broker.web.http import HttpRequest, HttpResponse

# The app's one-time code (RFC 6749 section 4.1.2 recommends at most ten minutes; apps redeem it within seconds).
CODE_SECONDS = 60
_WAIT_SECONDS = 10.0
# Left for the last write and the answer.
_RESERVE_SECONDS = 3.0

_ERRORS: dict[str, OAuthError] = {
    error.code: error
    for error in (
        AccessDenied("The sign-in was declined."),
        InvalidScope("The scope was not granted."),
        ServerError("The sign-in failed."),
        TemporarilyUnavailable("The sign-in failed for now. Try again in a moment."),
    )
}


@dataclass(frozen=True, slots=True)
class _Browser:
    """A callback that came with the cookie of some browser; only the right one's hash matches the row's."""

    session_id: str
    secret: Secret
    lease_id: str

    @property
    def hash(self) -> str:
        return digest(self.secret.reveal())


class Callback:
    """The redirect URI registered with Aries (Aries step 2)."""

    def __init__(
        self,
        settings: Settings,
        sign_ins: SignIns,
        secret_store: SecretStore,
        provider: Provider,
        clock: Clock,
        random_bytes: Callable[[int], bytes],
    ) -> None:
        self._settings = settings
        self._sign_ins = sign_ins
        self._secret_store = secret_store
        self._provider = provider
        self._clock = clock
        self._random_bytes = random_bytes
        self._backoff = Backoff(clock, random_bytes)
        self._limits = RateLimits(settings.sign_in_limit, HOUR, clock)

    def __call__(self, request: HttpRequest, invocation: Invocation) -> HttpResponse:
        """Redirect the browser to the app with a one-time code, or with an error.

        Raises PageError where there is no app to redirect to, RedirectError otherwise.
        """
        if request.is_prefetch:
            # Not a success: Chromium would give the empty answer of a prefetch to the visit that follows it.
            return HttpResponse(HTTPStatus.FORBIDDEN)
        callback = ProviderCallback.parse(request)
        issuer = self._settings.issuer_for(request.domain_name)
        session_id = session_id_of(callback.state)
        secret = BrowserCookies.for_issuer(issuer).find(session_id, request.cookies)
        # RFC 9207 section 2.4: an answer that another server sent must not be processed.
        is_foreign = callback.issuer not in (None, self._settings.aries_issuer)
        if secret is None:
            raise pages.unknown_sign_in("foreign_issuer" if is_foreign else "no_cookie")
        invocation.about_session(session_id)
        browser = _Browser(session_id, secret, base64url(self._random_bytes(16)))
        if is_foreign:
            raise self._of_foreign_issuer(browser, invocation)
        try:
            return self._proceed(
                callback, browser, AuthorizationResponse(request, issuer, invocation.request_id), invocation
            )
        except ServiceUnavailable as error:
            raise pages.try_again(error.reason) from error

    def _of_foreign_issuer(self, browser: _Browser, invocation: Invocation) -> PageError:
        """Return the page for an answer of another issuer, which uses nothing up.

        An alarm must hear of it, because a wrong AriesIssuer ends every sign-in: it counts as a failed sign-in if it
        came to the browser of one. Anybody could have made up any other.
        """
        with suppress(ServiceUnavailable):
            row = self._sign_ins.find(browser.session_id)
            if row is not None and hmac.compare_digest(row.browser_hash, browser.hash):
                invocation.count("SignInsFailed", reason="foreign_issuer")
        return pages.unknown_sign_in("foreign_issuer")

    def _proceed(
        self, callback: ProviderCallback, browser: _Browser, back: AuthorizationResponse, invocation: Invocation
    ) -> HttpResponse:
        try:
            if callback.code is None or callback.error is not None:
                self._decline(callback, browser, invocation)
            row = self._claim(browser, invocation)
        except ConditionFailed as refused:
            return self._answer_as_found(refused.found, browser, back, invocation)
        invocation.about_session(row.session_id, row.client_id)
        self._refuse_claimed(row, browser, invocation)
        self._refuse_floods(row, invocation)
        row = self._complete(row, callback.code, browser, invocation)
        invocation.log("code_issued")
        return _to_app(row, browser, back)

    def _decline(self, callback: ProviderCallback, browser: _Browser, invocation: Invocation) -> NoReturn:
        error = callback.error if callback.error in _ERRORS else ServerError.code
        reason = "missing_code" if callback.error is None else "declined_by_provider"
        row = self._sign_ins.fail_pending(
            browser.session_id, browser.hash, browser.lease_id, error, reason, self._clock.now()
        )
        self._check(row, browser, invocation)
        raise _redirect_error(row, error, reason, "declined" if error == AccessDenied.code else "failed")

    def _claim(self, browser: _Browser, invocation: Invocation) -> SignIn:
        """Claim the sign-in; raises ConditionFailed with the row as found.

        Repeated where its outcome is not known: a claim that was made and is not known to be would leave the person
        without a worker, and with a code that nobody dares to use.
        """
        until = self._clock.now() + invocation.remaining() + LEASE_MARGIN_SECONDS
        return self._backoff.until_done(
            lambda: self._sign_ins.claim(browser.session_id, browser.hash, browser.lease_id, until, self._clock.now()),
            lambda: invocation.remaining() - ARIES_CALL_SECONDS - STORE_SECONDS,
        )

    def _complete(self, row: SignIn, code: Secret, browser: _Browser, invocation: Invocation) -> SignIn:
        try:
            tokens = self._provider.exchange(code, Secret(row.code_verifier), row.provider_redirect_uri, invocation)
            if tokens.scope is not None and canonical_scope(tokens.scope) != row.scope:
                raise self._fail(row, InvalidScope.code, "scope_differs", invocation, may_have_a_secret=False)
            self._limits.count(row.client_id, invocation.source)
            version = self._store(row, tokens, invocation)
            invocation.count("SecretsCreated")
            return self._issue(row, tokens, version, browser, invocation)
        except ProviderFailure as failure:
            if failure.outcome is Outcome.MISCONFIGURED:
                invocation.count("ProviderMisconfigured")
            passes = failure.outcome in (Outcome.REFUSED, Outcome.AMBIGUOUS)
            error = _error_code(passes=passes)
            raise self._fail(row, error, failure.reason, invocation, may_have_a_secret=False) from failure
        except ConditionFailed as refused:
            raise self._fail(row, ServerError.code, "took_too_long", invocation) from refused
        except ServiceUnavailable as failure:
            raise self._fail(row, _error_code(passes=failure.retriable), failure.reason, invocation) from failure

    def _store(self, row: SignIn, tokens: ProviderTokens, invocation: Invocation) -> str:
        secret = SessionSecret(
            session_key=Secret(base64url(self._random_bytes(32))),
            holder=holder(row.client_id, row.redirect_uri, row.app_code_challenge),
            access_token=tokens.access_token,
            refresh_token=tokens.refresh_token,
            access_expires_at=tokens.expires_at,
            scope=row.scope,
        )
        return self._backoff.until_done(
            lambda: self._secret_store.create(row.session_id, secret),
            lambda: invocation.remaining() - AWS_CALL_SECONDS - _RESERVE_SECONDS,
        )

    def _issue(
        self, row: SignIn, tokens: ProviderTokens, version: str, browser: _Browser, invocation: Invocation
    ) -> SignIn:
        now = self._clock.now()
        issued = replace(
            row,
            code_hash=digest(authorization_code(row.session_id, browser.secret).reveal()),
            code_expires_at=int(now) + CODE_SECONDS,
            secret_version=version,
            access_expires_at=tokens.expires_at,
            token_scope=row.scope,
        )
        self._backoff.until_done(
            lambda: self._sign_ins.issue(issued, self._clock.now()),
            lambda: invocation.remaining() - AWS_CALL_SECONDS - _RESERVE_SECONDS,
        )
        return issued

    def _fail(
        self, row: SignIn, error: str, reason: str, invocation: Invocation, *, may_have_a_secret: bool = True
    ) -> RedirectError:
        try:
            self._sign_ins.fail_claimed(
                row.session_id, row.lease_id, error, reason, self._clock.now(), may_have_a_secret=may_have_a_secret
            )
        except (ServiceUnavailable, ConditionFailed) as unwritten:
            # The claim lapses by itself; until then a reload waits instead of being told.
            invocation.log("failure_not_noted", reason=unwritten.reason)
        return _redirect_error(row, error, reason)

    def _answer_as_found(
        self, found: SignIn | None, browser: _Browser, back: AuthorizationResponse, invocation: Invocation
    ) -> HttpResponse:
        """Answer a callback whose sign-in is not pending any more, or is not this browser's."""
        row = self._wait_for_holder(found, browser, invocation)
        self._check(row, browser, invocation)
        match row.status:
            case "failed":
                raise _redirect_error(row, row.failed_error, "reloaded_failed", "repeated")
            case "claimed" if row.is_leased(self._clock.now()):
                raise pages.try_again("still_claimed")
            case "claimed":
                # Its holder died with the code perhaps used, and a code must never be used twice (Aries step 2).
                raise _redirect_error(row, ServerError.code, "claim_holder_died")
            case "issued" if row.code_expires_at > self._clock.now():
                return _to_app(row, browser, back)
            case _:
                # The code may have been redeemed, and redeeming it again would end the session.
                raise pages.finished(f"reloaded_{row.status}")

    def _wait_for_holder(self, found: SignIn | None, browser: _Browser, invocation: Invocation) -> SignIn:
        """Return the row once its holder is done with it, or as it is when there is no more time to wait."""
        give_up_at = self._clock.now() + min(_WAIT_SECONDS, invocation.remaining() - _RESERVE_SECONDS)
        row = self._same_browsers(found, browser)
        for attempt in self._backoff.tries(lambda: give_up_at - self._clock.now()):
            if attempt:
                row = self._same_browsers(self._sign_ins.find(browser.session_id), browser)
            if row.status != "claimed" or not row.is_leased(self._clock.now()):
                break
        return row

    def _refuse_claimed(self, row: SignIn, browser: _Browser, invocation: Invocation) -> None:
        """End a sign-in that this worker claimed if it was altered or asks for what is not registered any more."""
        try:
            client = self._check(row, browser, invocation)
        except PageError as refusal:
            self._fail(row, ServerError.code, refusal.reason, invocation, may_have_a_secret=False)
            raise
        if not client.allows_scope(row.scope):
            raise self._fail(row, InvalidScope.code, "scope_removed", invocation, may_have_a_secret=False)

    def _refuse_floods(self, row: SignIn, invocation: Invocation) -> None:
        """End a sign-in that this worker claimed if its app and source have finished too many: each makes a secret.

        The row alone tells the app. To read it before the claim would cost every sign-in one more call.
        """
        if self._limits.is_exceeded(row.client_id, invocation.source):
            error, reason = TemporarilyUnavailable.code, "too_many_sign_ins_from_source"
            raise self._fail(row, error, reason, invocation, may_have_a_secret=False)

    def _check(self, row: SignIn, browser: _Browser, invocation: Invocation) -> Client:
        """Return the app, to which the browser may be redirected.

        Raises PageError if the row does not hold any more what this browser began with, or if its redirect URI is not
        registered any more. Nothing is sent there then.
        """
        if not hmac.compare_digest(row.request_mac, request_mac(browser.secret, row.asked)):
            invocation.count("RowsAltered")
            raise pages.unknown_sign_in("altered_row")
        client = self._settings.registry.find(row.client_id)
        if client is None or not client.allows_redirect(row.redirect_uri):
            raise pages.bad_link("redirect_uri_removed")
        return client

    def _same_browsers(self, row: SignIn | None, browser: _Browser) -> SignIn:
        if row is None or not row.is_live(self._clock.now()):
            raise pages.unknown_sign_in("unknown_or_expired")
        if not hmac.compare_digest(row.browser_hash, browser.hash):
            raise pages.unknown_sign_in("other_browser")
        return row


def _to_app(row: SignIn, browser: _Browser, back: AuthorizationResponse) -> HttpResponse:
    return back.with_code(row.redirect_uri, row.app_state or None, authorization_code(row.session_id, browser.secret))


def _error_code(*, passes: bool) -> str:
    return TemporarilyUnavailable.code if passes else ServerError.code


def _redirect_error(
    row: SignIn, error: str, reason: str, means: Literal["failed", "declined", "repeated"] = "failed"
) -> RedirectError:
    described = _ERRORS.get(error, _ERRORS[ServerError.code])
    return RedirectError(described, reason, row.redirect_uri, row.app_state or None, row.client_id, means)
