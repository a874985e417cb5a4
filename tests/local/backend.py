"""The app ``trader-alerts`` and its backend: a sign-in in few lines, and requests that the backend signs."""

from __future__ import annotations

import json
import secrets
from base64 import urlsafe_b64encode
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qs, urlsplit

import requests
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.local.apps import ALERTS
from tests.local.aries import approve
from tests.local.aws import REGION
from tests.local.stack import LocalStack

_TIMEOUT_SECONDS = 30


def sign_in(stack: LocalStack, client_id: str = ALERTS) -> dict[str, Any]:
    """Sign a person in to an app of the stack, and return the app's tokens."""
    redirect_uri, verifier = stack.apps[client_id]["redirect_uris"][0], secrets.token_urlsafe(32)
    query = {
        "response_type": "code",
        "client_id": client_id,
        "redirect_uri": redirect_uri,
        "scope": stack.scope,
        "state": "state",
        "code_challenge": urlsafe_b64encode(sha256(verifier.encode()).digest()).rstrip(b"=").decode(),
        "code_challenge_method": "S256",
    }
    browser = requests.Session()
    begun = browser.get(
        f"{stack.issuer}/oauth2/authorize", params=query, allow_redirects=False, timeout=_TIMEOUT_SECONDS
    )
    back = approve(browser, begun.headers["Location"], "approve")
    finished = browser.get(back, allow_redirects=False, timeout=_TIMEOUT_SECONDS)
    form = {
        "grant_type": "authorization_code",
        "client_id": client_id,
        "code": parse_qs(urlsplit(finished.headers["Location"]).query)["code"][0],
        "redirect_uri": redirect_uri,
        "code_verifier": verifier,
    }
    answer = requests.post(f"{stack.issuer}/oauth2/token", data=form, timeout=_TIMEOUT_SECONDS)
    answer.raise_for_status()
    tokens: dict[str, Any] = answer.json()
    return tokens


def token_url(stack: LocalStack, client_id: str = ALERTS) -> str:
    """Return the URL for the backend of an app."""
    return f"{stack.issuer}/backend/{client_id}/token"


def signed(credentials: Credentials, url: str, body: str, region: str = REGION) -> dict[str, str]:
    """Return the headers of a backend's request, with its signature."""
    request = AWSRequest("POST", url, headers={"Content-Type": "application/json"}, data=body)
    SigV4Auth(credentials, "execute-api", region).add_auth(request)
    return dict(request.headers)


def ask(stack: LocalStack, handle: str, *, path_of: str = ALERTS, caller: str = ALERTS, **more: Any) -> Any:
    """Ask for an access token as the backend of ``caller``, at the path of the app ``path_of``."""
    url, body = token_url(stack, path_of), json.dumps({"backend_handle": handle, **more})
    headers = signed(stack.iam.credentials_of(caller), url, body)
    return requests.post(url, data=body, headers=headers, timeout=_TIMEOUT_SECONDS)
