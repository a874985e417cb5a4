"""A whole broker in one process: the real handlers, AWS by moto, Aries by its simulator, and one clock for all."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from types import ModuleType
from typing import Any, cast
from urllib.parse import parse_qsl, urlencode, urlsplit

import boto3
from moto import mock_aws

from oauth_broker.oauth.pkce import challenge_of
from oauth_broker.oauth.tokens import RefreshToken, session_id_of
from oauth_broker.secret import Secret
from tests.local.aries import AriesCore, AriesSimulator
from tests.support.aws_calls import AwsCalls
from tests.support.functions import FUNCTION_SECONDS, Context, http_event, load_function

ISSUER = "https://broker.example.com"
CALLBACK_URI = f"{ISSUER}/oauth2/callback"
APP_URI = "https://app.example.com/callback"
CLIENT_ID = "trader-ios"
OTHER_CLIENT_ID = "trader-web"
SCOPES = ["account:information", "market:information", "order:execution", "user:information"]
SCOPE = "account:information order:execution"
ARIES_CLIENT_ID = "aries-client"
ARIES_CLIENT_SECRET = "aries-client-secret-canary"
ORIGIN = "https://web.example.com"
GRACE = 60
TABLE = "sign-ins"
PREFIX = "broker/session/"
APPS: dict[str, dict[str, Any]] = {
    CLIENT_ID: {
        "redirect_uris": [
            APP_URI,
            "com.example.trader:/callback",
            "http://127.0.0.1/callback",
            f"{ISSUER}/ios/return",
            "https://app.example.com/callback?brand=a",
        ],
        "scopes": SCOPES,
        "apple_app_ids": ["ABCDE12345.com.example.trader"],
        "android_packages": {"com.example.trader": [":".join(["AB"] * 32)]},
    },
    OTHER_CLIENT_ID: {
        "redirect_uris": ["https://web.example.com/callback"],
        "scopes": ["account:information"],
        "origins": [ORIGIN],
    },
}
ENVIRONMENT = {
    "ISSUER": ISSUER,
    "DOMAIN_NAME": "",
    "ARIES_CLIENT_ID": ARIES_CLIENT_ID,
    "ARIES_CLIENT_SECRET_ARN": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:aries/client-secret-AbCdEf",
    "ARIES_AUTHORIZE_URL": "https://app.aries.example/oauth2/authorize",
    "ARIES_TOKEN_URL": "https://api.aries.example/v1/oauth2/token",
    "ARIES_ISSUER": "",
    "PROVIDER_DIALECT": "aries",
    "APPS": json.dumps(APPS),
    "SESSION_DAYS": "30",
    "REFRESH_GRACE_SECONDS": str(GRACE),
    "LATE_RETRY": "allow",
    "SOURCE_LIMIT": "300",
    "SIGN_IN_LIMIT": "600",
    "TABLE_NAME": TABLE,
    "SECRET_PREFIX": PREFIX,
    "KEY_ID": "arn:aws:kms:eu-west-1:123456789012:key/00000000-0000-0000-0000-000000000000",
    "POWERTOOLS_SERVICE_NAME": "aries-token-broker",
    "POWERTOOLS_METRICS_NAMESPACE": "AriesTokenBroker",
    "LOG_LEVEL": "INFO",
}
# RFC 7636 appendix B.
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"


class VirtualClock:
    """A clock that moves only when it is told to, or when somebody sleeps."""

    def __init__(self, start: float = 1_800_000_000.0) -> None:
        self.time = start

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds


class RunningClock(VirtualClock):
    """A clock that runs by itself, for threads that wait for one another; ``time`` can still be moved."""

    def __init__(self) -> None:
        super().__init__(0.0)

    def now(self) -> float:
        return self.time + time.time()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


@dataclass
class Recorded:
    """Telemetry that is kept, to be looked at."""

    lines: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    metrics: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    def log(self, level: str, event: str, fields: dict[str, Any]) -> None:
        self.lines.append((level, event, fields))

    def measure(self, metric: str, milliseconds: float, dimensions: dict[str, str]) -> None:
        self.metrics.append((metric, dimensions))

    def count(self, metric: str, dimensions: dict[str, str]) -> None:
        self.metrics.append((metric, dimensions))

    def counted(self, metric: str) -> int:
        return sum(name == metric for name, _ in self.metrics)


@cache
def loaded_function(name: str) -> ModuleType:
    """The function's module, imported once; what it makes for itself at import is not used."""
    return load_function(name, ENVIRONMENT)


@dataclass(frozen=True)
class Answer:
    """What a handler answered."""

    status: int
    headers: dict[str, str]
    cookies: list[str]
    body: str
    # Of the invocation that answered. Two answers are equal without it.
    request_id: str = field(default="", compare=False)

    @property
    def json(self) -> dict[str, Any]:
        return cast(dict[str, Any], json.loads(self.body))

    @property
    def failure(self) -> dict[str, Any]:
        """The members of a failure save for ``request_id``, which must be the id of this very invocation."""
        members = self.json
        assert members.pop("request_id") == self.request_id != ""
        return members

    @property
    def sentence(self) -> str:
        """The body of a failure that passes, which has the id of this very invocation and is no JSON."""
        assert self.headers["content-type"] == "text/plain; charset=utf-8"
        words, separator, rest = self.body.partition(f" (request_id {self.request_id})")
        assert (bool(separator), rest) == (True, ".")
        # No JSON begins so.
        assert words[:1].isupper()
        return words

    @property
    def location(self) -> str:
        return self.headers["location"]

    @property
    def query(self) -> dict[str, str]:
        """The parameters of the redirect, each given once."""
        pairs = parse_qsl(urlsplit(self.location).query, keep_blank_values=True, strict_parsing=True)
        assert len(dict(pairs)) == len(pairs)
        return dict(pairs)


@cache
def _own_client(service: Any) -> Any:
    """A client for the tests' own calls of AWS, which are not watched. It is made once and serves every world."""
    return boto3.Session().client(service)


class World:
    """One broker with everything around it. ``clock`` is everybody's time."""

    def __init__(self, aries: AriesSimulator, clock: VirtualClock, **environment: str) -> None:
        self.aries = aries
        self.clock = clock
        self.telemetry = Recorded()
        self.aws = AwsCalls()
        self.aws.watch()
        self.dynamodb = _own_client("dynamodb")
        self.secretsmanager = _own_client("secretsmanager")
        self.kms = _own_client("kms")
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
        self.environment = ENVIRONMENT | {
            "ARIES_CLIENT_SECRET_ARN": secret["ARN"],
            "ARIES_TOKEN_URL": aries.token_url,
            "KEY_ID": key_id,
            **environment,
        }
        self._handlers: dict[str, Any] = {}

    def make_handler(self, name: str, **environment: str) -> Any:
        """The function's own composition, on this world's clock and telemetry, as one more warm process."""
        parts = [self.environment | environment, self.clock, self.telemetry]
        if name == "metadata":
            del parts[1]
        return loaded_function(name).make_handler(*parts)

    def handler(self, name: str) -> Any:
        """The handler of one warm process, made when it is first called."""
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
        context = Context(self.clock.now, seconds)
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

    def row(self, session_id: str) -> dict[str, Any] | None:
        """The row as it lies in the table, in plain values."""
        item = self.dynamodb.get_item(TableName=TABLE, Key={"session_id": {"S": session_id}}).get("Item")
        return {name: next(iter(value.values())) for name, value in item.items()} if item else None

    def rows(self) -> list[dict[str, Any]]:
        return cast(list[dict[str, Any]], self.dynamodb.scan(TableName=TABLE)["Items"])

    def token_requests(self) -> list[dict[str, object]]:
        """The bodies of all requests to Aries' token endpoint."""
        return [request.body or {} for request in self.aries.requests if request.endpoint == "token"]

    def session_secrets(self) -> list[str]:
        """The names of the session secrets that exist."""
        return [s["Name"] for s in self.secretsmanager.list_secrets()["SecretList"] if s["Name"].startswith(PREFIX)]

    @contextmanager
    def hidden_secrets(self) -> Iterator[None]:
        """Secrets Manager does not show yet what was written a moment ago."""
        with self.aws.failing("GetSecretValue", "not_found"):
            yield

    def phone(self, **options: Any) -> Phone:
        return Phone(self, **options)

    def signed_in(self, **options: Any) -> Phone:
        """An app that has just signed in."""
        phone = self.phone(**options)
        phone.sign_in()
        return phone


@dataclass
class Phone:
    """An app and the browser it opens, with the cookies in it."""

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
        """Open the authorization endpoint in the browser, which keeps the cookies."""
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
        """Approve at Aries, and return the query that Aries sends the browser back with."""
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
        """Refresh; in a process of its own where ``via`` is its handler."""
        fields = {"grant_type": "refresh_token", "client_id": self.client_id}
        fields |= {"refresh_token": token or self.refresh_token} | changes
        return self._keep(self.world.form(function, fields, seconds=seconds, via=via, source=self.source))

    def revoke(self, token: str | None = None, /, **changes: str) -> Answer:
        fields = {"client_id": self.client_id, "token": token or self.refresh_token} | changes
        return self.world.form("revoke", fields, source=self.source)

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
        return answer


def generation_of(token: str) -> int:
    parsed = RefreshToken.parse(Secret(token))
    assert parsed is not None
    return parsed.generation


@contextmanager
def running_world(
    *, rotation: Any = "strict", dialect: Any = "aries", clock: VirtualClock | None = None, **environment: str
) -> Iterator[World]:
    """A world with its own AWS and its own Aries on loopback, gone afterwards."""
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
