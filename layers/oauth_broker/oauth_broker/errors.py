"""Every failure with a defined answer, one class each.

The app sees ``code``, ``status`` and the public text ``description``. ``reason`` is a short code for the log: it names
the cause if several causes share one answer. A description repeats nothing of a caller's request, except one short
scope of plain characters (`oauth.authorization`).
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
    """A final error of RFC 6749 sections 4.1.2.1 and 5.2: the app must not repeat the same request."""

    code: ClassVar[str]
    status: ClassVar[HTTPStatus] = HTTPStatus.BAD_REQUEST

    def __init__(self, description: str, reason: str = "") -> None:
        super().__init__(reason or self.code)
        self.description = description


class InvalidRequest(OAuthError):
    """A parameter is missing, malformed or repeated."""

    code = "invalid_request"


class InvalidClient(OAuthError):
    """The client is unknown, or tried to authenticate. A public client cannot authenticate."""

    code = "invalid_client"
    status = HTTPStatus.UNAUTHORIZED

    def __init__(self, description: str, reason: str, *, basic: bool = False) -> None:
        super().__init__(description, reason)
        self.basic = basic


class InvalidGrant(OAuthError):
    """The code or refresh token is unknown, expired, used, revoked or another client's. All cases get the same body."""

    code = "invalid_grant"

    def __init__(self, reason: str) -> None:
        super().__init__("The grant is invalid, expired or revoked. Sign in again.", reason)


class ForgedToken(InvalidGrant):
    """The broker did not make this refresh token."""

    def __init__(self) -> None:
        super().__init__("forged_token")


class UnauthorizedClient(OAuthError):
    """The app is registered without this grant type."""

    code = "unauthorized_client"


class NotRefreshable(InvalidGrant):
    """Aries granted the session no refresh token."""

    def __init__(self) -> None:
        super().__init__("not_refreshable")


class InvalidScope(OAuthError):
    """The app is not registered for a scope, or asks for a wider scope than the granted one."""

    code = "invalid_scope"


class UnsupportedGrantType(OAuthError):
    """The metadata does not advertise this ``grant_type``."""

    code = "unsupported_grant_type"


class UnsupportedResponseType(OAuthError):
    """The ``response_type`` is not ``code``."""

    code = "unsupported_response_type"


class RequestNotSupported(OAuthError):
    """A request object (OpenID Connect Core section 6.1, RFC 9101). The broker must refuse it, not ignore it."""

    code = "request_not_supported"


class RequestUriNotSupported(OAuthError):
    """A request object by reference (OpenID Connect Core section 6.2, RFC 9101)."""

    code = "request_uri_not_supported"


class LoginRequired(OAuthError):
    """The app wants a sign-in without a person (OpenID Connect Core section 3.1.2.6). The broker has none."""

    code = "login_required"


class AccessDenied(OAuthError):
    """The person, or Aries, declined."""

    code = "access_denied"


class Unsigned(OAuthError):
    """A request of a backend came without an identity that IAM has proved."""

    code = "access_denied"
    status = HTTPStatus.FORBIDDEN

    def __init__(self) -> None:
        super().__init__("The request has no identity of IAM. Sign it with AWS Signature Version 4.", "no_iam_identity")


class NotABackendApp(OAuthError):
    """The path names no app that has a backend. Unknown apps and others get the same body."""

    code = "not_a_backend_app"
    status = HTTPStatus.FORBIDDEN

    def __init__(self, reason: str) -> None:
        super().__init__(
            "The path names no app whose backend may ask for this. Check the client id and the app's registration.",
            reason,
        )


class SignInRequired(OAuthError):
    """A backend gets no access token until the user signs in again. All causes get the same body."""

    code = "sign_in_required"

    def __init__(self, reason: str) -> None:
        super().__init__("The session has ended, or cannot be renewed. The user must sign in again.", reason)


class InsufficientScope(OAuthError):
    """A backend asks for a wider scope than the session has."""

    code = "insufficient_scope"

    def __init__(self) -> None:
        super().__init__("The scope must be no wider than the session's.")


class ServerError(OAuthError):
    """The sign-in failed, and neither the app nor the person can mend the cause."""

    code = "server_error"


class TemporarilyUnavailable(OAuthError):
    """The sign-in failed for a passing reason. The app may start another sign-in."""

    code = "temporarily_unavailable"


class SignInAgain(OAuthError):
    """The request needs a session that has just begun: a stolen token must not end the person's other sessions."""

    code = "sign_in_again"
    status = HTTPStatus.FORBIDDEN

    def __init__(self) -> None:
        super().__init__("Ending other sessions needs a sign-in of the last 15 minutes. Sign in again.")


class TooManyRequests(BrokerError):
    """One person asks too often. The same request is served after ``retry_after`` seconds."""

    def __init__(self, reason: str, retry_after: float) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class MethodNotAllowed(BrokerError):
    """The route exists, the method does not. ``allowed`` is the value of the ``Allow`` header."""

    def __init__(self, allowed: str) -> None:
        super().__init__("method_not_allowed")
        self.allowed = allowed


class NotFound(BrokerError):
    """The host name is not the issuer's, or the document does not exist."""


class ServiceUnavailable(BrokerError):
    """A temporary failure: nothing is lost, and the same request succeeds later.

    The answer is a 503 with ``Retry-After`` (``retry_after`` in seconds) and plain text, not JSON: client libraries
    take a JSON object for tokens or a final error. ``retriable`` tells whether the same AWS call may succeed in a
    moment.
    """

    def __init__(self, reason: str, retry_after: float = 1, *, retriable: bool = True) -> None:
        super().__init__(reason)
        self.retry_after = retry_after
        self.retriable = retriable


class Paused(ServiceUnavailable):
    """The broker leaves Aries alone for ``retry_after`` seconds. Aries has processed nothing."""


class SealNotOpened(ServiceUnavailable):
    """Tokens sealed in a row do not open: another row's, another key's or another form's, or the key does not serve.

    The cause does not pass by itself, so an alarm hears of it. The session goes on once the operator has mended it.
    """


class Throttled(ServiceUnavailable):
    """AWS refuses a call because of its own limits. The reason is the service, a colon and AWS' error code."""

    @property
    def service(self) -> str:
        """The name of the refusing service."""
        return self.reason.partition(":")[0]


class NotAllowed(ServiceUnavailable):
    """AWS refuses a call because a right is missing. The reason is the service, a colon and AWS' error code."""


class PageError(BrokerError):
    """A failure of the browser legs without a redirect to the app: the person sees a page."""

    def __init__(self, reason: str, title: str, text: str, status: HTTPStatus = HTTPStatus.BAD_REQUEST) -> None:
        super().__init__(reason)
        self.title = title
        self.text = text
        self.status = status


class RedirectError(BrokerError):
    """A failure told to the app at its registered redirect URI (RFC 6749 section 4.1.2.1).

    ``state`` is the app's raw percent-encoded text, or None. ``means`` is the kind: the sign-in failed, the person
    declined, the broker refused the request before a sign-in began, or the app was told before.
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
