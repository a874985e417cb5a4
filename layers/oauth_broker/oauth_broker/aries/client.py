"""The client of Aries' token endpoint (Aries steps 3 and 5), in the endpoint's dialect."""

from __future__ import annotations

import base64
import json
import re
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Literal, TypeGuard
from urllib.parse import quote_plus, urlencode

from oauth_broker.aries.client_secret import ClientSecret
from oauth_broker.aries.transport import NoReply, NotSent, Reply, Transport
from oauth_broker.clock import Clock
from oauth_broker.config.dialect import Outcome, ProviderDialect
from oauth_broker.config.settings import Settings
from oauth_broker.errors import BrokerError, ServiceUnavailable
from oauth_broker.runtime.invocation import Invocation
from oauth_broker.secret import Secret
from oauth_broker.strict_json import parse_object

# The whole call, from the first try to connect to the last byte of the answer.
ARIES_CALL_SECONDS = 10
# The least time left after Aries' answer, to store it.
STORE_SECONDS = 10
# The life of an access token if Aries names none: long enough for use, short enough for a renewal in time.
_DEFAULT_EXPIRES_IN = 900
_LONGEST_EXPIRES_IN = 365 * 24 * 60 * 60
# The pauses if Aries names none: after "too many requests", and while it refuses the broker's client. A person has to
# mend the latter.
_PAUSES = {Outcome.REFUSED: 2, Outcome.MISCONFIGURED: 10}
_LONGEST_RETRY_AFTER = 600
# RFC 6749 appendix A.12 and A.17, less the space; RFC 6749 section 3.3.
_TOKEN = re.compile(r"[!-~]+")
_WHOLE_NUMBER = re.compile(r"\s*([+-]?\d{1,15})")
_SCOPES = re.compile(r"[\x21\x23-\x5B\x5D-\x7E]+( [\x21\x23-\x5B\x5D-\x7E]+)*")


@dataclass(frozen=True, slots=True)
class ProviderTokens:
    """Aries' grant. ``access_token`` is the only required part.

    If Aries sent no refresh token, ``refresh_token`` is None: the old one stays in use. If Aries named no scope,
    ``scope`` is None: the app gets the scope of the request (RFC 6749 section 5.1). If Aries named a malformed scope,
    ``scope`` is '', different from every request. ``expires_in`` is the life of the access token in seconds, and
    ``expires_at`` counts it from before the request was sent. ``is_bearer`` tells whether the access token is a bearer
    token (RFC 6750), as this broker says.
    """

    access_token: Secret
    refresh_token: Secret | None
    expires_in: int
    expires_at: int
    scope: str | None
    is_bearer: bool


class ProviderFailure(BrokerError):
    """Aries granted nothing usable. ``outcome`` is the meaning for the session.

    ``retry_after`` is the pause in seconds named by Aries, or the default after a refusal, or 0. ``answered`` tells
    whether Aries itself answered.
    """

    def __init__(self, outcome: Outcome, reason: str, retry_after: float = 0, *, answered: bool = True) -> None:
        super().__init__(f"provider:{reason}")
        self.outcome = outcome
        self.retry_after = retry_after or _PAUSES.get(outcome, 0)
        self.answered = answered


class Provider:
    """The OAuth client towards Aries. It never repeats a request with an unknown outcome."""

    def __init__(self, settings: Settings, transport: Transport, client_secret: ClientSecret, clock: Clock) -> None:
        self._settings = settings
        self._dialect: ProviderDialect = settings.dialect
        self._transport = transport
        self._client_secret = client_secret
        self._clock = clock

    def exchange(self, code: Secret, verifier: Secret, redirect_uri: str, invocation: Invocation) -> ProviderTokens:
        """Exchange an authorization code, once (Aries step 3).

        Raises ProviderFailure, or ServiceUnavailable before the code is sent.
        """
        parameters = {
            "client_id": self._settings.aries_client_id,
            "grant_type": self._dialect.code_grant_type,
            "code": code.reveal(),
            "redirect_uri": redirect_uri,
            "code_verifier": verifier.reveal(),
        }
        if self._dialect.code_sends_secret:
            parameters["client_secret"] = self._client_secret.current().reveal()
        try:
            return self._grant("code", parameters, invocation)
        except ProviderFailure as failure:
            if failure.outcome is Outcome.MISCONFIGURED and self._dialect.code_sends_secret:
                # A code is sent once, and so not again with a new secret. The next sign-in uses the new secret.
                with suppress(ServiceUnavailable):
                    self._client_secret.reread()
            raise

    def refresh(self, refresh_token: Secret, redirect_uri: str, invocation: Invocation) -> ProviderTokens:
        """Refresh (Aries step 5). Raises ProviderFailure, or ServiceUnavailable if Aries has processed nothing.

        If Aries refuses the client secret, and Secrets Manager has another one by now, the other one is tried once. A
        second try is safe, because Aries processed nothing in the first.
        """
        secret = self._client_secret.current()
        try:
            return self._refresh_with(secret, refresh_token, redirect_uri, invocation)
        except ProviderFailure as failure:
            newer = self._newer_client_secret(secret) if failure.outcome is Outcome.MISCONFIGURED else None
            if newer is None:
                raise
        return self._refresh_with(newer, refresh_token, redirect_uri, invocation)

    def _newer_client_secret(self, refused: Secret) -> Secret | None:
        try:
            newer = self._client_secret.reread()
        except ServiceUnavailable:
            return None
        return None if newer == refused else newer

    def _refresh_with(
        self, secret: Secret, refresh_token: Secret, redirect_uri: str, invocation: Invocation
    ) -> ProviderTokens:
        parameters = {
            "client_id": self._settings.aries_client_id,
            "client_secret": secret.reveal(),
            "grant_type": "refresh_token",
            "refresh_token": refresh_token.reveal(),
        }
        if self._dialect.refresh_sends_redirect_uri:
            parameters["redirect_uri"] = redirect_uri
        return self._grant("refresh", parameters, invocation)

    def _grant(
        self, grant: Literal["code", "refresh"], parameters: dict[str, str], invocation: Invocation
    ) -> ProviderTokens:
        # The last check of the time before the request leaves. The worker needs time to store the answer.
        if invocation.remaining() < ARIES_CALL_SECONDS + STORE_SECONDS:
            raise ServiceUnavailable("too_little_time")
        sent_at = self._clock.now()
        try:
            try:
                reply = self._post(parameters)
            finally:
                milliseconds = (self._clock.now() - sent_at) * 1000
                invocation.measure("ProviderLatency", milliseconds, grant=grant)
            tokens = _tokens(reply, self._dialect, sent_at, self._clock.now())
            if grant == "code" and not tokens.is_bearer:
                # A new sign-in has nothing to lose. A refresh keeps the tokens, because Aries has already rotated them.
                raise ProviderFailure(Outcome.AMBIGUOUS, "token_type")
            return tokens
        except ProviderFailure as failure:
            invocation.count("ProviderErrors", kind=failure.outcome.value)
            invocation.log("provider_failed", level="warning", reason=failure.reason)
            raise

    def _post(self, parameters: dict[str, str]) -> Reply:
        headers: dict[str, str] = {}
        if self._dialect.secret_by_basic:
            headers["authorization"] = _basic(parameters.pop("client_id"), parameters.pop("client_secret"))
        if self._dialect.json_body:
            body, headers["content-type"] = json.dumps(parameters), "application/json"
        else:
            body, headers["content-type"] = urlencode(parameters), "application/x-www-form-urlencoded"
        try:
            return self._transport.post(self._settings.aries_token_url, body.encode(), headers, ARIES_CALL_SECONDS)
        except NotSent as error:
            raise ProviderFailure(Outcome.REFUSED, f"not_sent:{error}", answered=False) from error
        except NoReply as error:
            raise ProviderFailure(Outcome.AMBIGUOUS, f"no_reply:{error}", answered=False) from error


def _basic(client_id: str, client_secret: str) -> str:
    """Return the value of ``Authorization``: each part as in a form, and then Basic (RFC 6749 section 2.3.1)."""
    credentials = f"{quote_plus(client_id)}:{quote_plus(client_secret)}"
    return f"Basic {base64.b64encode(credentials.encode()).decode()}"


def _tokens(reply: Reply, dialect: ProviderDialect, sent_at: float, now: float) -> ProviderTokens:
    try:
        members = parse_object(reply.body)
    except ValueError:
        members = {}
    # A 201 has tokens, too. If the broker refused it, a rotated refresh token would be lost.
    if not HTTPStatus.OK <= reply.status < HTTPStatus.MULTIPLE_CHOICES:
        error = members.get("error")
        outcome = dialect.outcome(reply.status, error)
        known = error if error in ("invalid_grant", "invalid_client") else "other"
        raise ProviderFailure(outcome, f"status_{reply.status}:{known}", _retry_after(reply.retry_after, now))
    access_token, refresh_token = members.get("access_token"), members.get("refresh_token")
    scope = members.get("scope")
    if not _is_token(access_token):
        # Aries may have committed all the same, so the outcome is unknown.
        raise ProviderFailure(Outcome.AMBIGUOUS, "malformed_answer")
    expires_in = _expires_in(members.get("expires_in"))
    return ProviderTokens(
        access_token=Secret(access_token),
        refresh_token=Secret(refresh_token) if _is_token(refresh_token) else None,
        expires_in=expires_in,
        expires_at=int(sent_at) + expires_in,
        scope=scope if scope is None or (isinstance(scope, str) and _SCOPES.fullmatch(scope)) else "",
        is_bearer=str(members.get("token_type", "Bearer")).lower() == "bearer",
    )


def _retry_after(text: str, now: float) -> float:
    """Return the seconds of a ``Retry-After`` (RFC 9110 section 10.2.3), at most ten minutes, or 0 if there is none."""
    if re.fullmatch(r"[0-9]{1,9}", text):
        seconds = float(text)
    else:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - now
        except (TypeError, ValueError, OverflowError):
            return 0
    return min(max(0.0, seconds), _LONGEST_RETRY_AFTER)


def _is_token(value: Any) -> TypeGuard[str]:
    return isinstance(value, str) and _TOKEN.fullmatch(value) is not None


def _expires_in(value: Any) -> int:
    """Return the life of an access token in whole seconds, as Aries said, and at least one second.

    Some servers send the number as a string. If the string goes on after the number ("300s", "300.5"), the whole number
    at its beginning counts. The default replaces a value without a number or of more than a year, and so is never
    longer than Aries said.
    """
    if isinstance(value, str):
        begun = _WHOLE_NUMBER.match(value)
        value = int(begun[1]) if begun else None
    # bool is a number to Python, not to JSON.
    if isinstance(value, bool):
        return _DEFAULT_EXPIRES_IN
    try:
        seconds = float(value)
    except (TypeError, ValueError, OverflowError):
        return _DEFAULT_EXPIRES_IN
    return int(max(1, seconds)) if seconds <= _LONGEST_EXPIRES_IN else _DEFAULT_EXPIRES_IN
