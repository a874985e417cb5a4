"""The operator's check of a deployed stack: it tests the settings, and the services behind them.

`operations.checked_configuration` checks the settings alone, while CloudFormation deploys.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from oauth_broker.aries.client import ARIES_CALL_SECONDS, Provider, ProviderFailure
from oauth_broker.aries.client_secret import ClientSecret
from oauth_broker.aries.transport import NoReply, NotSent, RequestsTransport
from oauth_broker.config.dialect import Outcome
from oauth_broker.config.settings import Settings
from oauth_broker.errors import BrokerError, ConfigurationError
from oauth_broker.operator.account_limits import KMS_QUOTA, AccountLimits
from oauth_broker.operator.dead_letters import DeadLetters
from oauth_broker.operator.search import SessionSearch
from oauth_broker.people.subjects import Subjects
from oauth_broker.runtime.invocation import Invocation, Level
from oauth_broker.secret import Secret
from oauth_broker.sessions.not_before import EVERYONE, NotBefore

if TYPE_CHECKING:
    from oauth_broker.events.bus import EventBus

# A refresh token that Aries never issued. As a verifier, it has the right form.
_MADE_UP = Secret("made-up-by-the-configuration-check-of-the-broker")
# The form of a reference, and no session has it.
_NO_REFERENCE = "0" * 16
# Concurrent executions of a whole account in a region. A new account has 10. The API's throttling lets in more than
# this many requests a second, and each takes some 0.3 seconds.
_LEAST_CONCURRENCY = 100
# Cryptographic operations of KMS in a second. The API lets in 600 refreshes and 400 callbacks a second. A refresh takes
# two operations, and a callback one.
_LEAST_KMS_REQUESTS = 1600
# Aries refuses a request without parameters, but with neither status.
_NOTHING_THERE = (HTTPStatus.NOT_FOUND, HTTPStatus.GONE)

_NOBODY_ASKED = "AriesUserUrl is empty: the deployment asks nobody whose session it is"

_MEANINGS = {
    Outcome.DEAD: "Aries answers, and accepts the client id and secret",
    Outcome.MISCONFIGURED: "Aries refuses the client id or the client secret: compare them with Client Center",
    Outcome.REFUSED: "Aries was not reached, or asks for fewer requests: repeat the check in a minute",
    Outcome.UNKNOWN_ERROR: "the broker does not know this answer of Aries: check the parameter ProviderDialect, or add "
    "the outcome to layers/oauth_broker/oauth_broker/config/dialect.py",
    Outcome.AMBIGUOUS: "Aries gives no readable answer: repeat the check in a minute",
}


@dataclass(frozen=True, slots=True)
class Check:
    """One check. ``detail`` says what it found."""

    name: str
    ok: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Unread:
    """Makers of parts that have read no secret yet, because a check must see the stored one."""

    client_secret: Callable[[], ClientSecret]
    provider: Callable[[], Provider]
    subjects: Callable[[], Subjects]


class _Wrong(BrokerError):
    """A check found a fault."""


class ConfigurationChecks:
    """Runs every check, even if an earlier one fails. It changes nothing."""

    def __init__(
        self,
        settings: Settings,
        not_before: NotBefore,
        search: SessionSearch,
        unread: Unread,
        dead_letters: DeadLetters | None,
        transport: RequestsTransport,
        bus: EventBus | None,
    ) -> None:
        self._settings = settings
        self._not_before = not_before
        self._search = search
        self._unread = unread
        self._limits = AccountLimits()
        self._dead_letters = dead_letters
        self._transport = transport
        self._bus = bus

    def __call__(self) -> dict[str, Any]:
        """Return the result of every check, and ``ok``: true if all are."""
        looks: dict[str, Callable[[], str]] = {
            "settings": lambda: "all variables are well-formed",
            "apps": self._apps,
            "issuer": self._issuer,
            "table": self._table,
            "index": self._index,
            "dead_letters": self._letters,
            "concurrency": self._concurrency,
            "kms": self._kms,
            "event_bus": self._event_bus,
            "client_secret": self._client_secret,
            "aries_authorize": self._authorize_url,
            "aries_token": self._token_url,
            "subject_key": self._subject_key,
            "aries_user": self._user_url,
        }
        return _report([_checked(name, look) for name, look in looks.items()])

    def _apps(self) -> str:
        return ", ".join(
            f"{client.client_id} ({len(client.redirect_uris)} redirect URI{'s' * (len(client.redirect_uris) > 1)})"
            for client in self._settings.registry.clients
        )

    def _issuer(self) -> str:
        if not self._settings.issuer:
            return (
                "the issuer is the name that API Gateway gives: see the stack's outputs for it, and for the redirect "
                "URI to register with Aries"
            )
        return f"{self._settings.issuer}; the redirect URI to register with Aries is {self._redirect_uri()}"

    def _redirect_uri(self) -> str:
        # The name that API Gateway gives is unknown here. A made-up name will do, because Aries refuses the made-up
        # token in any case.
        return f"{self._settings.issuer_for('broker.invalid')}/oauth2/callback"

    def _table(self) -> str:
        self._not_before.current(EVERYONE)
        return f"{self._settings.table_name} can be read"

    def _index(self) -> str:
        self._search.find(_NO_REFERENCE)
        return "sessions can be found by their reference"

    def _letters(self) -> str:
        if self._dead_letters is None:
            raise _Wrong("DEAD_LETTER_QUEUE_URL is empty. The template sets it: deploy the stack again")
        count = self._dead_letters.count()
        return "the queue is empty" if not count else f'the queue has about {count} letters: use the action "redrive"'

    def _concurrency(self) -> str:
        limit = self._limits.concurrent_executions()
        found = f"all functions of the account may run {limit} times at once in this region"
        if limit < _LEAST_CONCURRENCY:
            raise _Wrong(f"{found}: request 1,000 (Service Quotas, Lambda, Concurrent executions, L-B99A9384)")
        return found

    def _kms(self) -> str:
        if not self._settings.tokens_in_row:
            return "new sign-ins keep their tokens in Secrets Manager, and hardly any request needs KMS itself"
        limit = self._limits.kms_requests()
        found = f"KMS serves {limit:,} operations a second to the whole account in this region, and a refresh takes 2"
        if limit < _LEAST_KMS_REQUESTS:
            raise _Wrong(
                f"{found}: request more (Service Quotas, AWS KMS, Cryptographic operations (symmetric) request rate, "
                f"{KMS_QUOTA})"
            )
        return found

    def _event_bus(self) -> str:
        if self._bus is None:
            return "no event bus is configured, and no other program hears of sessions"
        return f"{self._bus.look_up()} exists"

    def _client_secret(self) -> str:
        if not self._settings.can_refresh:
            return "no client secret is configured, and no app gets a refresh token"
        self._unread.client_secret().reread()
        return "can be read; running functions read a new one within five minutes"

    def _authorize_url(self) -> str:
        status = self._transport.status_of(self._settings.aries_authorize_url, ARIES_CALL_SECONDS)
        if status in _NOTHING_THERE:
            raise _Wrong(f"ARIES_AUTHORIZE_URL leads to no page (HTTP status {status}): check the address")
        if status >= 500:
            raise _Wrong(f"Aries fails (HTTP status {status}): repeat the check in a minute")
        issuer = self._settings.aries_issuer
        return f"answers with HTTP status {status}; the iss in the answer to a sign-in must be {issuer}"

    def _token_url(self) -> str:
        """Send Aries a made-up token or code, in its dialect. If it refuses that alone, it accepts the client."""
        quiet = _Quiet()
        invocation = Invocation(quiet, quiet)
        provider = self._unread.provider()
        try:
            if self._settings.can_refresh:
                provider.refresh(_MADE_UP, self._redirect_uri(), invocation)
            else:
                provider.exchange(_MADE_UP, _MADE_UP, self._redirect_uri(), invocation)
        except ProviderFailure as failure:
            detail = f"{_MEANINGS[failure.outcome]} ({failure.reason})"
            if failure.outcome is Outcome.DEAD:
                return detail
            raise _Wrong(detail) from failure
        raise _Wrong("Aries granted tokens for a made-up token or code: check the parameter AriesTokenUrl")

    def _subject_key(self) -> str:
        if not self._settings.identifies_people:
            return _NOBODY_ASKED
        self._unread.subjects().reread()
        return "can be read: a person's sessions can be found by the person's id at Aries"

    def _user_url(self) -> str:
        """Ask without an access token. Aries must refuse that."""
        if not self._settings.identifies_people:
            return _NOBODY_ASKED
        status = self._transport.status_of(self._settings.aries_user_url, ARIES_CALL_SECONDS)
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise _Wrong(f"Aries fails (HTTP status {status}): repeat the check in a minute")
        if status != HTTPStatus.UNAUTHORIZED:
            raise _Wrong(
                f"ARIES_USER_URL answers a request without an access token with HTTP status {status}, and not with "
                "401: check the address"
            )
        return "answers, and refuses a request without an access token (HTTP status 401)"


def settings_refused(error: ConfigurationError) -> dict[str, Any]:
    """Return the report for malformed settings, because the other checks need them."""
    return _report([Check("settings", ok=False, detail=error.reason)])


def _report(checks: list[Check]) -> dict[str, Any]:
    return {"ok": all(check.ok for check in checks), "checks": [asdict(check) for check in checks]}


def _checked(name: str, look: Callable[[], str]) -> Check:
    try:
        return Check(name, ok=True, detail=look())
    except BrokerError as error:
        return Check(name, ok=False, detail=error.reason)
    except NotSent as error:
        return Check(name, ok=False, detail=f"cannot be reached ({error})")
    except NoReply as error:
        return Check(name, ok=False, detail=f"gives no complete answer ({error})")


class _Quiet:
    """A context and telemetry for the check alone: the error that it provokes at Aries must raise no alarm."""

    aws_request_id = ""

    def get_remaining_time_in_millis(self) -> int:
        return 60_000

    def log(self, level: Level, event: str, fields: dict[str, Any]) -> None:
        pass

    def count(self, metric: str, dimensions: dict[str, str]) -> None:
        pass

    def measure(self, metric: str, milliseconds: float, dimensions: dict[str, str]) -> None:
        pass
