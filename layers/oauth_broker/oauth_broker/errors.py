"""Every failure that has a defined answer, one class each.

``code`` and ``status`` are what the app sees, ``description`` is public text, and ``reason`` is a short code for the
log that says which of several causes it was. A description repeats nothing that a caller sent, save for one short scope
of plain characters (`requests`).
"""

from __future__ import annotations

from http import HTTPStatus
from typing import ClassVar, Literal


class BrokerError(Exception):
    """Base of all failures with a defined answer. ``reason`` goes to the log only."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class ConfigurationError(BrokerError):
    """A setting is missing or malformed: the function stops at init. The reason names the variable."""


class OAuthError(BrokerError):
    """An error of RFC 6749 sections 4.1.2.1 and 5.2. It is final: the app must not repeat the same request."""

    code: ClassVar[str]
    status: ClassVar[HTTPStatus] = HTTPStatus.BAD_REQUEST

    def __init__(self, description: str, reason: str = "") -> None:
        super().__init__(reason or self.code)
        self.description = description


class InvalidRequest(OAuthError):
    """A parameter is missing, malformed or repeated."""

    code = "invalid_request"


class InvalidClient(OAuthError):
    """The client is unknown, or tried to authenticate, which a public client cannot."""

    code = "invalid_client"
    status = HTTPStatus.UNAUTHORIZED

    def __init__(self, description: str, reason: str, *, basic: bool = False) -> None:
        super().__init__(description, reason)
        self.basic = basic


class InvalidGrant(OAuthError):
    """The code or refresh token is unknown, expired, used, revoked or another client's: one body for all of them."""

    code = "invalid_grant"

    def __init__(self, reason: str) -> None:
        super().__init__("The grant is invalid, expired or revoked. Sign in again.", reason)


class ForgedToken(InvalidGrant):
    """A refresh token that the broker did not make."""

    def __init__(self) -> None:
        super().__init__("forged_token")


class InvalidScope(OAuthError):
    """A scope that the app is not registered for, or that is wider than the one that was granted."""

    code = "invalid_scope"


class UnsupportedGrantType(OAuthError):
    """Any ``grant_type`` that the metadata does not advertise."""

    code = "unsupported_grant_type"


class UnsupportedResponseType(OAuthError):
    """Any ``response_type`` but ``code``."""

    code = "unsupported_response_type"


class RequestNotSupported(OAuthError):
    """A request object (OpenID Connect Core section 6.1, RFC 9101), which must be refused and not be ignored."""

    code = "request_not_supported"


class RequestUriNotSupported(OAuthError):
    """A request object by reference (OpenID Connect Core section 6.2, RFC 9101)."""

    code = "request_uri_not_supported"


class LoginRequired(OAuthError):
    """The app wants a sign-in without a person (OpenID Connect Core section 3.1.2.6), which there never is."""

    code = "login_required"


class AccessDenied(OAuthError):
    """The person, or Aries, said no."""

    code = "access_denied"


class ServerError(OAuthError):
    """The sign-in failed for a reason that neither the app nor the person can mend."""

    code = "server_error"


class TemporarilyUnavailable(OAuthError):
    """The sign-in failed for a reason that passes; the app may start another one."""

    code = "temporarily_unavailable"


class MethodNotAllowed(BrokerError):
    """The route exists, the method does not. ``allowed`` is the value of the ``Allow`` header."""

    def __init__(self, allowed: str) -> None:
        super().__init__("method_not_allowed")
        self.allowed = allowed


class NotFound(BrokerError):
    """A request to a host name that is not the issuer's, or for a document that there is not."""


class ServiceUnavailable(BrokerError):
    """A temporary failure: nothing is lost, the same request succeeds later.

    Answered with 503, ``Retry-After`` (``retry_after`` in seconds) and plain text, because client libraries take a JSON
    object for tokens or for a final error. ``retriable`` tells whether the same AWS call may succeed in a moment.
    """

    def __init__(self, reason: str, retry_after: float = 1, *, retriable: bool = True) -> None:
        super().__init__(reason)
        self.retry_after = retry_after
        self.retriable = retriable


class Paused(ServiceUnavailable):
    """Aries wants to be left alone for ``retry_after`` seconds; it has processed nothing."""


class Throttled(ServiceUnavailable):
    """AWS refuses a call for its own limits. The reason is the service, a colon and AWS' error code."""

    @property
    def service(self) -> str:
        """The service that refuses."""
        return self.reason.partition(":")[0]


class NotAllowed(ServiceUnavailable):
    """AWS refuses a call for want of a right. The reason is the service, a colon and AWS' error code."""


class PageError(BrokerError):
    """A failure on the browser legs that cannot be redirected to the app: the person sees a page."""

    def __init__(self, reason: str, title: str, text: str, status: HTTPStatus = HTTPStatus.BAD_REQUEST) -> None:
        super().__init__(reason)
        self.title = title
        self.text = text
        self.status = status


class RedirectError(BrokerError):
    """A failure that goes back to the app at its registered redirect URI (RFC 6749 section 4.1.2.1).

    ``state`` is the raw percent-encoded text that the app sent, or None. ``means`` tells what it was: a sign-in that
    failed, one that a person declined, a request of the app's that no sign-in comes of, or a failure that was told
    before.
    """

    def __init__(
        self,
        error: OAuthError,
        reason: str,
        redirect_uri: str,
        state: str | None,
        client_id: str | None = None,
        means: Literal["failed", "declined", "refused", "repeated"] = "failed",
    ) -> None:
        super().__init__(reason)
        self.error = error
        self.redirect_uri = redirect_uri
        self.state = state
        self.client_id = client_id
        self.means = means
