"""The way back to the app: RFC 6749 sections 4.1.2 and 4.1.2.1, with ``iss`` of RFC 9207."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import urlencode

from oauth_broker.errors import OAuthError
from oauth_broker.secret import Secret
from oauth_broker.web.http import HttpRequest, HttpResponse, redirect
from oauth_broker.web.pages import page


@dataclass(frozen=True, slots=True)
class AuthorizationResponse:
    """The way back to the app for the browser of ``request``. A page shows ``request_id`` for support."""

    request: HttpRequest
    issuer: str
    request_id: str

    def with_code(self, redirect_uri: str, state: str | None, code: Secret) -> HttpResponse:
        """Send the app its one-time code. ``state`` is raw and goes back byte for byte."""
        return self._to(redirect_uri, state, {"code": code.reveal(), "iss": self.issuer})

    def with_error(self, redirect_uri: str, state: str | None, error: OAuthError) -> HttpResponse:
        """Send the app an error. The description is the broker's, never Aries'."""
        parameters = {"error": error.code, "error_description": error.description, "iss": self.issuer}
        return self._to(redirect_uri, state, parameters)

    def _to(self, redirect_uri: str, state: str | None, parameters: dict[str, str]) -> HttpResponse:
        query = urlencode(parameters) + (f"&state={state}" if state else "")
        # RFC 6749 section 3.1.2: a registered query is kept.
        location = redirect_uri + ("&" if "?" in redirect_uri else "?") + query
        if self.request.opens_apps or self._is_web_page(redirect_uri):
            return redirect(location)
        return page(
            "One more step",
            "Your browser opens the app only after a tap. Tap the button within one minute to continue in the app.",
            self.request_id,
            HTTPStatus.OK,
            link=(location, "Return to the app"),
        )

    def _is_web_page(self, redirect_uri: str) -> bool:
        """Whether a browser can show the URI. The issuer's own host has no such page, and an app alone can claim it."""
        if redirect_uri == self.issuer or redirect_uri.startswith(f"{self.issuer}/"):
            return False
        return redirect_uri.startswith(("https:", "http:"))
