"""The real broker over the seam: its operations, AWS in memory, Aries' own rules, one virtual clock, and an app."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from http import HTTPStatus
from typing import Any, Literal
from urllib.parse import parse_qsl, urlencode, urlsplit

from oauth_broker.aries.client import Provider
from oauth_broker.aries.client_secret import ClientSecret
from oauth_broker.aries.transport import Reply
from oauth_broker.aries.user import AriesUser
from oauth_broker.config.clients import Client
from oauth_broker.config.settings import Settings
from oauth_broker.errors import OAuthError, PageError, RedirectError, ServiceUnavailable
from oauth_broker.oauth.requests import AuthorizationCodeGrant, RefreshTokenGrant, RevocationRequest
from oauth_broker.oauth.tokens import RefreshToken, secret_name, session_id_of
from oauth_broker.operations.parts import Parts
from oauth_broker.operations.token_response import TokenResponse
from oauth_broker.people.person_items import PersonItem, PersonItems
from oauth_broker.people.subjects import Subjects
from oauth_broker.runtime.invocation import Invocation
from oauth_broker.secret import Secret, session_digest
from oauth_broker.sessions.control_item import ControlItem
from oauth_broker.sessions.row import SignIn, from_item, may_have_a_secret
from oauth_broker.sessions.seal import _expanded
from oauth_broker.sessions.session_secret import SessionSecret
from oauth_broker.web.http import HttpRequest, HttpResponse
from tests.faults.aws import Item, MemoryDynamoDb, MemoryKms, MemorySecretsManager, plaintext_of
from tests.faults.seam import USER, ProcessDied, Seam, SeamedClient
from tests.local.aries import AriesCore
from tests.local.aries.tokens import USERS
from tests.support.clock import VirtualClock
from tests.support.deployment import (
    APP_URI,
    ARIES_CLIENT_ID,
    ARIES_CLIENT_SECRET,
    CALLBACK_URI,
    CLIENT_ID,
    GRACE,
    PREFIX,
    SCOPE,
    SCOPES,
    SUBJECT_KEY,
    TABLE,
    deployed_environment,
)
from tests.support.lambda_context import Context
from tests.support.pkce import CHALLENGE, VERIFIER
from tests.support.telemetry import Recorded

# Storms come from everywhere; here all of it would be one source.
SETTINGS = Settings.from_environment(deployed_environment(SOURCE_LIMIT="0", SIGN_IN_LIMIT="0"))
CLIENT = SETTINGS.registry.clients[0]
# With this scope Aries says whose session it is.
USER_SCOPE = "account:information user:information"
# The value of TOKEN_STORE of a worker. A session's own store is the value at its sign-in.
Store = Literal["secrets", "row"]
STORES: tuple[Store, ...] = ("secrets", "row")
# The same app after a deployment took its scopes away.
DISALLOWED = replace(CLIENT, scopes=frozenset({"something:else"}))
# Long enough for the previous token to be accepted again whenever a test retries, in a grace of Aries' own.
ARIES_GRACE_SECONDS = 10_000


def settings_of(store: Store, **changes: Any) -> Settings:
    """Return the settings of a worker that begins sessions in this store."""
    return replace(SETTINGS, tokens_in_row=store == "row", **changes)


# A schedule reads the stored secrets after every answer and before every call to Aries. The cache parses a text once.
_read = lru_cache(maxsize=64)(SessionSecret.from_json)


@lru_cache(maxsize=64)
def _unsealed(parts: tuple[bytes, ...]) -> SessionSecret:
    """Open parts of MemoryKms without a call."""
    return SessionSecret.from_json(_expanded(b"".join(plaintext_of(part) for part in parts)))


# The row of a sign-in that got this far names the store of its tokens.
_WAS_ISSUED = frozenset({"issued", "active", "dead", "revoked"})


class Violation(AssertionError):
    """A guarantee did not hold."""


@dataclass
class Refusals:
    """Aries answers with ``reply`` if ``applies`` is true, and does nothing else. ``answered_at`` lists the times."""

    now: Callable[[], float]
    reply: Reply | None = None
    applies: Callable[[dict[str, str]], bool] = lambda request: True
    answered_at: list[float] = field(default_factory=list)

    def answer(self, request: dict[str, str]) -> Reply | None:
        """Return the refusal of this request, or None if Aries processes it."""
        if self.reply is None or not self.applies(request):
            return None
        self.answered_at.append(self.now())
        return self.reply


class SeamedAries:
    """The call to Aries, through the seam. A request is in flight while it is under way or may still arrive (G1)."""

    def __init__(
        self, seam: Seam, core: AriesCore, is_newest_stored: Callable[[str], bool], refusals: Refusals
    ) -> None:
        self._seam = seam
        self._refusals = refusals
        self._core = core
        self._is_newest_stored = is_newest_stored
        self.codes: list[str] = []
        # True if our stores did not hold Aries' newest token at the last refresh that Aries refused.
        self.refused_what_was_lost = False

    def post(self, url: str, body: bytes, headers: Mapping[str, str], seconds: float) -> Reply:
        request = json.loads(body)
        if "refresh_token" in request and any(name == "Aries" for _, name, _ in self._seam.late):
            raise Violation("G1: a refresh was sent to Aries while another of the session may still arrive there")
        refusal = self._refusals.answer(request)
        if refusal is not None:
            refused: Reply = self._seam.call("Aries", lambda: refusal)
            return refused
        family = self._core.family_of(request.get("refresh_token"))
        is_stored = family is None or self._is_newest_stored(family)
        reply: Reply = self._seam.call("Aries", lambda: self._processed(request))
        if reply.status != HTTPStatus.OK and "refresh_token" in request:
            self.refused_what_was_lost = not is_stored
        return reply

    def _processed(self, request: dict[str, str]) -> Reply:
        self.codes += [request["code"]] if "code" in request else []
        status, members = self._core.token(request)
        return Reply(status, json.dumps(members).encode())


class SeamedUser:
    """The question to Aries whose access token it is, through the seam."""

    def __init__(self, seam: Seam, core: AriesCore) -> None:
        self._seam = seam
        self._core = core

    def get(self, url: str, headers: Mapping[str, str], seconds: float) -> Reply:
        _, _, access_token = headers["authorization"].partition(" ")
        reply: Reply = self._seam.call(
            USER, lambda: Reply(200, json.dumps({"id": self._core.user(access_token).id}).encode())
        )
        return reply


class _SeamedParts(Parts):
    """The broker's own parts. Every call to a service goes through the seam."""

    def __init__(self, broker: Broker) -> None:
        super().__init__(broker.settings, broker.clock, broker.random_bytes)
        seam = broker.seam
        self.dynamodb = SeamedClient(seam, broker.dynamodb)
        self.secretsmanager = SeamedClient(seam, broker.secrets)
        self.control_item = ControlItem(SeamedClient(seam, broker.control_table, "cut-offs"), TABLE, broker.clock)
        self.provider = broker.provider
        self.person_items = PersonItems(SeamedClient(seam, broker.people_table, "person"), TABLE, broker.clock)
        key = SeamedClient(seam, broker.secrets, "subject key")
        self.subjects = Subjects(key, self.settings.subject_key_arn, self.settings.aries_user_url)
        self.user = AriesUser("url", "id", SeamedUser(seam, broker.core), broker.clock)
        self._kms = SeamedClient(seam, broker.kms)

    def kms(self) -> SeamedClient:
        return self._kms


@dataclass
class Broker:
    """The state outside of any process, and the operations of every worker on it."""

    rotation: Any = "strict"
    seam: Seam = field(default_factory=Seam)
    settings: Settings = SETTINGS
    # The life of Aries' access tokens.
    access_token_seconds: int = 3600

    def __post_init__(self) -> None:
        self.clock = VirtualClock()
        # Every run gets the same random bytes, so a schedule can run again.
        self.random_bytes = random.Random(1).randbytes
        self.telemetry = Recorded()
        self.core = AriesCore(
            ARIES_CLIENT_ID,
            ARIES_CLIENT_SECRET,
            [CALLBACK_URI],
            scopes=SCOPES,
            rotation=self.rotation,
            access_token_seconds=self.access_token_seconds,
            grace_seconds=ARIES_GRACE_SECONDS,
            now=self.clock.now,
        )
        self.dynamodb, self.secrets, self.kms = MemoryDynamoDb(), MemorySecretsManager(), MemoryKms()
        # The rows as last read, each with its item.
        self._rows: dict[str, tuple[Item, SignIn]] = {}
        self.secrets.secrets[SETTINGS.aries_client_secret_arn] = {"v": ARIES_CLIENT_SECRET}
        self.secrets.current[SETTINGS.aries_client_secret_arn] = "v"
        self.secrets.secrets[SETTINGS.subject_key_arn] = {"v": SUBJECT_KEY}
        self.secrets.current[SETTINGS.subject_key_arn] = "v"
        # Separate tables, because the log of the other one must hold only accesses to sessions.
        self.control_table = MemoryDynamoDb()
        self.people_table = MemoryDynamoDb()
        self.refusals = Refusals(self.clock.now)
        self.aries = SeamedAries(self.seam, self.core, self.is_aries_newest_stored_anywhere, self.refusals)
        self._compose()

    def another_process(self, settings: Settings | None = None) -> Broker:
        """Return one more process over the same stores, perhaps with other settings. Its caches are empty."""
        other = copy.copy(self)
        other.settings = settings or self.settings
        other._compose()
        return other

    def beside(self, store: Store) -> Broker:
        """Return a process of the same deployment that begins sessions in ``store``. It may be this one."""
        if self.settings.tokens_in_row == (store == "row"):
            return self
        return self.another_process(replace(self.settings, tokens_in_row=store == "row"))

    def _compose(self) -> None:
        seam, clock, settings = self.seam, self.clock, self.settings
        self.client_secret = ClientSecret(
            SeamedClient(seam, self.secrets, "client secret"), settings.aries_client_secret_arn, clock
        )
        self.provider = Provider(settings, self.aries, self.client_secret, clock)
        parts = _SeamedParts(self)
        self.sign_ins, self.secret_store, self.store = parts.sign_ins, parts.secret_store, parts.token_store
        self.session_end, self.not_before = parts.session_end, parts.not_before
        self.authorize, self.callback, self.redeem = parts.authorize, parts.callback, parts.redeem
        self.refresh, self.revoke, self.access = parts.refresh, parts.revoke, parts.access
        self.parts = parts

    def warm_up(self) -> None:
        """Fill the caches of the process: the not-before times and the client secret."""
        self.not_before.of(CLIENT_ID)
        self.client_secret.current()

    def invocation(self) -> Invocation:
        return Invocation(Context(now=self.clock.now), self.telemetry)

    # The methods below read the stores directly, not through the seam.

    def row(self, session_id: str) -> SignIn | None:
        item = self.dynamodb.items.get(session_id)
        if item is None:
            return None
        known = self._rows.get(session_id)
        if known is None or known[0] is not item:
            known = self._rows[session_id] = item, from_item(item)
        return known[1]

    def versions(self, session_id: str) -> dict[str, SessionSecret]:
        stored = self.secrets.secrets.get(secret_name(PREFIX, session_id), {})
        return {version: _read(text) for version, text in stored.items()}

    def committed(self, session_id: str) -> SessionSecret | None:
        """Return the secret that the row names as committed, or None if it is missing."""
        row = self.row(session_id)
        return self.tokens_of(row) if row else None

    def tokens_of(self, row: SignIn) -> SessionSecret | None:
        """Return the tokens that a row names as committed, or None if they are missing."""
        if sealed := row.sealed or row.escrow:
            return _unsealed(sealed)
        return self.versions(row.session_id).get(row.secret_version)

    def is_aries_newest_stored(self, session_id: str) -> bool:
        """Tell whether our stores hold the newest refresh token that Aries committed for the session."""
        newest = {self.core.newest_refresh_token(family) for family in self.core.families()}
        return not newest.isdisjoint(self.stored(session_id))

    def is_aries_newest_stored_anywhere(self, family: str) -> bool:
        """Tell whether our stores hold the newest refresh token of one grant of Aries."""
        newest = self.core.newest_refresh_token(family)
        return any(newest in self.stored(session_id) for session_id in self.dynamodb.items)

    def person(self) -> PersonItem:
        """Return the item of the one person of these tests."""
        # Through no seam of the run: this is no call of the broker's.
        table, secrets = SeamedClient(Seam(), self.people_table), SeamedClient(Seam(), self.secrets)
        subject = Subjects(secrets, SETTINGS.subject_key_arn, SETTINGS.aries_user_url).of(USERS[0].id)
        return PersonItems(table, TABLE, self.clock).find(subject)

    def stored(self, session_id: str) -> list[str]:
        """Return Aries' refresh tokens of the session in our stores."""
        secrets = [*self.versions(session_id).values(), self.committed(session_id)]
        return [secret.refresh_token.reveal() for secret in secrets if secret and secret.refresh_token]

    def assert_stores_are_in_order(self) -> None:
        """Check that no session has touched both stores, and that cleanup would find every secret."""
        self._assert_every_session_has_one_store()
        self._assert_every_secret_has_a_row()

    def _assert_every_session_has_one_store(self) -> None:
        for session_id, item in self.dynamodb.items.items():
            asked_for_secret = secret_name(PREFIX, session_id) in self.secrets.touched
            sealed = ("row", session_digest(session_id)) in self.kms.asked
            if asked_for_secret and (sealed or "token_store" in item):
                raise Violation("a session in the row, or without tokens, touched Secrets Manager")
            if ("sealed" in item or item["status"]["S"] in _WAS_ISSUED) and sealed != ("token_store" in item):
                raise Violation("the row does not name the store of its tokens")

    def _assert_every_secret_has_a_row(self) -> None:
        """Check every secret: it must belong to a row, and the removal of this row must call cleanup."""
        expected = {
            secret_name(PREFIX, session_id) for session_id, row in self.dynamodb.items.items() if may_have_a_secret(row)
        }
        left = {name for name in self.secrets.secrets if name.startswith(PREFIX)} - expected
        if left:
            raise Violation("a secret is left that cleanup would not remove")

    def let_pass(self, seconds: float) -> None:
        """Let time pass. An abandoned request to Aries arrives, or is lost, before its lease expires (G1)."""
        self.seam.land_all("Aries")
        self.clock.time += seconds


@dataclass(frozen=True)
class Result:
    """The answer to an app: ``kind`` is 200, invalid_grant, another error, 503 or ``died`` (no answer)."""

    kind: str
    answer: TokenResponse | None = None
    # The answer to a caller that holds no refresh token.
    tokens: SessionSecret | None = None
    # If ``kind`` is 503, the app comes back after so many seconds.
    retry_after: float = 0


@dataclass
class Session:
    """An app with a session. The app holds one copy of its newest token."""

    broker: Broker
    session_id: str
    token: str
    redeemed: TokenResponse | None = None

    def refresh(
        self, token: str | None = None, *, adopt: bool = True, client: Client = CLIENT, via: Broker | None = None
    ) -> Result:
        """Refresh once, as the app does. The answer must be durable; only a good answer replaces the token.

        ``client`` is the app in the configuration of the asked worker. ``via`` is another worker than the app's own.
        """
        broker = via or self.broker
        parsed = RefreshToken.parse(Secret(token or self.token))
        assert parsed is not None
        result = observe(lambda: broker.refresh(RefreshTokenGrant(client, parsed, None), broker.invocation()))
        if result.answer is not None:
            self.assert_durable(result.answer)
            if adopt and result.answer.refresh_token is not None:
                self.token = result.answer.refresh_token.reveal()
        return result

    def renew(
        self,
        enough_seconds: int = 3600,
        *,
        client: Client = CLIENT,
        is_proof_of: Callable[[SessionSecret], bool] | None = None,
        via: Broker | None = None,
    ) -> Result:
        """Ask for an access token as a caller does that holds no refresh token. Its right is the session's own key."""
        broker = via or self.broker
        proves = is_proof_of or self.has_key
        result = observe(lambda: broker.access(client, self.session_id, enough_seconds, proves, broker.invocation()))
        if result.tokens is not None:
            self.assert_was_committed(result.tokens)
        return result

    def has_key(self, secret: SessionSecret) -> bool:
        """Tell whether the secret has the key that made the app's token."""
        parsed = RefreshToken.parse(Secret(self.token))
        return parsed is not None and parsed.is_authentic(secret.session_key)

    def assert_was_committed(self, tokens: SessionSecret) -> None:
        """G2: some row has committed to the answer, unless the session has ended since."""
        if self.broker.dynamodb.items[self.session_id]["status"]["S"] != "active":
            return
        rows = [access.item for access in self.broker.dynamodb.log]
        items = [self.broker.dynamodb.items[self.session_id], *(item for item in rows if item)]
        mine = (from_item(item) for item in items if item["session_id"]["S"] == self.session_id)
        if not any(self.broker.tokens_of(row) == tokens for row in mine):
            raise Violation("G2: something was answered that no row has committed")

    def revoke(self, token: str | None = None, *, via: Broker | None = None) -> Result:
        broker = via or self.broker
        parsed = RefreshToken.parse(Secret(token or self.token))

        def sign_out() -> None:
            broker.revoke(RevocationRequest(CLIENT, parsed), broker.invocation())

        return observe(sign_out)

    def assert_durable(self, answer: TokenResponse) -> None:
        """G2: the row commits to the answer, unless the session has ended since."""
        row = self.broker.row(self.session_id)
        assert row is not None
        assert answer.refresh_token is not None
        if row.status != "active":
            return
        parsed = RefreshToken.parse(answer.refresh_token)
        assert parsed is not None
        committed = self.broker.committed(self.session_id)
        if committed is None or parsed.generation > row.generation:
            raise Violation("G2: something was answered that is not durable")
        # A renewal for another caller may have committed since the answer was read.
        if parsed.generation == row.generation and committed.access_token != answer.secret.access_token:
            self.assert_was_committed(answer.secret)

    @property
    def is_lost_at_aries(self) -> bool:
        return not self.broker.is_aries_newest_stored(self.session_id)


def observe(operation: Any) -> Result:
    """Run one operation in a process of its own; return the result for its caller."""
    try:
        answer = operation()
    except ProcessDied:
        return Result("died")
    except ServiceUnavailable as unavailable:
        return Result("503", retry_after=unavailable.retry_after)
    except OAuthError as error:
        return Result(error.code)
    if isinstance(answer, SessionSecret):
        return Result("200", tokens=answer)
    return Result("200", answer if isinstance(answer, TokenResponse) else None)


@dataclass
class Browser:
    """A browser in a sign-in, and the app behind it."""

    broker: Broker
    cookies: list[str] = field(default_factory=list)
    state: str = ""
    scope: str = SCOPE

    def authorize(self) -> str:
        """Start a sign-in; returns the location of the redirect, or '' if the process died."""
        query = {
            "response_type": "code",
            "client_id": CLIENT_ID,
            "redirect_uri": APP_URI,
            "scope": self.scope,
            "state": "app-state",
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
        }
        answer = self.visit(self.broker.authorize, "/oauth2/authorize", urlencode(query))
        for cookie in answer.cookies if isinstance(answer, HttpResponse) else ():
            self.cookies.append(cookie.partition(";")[0])
        return location(answer)

    def approve(self, authorize_url: str) -> str:
        """Approve at Aries; returns the query of the callback."""
        query = urlsplit(authorize_url).query
        self.state = dict(parse_qsl(query))["state"]
        code = self.broker.core.approve(self.broker.core.authorize(query))
        return urlencode({"code": code, "state": self.state})

    def callback(self, query: str) -> HttpResponse | RedirectError | PageError | None:
        return self.visit(self.broker.callback, "/oauth2/callback", query)

    def visit(self, operation: Any, path: str, query: str) -> HttpResponse | RedirectError | PageError | None:
        """Load a page; returns None if the process died and the browser got no answer."""
        request = HttpRequest("GET", path, query, {}, tuple(self.cookies), "", False, "broker.example.com")
        try:
            response: HttpResponse = operation(request, self.broker.invocation())
        except ProcessDied:
            return None
        except (RedirectError, PageError) as failure:
            return failure
        return response

    @property
    def session_id(self) -> str:
        return session_id_of(self.state)

    def redeem(self, code: str, verifier: str = VERIFIER) -> Result:
        broker = self.broker
        grant = AuthorizationCodeGrant(CLIENT, Secret(code), APP_URI, Secret(verifier))
        return observe(lambda: broker.redeem(grant, broker.invocation()))


def location(answer: HttpResponse | RedirectError | PageError | None) -> str:
    return answer.headers.get("location", "") if isinstance(answer, HttpResponse) else ""


def code_in(answer: HttpResponse | RedirectError | PageError | None) -> str:
    """Return the one-time code in a redirect, or ''."""
    return dict(parse_qsl(urlsplit(location(answer)).query)).get("code", "")


def signed_in(broker: Broker, *, redeemed_after: float = 0, scope: str = SCOPE) -> Session:
    """Sign in without faults, and wait until a refresh reaches Aries."""
    browser = Browser(broker, scope=scope)
    code = code_in(browser.callback(browser.approve(browser.authorize())))
    broker.clock.time += redeemed_after
    result = browser.redeem(code)
    assert result.answer is not None
    assert result.answer.refresh_token is not None
    broker.clock.time += GRACE + 1
    return Session(broker, browser.session_id, result.answer.refresh_token.reveal(), result.answer)


@contextmanager
def idle_app() -> Iterator[None]:
    """Register the app with an end of unused sessions."""
    object.__setattr__(CLIENT, "idle_seconds", 24 * 60 * 60)
    try:
        yield
    finally:
        object.__setattr__(CLIENT, "idle_seconds", 0)


def near_its_end(broker: Broker, *, before: float = 600) -> None:
    """Let time pass until so many seconds are left of an access token that Aries has just granted."""
    broker.clock.time += broker.access_token_seconds - before


def in_turn(faults: Iterable[Any]) -> dict[int, Any]:
    return {fault.at: fault for fault in faults}
