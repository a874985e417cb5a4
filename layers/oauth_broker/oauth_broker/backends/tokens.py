"""An access token for the backend of an app: ``POST /backend/{client_id}/token``.

IAM decides who may ask for tokens of an app, by the path. The handle decides for which session. One without the other
opens nothing. The backend gets an access token and never a refresh token, so the app's tokens are as good as before.
"""

from __future__ import annotations

from math import ceil

from oauth_broker.backends.by_user import ByUser
from oauth_broker.backends.requests import BackendRequest, parse_backend_request
from oauth_broker.clock import Clock
from oauth_broker.config.clients import Registry
from oauth_broker.errors import InvalidGrant, NotABackendApp, OAuthError, ServiceUnavailable, SignInRequired, Unsigned
from oauth_broker.operations.access import Access
from oauth_broker.runtime.invocation import Invocation
from oauth_broker.secret import Secret
from oauth_broker.sessions.session_secret import SessionSecret
from oauth_broker.web.http import HttpRequest, HttpResponse, json_response

# The sessions of a person that one request tries. Each may take a call to Aries.
_MOST_TRIES = 2


class BackendTokens:
    """The endpoint for the backends of apps."""

    def __init__(self, registry: Registry, access: Access, by_user: ByUser | None, clock: Clock) -> None:
        self._registry = registry
        self._access = access
        self._by_user = by_user
        self._clock = clock

    def __call__(self, request: HttpRequest, invocation: Invocation) -> HttpResponse:
        """Answer with an access token that lives for ``min_seconds`` at least, or for half of its life.

        Raises Unsigned, NotABackendApp, InvalidRequest, SignInRequired and InsufficientScope. Raises ServiceUnavailable
        if the session is intact and the backend may send the same request again.
        """
        if not request.caller:
            # The route asks IAM. If it ever does not, nobody is served.
            raise Unsigned
        invocation.about_caller(request.caller)
        invocation.count("BackendCalls")
        try:
            secret = self._secret(parse_backend_request(request, self._registry), invocation)
        except ServiceUnavailable as unavailable:
            invocation.count("BackendTokensFailed", reason=unavailable.reason)
            raise
        except OAuthError as error:
            invocation.count("BackendTokensRefused", reason=error.reason)
            raise
        invocation.count("BackendTokensServed")
        invocation.log("backend_token_served")
        return self._answer(secret)

    def _secret(self, request: BackendRequest, invocation: Invocation) -> SessionSecret:
        handle = request.session
        try:
            if isinstance(handle, Secret):
                return self._of_user(request, handle, invocation)
            return self._access(
                request.client,
                handle.session_id,
                request.min_seconds,
                lambda secret: handle.is_authentic(secret.session_key),
                invocation,
                scope=request.scope,
            )
        except InvalidGrant as refusal:
            # The answer does not tell a session that has ended from one that never was. The log line tells.
            raise SignInRequired(refusal.reason) from refusal

    def _of_user(self, request: BackendRequest, user: Secret, invocation: Invocation) -> SessionSecret:
        if self._by_user is None:
            raise NotABackendApp("nobody_is_identified")
        refused: InvalidGrant = InvalidGrant("no_session_of_user")
        for row, is_proof_of in self._by_user.sessions(request.client, user, request.scope, invocation)[:_MOST_TRIES]:
            try:
                return self._access(
                    request.client, row.session_id, request.min_seconds, is_proof_of, invocation, scope=request.scope
                )
            except InvalidGrant as failure:
                # Aries may have ended this session. Another one of the person may serve.
                refused = failure
        raise refused

    def _answer(self, secret: SessionSecret) -> HttpResponse:
        return json_response(
            {
                "access_token": secret.access_token.reveal(),
                "expires_in": max(0, secret.access_expires_at - ceil(self._clock.now())),
                "scope": secret.scope,
            }
        )
