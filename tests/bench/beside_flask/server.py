"""Authlib's authorization server in front of Aries. It hands out the access tokens of Aries."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2 import OAuth2Request
from authlib.oauth2.rfc6749 import ClientMixin, InvalidGrantError, InvalidRequestError, list_to_scope, scope_to_list
from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant, RefreshTokenGrant
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7636 import CodeChallenge

from tests.bench.beside_flask.aries import Aries, AriesRefused, AriesTokens
from tests.bench.beside_flask.secret_store import SecretStore
from tests.bench.beside_flask.sessions import Conflict, Session, Sessions, new_handle


@dataclass(frozen=True)
class App(ClientMixin):  # type: ignore[misc]
    """A registered public client."""

    client_id: str
    redirect_uris: frozenset[str]
    scopes: frozenset[str]

    def get_client_id(self) -> str:
        return self.client_id

    def get_default_redirect_uri(self) -> None:
        return None

    def get_allowed_scope(self, scope: str | None) -> str | None:
        """Return the requested scope. If it exceeds the app's scopes, return None; Authlib reports an error."""
        asked = scope_to_list(scope) or []
        return str(list_to_scope(asked)) if asked and self.scopes.issuperset(asked) else None

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return redirect_uri in self.redirect_uris

    def check_client_secret(self, client_secret: str) -> bool:
        return False

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method == "none"

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type in ("authorization_code", "refresh_token")


class CodeGrant(AuthorizationCodeGrant):  # type: ignore[misc]
    """Redeems the code of the callback."""

    TOKEN_ENDPOINT_AUTH_METHODS = ("none",)
    server: BrokerServer

    def query_authorization_code(self, code: str, client: App) -> Session | None:
        session = self.server.sessions.find(code)
        return session if session and session.check_client(client) and session.holds(code, "issued") else None

    def authenticate_user(self, authorization_code: Session) -> Session:
        return authorization_code

    def delete_authorization_code(self, authorization_code: Session) -> None:
        """Do nothing. The write of the refresh token has already replaced the code."""


class RotatingGrant(RefreshTokenGrant):  # type: ignore[misc]
    """Refreshes, with a new refresh token each time."""

    TOKEN_ENDPOINT_AUTH_METHODS = ("none",)
    INCLUDE_NEW_REFRESH_TOKEN = True
    server: BrokerServer

    def authenticate_refresh_token(self, refresh_token: str) -> Session | None:
        session = self.server.sessions.find(refresh_token)
        return session if session and session.holds(refresh_token, "active") else None

    def authenticate_user(self, refresh_token: Session) -> Session:
        return refresh_token

    def revoke_old_credential(self, refresh_token: Session) -> None:
        """Do nothing. The write of the new token has already replaced the old one."""


class Revocation(RevocationEndpoint):  # type: ignore[misc]
    """Ends a session by its refresh token."""

    CLIENT_AUTH_METHODS = ("none",)
    server: BrokerServer

    def query_token(self, token_string: str, token_type_hint: str | None) -> Session | None:
        session = self.server.sessions.find(token_string)
        return session if session and session.holds(token_string, "active") else None

    def revoke_token(self, token: Session, request: OAuth2Request) -> None:
        self.server.end(token.session_id)


class S256(CodeChallenge):  # type: ignore[misc]
    """PKCE with S256 is required."""

    SUPPORTED_CODE_CHALLENGE_METHOD = ("S256",)

    def validate_code_challenge(self, grant: CodeGrant, redirect_uri: str) -> None:
        if grant.request.payload.data.get("code_challenge_method") != "S256":
            raise InvalidRequestError("code_challenge_method must be S256")
        super().validate_code_challenge(grant, redirect_uri)


class BrokerServer(AuthorizationServer):  # type: ignore[misc]
    """Gives out Aries' access tokens and refresh tokens of its own."""

    def __init__(self, apps: Mapping[str, App], sessions: Sessions, secret_store: SecretStore, aries: Aries) -> None:
        super().__init__()
        self._apps = apps
        self.sessions = sessions
        self.secret_store = secret_store
        self.aries = aries
        self.register_grant(CodeGrant, [S256(required=True)])
        self.register_grant(RotatingGrant)
        self.register_endpoint(Revocation)
        self.register_token_generator("authorization_code", self._first_tokens)
        self.register_token_generator("refresh_token", self._next_tokens)

    def query_client(self, client_id: str) -> App | None:
        return self._apps.get(client_id)

    def save_token(self, token: dict[str, Any], request: OAuth2Request) -> None:
        try:
            if request.payload.grant_type == CodeGrant.GRANT_TYPE:
                self.sessions.redeem(request.authorization_code, token["refresh_token"])
            else:
                self.sessions.rotate(request.refresh_token, token["refresh_token"])
        except Conflict as conflict:
            raise InvalidGrantError from conflict

    def end(self, session_id: str) -> None:
        """Forget a session with its tokens."""
        self.sessions.delete(session_id)
        self.secret_store.delete(session_id)

    def _first_tokens(self, user: Session, **_: object) -> dict[str, Any]:
        return _answer(user, self.secret_store.read(user.session_id))

    def _next_tokens(self, user: Session, **_: object) -> dict[str, Any]:
        try:
            tokens = self.aries.refresh(self.secret_store.read(user.session_id))
        except AriesRefused as refused:
            self.end(user.session_id)
            raise InvalidGrantError from refused
        self.secret_store.replace(user.session_id, tokens)
        return _answer(user, tokens)


def _answer(session: Session, tokens: AriesTokens) -> dict[str, Any]:
    return {
        "access_token": tokens.access_token,
        "token_type": "Bearer",
        "expires_in": max(0, tokens.expires_at - int(time.time())),
        "refresh_token": new_handle(session.session_id),
        "scope": tokens.scope,
    }
