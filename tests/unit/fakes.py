"""Values and stand-ins for several unit tests."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlencode

from oauth_broker.aries.transport import Reply
from oauth_broker.config.settings import Settings
from oauth_broker.web.http import HttpRequest
from tests.support.deployment import settings_environment

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"

Failure = TypeVar("Failure", bound=Exception)

ENVIRONMENT: Mapping[str, str] = settings_environment(
    DOMAIN_NAME="broker.example.com",
    APPS=json.dumps({"app": {"redirect_uris": ["https://app.example.com/callback"], "scopes": ["read"]}}),
)


def settings_with(**changes: str) -> Settings:
    """Return ENVIRONMENT's settings with ``changes``."""
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


def encoded(fields: Mapping[str, str | None], changes: Mapping[str, str | None]) -> str:
    """A query or a form. A change to None leaves the field out."""
    merged = {**fields, **changes}
    return urlencode({name: value for name, value in merged.items() if value is not None})


def posted(
    body: str | bytes, content_type: str | None = FORM, *, query: str = "", authorization: str | None = None
) -> HttpRequest:
    """Return a POST with its body in base64, as on the real HTTP API."""
    raw = body.encode() if isinstance(body, str) else body
    headers = {"content-type": content_type, "authorization": authorization}
    return http_request(
        "POST",
        query=query,
        headers={name: value for name, value in headers.items() if value is not None},
        body=base64.b64encode(raw).decode(),
        body_is_base64=True,
    )


@dataclass(frozen=True)
class Answering:
    """Aries, with one answer."""

    reply: Reply

    def post(self, url: str, body: bytes, headers: Mapping[str, str], seconds: float) -> Reply:
        return self.reply


@dataclass
class FakeSecretsManager:
    """Secrets Manager with one secret, or with the exception that each reading raises."""

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


def failure_of(kind: type[Failure], call: Callable[[], object]) -> Failure | None:
    """Return the failure of this kind from ``call``, or None if it returned. Any other failure goes on."""
    try:
        call()
    except kind as failure:
        return failure
    return None
