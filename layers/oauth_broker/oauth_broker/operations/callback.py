"""``GET /oauth2/callback``: claim the sign-in, send the browser to the app. `exchange` has the work in between."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from typing import NoReturn

from oauth_broker.aries.client import ARIES_CALL_SECONDS, STORE_SECONDS
from oauth_broker.clock import Backoff, Clock
from oauth_broker.config.settings import Settings
from oauth_broker.errors import AccessDenied, PageError, ServerError, ServiceUnavailable
from oauth_broker.oauth.authorization import ProviderCallback
from oauth_broker.oauth.redirects import AuthorizationResponse
from oauth_broker.oauth.tokens import authorization_code, session_id_of
from oauth_broker.operations.exchange import (
    ANSWER_SECONDS,
    SIGN_IN_ERRORS,
    Browser,
    Exchange,
    checked_app,
    redirect_error,
)
from oauth_broker.runtime.invocation import Invocation
from oauth_broker.secret import base64url
from oauth_broker.sessions.conditional_update import ConditionFailed
from oauth_broker.sessions.row import LEASE_MARGIN_SECONDS, SignIn
from oauth_broker.sessions.table import SignIns
from oauth_broker.web import pages
from oauth_broker.web.cookies import BrowserCookies
from oauth_broker.web.http import HttpRequest, HttpResponse

# The longest wait for the worker with the claim.
_CLAIM_WAIT_SECONDS = 10.0


class Callback:
    """The redirect URI registered with Aries (Aries step 2)."""

    def __init__(
        self,
        settings: Settings,
        sign_ins: SignIns,
        exchange: Exchange,
        clock: Clock,
        random_bytes: Callable[[int], bytes],
    ) -> None:
        self._settings = settings
        self._sign_ins = sign_ins
        self._exchange = exchange
        self._clock = clock
        self._random_bytes = random_bytes
        self._backoff = Backoff(clock, random_bytes)

    def __call__(self, request: HttpRequest, invocation: Invocation) -> HttpResponse:
        """Redirect the browser to the app with a one-time code, or with an error.

        Raises PageError if there is no app to redirect to, and else RedirectError.
        """
        if request.is_prefetch:
            # A success would be wrong: Chromium would use the empty answer to a prefetch for the visit after it too.
            return HttpResponse(HTTPStatus.FORBIDDEN)
        callback = ProviderCallback.parse(request)
        issuer = self._settings.issuer_for(request.domain_name)
        session_id = session_id_of(callback.state)
        secret = BrowserCookies.for_issuer(issuer).find(session_id, request.cookies)
        # RFC 9207 section 2.4: the broker must not process the answer of another server.
        is_foreign = callback.issuer not in (None, self._settings.aries_issuer)
        if secret is None:
            raise pages.unknown_sign_in("foreign_issuer" if is_foreign else "no_cookie")
        invocation.about_session(session_id)
        browser = Browser(session_id, secret, base64url(self._random_bytes(16)))
        if is_foreign:
            raise self._of_foreign_issuer(browser, invocation)
        try:
            return self._proceed(
                callback, browser, AuthorizationResponse(request, issuer, invocation.request_id), invocation
            )
        except ServiceUnavailable as error:
            raise pages.try_again(error.reason) from error

    def _of_foreign_issuer(self, browser: Browser, invocation: Invocation) -> PageError:
        """Return the page for an answer of another issuer. The answer uses nothing up.

        A wrong AriesIssuer ends every sign-in, so an alarm must hear of it. The answer counts as a failed sign-in if it
        came to the browser of the sign-in. Anybody could make up any other.
        """
        with suppress(ServiceUnavailable):
            row = self._sign_ins.find(browser.session_id)
            if row is not None and hmac.compare_digest(row.browser_hash, browser.hash):
                invocation.count("SignInsFailed", reason="foreign_issuer")
        return pages.unknown_sign_in("foreign_issuer")

    def _proceed(
        self, callback: ProviderCallback, browser: Browser, response: AuthorizationResponse, invocation: Invocation
    ) -> HttpResponse:
        try:
            if callback.code is None or callback.error is not None:
                self._decline(callback, browser, invocation)
            row = self._claim(browser, invocation)
        except ConditionFailed as failure:
            return self._answer_as_found(failure.found, browser, response, invocation)
        invocation.about_session(row.session_id, row.client_id)
        row = self._exchange(row, callback.code, browser, invocation)
        invocation.log("code_issued")
        return _to_app(row, browser, response)

    def _decline(self, callback: ProviderCallback, browser: Browser, invocation: Invocation) -> NoReturn:
        error = callback.error if callback.error in SIGN_IN_ERRORS else ServerError.code
        reason = "missing_code" if callback.error is None else "declined_by_provider"
        row = self._sign_ins.fail_pending(
            browser.session_id, browser.hash, browser.lease_id, error, reason, self._clock.now()
        )
        checked_app(row, browser, self._settings.registry, invocation)
        raise redirect_error(row, error, reason, "declined" if error == AccessDenied.code else "failed")

    def _claim(self, browser: Browser, invocation: Invocation) -> SignIn:
        """Claim the sign-in. Raises ConditionFailed with the row as found.

        If the outcome is not known, the worker asks again. Otherwise the claim could stand without a worker, and no
        other worker dares to use the person's code.
        """
        until = self._clock.now() + invocation.remaining() + LEASE_MARGIN_SECONDS
        return self._backoff.until_done(
            lambda: self._sign_ins.claim(browser.session_id, browser.hash, browser.lease_id, until, self._clock.now()),
            lambda: invocation.remaining() - ARIES_CALL_SECONDS - STORE_SECONDS,
        )

    def _answer_as_found(
        self, found: SignIn | None, browser: Browser, response: AuthorizationResponse, invocation: Invocation
    ) -> HttpResponse:
        """Answer a callback if its sign-in is not pending any more, or not this browser's."""
        row = self._wait_for_claim(found, browser, invocation)
        if row.generation:
            # The redemption took away what the check needs. Nothing of the row leads anywhere any more.
            raise pages.finished(f"reloaded_{row.status}")
        checked_app(row, browser, self._settings.registry, invocation)
        match row.status:
            case "failed":
                raise redirect_error(row, row.failed_error, "reloaded_failed", "repeated")
            case "claimed" if row.is_leased(self._clock.now()):
                raise pages.try_again("still_claimed")
            case "claimed":
                # The worker died and may have used the code. A code must never be used twice (Aries step 2).
                raise redirect_error(row, ServerError.code, "claim_holder_died")
            case "issued" if row.code_expires_at > self._clock.now():
                return _to_app(row, browser, response)
            case _:
                # The app may have redeemed the code. Redeeming it again would end the session.
                raise pages.finished(f"reloaded_{row.status}")

    def _wait_for_claim(self, found: SignIn | None, browser: Browser, invocation: Invocation) -> SignIn:
        """Wait for the worker with the claim. Return the row after its work, or as it is at the end of the wait."""
        give_up_at = self._clock.now() + min(_CLAIM_WAIT_SECONDS, invocation.remaining() - ANSWER_SECONDS)
        row = self._same_browsers(found, browser)
        for attempt in self._backoff.tries(lambda: give_up_at - self._clock.now()):
            if attempt:
                row = self._same_browsers(self._sign_ins.find(browser.session_id), browser)
            if row.status != "claimed" or not row.is_leased(self._clock.now()):
                break
        return row

    def _same_browsers(self, row: SignIn | None, browser: Browser) -> SignIn:
        if row is None or not row.is_live(self._clock.now()):
            raise pages.unknown_sign_in("unknown_or_expired")
        if not hmac.compare_digest(row.browser_hash, browser.hash):
            raise pages.unknown_sign_in("other_browser")
        return row


def _to_app(row: SignIn, browser: Browser, response: AuthorizationResponse) -> HttpResponse:
    return response.with_code(
        row.redirect_uri, row.app_state or None, authorization_code(row.session_id, browser.secret)
    )
