"""A whole broker in one process: the real handlers, AWS by moto, Aries by its simulator, and one clock for all."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any, cast
from urllib.parse import parse_qsl, urlencode, urlsplit

import boto3
from moto import mock_aws

from oauth_broker.oauth.pkce import challenge_of
from oauth_broker.oauth.tokens import RefreshToken, secret_name, session_id_of
from oauth_broker.secret import Secret
from oauth_broker.sessions.row import from_item
from oauth_broker.sessions.seal import Seal
from oauth_broker.sessions.session_secret import SessionSecret
from tests.local.aries import AriesCore, AriesSimulator
from tests.support.aws_calls import AwsCalls
from tests.support.clock import VirtualClock
from tests.support.deployment import (
    APP_URI,
    ARIES_CLIENT_ID,
    ARIES_CLIENT_SECRET,
    BACKEND_APP_URI,
    BACKEND_CLIENT_ID,
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
from tests.support.functions import BACKEND_PATH, CALLER, http_event, make_handler
from tests.support.lambda_context import FUNCTION_SECONDS, Context
from tests.support.pkce import VERIFIER
from tests.support.telemetry import Recorded


@dataclass(frozen=True)
class Answer:
    """The answer of a handler."""

    status: int
    headers: dict[str, str]
    cookies: list[str]
    body: str
    # The id of the invocation. Comparisons of answers ignore it.
    request_id: str = field(default="", compare=False)

    @property
    def json(self) -> dict[str, Any]:
        return cast(dict[str, Any], json.loads(self.body))

    @property
    def failure(self) -> dict[str, Any]:
        """Check ``request_id``: it must be the id of this invocation. Return the other members of the failure."""
        members = self.json
        assert members.pop("request_id") == self.request_id != ""
        return members

    @property
    def sentence(self) -> str:
        """Check the text of a passing failure: this invocation's id, and no JSON. Return the text before the id."""
        assert self.headers["content-type"] == "text/plain; charset=utf-8"
        words, separator, rest = self.body.partition(f" (request_id {self.request_id})")
        assert (bool(separator), rest) == (True, ".")
        # No JSON begins with a capital letter.
        assert words[:1].isupper()
        return words

    @property
    def location(self) -> str:
        return self.headers["location"]

    @property
    def query(self) -> dict[str, str]:
        """Return the parameters of the redirect. Each may come once."""
        pairs = parse_qsl(urlsplit(self.location).query, keep_blank_values=True, strict_parsing=True)
        assert len(dict(pairs)) == len(pairs)
        return dict(pairs)


@cache
def own_client(service: Any) -> Any:
    """A client for the tests' own calls of AWS, which are not watched. It is made once and serves every world."""
    return boto3.Session().client(service)


class World:
    """One broker with everything around it. All parts share the clock ``clock``."""

    def __init__(self, aries: AriesSimulator, clock: VirtualClock, **environment: str) -> None:
        self.aries = aries
        self.clock = clock
        self.telemetry = Recorded()
        self.aws = AwsCalls()
        self.aws.watch()
        self.dynamodb = own_client("dynamodb")
        self.secretsmanager = own_client("secretsmanager")
        self.kms = own_client("kms")
        key_id = self.kms.create_key()["KeyMetadata"]["Arn"]
        secret = self.secretsmanager.create_secret(Name="aries/client-secret", SecretString=ARIES_CLIENT_SECRET)
        self.dynamodb.create_table(
            TableName=TABLE,
            KeySchema=[{"AttributeName": "session_id", "KeyType": "HASH"}],
            AttributeDefinitions=[
                {"AttributeName": "session_id", "AttributeType": "S"},
                {"AttributeName": "reference", "AttributeType": "S"},
            ],
            GlobalSecondaryIndexes=[
                {
                    "IndexName": "by_reference",
                    "KeySchema": [{"AttributeName": "reference", "KeyType": "HASH"}],
                    "Projection": {"ProjectionType": "KEYS_ONLY"},
                }
            ],
            BillingMode="PAY_PER_REQUEST",
        )
        subject_key = self.secretsmanager.create_secret(Name="broker/subject-key", SecretString=SUBJECT_KEY)
        made = {
            "ARIES_CLIENT_SECRET_ARN": secret["ARN"],
            "ARIES_TOKEN_URL": aries.token_url,
            "ARIES_USER_URL": aries.profile_url,
            "SUBJECT_KEY_ARN": subject_key["ARN"],
            "KEY_ID": key_id,
        }
        self.environment = deployed_environment(**made | environment)
        if bus := self.environment["EVENT_BUS"]:
            own_client("events").create_event_bus(Name=bus)
        self._handlers: dict[str, Any] = {}

    def make_handler(self, name: str, **environment: str) -> Any:
        """Compose the function on this world's clock and telemetry, as one more warm process."""
        return make_handler(name, self.environment | environment, self.clock, self.telemetry)

    def handler(self, name: str) -> Any:
        """Return the handler of one warm process. The first call makes it."""
        if name not in self._handlers:
            self._handlers[name] = self.make_handler(name)
        return self._handlers[name]

    def call(
        self,
        function: str,
        method: str,
        path: str,
        *,
        seconds: float = FUNCTION_SECONDS,
        via: Any = None,
        **event: Any,
    ) -> Answer:
        handler = via or self.handler(function)
        context = Context(seconds, now=self.clock.now)
        self.aws.function = function
        answer = handler(http_event(method, path, **event), context)
        assert json.dumps(answer)
        return Answer(
            answer["statusCode"], answer["headers"], answer["cookies"], answer["body"], context.aws_request_id
        )

    def form(
        self, function: str, fields: Mapping[str, str], headers: Mapping[str, str] | None = None, **options: Any
    ) -> Answer:
        """Post a form to ``/oauth2/<function>``."""
        all_headers = {"content-type": "application/x-www-form-urlencoded"} | dict(headers or {})
        path = f"/oauth2/{function}"
        return self.call(function, "POST", path, headers=all_headers, body=urlencode(fields), **options)

    def backend(
        self,
        members: Mapping[str, Any] | str | bytes,
        *,
        path: str = BACKEND_PATH,
        caller: str = CALLER,
        headers: Mapping[str, str] | None = None,
        **options: Any,
    ) -> Answer:
        """Ask for an access token as the backend of an app, after IAM has allowed it to ``caller``."""
        body = members if isinstance(members, str | bytes) else json.dumps(members)
        all_headers = {"content-type": "application/json"} | dict(headers or {})
        return self.call("backend", "POST", path, headers=all_headers, body=body, caller=caller, **options)

    def apps(self) -> dict[str, dict[str, Any]]:
        """Return the registered apps, by client id."""
        return cast(dict[str, dict[str, Any]], json.loads(self.environment["APPS"]))

    def row(self, session_id: str) -> dict[str, Any] | None:
        """Return the row from the table, in plain values."""
        item = self.dynamodb.get_item(TableName=TABLE, Key={"session_id": {"S": session_id}}).get("Item")
        return {name: next(iter(value.values())) for name, value in item.items()} if item else None

    def rows(self) -> list[dict[str, Any]]:
        return cast(list[dict[str, Any]], self.dynamodb.scan(TableName=TABLE)["Items"])

    def token_requests(self) -> list[dict[str, object]]:
        """Return the bodies of all requests to Aries' token endpoint."""
        return [request.body or {} for request in self.aries.requests if request.endpoint == "token"]

    def session_secrets(self) -> list[str]:
        """Return the names of the existing session secrets."""
        return [s["Name"] for s in self.secretsmanager.list_secrets()["SecretList"] if s["Name"].startswith(PREFIX)]

    @property
    def seal(self) -> Seal:
        """Return the seal of a party that may use the stack's key."""
        return Seal(lambda: self.kms, self.environment["KEY_ID"])

    def tokens(self, session_id: str) -> SessionSecret:
        """Return what the session has stored, wherever it keeps its tokens."""
        item = self.dynamodb.get_item(TableName=TABLE, Key={"session_id": {"S": session_id}})["Item"]
        row = from_item(item)
        if row.token_store:
            return self.seal.open(row, "row")
        stored = self.secretsmanager.get_secret_value(SecretId=secret_name(PREFIX, session_id))
        return SessionSecret.from_json(stored["SecretString"].encode())

    @contextmanager
    def hidden_secrets(self) -> Iterator[None]:
        """Let Secrets Manager find no secret, as just after a write."""
        with self.aws.failing("GetSecretValue", "not_found"):
            yield

    def phone(self, **options: Any) -> Phone:
        return Phone(self, **options)

    def signed_in(self, **options: Any) -> Phone:
        """Return an app just after its sign-in."""
        phone = self.phone(**options)
        phone.sign_in()
        return phone

    def with_backend(self, **options: Any) -> Phone:
        """Return an app that has a backend, just after its sign-in."""
        return self.signed_in(**{"client_id": BACKEND_CLIENT_ID, "redirect_uri": BACKEND_APP_URI} | options)

    def refreshable(self) -> Phone:
        """Return an app with a session past the grace of its sign-in. Its next refresh reaches Aries."""
        phone = self.signed_in()
        self.clock.time += GRACE + 1
        return phone


@dataclass
class Phone:
    """An app, and its browser with the cookies."""

    world: World
    client_id: str = CLIENT_ID
    redirect_uri: str = APP_URI
    scope: str = SCOPE
    state: str = "app-state"
    verifier: str = VERIFIER
    cookies: dict[str, str] = field(default_factory=dict)
    aries_state: str = ""
    refresh_token: str = ""
    access_token: str = ""
    backend_handle: str = ""
    source: str = "192.0.2.1"

    def authorization_query(self, **changes: str | None) -> str:
        fields = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": self.redirect_uri,
            "scope": self.scope,
            "state": self.state,
            "code_challenge": challenge_of(Secret(self.verifier)),
            "code_challenge_method": "S256",
        } | changes
        return urlencode({name: value for name, value in fields.items() if value is not None})

    def authorize(self, query: str | None = None, **changes: str | None) -> Answer:
        """Open the authorization endpoint in the browser. The browser keeps the cookies."""
        answer = self.world.call(
            "authorize",
            "GET",
            "/oauth2/authorize",
            query=self.authorization_query(**changes) if query is None else query,
            cookies=[f"{name}={value}" for name, value in self.cookies.items()],
            source=self.source,
        )
        for cookie in answer.cookies:
            name, _, rest = cookie.partition("=")
            value, _, attributes = rest.partition(";")
            if "Max-Age=0" in attributes:
                self.cookies.pop(name)
            else:
                self.cookies[name] = value
        if answer.status == 302 and "state" in answer.query and not answer.location.startswith(self.redirect_uri):
            self.aries_state = answer.query["state"]
        return answer

    def approve(self, authorized: Answer) -> str:
        """Approve at Aries; return the query of the redirect back."""
        core = self.world.aries.core
        code = core.approve(core.authorize(urlsplit(authorized.location).query))
        return urlencode({"code": code, "state": authorized.query["state"]})

    def callback(self, query: str, **options: Any) -> Answer:
        cookies = [f"{name}={value}" for name, value in self.cookies.items()]
        return self.world.call(
            "callback", "GET", "/oauth2/callback", query=query, cookies=cookies, source=self.source, **options
        )

    def redeem(self, code: str, /, *, via: Any = None, **changes: str) -> Answer:
        fields = {
            "grant_type": "authorization_code",
            "client_id": self.client_id,
            "code": code,
            "redirect_uri": self.redirect_uri,
            "code_verifier": self.verifier,
        }
        return self._keep(self.world.form("token", fields | changes, source=self.source, via=via))

    def code(self) -> str:
        """Go as far as the one-time code."""
        answer = self.callback(self.approve(self.authorize()))
        assert answer.status == 302, answer
        return answer.query["code"]

    def sign_in(self) -> Answer:
        answer = self.redeem(self.code())
        assert answer.status == 200, answer
        return answer

    def refresh(
        self,
        token: str | None = None,
        /,
        *,
        function: str = "token",
        seconds: float = FUNCTION_SECONDS,
        via: Any = None,
        **changes: str,
    ) -> Answer:
        """Refresh. ``via`` may be a handler in a process of its own."""
        fields = {"grant_type": "refresh_token", "client_id": self.client_id}
        fields |= {"refresh_token": token or self.refresh_token} | changes
        return self._keep(self.world.form(function, fields, seconds=seconds, via=via, source=self.source))

    def revoke(self, token: str | None = None, /, **changes: str) -> Answer:
        fields = {"client_id": self.client_id, "token": token or self.refresh_token} | changes
        return self.world.form("revoke", fields, source=self.source)

    def ask_as_backend(self, **members: Any) -> Answer:
        """Ask as the app's backend, with the app's handle."""
        return self.world.backend({"backend_handle": self.backend_handle} | members)

    @property
    def session_id(self) -> str:
        return session_id_of(self.aries_state)

    def row(self) -> dict[str, Any]:
        row = self.world.row(self.session_id)
        assert row is not None
        return row

    def _keep(self, answer: Answer) -> Answer:
        if answer.status == 200:
            self.access_token = answer.json["access_token"]
            self.refresh_token = answer.json.get("refresh_token", "")
            self.backend_handle = answer.json.get("backend_handle", "")
        return answer


def generation_of(token: str) -> int:
    parsed = RefreshToken.parse(Secret(token))
    assert parsed is not None
    return parsed.generation


def assert_unavailable(answer: Answer) -> None:
    assert answer.status == 503
    assert answer.sentence.startswith("Temporarily unavailable")
    assert int(answer.headers["retry-after"]) >= 1


@contextmanager
def running_world(
    *, rotation: Any = "strict", dialect: Any = "aries", clock: VirtualClock | None = None, **environment: str
) -> Iterator[World]:
    """Run a world with its own AWS and its own Aries on loopback. Both are gone afterwards."""
    clock = clock or VirtualClock()
    simulator = AriesSimulator(
        AriesCore(
            ARIES_CLIENT_ID,
            ARIES_CLIENT_SECRET,
            [CALLBACK_URI],
            scopes=SCOPES,
            rotation=rotation,
            dialect=dialect,
            grace_seconds=30,
            now=clock.now,
        )
    )
    with mock_aws(), simulator as aries:
        yield World(aries, clock, PROVIDER_DIALECT=dialect, **environment)
