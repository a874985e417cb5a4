"""Real answers of the running stack: whole sign-ins, refusals and failures, each recorded with its operation."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import requests

from oauth_broker.oauth.pkce import challenge_of
from oauth_broker.secret import Secret
from tests.local import backend
from tests.local.apps import ALERTS, PHONE
from tests.local.aries import Fault, approve
from tests.local.stack import LocalStack

BACKEND_PATH = "/backend/{client_id}/token"
TOKEN_PATHS = ("/oauth2/token", "/v1/oauth2/token", "/oauth2/refresh")
_SECONDS = 30
# Headers of a browser before any tap. It follows a redirect to an app's own scheme only after a tap.
_UNTAPPED = {"Sec-Fetch-Mode": "navigate", "Sec-CH-UA": '"Chromium"'}
# An app that may not refresh.
WITHOUT_REFRESH = "kiosk"
_APP_WITHOUT_REFRESH = {
    "redirect_uris": ["https://kiosk.example.com/callback"],
    "scopes": ["market:information"],
    "refresh": False,
}


class Answers:
    """Asks the stack. ``recorded`` has method and path of the operation, as the document has them, and the answer."""

    def __init__(self, stack: LocalStack) -> None:
        self.recorded: list[tuple[str, str, requests.Response]] = []
        self.origin = stack.phone
        self._stack = stack
        self._verifier = secrets.token_urlsafe(32)

    def ask(
        self, method: str, path: str, *, of: str | None = None, browser: requests.Session | None = None, **more: Any
    ) -> requests.Response:
        """Send a request. If it sends a wrong method on purpose, ``of`` is the operation's method."""
        session = browser or requests.Session()
        url = self._stack.issuer + path
        answer = session.request(method, url, allow_redirects=False, timeout=_SECONDS, **more)
        self.recorded.append((of or method, path.partition("?")[0], answer))
        return answer

    def authorize(self, browser: requests.Session, redirect_uri: str = "", **changes: Any) -> requests.Response:
        """Begin a sign-in: the phone's, or the iOS app's if a redirect URI is given."""
        query = {
            "response_type": "code",
            "client_id": "trader-ios" if redirect_uri else PHONE,
            "redirect_uri": redirect_uri or f"{self._stack.phone}/",
            "scope": self._stack.scope,
            "state": "the-app's state",
            "code_challenge": challenge_of(Secret(self._verifier)),
            "code_challenge_method": "S256",
            **changes,
        }
        headers = _UNTAPPED if redirect_uri else {}
        return self.ask("GET", "/oauth2/authorize", browser=browser, params=query, headers=headers)

    def come_back(self, browser: requests.Session, location: str, **headers: str) -> requests.Response:
        """Load the callback that Aries' redirect names."""
        there = urlsplit(location)
        return self.ask("GET", f"{there.path}?{there.query}", browser=browser, headers=headers)

    def sign_in(self, path: str = "/oauth2/token") -> dict[str, Any]:
        """Sign the phone in and redeem the code at one of the token endpoints; return the tokens."""
        browser = requests.Session()
        sent = self.authorize(browser)
        landing = self.come_back(browser, approve(browser, sent.headers["Location"], "approve"))
        code = dict(parse_qsl(urlsplit(landing.headers["Location"]).query))["code"]
        form = {"client_id": PHONE, "code": code, "redirect_uri": f"{self._stack.phone}/"}
        self._grant(path, "authorization_code", {**form, "code_verifier": self._verifier})
        self.come_back(browser, landing.request.url or "")
        return dict(self.recorded[-2][2].json())

    def refresh(self, path: str, token: str, **more: str) -> requests.Response:
        """Refresh at one of the token endpoints, as a page of the phone's origin does."""
        return self._grant(path, "refresh_token", {"client_id": PHONE, "refresh_token": token, **more})

    def refresh_while_aries_is_busy(self, path: str) -> None:
        """Refresh until Aries is asked: this happens once the grace after the sign-in is over."""
        token = self.sign_in()["refresh_token"]
        self._stack.aries_simulator.faults.append(Fault("too_many_requests", None, "refresh_token"))
        until = time.monotonic() + _SECONDS
        try:
            while self.refresh(path, token).status_code != requests.codes.unavailable:
                assert time.monotonic() < until, "Aries was not asked"
                time.sleep(0.1)  # The grace may still last.
        finally:
            self._stack.aries_simulator.faults.clear()

    def ask_as_backend(self, handle: str, *, path_of: str = ALERTS, caller: str = ALERTS, **more: Any) -> None:
        """Ask for an access token as the backend of an app, at the path of this or another app."""
        answer = backend.ask(self._stack, handle, path_of=path_of, caller=caller, **more)
        self.recorded.append(("POST", BACKEND_PATH, answer))

    def sign_in_with_backend(self) -> str:
        """Sign a person in to the app with a backend. Return the app's handle."""
        return str(backend.sign_in(self._stack)["backend_handle"])

    def _grant(self, path: str, grant_type: str, members: dict[str, str]) -> requests.Response:
        headers = {"Origin": self._stack.phone}
        if path == "/v1/oauth2/token":
            name = "code" if grant_type == "authorization_code" else grant_type
            return self.ask("POST", path, json={"grant_type": name, **members}, headers=headers)
        return self.ask("POST", path, data={"grant_type": grant_type, **members}, headers=headers)


@contextmanager
def running_answers() -> Iterator[Answers]:
    """Start a stack and ask it nothing yet."""
    with LocalStack(refresh_grace=1, apps={WITHOUT_REFRESH: _APP_WITHOUT_REFRESH}) as stack:
        yield Answers(stack)
