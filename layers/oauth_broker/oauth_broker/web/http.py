"""HTTP requests and responses as API Gateway's HTTP API hands them over (payload format 2.0)."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any

from oauth_broker.errors import InvalidRequest

SECURITY_HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "referrer-policy": "no-referrer",
    "strict-transport-security": "max-age=63072000",
    "x-content-type-options": "nosniff",
}


# The header of the Fetch standard, of older Chromium and Safari, and of older Firefox.
_PURPOSES = ("sec-purpose", "purpose", "x-moz")


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request. Header names are lower case. ``body`` is as API Gateway hands it over, ``body_bytes`` as sent.

    ``source`` is the address of the connection's other end. ``caller`` is the ARN of a caller that IAM has identified,
    or ''. ``repr`` leaves out both, and every field with a possible secret.
    """

    method: str
    path: str
    raw_query: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    cookies: tuple[str, ...] = field(repr=False)
    body: str = field(repr=False)
    body_is_base64: bool
    domain_name: str
    source: str = field(default="", repr=False)
    request_id: str = ""
    caller: str = field(default="", repr=False)

    @classmethod
    def from_event(cls, event: Mapping[str, Any]) -> HttpRequest:
        """Read an API Gateway event. Raises KeyError for any other event."""
        context = event["requestContext"]
        return cls(
            method=context["http"]["method"],
            path=event["rawPath"],
            raw_query=event.get("rawQueryString") or "",
            headers={name.lower(): value for name, value in (event.get("headers") or {}).items()},
            cookies=tuple(event.get("cookies") or ()),
            body=event.get("body") or "",
            body_is_base64=bool(event.get("isBase64Encoded")),
            domain_name=context["domainName"],
            # A client can write X-Forwarded-For, but not this address.
            source=context["http"].get("sourceIp") or "",
            request_id=context.get("requestId") or "",
            caller=_caller(context.get("authorizer")),
        )

    def body_bytes(self) -> bytes:
        """Return the body as sent. Raises InvalidRequest if the event's body cannot be decoded."""
        try:
            return base64.b64decode(self.body, validate=True) if self.body_is_base64 else self.body.encode()
        except ValueError as error:
            raise InvalidRequest("The body cannot be read. Send UTF-8 text.", "malformed_body") from error

    @property
    def is_prefetch(self) -> bool:
        """Whether a browser loads the page ahead of any click. Such a request must use nothing up."""
        return any("prefetch" in self.headers.get(name, "").lower() for name in _PURPOSES)

    @property
    def opens_apps(self) -> bool:
        """Whether the browser would follow a redirect to an app's own scheme, as far as known.

        Chromium follows such a redirect only in a navigation begun by a person's tap. Otherwise it drops the redirect
        silently and stays on its page. A browser with a brand header (``Sec-CH-UA``) also reports taps (Fetch Metadata,
        ``Sec-Fetch-User``). The answer for all other requests is yes.
        """
        navigates = self.headers.get("sec-fetch-mode") == "navigate" and "sec-ch-ua" in self.headers
        return not navigates or self.headers.get("sec-fetch-user") == "?1"


def _caller(authorizer: object) -> str:
    """Return the ARN of the caller, or ''. API Gateway sets it, after IAM has allowed the request."""
    match authorizer:
        case {"iam": {"userArn": str(arn)}}:
            return arn
        case _:
            return ""


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """A response. All responses carry the same security headers. ``repr`` shows the status only."""

    status: HTTPStatus
    body: str = field(default="", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    cookies: tuple[str, ...] = field(default=(), repr=False)

    def with_headers(self, headers: Mapping[str, str]) -> HttpResponse:
        """Return this response with more headers."""
        return replace(self, headers={**self.headers, **headers})

    def to_event(self) -> dict[str, Any]:
        """Return the response in payload format 2.0."""
        return {
            "statusCode": int(self.status),
            "headers": {**SECURITY_HEADERS, **self.headers},
            "cookies": list(self.cookies),
            "body": self.body,
            "isBase64Encoded": False,
        }


def json_response(
    members: Mapping[str, Any] | list[Any], status: HTTPStatus = HTTPStatus.OK, headers: Mapping[str, str] | None = None
) -> HttpResponse:
    """Return a JSON response."""
    return HttpResponse(status, json.dumps(members), {"content-type": "application/json", **(headers or {})})


def redirect(location: str, cookies: tuple[str, ...] = ()) -> HttpResponse:
    """Return a 302, never a 307: a browser would repeat a form post after a 307."""
    return HttpResponse(HTTPStatus.FOUND, headers={"location": location}, cookies=cookies)
