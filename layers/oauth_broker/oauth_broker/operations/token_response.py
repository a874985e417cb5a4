"""The answer that brings tokens to the app: RFC 6749 section 5.1."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from oauth_broker.config.clients import Client
from oauth_broker.oauth.tokens import BackendHandle, RefreshToken
from oauth_broker.secret import Secret
from oauth_broker.sessions.row import SignIn
from oauth_broker.sessions.session_secret import SessionSecret
from oauth_broker.web.http import HttpResponse, json_response


@dataclass(frozen=True, slots=True)
class TokenResponse:
    """Tokens for the app: Aries' access token and the broker's own refresh token, None if there is no refresh.

    ``ends_by`` is when the session ends if the app does not refresh before. ``backend_handle`` is the app's handle for
    its backend, None if the app has no backend.
    """

    secret: SessionSecret
    refresh_token: Secret | None
    ends_by: int
    backend_handle: Secret | None = None

    def to_response(self, now: float) -> HttpResponse:
        """Return the 200 answer. ``expires_in`` is the true time left at ``now``, in whole seconds.

        ``refresh_token_expires_in`` is likewise the time until the session ends. No RFC has it; several servers do.
        """
        members: dict[str, str | int] = {
            "access_token": self.secret.access_token.reveal(),
            "token_type": "Bearer",
            "expires_in": max(0, self.secret.access_expires_at - ceil(now)),
            "scope": self.secret.scope,
        }
        if self.refresh_token is not None:
            members["refresh_token"] = self.refresh_token.reveal()
            members["refresh_token_expires_in"] = max(0, self.ends_by - ceil(now))
        if self.backend_handle is not None:
            members["backend_handle"] = self.backend_handle.reveal()
        return json_response(members, headers={"pragma": "no-cache"})

    @classmethod
    def of(cls, row: SignIn, secret: SessionSecret, client: Client) -> TokenResponse:
        """Return the answer for the committed ``row`` (step 7). Each repetition gives the same refresh token."""
        token = RefreshToken.mint(row.session_id, row.generation, secret.session_key)
        return cls(secret, token.text, row.ends_by(client.idle_seconds), backend_handle(row.session_id, secret, client))


def backend_handle(session_id: str, secret: SessionSecret, client: Client) -> Secret | None:
    """Return the handle that the app gives its backend, or None if it has no backend."""
    return BackendHandle.mint(session_id, secret.session_key).text if client.gets_handle else None
