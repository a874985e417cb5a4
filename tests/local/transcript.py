"""A complete sign-in over real HTTP, shown step by step. Every step is checked, and secrets are masked."""

from __future__ import annotations

import secrets
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256
from http import HTTPStatus
from typing import Any, Literal, TextIO
from urllib.parse import parse_qsl, urlencode, urlsplit

import requests

from oauth_broker.oauth.tokens import secret_name
from oauth_broker.secret import session_reference
from tests.local.apps import ALERTS, PHONE
from tests.local.aries import approve
from tests.local.backend import ask, sign_in, token_url
from tests.local.stack import LocalStack

# These are shown in full. All other values are masked.
_PUBLIC = frozenset(
    [
        "authorization_endpoint",
        "body",
        "client_id",
        "code_challenge_method",
        "email",
        "error",
        "error_description",
        "expires_in",
        "grant_type",
        "id",
        "iss",
        "issuer",
        "location",
        "message",
        "name",
        "redirect_uri",
        "request_id",
        "response_type",
        "revocation_endpoint",
        "scope",
        "token_endpoint",
        "token_type",
    ]
)
_TIMEOUT_SECONDS = 30
_PLACES = {
    "secrets": "Aries' tokens are in the session's secret",
    "row": "Aries' tokens are sealed in the session's row; the session has no secret",
    "nothing": "the broker has no tokens of Aries any more",
}


class StepFailed(Exception):
    """The answer to a step differs from the expected one."""


class Transcript:
    """A sign-in of the ``phone`` app, from discovery to the refusal of a revoked token, and a backend's requests."""

    def __init__(self, stack: LocalStack, out: TextIO) -> None:
        """Sign in at ``stack``, and write the steps to ``out``."""
        self._stack = stack
        self._out = out
        self._browser = requests.Session()
        self._app = requests.Session()
        self._redirect_uri = f"{stack.phone}/"
        self._state = secrets.token_urlsafe(16)
        self._verifier = secrets.token_urlsafe(32)
        self._server: dict[str, Any] = {}
        self._location = ""
        self._tokens: dict[str, Any] = {}
        self._before: dict[str, Any] = {}

    def play(self) -> bool:
        """Do all steps. If a step fails, stop and return False."""
        for number, (title, step) in enumerate(self._steps(), 1):
            self._out.write(f"\n{number:>2}  {title}\n")
            try:
                step()
            except (StepFailed, requests.RequestException, ValueError, KeyError) as failure:
                # The text of another failure may contain a URL with a code.
                why = failure if isinstance(failure, StepFailed) else type(failure).__name__
                self._out.write(f"    FAILED: {why}\n")
                return False
            finally:
                self._out.flush()
        return True

    def _steps(self) -> Iterable[tuple[str, Callable[[], None]]]:
        return (
            ("The app discovers the broker", self._discover),
            (
                "The app sends the browser to the broker; the broker saves the sign-in and sends the browser to Aries",
                self._authorize,
            ),
            ("The person approves at Aries", self._approve),
            (
                "The browser comes back; the broker exchanges Aries' code and gives the app a code of its own",
                self._callback,
            ),
            ("The app redeems the code with its own verifier", self._redeem),
            ("The app calls Aries with the access token", self._who_am_i),
            ("The app refreshes; the broker refreshes at Aries with the client secret", self._refresh),
            (
                "The answer was lost: the app repeats the refresh and gets the identical answer",
                self._refresh_again,
            ),
            ("The app signs out", self._revoke),
            ("The session is over: its refresh token is refused", self._refresh_after_revoke),
            *self._backend_steps(),
        )

    def _backend_steps(self) -> Iterable[tuple[str, Callable[[], None]]]:
        if not self._stack.asks_iam:
            # `sam local start-api` asks nobody, and the function serves no request without an identity.
            return (("A backend without an identity of IAM is refused", self._ask_without_identity),)
        return (
            ("Another app has a backend: it signs in, and gives its backend the handle", self._sign_in_with_backend),
            ("The app is closed; its backend signs a request and gets an access token", self._ask_as_backend),
            ("The backend of this app may not ask for the tokens of another", self._ask_for_another_app),
            ("The app signs out; its backend is told that the user must sign in", self._ask_after_sign_out),
        )

    def _sign_in_with_backend(self) -> None:
        self._tokens = sign_in(self._stack)
        self._show(HTTPStatus.OK, self._tokens)
        if not isinstance(self._tokens.get("backend_handle"), str):
            raise StepFailed("backend_handle: expected a string, got none")

    def _ask_as_backend(self) -> None:
        answer = _json(self._ask(ALERTS), 200)
        expect("members", sorted(answer), ["access_token", "expires_in", "scope"])
        self._show(HTTPStatus.OK, answer)
        if answer["access_token"] != self._tokens["access_token"]:
            raise StepFailed("access_token: expected the one of the app, got another")
        self._checked("the access token is the app's own, which lives long enough; there is no refresh token")

    def _ask_for_another_app(self) -> None:
        self._show(HTTPStatus.FORBIDDEN, _json(self._ask(PHONE), 403))

    def _ask_after_sign_out(self) -> None:
        form = {"client_id": ALERTS, "token": self._tokens["refresh_token"]}
        _json(self._send(self._app, "POST", self._server["revocation_endpoint"], shown=form, data=form), 200)
        refusal = _json(self._ask(ALERTS), 400)
        expect("error", refusal.get("error"), "sign_in_required")
        self._show(HTTPStatus.BAD_REQUEST, refusal)

    def _ask_without_identity(self) -> None:
        answer = self._send(self._app, "POST", token_url(self._stack), json={"backend_handle": "none"})
        expect("error", _json(answer, 403).get("error"), "access_denied")
        self._show(HTTPStatus.FORBIDDEN, answer.json())

    def _ask(self, path_of: str) -> requests.Response:
        self._out.write(f"    POST {token_url(self._stack, path_of)} (signed)\n")
        self._write({"backend_handle": self._tokens["backend_handle"]})
        answer: requests.Response = ask(self._stack, self._tokens["backend_handle"], path_of=path_of)
        return answer

    def _discover(self) -> None:
        answer = self._send(self._app, "GET", f"{self._stack.issuer}/.well-known/oauth-authorization-server")
        self._server = _json(answer, 200)
        expect("issuer", self._server.get("issuer"), self._stack.issuer)
        endpoints = ("authorization_endpoint", "token_endpoint", "revocation_endpoint")
        self._show(answer.status_code, {name: self._server[name] for name in ("issuer", *endpoints)})

    def _authorize(self) -> None:
        query = {
            "response_type": "code",
            "client_id": PHONE,
            "redirect_uri": self._redirect_uri,
            "scope": self._stack.scope,
            "state": self._state,
            "code_challenge": urlsafe_b64encode(sha256(self._verifier.encode()).digest()).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        }
        url = f"{self._server['authorization_endpoint']}?{urlencode(query)}"
        answer = self._send(self._browser, "GET", url, shown=query)
        sent = self._redirected(answer, f"{self._stack.aries}/oauth2/authorize")
        expect("code_challenge_method", sent.get("code_challenge_method"), "S256")
        for name in ("state", "code_challenge"):
            if not sent.get(name) or sent[name] == query[name]:
                raise StepFailed(f"{name}: expected the broker's own, got the app's or none")
        self._checked("state and code challenge are the broker's own, not the app's")

    def _approve(self) -> None:
        self._out.write(f"    POST {_without_query(self._location)}\n")
        self._location = approve(self._browser, self._location, "approve")
        expect("redirect", _without_query(self._location), f"{self._stack.issuer}/oauth2/callback")
        self._show(302, {"location": _without_query(self._location), **_query(self._location)})

    def _callback(self) -> None:
        given = _query(self._location)
        answer = self._send(self._browser, "GET", self._location, shown=given)
        answered = self._redirected(answer, self._redirect_uri)
        expect("state", answered.get("state"), self._state)
        expect("iss", answered.get("iss"), self._stack.issuer)
        if not answered.get("code") or answered["code"] == given["code"]:
            raise StepFailed("code: expected the broker's own, got Aries' or none")
        self._checked("state is the app's, iss is the broker, and the code is the broker's own")

    def _redeem(self) -> None:
        self._tokens = self._ask_for_tokens(
            grant_type="authorization_code",
            code=_query(self._location)["code"],
            redirect_uri=self._redirect_uri,
            code_verifier=self._verifier,
        )
        self._expect_tokens_in(self._stack.token_store)
        self._out.write(f"    the log and the operator call this session {session_reference(self._session_id())}\n")

    def _who_am_i(self) -> None:
        bearer = {"Authorization": f"Bearer {self._tokens['access_token']}"}
        answer = self._send(self._app, "GET", f"{self._stack.aries}/v1/users/me", headers=bearer)
        self._show(answer.status_code, _json(answer, 200))

    def _refresh(self) -> None:
        # Within the grace, a refresh is answered from the stored tokens, and does not reach Aries.
        time.sleep(self._stack.refresh_grace + 0.2)
        self._before = self._tokens
        self._tokens = self._refresh_with(self._before["refresh_token"], calls_to_aries=1)
        for name in ("access_token", "refresh_token"):
            if self._tokens[name] == self._before[name]:
                raise StepFailed(f"{name}: expected a new one, got the old one")
        self._checked("both tokens are new; Aries was asked once")
        self._expect_tokens_in(self._stack.token_store)

    def _refresh_again(self) -> None:
        again = self._refresh_with(self._before["refresh_token"], calls_to_aries=0)
        for name in ("access_token", "refresh_token", "token_type", "scope"):
            if again[name] != self._tokens[name]:
                raise StepFailed(f"{name}: expected the same again, got another")
        self._checked("both tokens are the same as in the last answer; Aries was not asked")

    def _refresh_with(self, refresh_token: str, *, calls_to_aries: int) -> dict[str, Any]:
        before = self._stack.aries_simulator.refresh_calls
        tokens = self._ask_for_tokens(grant_type="refresh_token", refresh_token=refresh_token)
        expect("refreshes at Aries", self._stack.aries_simulator.refresh_calls - before, calls_to_aries)
        return tokens

    def _revoke(self) -> None:
        form = {"client_id": PHONE, "token": self._tokens["refresh_token"]}
        answer = self._send(self._app, "POST", self._server["revocation_endpoint"], shown=form, data=form)
        expect("body", _json(answer, 200), {})
        self._show(answer.status_code, {"body": answer.text})
        self._expect_tokens_in("nothing")

    def _refresh_after_revoke(self) -> None:
        form = self._token_request(grant_type="refresh_token", refresh_token=self._tokens["refresh_token"])
        answer = self._send(self._app, "POST", self._server["token_endpoint"], shown=form, data=form)
        refusal = _json(answer, 400)
        expect("error", refusal.get("error"), "invalid_grant")
        self._show(answer.status_code, refusal)

    def _expect_tokens_in(self, place: Literal["secrets", "row", "nothing"]) -> None:
        """Check the place of Aries' tokens, and say it."""
        key = {"session_id": {"S": self._session_id()}}
        row = self._stack.client("dynamodb").get_item(TableName=self._stack.table, Key=key)["Item"]
        listed = self._stack.client("secretsmanager").get_paginator("list_secrets").paginate()
        # The name of a session's secret does not show the session id.
        name = secret_name("", self._session_id())
        made = sum(secret["Name"].endswith(name) for page in listed for secret in page["SecretList"])
        expect("secrets of the session", made, int(place == "secrets"))
        expect("seals in its row", int("sealed" in row), int(place == "row"))
        self._checked(_PLACES[place])

    def _session_id(self) -> str:
        session_id, _, _ = self._tokens["refresh_token"].partition(".")
        return str(session_id)

    def _token_request(self, **fields: str) -> dict[str, str]:
        return {"client_id": PHONE, **fields}

    def _ask_for_tokens(self, **fields: str) -> dict[str, Any]:
        form = self._token_request(**fields)
        answer = self._send(self._app, "POST", self._server["token_endpoint"], shown=form, data=form)
        tokens = _json(answer, 200)
        expect("token_type", tokens.get("token_type"), "Bearer")
        expect("cache-control", answer.headers.get("Cache-Control"), "no-store")
        for name in ("access_token", "refresh_token"):
            if not isinstance(tokens.get(name), str):
                raise StepFailed(f"{name}: expected a string, got none")
        self._show(answer.status_code, tokens)
        return tokens

    def _send(
        self, session: requests.Session, method: str, url: str, shown: Mapping[str, Any] | None = None, **more: Any
    ) -> requests.Response:
        self._out.write(f"    {method:<4} {_without_query(url)}\n")
        self._write(shown or {})
        return session.request(method, url, allow_redirects=False, timeout=_TIMEOUT_SECONDS, **more)

    def _redirected(self, answer: requests.Response, target: str) -> dict[str, str]:
        """Check for a redirect to ``target`` and return its parameters."""
        expect("status", answer.status_code, 302)
        self._location = answer.headers["Location"]
        expect("location", _without_query(self._location), target)
        parameters = _query(self._location)
        cookies = {"cookie": next(iter(answer.cookies)).value} if answer.cookies else {}
        self._show(answer.status_code, {"location": target, **parameters, **cookies})
        return parameters

    def _checked(self, what: str) -> None:
        self._out.write(f"    checked: {what}\n")

    def _show(self, status: int, facts: Mapping[str, Any]) -> None:
        self._out.write(f"    {status}\n")
        self._write(facts)

    def _write(self, facts: Mapping[str, Any]) -> None:
        for name, value in facts.items():
            self._out.write(f"         {name:<22} {value if name in _PUBLIC else mask(value)}\n")


def mask(secret: Any) -> str:
    """Show the first four characters alone."""
    return f"{str(secret)[:4]}..."


def expect(what: str, got: object, expected: object) -> None:
    """Raise StepFailed unless ``got`` is ``expected``. The error shows both values: pass no secret."""
    if got != expected:
        raise StepFailed(f"{what}: expected {expected!r}, got {got!r}")


def _json(answer: requests.Response, status: int) -> dict[str, Any]:
    if answer.status_code != status:
        # The text of a refusal helps. Another answer may hold secrets.
        words = answer.text[:300] if answer.status_code >= HTTPStatus.BAD_REQUEST else ""
        raise StepFailed(f"status: expected {status}, got {answer.status_code} {words}")
    content: dict[str, Any] = answer.json()
    return content


def _without_query(url: str) -> str:
    return urlsplit(url)._replace(query="").geturl()


def _query(url: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(url).query))
