"""The refusals of Aries, one class each. Aries documents no errors: the codes are from RFC 6749 and RFC 6750."""

from http import HTTPStatus
from typing import ClassVar


class TokenError(Exception):
    """A refusal of the token endpoint (RFC 6749 section 5.2). Its message is the public `error_description`."""

    code: ClassVar[str]
    status: ClassVar[HTTPStatus] = HTTPStatus.BAD_REQUEST

    def body(self) -> dict[str, object]:
        return {"error": self.code, "error_description": str(self)}


class InvalidRequest(TokenError):
    code = "invalid_request"


class InvalidClient(TokenError):
    code = "invalid_client"
    status = HTTPStatus.UNAUTHORIZED


class InvalidGrant(TokenError):
    code = "invalid_grant"


class UnsupportedGrantType(TokenError):
    code = "unsupported_grant_type"


class PageRefusal(Exception):
    """Shown to the person as a page, because a redirect might reach a wrong app."""


class RedirectRefusal(Exception):
    """Sent back to the registered redirect URI (RFC 6749 section 4.1.2.1): `location` carries `error` and `state`."""

    def __init__(self, error: str, description: str, location: str) -> None:
        super().__init__(description)
        self.error = error
        self.location = location


class BearerError(Exception):
    """A refusal of the API (RFC 6750 section 3); `challenge` is the value of WWW-Authenticate."""

    status: ClassVar[HTTPStatus] = HTTPStatus.UNAUTHORIZED
    challenge: ClassVar[str]


class NoAccessToken(BearerError):
    # RFC 6750 section 3.1: a request without authentication is told no error code.
    challenge = 'Bearer realm="aries"'


class InvalidAccessToken(BearerError):
    challenge = 'Bearer error="invalid_token"'


class InsufficientScope(BearerError):
    status = HTTPStatus.FORBIDDEN
    challenge = 'Bearer error="insufficient_scope"'
