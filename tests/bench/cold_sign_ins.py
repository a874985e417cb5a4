"""A successful first request for each function, with the necessary sign-in before it."""

from __future__ import annotations

import json
import time
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import requests

from oauth_broker.oauth.pkce import challenge_of
from oauth_broker.oauth.tokens import RefreshToken
from oauth_broker.secret import Secret, session_reference
from tests.local.apps import ALERTS, PHONE
from tests.local.aries import approve
from tests.local.backend import sign_in
from tests.local.stack import LocalStack
from tests.support.functions import CALLER, ROOT, http_event
from tests.support.pkce import VERIFIER

# Seconds, the shortest grace. Within the grace the broker answers a refresh without Aries.
GRACE = 1


def first_requests(stack: LocalStack) -> dict[str, dict[str, Any]]:
    """Return an event for each function by name. ``stack`` has a grace period of GRACE."""
    sign_ins = _SignIns(stack)
    refreshed, revoked, listed = sign_ins.tokens(), sign_ins.tokens(), sign_ins.tokens()
    token = RefreshToken.parse(Secret(refreshed))
    assert token is not None
    # Within the grace period the broker would answer the refresh from its stored tokens.
    time.sleep(GRACE + 0.1)
    return {
        "authorize": _event("GET", "/oauth2/authorize", query=sign_ins.query()),
        "callback": sign_ins.callback(),
        "token": _post("/oauth2/token", **sign_ins.redemption()),
        "refresh": _post("/oauth2/refresh", refresh_token=refreshed),
        "revoke": _post("/oauth2/revoke", token=revoked),
        "sessions": _post("/oauth2/sessions", token=listed),
        "metadata": _event("GET", "/.well-known/oauth-authorization-server"),
        "backend": _backend(stack),
        "cleanup": json.loads((ROOT / "events" / "cleanup_removed.json").read_text()),
        "operator": {"action": "session", "operator": "ann", "session": session_reference(token.session_id)},
    }


def _event(method: str, path: str, **more: Any) -> dict[str, Any]:
    return http_event(method, path, **more)


def _post(path: str, **fields: str) -> dict[str, Any]:
    headers = {"content-type": "application/x-www-form-urlencoded"}
    return http_event("POST", path, headers=headers, body=urlencode({"client_id": PHONE, **fields}))


def _backend(stack: LocalStack) -> dict[str, Any]:
    """Return the event of a backend's request. Its session's access token lives long enough."""
    body = json.dumps({"backend_handle": sign_in(stack)["backend_handle"]})
    headers = {"content-type": "application/json"}
    return http_event("POST", f"/backend/{ALERTS}/token", headers=headers, body=body, caller=CALLER)


class _SignIns:
    """People in the middle of a sign-in at the stack."""

    def __init__(self, stack: LocalStack) -> None:
        self._stack = stack
        self._redirect_uri = f"{stack.phone}/"

    def query(self) -> str:
        """Return the query of the app's authorization request."""
        return urlencode(
            {
                "response_type": "code",
                "client_id": PHONE,
                "redirect_uri": self._redirect_uri,
                "scope": self._stack.scope,
                "state": "the-state-of-the-app",
                "code_challenge": challenge_of(Secret(VERIFIER)),
                "code_challenge_method": "S256",
            }
        )

    def callback(self) -> dict[str, Any]:
        """Return the event of the browser's callback, after the person has approved."""
        browser, location = self._approved()
        cookies = [f"{cookie.name}={cookie.value}" for cookie in browser.cookies]
        return _event("GET", "/oauth2/callback", query=urlsplit(location).query, cookies=cookies)

    def redemption(self) -> dict[str, str]:
        """Return the fields of the app's redemption."""
        browser, location = self._approved()
        back = browser.get(location, allow_redirects=False, timeout=30)
        return {
            "grant_type": "authorization_code",
            "code": dict(parse_qsl(urlsplit(back.headers["location"]).query))["code"],
            "redirect_uri": self._redirect_uri,
            "code_verifier": VERIFIER,
        }

    def tokens(self) -> str:
        """Return the refresh token of a new session."""
        form = {"client_id": PHONE, **self.redemption()}
        answer = requests.post(f"{self._stack.issuer}/oauth2/token", data=form, timeout=30)
        answer.raise_for_status()
        token: str = answer.json()["refresh_token"]
        return token

    def _approved(self) -> tuple[requests.Session, str]:
        browser = requests.Session()
        url = f"{self._stack.issuer}/oauth2/authorize?{self.query()}"
        answer = browser.get(url, allow_redirects=False, timeout=30)
        return browser, approve(requests.Session(), answer.headers["location"])
