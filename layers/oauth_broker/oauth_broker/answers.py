"""What an app is told: token answers (RFC 6749 section 5.1) and errors (section 5.2)."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from math import ceil

from oauth_broker.errors import Busy, InvalidClient, MethodNotAllowed, OAuthError
from oauth_broker.messages import HttpResponse, json_response
from oauth_broker.secret import Secret
from oauth_broker.session_secret import SessionSecret


@dataclass(frozen=True, slots=True)
class TokenAnswer:
    """Tokens for the app: Aries' access token and the broker's own refresh token, None where Aries cannot refresh."""

    secret: SessionSecret
    refresh_token: Secret | None

    def to_response(self, now: float) -> HttpResponse:
        """Return the 200 answer; ``expires_in`` is what truly remains at ``now``, in whole seconds."""
        members: dict[str, str | int] = {
            "access_token": self.secret.access_token.reveal(),
            "token_type": "Bearer",
            "expires_in": max(0, self.secret.access_expires_at - ceil(now)),
            "scope": self.secret.scope,
        }
        if self.refresh_token is not None:
            members["refresh_token"] = self.refresh_token.reveal()
        return json_response(members, headers={"pragma": "no-cache"})


def oauth_error(error: OAuthError) -> HttpResponse:
    """Return a final error as JSON."""
    headers = {}
    if isinstance(error, InvalidClient) and error.basic:
        headers["www-authenticate"] = 'Basic realm="oauth2"'
    return json_response({"error": error.code, "error_description": error.description}, error.status, headers)


def busy(error: Busy) -> HttpResponse:
    """Return a temporary failure: no ``error`` member, since AppAuth takes one for final and signs the user out."""
    return json_response(
        {"message": "Temporarily unavailable. Nothing is lost; try the same request again."},
        HTTPStatus.SERVICE_UNAVAILABLE,
        {"retry-after": str(max(1, ceil(error.retry_after)))},
    )


def method_not_allowed(error: MethodNotAllowed) -> HttpResponse:
    """Return 405 with the methods there are."""
    return json_response(
        {"error": "invalid_request", "error_description": f"The method must be {error.allowed}."},
        HTTPStatus.METHOD_NOT_ALLOWED,
        {"allow": error.allowed},
    )
