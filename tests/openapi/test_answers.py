"""Real answers, also of whole sign-ins, match the document, and every answer in the document occurs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.local.aries import approve
from tests.openapi.answers import BACKEND_PATH, TOKEN_PATHS, WITHOUT_REFRESH, Answers, running_answers
from tests.openapi.document import answer_errors, document, operations

pytestmark = pytest.mark.openapi

_SESSION_PATHS = ("/oauth2/sessions", "/oauth2/sessions/revoke")
_POSTS = (*TOKEN_PATHS, "/oauth2/revoke", *_SESSION_PATHS)
_CUSTOM_SCHEME = "com.example.trader:/callback"
# This stack cannot give these answers; the values say why.
_UNSEEN = {
    "404": "told to a foreign host name, where DomainName is set, or by API Gateway for a method without a route",
    "429": "API Gateway's own",
    "500": "a bug, or API Gateway's own",
}


@pytest.fixture(scope="module")
def answers() -> Iterator[Answers]:
    with running_answers() as asked:
        _browser_legs(asked)
        _tokens(asked)
        _sessions(asked)
        _refusals(asked)
        _documents(asked)
        _backends(asked)
        yield asked


def _browser_legs(asked: Answers) -> None:
    browser = requests.Session()
    denied = asked.authorize(browser).headers["Location"]
    asked.come_back(browser, approve(browser, denied, "deny"))
    tapless = asked.authorize(browser, _CUSTOM_SCHEME).headers["Location"]
    landing = approve(browser, tapless, "approve")
    untapped = {"Sec-Fetch-Mode": "navigate", "Sec-CH-UA": '"Chromium"'}
    asked.come_back(browser, landing, **{"Sec-Purpose": "prefetch"})
    asked.come_back(requests.Session(), landing)
    asked.come_back(browser, landing, **untapped)
    asked.authorize(browser, _CUSTOM_SCHEME, scope="unknown")
    asked.authorize(browser, scope="unknown")
    asked.authorize(browser, prompt="none")
    asked.authorize(browser, client_id="unknown")
    asked.ask("GET", "/oauth2/authorize", headers={"Sec-Purpose": "prefetch"})
    for _ in range(7):  # The broker then removes the cookies of the oldest sign-ins.
        asked.authorize(browser)


def _tokens(asked: Answers) -> None:
    for path in TOKEN_PATHS:
        tokens = asked.sign_in("/oauth2/token" if path == "/oauth2/refresh" else path)
        asked.refresh(path, tokens["refresh_token"])
        asked.refresh(path, tokens["refresh_token"], scope="another")
        asked.refresh(path, tokens["refresh_token"], client_id=WITHOUT_REFRESH)
        asked.ask("POST", "/oauth2/revoke", data={"client_id": "phone", "token": tokens["refresh_token"]})
        asked.refresh(path, tokens["refresh_token"])
        asked.refresh_while_aries_is_busy(path)


def _sessions(asked: Answers) -> None:
    forms = [{"client_id": "phone", "token": asked.sign_in()["refresh_token"]} for _ in range(2)]
    first, second = forms
    (name,) = (one["session"] for one in asked.ask("POST", "/oauth2/sessions", data=first).json()["sessions"][1:2])
    for more in ({"session": name}, {"others": "true"}, {}):
        asked.ask("POST", "/oauth2/sessions/revoke", data=first | more)
    for path in _SESSION_PATHS:
        asked.ask("POST", path, data=second | {"others": "true"})


def _refusals(asked: Answers) -> None:
    for path in _POSTS:
        unknown = {"grant_type": "refresh_token", "client_id": "unknown", "refresh_token": "x", "token": "x"}
        body: dict[str, Any] = {"json": unknown} if path.startswith("/v1") else {"data": unknown}
        asked.ask("POST", path, **body)
        asked.ask("POST", path, **body, auth=("unknown", ""))
        asked.ask("POST", path)
        for method in ("GET", "PUT", "PATCH", "DELETE"):
            asked.ask(method, path, of="POST")


def _backends(asked: Answers) -> None:
    handle = asked.sign_in_with_backend()
    asked.ask_as_backend(handle)
    asked.ask_as_backend(handle, scope="unknown")
    asked.ask_as_backend(handle, min_seconds=1)
    asked.ask_as_backend("no handle")
    asked.ask_as_backend(handle, path_of="phone")


def _documents(asked: Answers) -> None:
    preflight = {"Access-Control-Request-Method": "POST"}
    for method, path, _ in operations():
        if method == "OPTIONS":
            for origin in (asked.origin, "https://foreign.example.com"):
                asked.ask("OPTIONS", path, headers={**preflight, "Origin": origin})
                headers = {"Origin": origin, "Access-Control-Request-Headers": "cache-control,sentry-trace"}
                asked.ask("OPTIONS", path, headers={**preflight, **headers})
        elif path not in (*_POSTS, BACKEND_PATH, "/oauth2/authorize", "/oauth2/callback"):
            asked.ask("GET", path, headers={"Origin": asked.origin})


def test_every_answer_is_what_the_document_says(answers: Answers) -> None:
    assert [error for kept in answers.recorded for error in answer_errors(*kept)] == []


def test_every_answer_that_the_document_lists_is_seen_or_has_a_reason_not_to_be(answers: Answers) -> None:
    seen = {(method, path, str(answer.status_code)) for method, path, answer in answers.recorded}
    listed = {(method, path, status) for method, path, operation in operations() for status in operation["responses"]}

    assert {one for one in listed - seen if not _cannot_be_seen(*one)} == set()


def test_a_method_that_is_not_served_gets_405_wherever_any_method_is_routed(answers: Answers) -> None:
    wrong = [
        answer
        for _, path, answer in answers.recorded
        if path in _POSTS and answer.request.method not in ("POST", "OPTIONS")
    ]

    assert len(wrong) == 4 * len(_POSTS)
    assert {answer.status_code for answer in wrong} == {405}


def test_every_error_code_that_the_document_lists_for_a_grant_is_seen(answers: Answers) -> None:
    listed = set(document()["components"]["schemas"]["GrantError"]["properties"]["error"]["enum"])
    answers.ask("POST", "/oauth2/token", data={"grant_type": "password"})

    assert {
        answer.json()["error"]
        for _, path, answer in answers.recorded
        if path in TOKEN_PATHS and answer.status_code == 400
    } == listed


def _cannot_be_seen(method: str, path: str, status: str) -> bool:
    if status in _UNSEEN:
        return True
    if (path, status) == ("/oauth2/sessions/revoke", "403"):
        # The session would have to be a quarter of an hour old.
        return True
    # If an endpoint asks Aries, a test can make it fail. Any other endpoint fails only with AWS or API Gateway.
    return status == "503" and (path not in TOKEN_PATHS or method == "OPTIONS")
