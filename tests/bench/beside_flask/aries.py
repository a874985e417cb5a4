"""Aries by its documentation: PKCE, JSON instead of forms, and a client secret for a refresh alone."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import requests
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from aws_lambda_powertools.metrics import MetricUnit

from tests.bench.beside_flask.telemetry import metrics

_SECONDS = 10


class AriesUnavailable(Exception):
    """Aries is out of reach, or its answer is of no use. The caller may try again."""


class AriesRefused(Exception):
    """Aries refuses the code or the refresh token."""


@dataclass(frozen=True)
class AriesTokens:
    """The tokens of a person. The access token expires at ``expires_at``, in seconds since the epoch."""

    access_token: str
    refresh_token: str
    expires_at: int
    scope: str


class Aries:
    """The OAuth client. All requests share an HTTP session."""

    def __init__(self, config: dict[str, str], client_secret: Callable[[], str]) -> None:
        self._client_id = config["ARIES_CLIENT_ID"]
        self._authorize_url = config["ARIES_AUTHORIZE_URL"]
        self._token_url = config["ARIES_TOKEN_URL"]
        self._redirect_uri = f"{config['ISSUER']}/oauth2/callback"
        self._client_secret = client_secret
        self._http = requests.Session()
        # There is no proxy and no .netrc, and looking for them takes time at every request.
        self._http.trust_env = False

    def authorization_url(self, state: str, scope: str, code_verifier: str) -> str:
        """Return the URL for the person's approval (step 1)."""
        url: str = prepare_grant_uri(
            self._authorize_url,
            self._client_id,
            "code",
            redirect_uri=self._redirect_uri,
            scope=scope,
            state=state,
            code_challenge=create_s256_code_challenge(code_verifier),
            code_challenge_method="S256",
        )
        return url

    def exchange(self, code: str, code_verifier: str) -> AriesTokens:
        """Exchange the code of a callback (step 3)."""
        answer = self._post({"grant_type": "code", "code": code, "code_verifier": code_verifier})
        return _tokens(answer, {})

    def refresh(self, tokens: AriesTokens) -> AriesTokens:
        """Get new tokens for old ones (step 5)."""
        answer = self._post(
            {
                "grant_type": "refresh_token",
                "refresh_token": tokens.refresh_token,
                "client_secret": self._client_secret(),
            }
        )
        return _tokens(answer, {"refresh_token": tokens.refresh_token, "scope": tokens.scope})

    def _post(self, body: dict[str, str]) -> dict[str, Any]:
        sent = {"client_id": self._client_id, "redirect_uri": self._redirect_uri, **body}
        begun = time.monotonic()
        try:
            response = self._http.post(self._token_url, json=sent, timeout=_SECONDS, allow_redirects=False)
            answer: dict[str, Any] = response.json()
        except (requests.RequestException, ValueError) as error:
            raise AriesUnavailable from error
        finally:
            taken = round((time.monotonic() - begun) * 1000)
            metrics.add_metric(name="AriesLatency", unit=MetricUnit.Milliseconds, value=taken)
        if response.status_code == HTTPStatus.OK:
            return answer
        if answer.get("error") == "invalid_grant":
            raise AriesRefused
        raise AriesUnavailable(response.status_code)


def _tokens(answer: dict[str, Any], defaults: dict[str, str]) -> AriesTokens:
    try:
        found = {**defaults, **answer}
        expires_at = int(time.time()) + int(found["expires_in"])
        return AriesTokens(found["access_token"], found["refresh_token"], expires_at, found["scope"])
    except (KeyError, TypeError, ValueError) as error:
        raise AriesUnavailable from error
