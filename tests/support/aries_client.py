"""A client of the Aries simulator, for its own tests: correct requests, and requests with changed members."""

from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import requests

from tests.local.aries import AriesCore, AriesSimulator, approve
from tests.support.pkce import CHALLENGE, VERIFIER

CLIENT_ID = "broker"
CLIENT_SECRET = "client-secret"
REDIRECT_URI = "https://broker.example.com/oauth2/callback"
OTHER_REDIRECT_URI = "https://broker.example.com/other?kept=1"
SCOPES = ("user:information", "account:information", "order:execution")
STATE = "a+/=é &%00\u2028"


def simulator(**settings: Any) -> AriesSimulator:
    core = AriesCore(CLIENT_ID, CLIENT_SECRET, [REDIRECT_URI, OTHER_REDIRECT_URI], scopes=SCOPES, **settings)
    return AriesSimulator(core)


def authorization(**changes: str | None) -> dict[str, str]:
    parameters = {
        "response_type": "code",
        "client_id": CLIENT_ID,
        "redirect_uri": REDIRECT_URI,
        "scope": "account:information order:execution",
        "state": STATE,
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
    } | changes
    return {name: value for name, value in parameters.items() if value is not None}


def authorize_url(aries: AriesSimulator, **changes: str | None) -> str:
    return f"{aries.authorize_url}?{urlencode(authorization(**changes))}"


def answer_in(location: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(location).query, strict_parsing=True).items()}


def approved_code(aries: AriesSimulator, user: str | None = None, **changes: str | None) -> str:
    with requests.Session() as session:
        return answer_in(approve(session, authorize_url(aries, **changes), user=user))["code"]


def code_grant(code: str, /, **changes: object) -> dict[str, object]:
    body: dict[str, object] = {
        "client_id": CLIENT_ID,
        "grant_type": "code",
        "code": code,
        "redirect_uri": REDIRECT_URI,
        "code_verifier": VERIFIER,
    }
    return _changed(body, changes)


def refresh_grant(refresh_token: str, /, **changes: object) -> dict[str, object]:
    body: dict[str, object] = {
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
        "grant_type": "refresh_token",
        "refresh_token": refresh_token,
        "redirect_uri": REDIRECT_URI,
    }
    return _changed(body, changes)


def _changed(body: dict[str, object], changes: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in (body | changes).items() if value is not None}


def post(aries: AriesSimulator, body: dict[str, object], timeout: float = 5) -> requests.Response:
    return requests.post(aries.token_url, json=body, timeout=timeout, allow_redirects=False)


def sign_in(aries: AriesSimulator, **changes: str | None) -> dict[str, str]:
    answer = post(aries, code_grant(approved_code(aries, **changes)))
    assert answer.status_code == 200, answer.text
    tokens: dict[str, str] = answer.json()
    return tokens


def refresh(aries: AriesSimulator, token: str, /, **changes: object) -> requests.Response:
    return post(aries, refresh_grant(token, **changes))


def me(aries: AriesSimulator, access_token: str) -> requests.Response:
    return requests.get(aries.profile_url, headers={"Authorization": f"Bearer {access_token}"}, timeout=5)


def assert_refused(answer: requests.Response, error: str, status: int = 400) -> None:
    assert (answer.status_code, answer.json()["error"]) == (status, error)
    assert set(answer.json()) == {"error", "error_description"}
    assert answer.headers["Cache-Control"] == "no-store"
