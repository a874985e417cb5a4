"""A person's sign-in in a browser, and the app's half of it."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from secrets import token_urlsafe
from typing import Any
from unittest import mock
from urllib.parse import urlencode

import requests
from playwright.sync_api import Page

from oauth_broker.errors import ServiceUnavailable
from oauth_broker.sessions.table import SignIns
from tests.e2e.stock_clients import Broker, parameters_of
from tests.local.apps import SCOPES
from tests.local.aries import approve

WEB, REACT, MOBILE = "trader-web", "trader-react", "trader-mobile"
APP_SCHEME = "com.example.trader:"
MOBILE_URI = f"{APP_SCHEME}/callback"
_TIMEOUT_SECONDS = 30


class WebBroker(Broker):
    """The broker of the other stock clients, with an app on each origin and an app with a scheme of its own."""

    def __init__(self, web: str, react: str | None = None) -> None:
        """Register the apps."""
        origins = {WEB: web, REACT: react or web}
        pages = {
            client_id: {"redirect_uris": [f"{origin}/callback"], "scopes": list(SCOPES), "origins": [origin]}
            for client_id, origin in origins.items()
        }
        super().__init__({**pages, MOBILE: {"redirect_uris": [MOBILE_URI], "scopes": list(SCOPES)}})

    @contextmanager
    def table_failing(self) -> Iterator[None]:
        """Let DynamoDB refuse every claim of a sign-in, with a failure not worth an immediate retry."""
        with mock.patch.object(SignIns, "claim", side_effect=ServiceUnavailable("dynamodb:refused", retriable=False)):
            yield


@dataclass(frozen=True)
class SignIn:
    """One sign-in of an app, with the app's verifier and state."""

    broker: Broker
    client_id: str
    redirect_uri: str
    state: str = field(default_factory=token_urlsafe)
    verifier: str = field(default_factory=lambda: token_urlsafe(32))

    @property
    def url(self) -> str:
        """Return the authorization URL: the app sends the browser there."""
        challenge = urlsafe_b64encode(sha256(self.verifier.encode()).digest()).rstrip(b"=").decode()
        query = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": self.redirect_uri,
            "scope": " ".join(SCOPES),
            "state": self.state,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        return f"{self.broker.issuer}/oauth2/authorize?{urlencode(query)}"

    def code_in(self, redirect: str) -> str:
        """Return the code from a redirect to the app, and check the other parameters."""
        assert redirect.partition("?")[0] == self.redirect_uri
        parameters = parameters_of(redirect)
        assert (parameters["state"], parameters["iss"]) == (self.state, self.broker.issuer)
        return parameters["code"]

    def redeem(self, code: str) -> dict[str, Any]:
        """Return the answer of the token endpoint. It must be a success."""
        return self._tokens(
            {
                "grant_type": "authorization_code",
                "code": code,
                "redirect_uri": self.redirect_uri,
                "code_verifier": self.verifier,
            }
        )

    def refresh(self, tokens: Mapping[str, Any]) -> dict[str, Any]:
        """Return the answer of the token endpoint. It must be a success."""
        return self._tokens({"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]})

    def _tokens(self, fields: Mapping[str, str]) -> dict[str, Any]:
        with requests.Session() as session:
            session.trust_env = False
            answer = session.post(
                f"{self.broker.issuer}/oauth2/token",
                data={"client_id": self.client_id, **fields},
                timeout=_TIMEOUT_SECONDS,
            )
        assert answer.status_code == 200, answer.text
        tokens: dict[str, Any] = answer.json()
        return tokens


def press(page: Page, decision: str) -> None:
    """Press ``Approve`` or ``Deny`` at Aries. The browser follows the redirect in its own time."""
    page.get_by_role("button", name=decision).click(no_wait_after=True)


def approved_elsewhere(page: Page) -> str:
    """Return Aries' redirect after an approval. The browser itself stays at Aries' page."""
    with requests.Session() as session:
        session.trust_env = False
        return approve(session, page.url)
