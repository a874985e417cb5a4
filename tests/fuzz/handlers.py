"""The real handlers of all endpoints, with an empty AWS, and requests made of any bytes."""

from __future__ import annotations

import base64
import json
from functools import cache
from typing import Any, NoReturn
from unittest import mock

from oauth_broker.operations.endpoint import Endpoint
from oauth_broker.runtime import aws
from tests.support.client_error import client_error
from tests.support.clock import VirtualClock
from tests.support.functions import CALLER, ENDPOINTS, http_event, make_handler
from tests.support.lambda_context import Context
from tests.support.telemetry import Recorded
from tests.unit.fakes import ENVIRONMENT

# A client can cause these answers only. AWS works here, so even a 503 would be a defect.
_DECLARED = (200, 204, 302, 400, 401, 403, 404, 405)
_HEADERS = (
    "cache-control",
    "content-security-policy",
    "referrer-policy",
    "strict-transport-security",
    "x-content-type-options",
)


_REDIRECT_URIS = ["https://app.example.com/callback"]
_APPS = json.dumps(
    {
        "app": {"redirect_uris": _REDIRECT_URIS, "scopes": ["read"]},
        "server": {"redirect_uris": _REDIRECT_URIS, "scopes": ["read"], "backend": True},
    }
)


class _EmptyTable:
    """A table without a row: every condition fails."""

    def put_item(self, **parameters: Any) -> Any:
        return {}

    def get_item(self, **parameters: Any) -> Any:
        return {}

    def update_item(self, **parameters: Any) -> Any:
        raise client_error("ConditionalCheckFailedException")


class _Forbidden:
    """Secrets Manager and KMS: a request without proof must not reach them."""

    def __getattr__(self, name: str) -> NoReturn:
        raise AssertionError(f"{name} was called")


@cache
def _handler(name: str) -> tuple[Endpoint, Recorded]:
    environment = {**ENVIRONMENT, "APPS": _APPS, "SOURCE_LIMIT": "0", "SIGN_IN_LIMIT": "0"}
    telemetry = Recorded()
    with mock.patch.multiple(aws, dynamodb=_EmptyTable, secretsmanager=_Forbidden, kms=_Forbidden):
        return make_handler(name, environment, VirtualClock(), telemetry), telemetry


def any_request(data: bytes) -> None:
    """Send a request, written as in HTTP. Lines ``cookie:`` are cookies; the method tells the body's encoding."""
    head, _, body = data.decode("utf-8", "surrogateescape").partition("\n\n")
    first, *lines = head.split("\n")
    method, _, target = first.partition(" ")
    path, _, query = target.partition("?")
    pairs = [(name, value.lstrip(" ")) for name, _, value in (line.partition(":") for line in lines)]
    event = http_event(
        method.rstrip("!"),
        path,
        query=query,
        headers={name: value for name, value in pairs if name != "cookie"},
        cookies=[value for name, value in pairs if name == "cookie"],
        caller="" if any(name == "unsigned" for name, _ in pairs) else CALLER,
    )
    if body:
        raw = body.encode("utf-8", "surrogateescape")
        # If a "!" follows the method, the body claims to be base64, perhaps falsely.
        event["body"] = body if method.endswith("!") else base64.b64encode(raw).decode()
        event["isBase64Encoded"] = True
    name = "backend" if path.startswith("/backend/") else ENDPOINTS.get(path, "metadata")
    handler, telemetry = _handler(name)
    telemetry.lines.clear()
    telemetry.metrics.clear()
    answer = handler(event, Context())
    assert answer["statusCode"] in _DECLARED, (answer, telemetry.lines)
    assert all(answer["headers"][name] for name in _HEADERS)
    assert json.dumps(answer)
    for text in (*answer["headers"].values(), *answer["cookies"]):
        assert text.isascii()
        assert text.isprintable()
