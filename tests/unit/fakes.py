"""Values and stand-ins that several unit tests are made of."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from botocore.exceptions import ClientError

from oauth_broker.config.settings import Settings
from oauth_broker.runtime.invocation import Level
from oauth_broker.web.http import HttpRequest

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"
NOW = 1_800_000_000.0

Failure = TypeVar("Failure", bound=Exception)

ENVIRONMENT: Mapping[str, str] = {
    "ISSUER": "https://broker.example.com",
    "DOMAIN_NAME": "broker.example.com",
    "ARIES_CLIENT_ID": "aries-client",
    "ARIES_CLIENT_SECRET_ARN": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:aries-AbCdEf",
    "ARIES_AUTHORIZE_URL": "https://app.aries.example/oauth2/authorize",
    "ARIES_TOKEN_URL": "https://api.aries.example/v1/oauth2/token",
    "ARIES_ISSUER": "",
    "PROVIDER_DIALECT": "aries",
    "APPS": json.dumps({"app": {"redirect_uris": ["https://app.example.com/callback"], "scopes": ["read"]}}),
    "SESSION_DAYS": "30",
    "REFRESH_GRACE_SECONDS": "60",
    "LATE_RETRY": "allow",
    "SOURCE_LIMIT": "300",
    "SIGN_IN_LIMIT": "600",
    "TABLE_NAME": "sign-ins",
    "SECRET_PREFIX": "broker/session/",
    "KEY_ID": "arn:aws:kms:eu-west-1:123456789012:key/1",
}


def settings_with(**changes: str) -> Settings:
    """Settings that differ from ENVIRONMENT in ``changes``."""
    return Settings.from_environment({**ENVIRONMENT, **changes})


def http_request(
    method: str = "GET",
    path: str = "/",
    *,
    query: str = "",
    headers: Mapping[str, str] | None = None,
    cookies: Iterable[str] = (),
    body: str = "",
    body_is_base64: bool = False,
) -> HttpRequest:
    return HttpRequest(
        method=method,
        path=path,
        raw_query=query,
        headers=dict(headers or {}),
        cookies=tuple(cookies),
        body=body,
        body_is_base64=body_is_base64,
        domain_name="broker.example.com",
    )


def posted(
    body: str | bytes, content_type: str | None = FORM, *, query: str = "", authorization: str | None = None
) -> HttpRequest:
    """A POST whose body arrives base64-encoded, as it does on the real HTTP API."""
    raw = body.encode() if isinstance(body, str) else body
    headers = {"content-type": content_type, "authorization": authorization}
    return http_request(
        "POST",
        query=query,
        headers={name: value for name, value in headers.items() if value is not None},
        body=base64.b64encode(raw).decode(),
        body_is_base64=True,
    )


class FakeClock:
    """A clock that moves only when it is told to."""

    def __init__(self) -> None:
        self.time = NOW

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds


@dataclass
class FakeTelemetry:
    """Keeps what is logged and counted."""

    lines: list[tuple[Level, str, dict[str, Any]]] = field(default_factory=list)
    metrics: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    durations: list[tuple[str, float, dict[str, str]]] = field(default_factory=list)

    def log(self, level: Level, event: str, fields: dict[str, Any]) -> None:
        self.lines.append((level, event, fields))

    def measure(self, metric: str, milliseconds: float, dimensions: dict[str, str]) -> None:
        self.durations.append((metric, milliseconds, dimensions))

    def count(self, metric: str, dimensions: dict[str, str]) -> None:
        self.metrics.append((metric, dimensions))


@dataclass
class FakeContext:
    """A Lambda context with so much time left."""

    seconds: float = 29.0
    aws_request_id: str = "request-1"

    def get_remaining_time_in_millis(self) -> int:
        return int(self.seconds * 1000)


@dataclass
class FakeSecretsManager:
    """One secret, or the exception that reading it raises, in place of Secrets Manager."""

    value: str | Exception
    reads: int = 0
    asked: list[dict[str, Any]] = field(default_factory=list)

    def get_secret_value(self, **parameters: Any) -> Any:
        self.reads += 1
        self.asked.append(parameters)
        if isinstance(self.value, Exception):
            raise self.value
        return {"SecretString": self.value}

    def create_secret(self, **parameters: Any) -> Any:
        raise AssertionError("nothing is written here")

    put_secret_value = delete_secret = create_secret


def client_error(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "made by a test"}}, "Operation")


def failure_of(kind: type[Failure], call: Callable[[], object]) -> Failure | None:
    """The failure of this kind that ``call`` ended in, or None where it returned; any other failure goes on."""
    try:
        call()
    except kind as failure:
        return failure
    return None
