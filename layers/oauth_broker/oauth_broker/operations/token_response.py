"""The answer that brings tokens to the app: RFC 6749 section 5.1."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from oauth_broker.oauth.tokens import RefreshToken
from oauth_broker.secret import Secret
from oauth_broker.sessions.row import SignIn
from oauth_broker.sessions.session_secret import SessionSecret
from oauth_broker.web.http import HttpResponse, json_response


@dataclass(frozen=True, slots=True)
class TokenResponse:
    """Tokens for the app: Aries' access token and the broker's own refresh token, None if there is no refresh."""

    secret: SessionSecret
    refresh_token: Secret | None

    def to_response(self, now: float) -> HttpResponse:
        """Return the 200 answer. ``expires_in`` is the true time left at ``now``, in whole seconds."""
        members: dict[str, str | int] = {
            "access_token": self.secret.access_token.reveal(),
            "token_type": "Bearer",
            "expires_in": max(0, self.secret.access_expires_at - ceil(now)),
            "scope": self.secret.scope,
        }
        if self.refresh_token is not None:
            members["refresh_token"] = self.refresh_token.reveal()
        return json_response(members, headers={"pragma": "no-cache"})

    @classmethod
    def of(cls, row: SignIn, secret: SessionSecret) -> TokenResponse:
        """Return the answer for the committed ``row`` (step 7). Each repetition gives the same answer."""
        return cls(secret, RefreshToken.mint(row.session_id, row.generation, secret.session_key).text)
