"""``GET /oauth2/authorize``: check the app's request, save the sign-in, send the browser to Aries (Aries step 1)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from http import HTTPStatus
from urllib.parse import urlencode

from oauth_broker.clock import Clock
from oauth_broker.config.settings import Settings
from oauth_broker.errors import RedirectError, ServiceUnavailable, TemporarilyUnavailable
from oauth_broker.oauth.authorization import AuthorizationRequest
from oauth_broker.oauth.pkce import challenge_of
from oauth_broker.oauth.tokens import request_mac, session_id_of
from oauth_broker.operations.rate_limits import MINUTE, RateLimits
from oauth_broker.runtime.invocation import Invocation
from oauth_broker.secret import Secret, base64url, digest, session_reference
from oauth_broker.sessions.row import SignIn, entry
from oauth_broker.sessions.table import SIGN_IN_SECONDS, SignIns
from oauth_broker.web.cookies import BrowserCookies
from oauth_broker.web.http import HttpRequest, HttpResponse, redirect

_SECRET_BYTES = 32


class Authorize:
    """The authorization endpoint (RFC 6749 section 3.1)."""

    def __init__(
        self, settings: Settings, sign_ins: SignIns, clock: Clock, random_bytes: Callable[[int], bytes]
    ) -> None:
        self._settings = settings
        self._sign_ins = sign_ins
        self._clock = clock
        self._random_bytes = random_bytes
        self._limits = RateLimits(settings.source_limit, MINUTE, clock)

    def __call__(self, request: HttpRequest, invocation: Invocation) -> HttpResponse:
        """Redirect the browser to Aries. A cookie binds the sign-in to the browser.

        Raises PageError and RedirectError. The redirect to Aries comes after the row is saved, and never without it.
        """
        if request.is_prefetch:
            # A success would be wrong: Chromium would use the empty answer to a prefetch for the visit after it too.
            return HttpResponse(HTTPStatus.FORBIDDEN)
        asked = AuthorizationRequest.parse(request, self._settings.registry, self._settings.pass_on)
        self._refuse_floods(asked, invocation)
        now = int(self._clock.now())
        issuer = self._settings.issuer_for(request.domain_name)
        state, browser, verifier = (Secret(self._random()) for _ in range(3))
        session_id = session_id_of(state.reveal())
        row = SignIn(
            session_id=session_id,
            status="pending",
            expires_at=now + SIGN_IN_SECONDS,
            client_id=asked.client.client_id,
            redirect_uri=asked.redirect_uri,
            app_state=asked.state or "",
            app_code_challenge=asked.code_challenge,
            scope=asked.scope,
            code_verifier=verifier.reveal(),
            provider_redirect_uri=f"{issuer}/oauth2/callback",
            browser_hash=digest(browser.reveal()),
            created_at=now,
            reference=session_reference(session_id),
            timeline=(entry(now, "started"),),
        )
        row = replace(row, request_mac=request_mac(browser, row.asked))
        invocation.about_session(session_id, row.client_id)
        try:
            self._sign_ins.save(row)
        except ServiceUnavailable as error:
            failure = TemporarilyUnavailable("Try again in a moment.")
            raise RedirectError(failure, error.reason, asked.redirect_uri, asked.state) from error
        invocation.count("SignInsStarted")
        invocation.log("sign_in_started")
        cookies = BrowserCookies.for_issuer(issuer).bind(row.session_id, browser, request.cookies, SIGN_IN_SECONDS)
        return redirect(self._provider_url(row, state, verifier, asked.passed_on), cookies)

    def _refuse_floods(self, asked: AuthorizationRequest, invocation: Invocation) -> None:
        client_id = asked.client.client_id
        if self._limits.is_exceeded(client_id, invocation.source):
            failure = TemporarilyUnavailable("Too many sign-ins from this network. Try again in a moment.")
            raise RedirectError(failure, "too_many_from_source", asked.redirect_uri, asked.state, client_id, "refused")
        self._limits.count(client_id, invocation.source)

    def _random(self) -> str:
        return base64url(self._random_bytes(_SECRET_BYTES))

    def _provider_url(self, row: SignIn, state: Secret, verifier: Secret, passed_on: Mapping[str, str]) -> str:
        query = {
            **passed_on,
            "response_type": "code",
            "client_id": self._settings.aries_client_id,
            "redirect_uri": row.provider_redirect_uri,
            "scope": row.scope,
            "state": state.reveal(),
            "code_challenge": challenge_of(verifier),
            "code_challenge_method": "S256",
        }
        return f"{self._settings.aries_authorize_url}?{urlencode(query)}"
