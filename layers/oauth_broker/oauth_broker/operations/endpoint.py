"""The common part of all endpoints: the host, the method, CORS, and an answer for every failure."""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from math import ceil
from typing import Any

from oauth_broker.config.settings import Settings
from oauth_broker.errors import (
    BrokerError,
    InvalidClient,
    MethodNotAllowed,
    NotFound,
    OAuthError,
    PageError,
    RedirectError,
    SealNotOpened,
    ServiceUnavailable,
    Throttled,
    TooManyRequests,
)
from oauth_broker.runtime.invocation import Bus, Invocation, LambdaContext, Telemetry
from oauth_broker.web.http import HttpRequest, HttpResponse, json_response
from oauth_broker.web.pages import page

# A page of another origin may read these headers of an answer.
_EXPOSED = "Retry-After, WWW-Authenticate, apigw-requestid"
# For a form or JSON body, and for HTTP Basic with an empty password.
_ALLOWED = "Authorization, Content-Type"
# RFC 9110 section 5.6.2, less the asterisk, because that would allow every header.
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'+.^_`|~-]+")
_MOST_ASKED_CHARACTERS = 1024

Operation = Callable[[HttpRequest, Invocation], HttpResponse]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A Lambda handler for one route of the HTTP API.

    It serves ``method`` and no other. ``cors`` tells whether browsers may call it from the origins in the app registry.
    The browser legs are navigations, and pages of other origins never read them. ``bus`` gets the news of sessions, if
    the deployment has a bus.
    """

    settings: Settings
    telemetry: Telemetry
    operation: Operation
    method: str
    cors: bool
    bus: Bus | None = None

    def __call__(self, event: Mapping[str, Any], context: LambdaContext) -> dict[str, Any]:
        """Answer an API Gateway event (payload format 2.0). Never raises."""
        request = HttpRequest.from_event(event)
        invocation = Invocation(context, self.telemetry, request.request_id, request.source)
        invocation.bus = self.bus
        try:
            response = self._respond(request, invocation)
        except Exception as error:  # noqa: BLE001 - this is the last stop
            # A bug ends here. The log tells the operator, and the answer does not tell the caller. The log names the
            # place and not the message, because a message may quote a secret.
            place = traceback.extract_tb(error.__traceback__)[-1]
            reason = f"{type(error).__name__} at {place.name}:{place.lineno}"
            invocation.log("internal_error", level="error", reason=reason, status=500)
            invocation.count("InternalErrors")
            response = internal_error(invocation.request_id)
        # After a failure too: the operation may have ended a session before it.
        invocation.send_announced()
        return response.with_headers(self._cors_headers(request)).to_event()

    def _respond(self, request: HttpRequest, invocation: Invocation) -> HttpResponse:
        try:
            if self.settings.domain_name and request.domain_name != self.settings.domain_name:
                raise NotFound("foreign_host")
            if request.method == "OPTIONS" and self.cors:
                return HttpResponse(HTTPStatus.NO_CONTENT)
            if request.method != self.method:
                raise MethodNotAllowed(self.method)
            return self.operation(request, invocation)
        except BrokerError as error:
            for failure in (error, error.__cause__):
                if isinstance(failure, Throttled):
                    invocation.count("AwsThrottled", aws_service=failure.service)
            if isinstance(error, SealNotOpened):
                invocation.count("SealsNotOpened")
            return self._refuse(error, request, invocation)

    def _refuse(self, error: BrokerError, request: HttpRequest, invocation: Invocation) -> HttpResponse:
        match error:
            case RedirectError():
                # Only the two functions that a browser visits come here, and the others load nothing for it.
                from oauth_broker.oauth.redirects import AuthorizationResponse

                _count_sign_in(error, invocation)
                invocation.log("sign_in_failed", client_id=error.client_id, error=error.error.code, reason=error.reason)
                issuer = self.settings.issuer_for(request.domain_name)
                response = AuthorizationResponse(request, issuer, invocation.request_id)
                return response.with_error(error.redirect_uri, error.state, error.error)
            case PageError():
                invocation.count("PagesShown", reason=error.reason)
                invocation.log("page_shown", reason=error.reason, status=int(error.status))
                return page(error.title, error.text, invocation.request_id, error.status)
            case ServiceUnavailable():
                invocation.log("busy", level="warning", reason=error.reason, status=503)
                return self.unavailable(error, invocation.request_id)
            case TooManyRequests():
                invocation.log("too_many_requests", reason=error.reason, status=429)
                return too_many_requests(error, invocation.request_id)
            case OAuthError():
                invocation.count("RequestsRefused", error=error.code)
                invocation.log("refused", error=error.code, reason=error.reason, status=int(error.status))
                return oauth_error(error, invocation.request_id)
            case MethodNotAllowed():
                return method_not_allowed(error, invocation.request_id)
            case NotFound():
                return not_found(invocation.request_id)
            case _:
                raise error

    def unavailable(self, error: ServiceUnavailable, request_id: str) -> HttpResponse:
        """Answer a temporary failure: in the words that no client library takes for a final error."""
        return unavailable(error, request_id)

    def _cors_headers(self, request: HttpRequest) -> dict[str, str]:
        """The Fetch standard's CORS protocol, for the exact origins of the registered apps.

        It never allows credentials, because the endpoints with CORS take no cookie. A page may therefore send any
        header. Libraries add their own (``Cache-Control``, ``sentry-trace``), and the functions do not read them.
        """
        if not self.cors:
            return {}
        is_preflight = request.method == "OPTIONS"
        vary = {"vary": "Origin, Access-Control-Request-Headers" if is_preflight else "Origin"}
        origin = request.headers.get("origin", "")
        if origin not in self.settings.registry.origins:
            return vary
        allowed = {**vary, "access-control-allow-origin": origin}
        if not is_preflight:
            return {**allowed, "access-control-expose-headers": _EXPOSED}
        return {
            **allowed,
            "access-control-allow-methods": self.method,
            "access-control-allow-headers": _allowed_headers(request.headers.get("access-control-request-headers", "")),
            "access-control-max-age": "600",
        }


def _allowed_headers(asked: str) -> str:
    """Return the well-formed names in a preflight's request. If there are none, return the headers that apps need."""
    if len(asked) > _MOST_ASKED_CHARACTERS:
        return _ALLOWED
    names = (name.strip() for name in asked.split(","))
    return ", ".join(name for name in names if _HEADER_NAME.fullmatch(name)) or _ALLOWED


def _count_sign_in(error: RedirectError, invocation: Invocation) -> None:
    # Anybody can send wrong requests and reload a callback. Neither may look like failed sign-ins.
    match error.means:
        case "failed":
            invocation.count("SignInsFailed", reason=error.reason)
        case "declined":
            invocation.count("SignInsDeclined", reason=error.reason)
        case "refused":
            invocation.count("RequestsRefused", error=error.error.code)
        case "repeated":
            pass


def oauth_error(error: OAuthError, request_id: str) -> HttpResponse:
    """Return a final error as JSON."""
    headers = {}
    if isinstance(error, InvalidClient) and error.basic:
        headers["www-authenticate"] = 'Basic realm="oauth2"'
    members = {"error": error.code, "error_description": error.description}
    return _failure(error.status, members, request_id, headers)


def unavailable(error: ServiceUnavailable, request_id: str) -> HttpResponse:
    """Return 503: the same request succeeds after ``Retry-After`` seconds."""
    sentence = f"Temporarily unavailable, nothing is lost: send the same request again (request_id {request_id})."
    return _passing(HTTPStatus.SERVICE_UNAVAILABLE, sentence, retry_after(error))


def too_many_requests(error: TooManyRequests, request_id: str) -> HttpResponse:
    """Return 429: the same request is served after ``Retry-After`` seconds."""
    sentence = f"Too many requests of one person, nothing is lost: send it again later (request_id {request_id})."
    return _passing(HTTPStatus.TOO_MANY_REQUESTS, sentence, retry_after(error))


def retry_after(error: ServiceUnavailable | TooManyRequests) -> dict[str, str]:
    """Return the header with the seconds to wait, at least one."""
    return {"retry-after": str(max(1, ceil(error.retry_after)))}


def method_not_allowed(error: MethodNotAllowed, request_id: str) -> HttpResponse:
    """Return 405 with the allowed method."""
    members = {"error": "invalid_request", "error_description": f"The method must be {error.allowed}."}
    return _failure(HTTPStatus.METHOD_NOT_ALLOWED, members, request_id, {"allow": error.allowed})


def not_found(request_id: str) -> HttpResponse:
    """Return 404."""
    return _failure(HTTPStatus.NOT_FOUND, {"message": "Not found"}, request_id)


def internal_error(request_id: str) -> HttpResponse:
    """Return 500. The answer does not describe the defect."""
    sentence = f"Internal error: try again later (request_id {request_id})."
    return _passing(HTTPStatus.INTERNAL_SERVER_ERROR, sentence)


def _passing(status: HTTPStatus, sentence: str, headers: Mapping[str, str] | None = None) -> HttpResponse:
    """Return a failure that does not end the session, as plain text.

    The body is no JSON object, because client libraries read one without looking at the status. AppAuth-Android takes a
    member ``error`` for final and signs the user out. expo-auth-session and js-pkce take an object without ``error``
    for tokens, and the app then overwrites its own.
    """
    return HttpResponse(status, sentence, {"content-type": "text/plain; charset=utf-8", **(headers or {})})


def _failure(
    status: HTTPStatus, members: Mapping[str, str], request_id: str, headers: Mapping[str, str] | None = None
) -> HttpResponse:
    """Return a final failure as JSON, with the id of this invocation.

    An app logs the id and quotes it to the operator. The operator finds the reason under it. The body holds the id,
    because more libraries hand out the members of an error than its headers.
    """
    return json_response({**members, "request_id": request_id}, status, headers)
