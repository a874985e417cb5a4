"""The real handlers of ``functions/``, loaded by path as Lambda does, and the events for them."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

from tests.support.bootstrap import load_module
from tests.support.deployment import BACKEND_CLIENT_ID, deployed_environment

ROOT = Path(__file__).parents[2]
# The path of an app with a backend, and the identity that IAM has proved of its caller.
BACKEND_PATH = f"/backend/{BACKEND_CLIENT_ID}/token"
CALLER = "arn:aws:sts::123456789012:assumed-role/alerts/i-0123456789abcdef0"
# The function behind each path, except the paths of the metadata.
ENDPOINTS = {
    "/oauth2/authorize": "authorize",
    "/oauth2/callback": "callback",
    "/oauth2/token": "token",
    "/v1/oauth2/token": "token",
    "/oauth2/refresh": "refresh",
    "/oauth2/revoke": "revoke",
    "/oauth2/sessions": "sessions",
    "/oauth2/sessions/revoke": "sessions",
    BACKEND_PATH: "backend",
}
FUNCTIONS = (*dict.fromkeys(ENDPOINTS.values()), "metadata", "cleanup", "operator", "configuration")


def load_function(name: str, environment: Mapping[str, str]) -> ModuleType:
    """Import ``functions/<name>/app.py`` afresh, as a cold start does, with just this environment."""
    with mock.patch.dict(os.environ, environment):
        return load_module(ROOT / "functions" / name / "app.py")


@cache
def _loaded(name: str) -> ModuleType:
    return load_function(name, deployed_environment())


def make_handler(name: str, environment: Mapping[str, str], clock: Any, telemetry: Any) -> Any:
    """Put the function together with these parts. They replace the parts made at its import."""
    return _loaded(name).make_handler(environment, clock, telemetry)


def http_event(
    method: str,
    path: str,
    *,
    query: str = "",
    headers: Mapping[str, str] | None = None,
    cookies: Iterable[str] = (),
    body: str | bytes | None = None,
    domain_name: str = "broker.example.com",
    source: str = "192.0.2.1",
    caller: str = "",
) -> dict[str, Any]:
    """An API Gateway HTTP API event, payload format 2.0; a body arrives base64-encoded, as form bodies do there."""
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": f"{method} {path}",
        "rawPath": path,
        "rawQueryString": query,
        "headers": {"host": domain_name, **(headers or {})},
        "requestContext": {
            "domainName": domain_name,
            "http": {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": source, "userAgent": "t"},
            "requestId": "id",
            "stage": "$default",
        },
        "isBase64Encoded": False,
    }
    if caller:
        event["requestContext"]["authorizer"] = {"iam": {"userArn": caller}}
    if cookies:
        event["cookies"] = list(cookies)
    if body is not None:
        raw = body.encode() if isinstance(body, str) else body
        event |= {"body": base64.b64encode(raw).decode(), "isBase64Encoded": True}
    return event
