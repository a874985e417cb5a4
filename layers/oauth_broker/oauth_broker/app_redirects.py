"""Redirects back to the app: RFC 6749 sections 4.1.2 and 4.1.2.1, with ``iss`` of RFC 9207."""

from __future__ import annotations

from urllib.parse import urlencode

from oauth_broker.errors import OAuthError
from oauth_broker.messages import HttpResponse, redirect
from oauth_broker.secret import Secret


def code_redirect(redirect_uri: str, state: str | None, issuer: str, code: Secret) -> HttpResponse:
    """Send the app its one-time code. ``state`` is raw and goes back byte for byte."""
    return _redirect(redirect_uri, state, {"code": code.reveal(), "iss": issuer})


def error_redirect(redirect_uri: str, state: str | None, issuer: str, error: OAuthError) -> HttpResponse:
    """Send the app an error; the description is ours, never Aries'."""
    return _redirect(redirect_uri, state, {"error": error.code, "error_description": error.description, "iss": issuer})


def _redirect(redirect_uri: str, state: str | None, parameters: dict[str, str]) -> HttpResponse:
    query = urlencode(parameters) + (f"&state={state}" if state else "")
    # RFC 6749 section 3.1.2: a query that was registered is kept.
    return redirect(redirect_uri + ("&" if "?" in redirect_uri else "?") + query)
