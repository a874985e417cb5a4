"""The real handlers of ``functions/``, loaded by path as Lambda loads them, and the events they are given."""

from __future__ import annotations

import base64
import importlib.util
import itertools
import os
import uuid
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

ROOT = Path(__file__).parents[2]
FUNCTIONS = ("authorize", "callback", "token", "refresh", "revoke", "metadata", "cleanup", "operator", "configuration")
FUNCTION_SECONDS = 29

_loads = itertools.count()


def load_function(name: str, environment: Mapping[str, str]) -> ModuleType:
    """Import ``functions/<name>/app.py`` afresh, as a cold start does, with just this environment."""
    path = ROOT / "functions" / name / "app.py"
    spec = importlib.util.spec_from_file_location(f"function_{name}_{next(_loads)}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with mock.patch.dict(os.environ, environment):
        spec.loader.exec_module(module)
    return module


class Context:
    """A Lambda context whose time runs on the given clock."""

    def __init__(self, now: Callable[[], float], seconds: float = FUNCTION_SECONDS) -> None:
        self.aws_request_id = str(uuid.uuid4())
        self._now = now
        self._ends_at = now() + seconds

    def get_remaining_time_in_millis(self) -> int:
        return int((self._ends_at - self._now()) * 1000)


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
    if cookies:
        event["cookies"] = list(cookies)
    if body is not None:
        raw = body.encode() if isinstance(body, str) else body
        event |= {"body": base64.b64encode(raw).decode(), "isBase64Encoded": True}
    return event
