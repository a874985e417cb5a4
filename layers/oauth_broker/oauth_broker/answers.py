"""What an app is told: token answers (RFC 6749 section 5.1) and errors (section 5.2)."""

from __future__ import annotations

from collections.abc import Mapping
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


def oauth_error(error: OAuthError, request_id: str) -> HttpResponse:
    """Return a final error as JSON."""
    headers = {}
    if isinstance(error, InvalidClient) and error.basic:
        headers["www-authenticate"] = 'Basic realm="oauth2"'
    members = {"error": error.code, "error_description": error.description}
    return _failure(error.status, members, request_id, headers)


def busy(error: Busy, request_id: str) -> HttpResponse:
    """Return 503: the same request succeeds after ``Retry-After`` seconds."""
    sentence = f"Temporarily unavailable, nothing is lost: send the same request again (request_id {request_id})."
    headers = {"retry-after": str(max(1, ceil(error.retry_after)))}
    return _passing(HTTPStatus.SERVICE_UNAVAILABLE, sentence, headers)


def method_not_allowed(error: MethodNotAllowed, request_id: str) -> HttpResponse:
    """Return 405 with the methods there are."""
    members = {"error": "invalid_request", "error_description": f"The method must be {error.allowed}."}
    return _failure(HTTPStatus.METHOD_NOT_ALLOWED, members, request_id, {"allow": error.allowed})


def not_found(request_id: str) -> HttpResponse:
    """Return 404."""
    return _failure(HTTPStatus.NOT_FOUND, {"message": "Not found"}, request_id)


def internal_error(request_id: str) -> HttpResponse:
    """Return 500, which says nothing of the defect."""
    sentence = f"Internal error: try again later (request_id {request_id})."
    return _passing(HTTPStatus.INTERNAL_SERVER_ERROR, sentence)


def _passing(status: HTTPStatus, sentence: str, headers: Mapping[str, str] | None = None) -> HttpResponse:
    """Return a failure that does not end the session, as plain text.

    The body is no JSON object, because client libraries read one without looking at the status. AppAuth-Android takes a
    member ``error`` for final and signs the user out. expo-auth-session and js-pkce take an object without ``error``
    for tokens, which the app then keeps in place of its own.
    """
    return HttpResponse(status, sentence, {"content-type": "text/plain; charset=utf-8", **(headers or {})})


def _failure(
    status: HTTPStatus, members: Mapping[str, str], request_id: str, headers: Mapping[str, str] | None = None
) -> HttpResponse:
    """Return a final failure as JSON, with the id of this invocation.

    An app logs the id and quotes it to the operator, who finds the reason under it. More libraries hand out the members
    of an error than its headers.
    """
    return json_response({**members, "request_id": request_id}, status, headers)
