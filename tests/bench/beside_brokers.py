"""The two brokers behind API Gateway: handlers for its events.

``beside_process`` imports this file in a bare python3.13. It may import the standard library alone.
"""

from __future__ import annotations

import base64
import importlib
import itertools
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from tests.support.bootstrap import load_module
from tests.support.lambda_context import Context

Handler = Callable[[Any, Any], Any]

_CONTEXT = Context()
_FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True)
class Asked:
    """A request. ``form`` is the body of a POST."""

    path: str
    query: str = ""
    cookie: str = ""
    form: dict[str, str] = field(default_factory=dict)

    @property
    def method(self) -> str:
        return "POST" if self.form else "GET"


@dataclass(frozen=True)
class Answer:
    """An answer. Names of headers are in lower case; ``cookie`` is the name and value of the new cookie."""

    status: int
    headers: dict[str, str]
    cookie: str
    body: str


class Broker:
    """Handlers of Lambda by path, and API Gateway in front of them. The path '' stands for all other paths."""

    def __init__(self, handlers: Mapping[str, Handler], issuer: str) -> None:
        self._handlers = handlers
        self._host = urlsplit(issuer).netloc
        # Each request comes from an address of its own, like a person of its own.
        self._addresses = (f"10.{n // 65536 % 256}.{n // 256 % 256}.{n % 256}" for n in itertools.count())

    def prepare(self, asked: Asked) -> Callable[[], Any]:
        """Make the event of API Gateway; return a function to call the handler with it."""
        handler, event = self._handlers.get(asked.path) or self._handlers[""], self._event(asked)
        return lambda: handler(event, _CONTEXT)

    def read(self, raw: Any) -> Answer:
        """Read the answer of a handler."""
        cookie = next(iter(raw.get("cookies") or []), "").partition(";")[0]
        body = raw.get("body") or ""
        if raw.get("isBase64Encoded"):
            body = base64.b64decode(body).decode()
        return Answer(raw["statusCode"], raw["headers"], cookie, body)

    def _event(self, asked: Asked) -> dict[str, Any]:
        address = next(self._addresses)
        event: dict[str, Any] = {
            "version": "2.0",
            "routeKey": f"{asked.method} {asked.path}",
            "rawPath": asked.path,
            "rawQueryString": asked.query,
            "cookies": [asked.cookie] if asked.cookie else [],
            "headers": {
                "accept": "*/*",
                "host": self._host,
                "user-agent": "Trader/1.0",
                "x-forwarded-for": address,
                "x-forwarded-port": "443",
                "x-forwarded-proto": "https",
            },
            "requestContext": {
                "domainName": self._host,
                "http": {
                    "method": asked.method,
                    "path": asked.path,
                    "protocol": "HTTP/1.1",
                    "sourceIp": address,
                    "userAgent": "Trader/1.0",
                },
                "requestId": "id",
                "stage": "$default",
            },
            "isBase64Encoded": False,
        }
        if asked.form:
            event["headers"]["content-type"] = _FORM
            body = base64.b64encode(urlencode(asked.form).encode()).decode()
            event |= {"body": body, "isBase64Encoded": True}
        return event


def functions(folders: Mapping[str, str]) -> dict[str, Handler]:
    """Ours, as built: a function for each path."""
    return {path: load_module(Path(folder) / "app.py").lambda_handler for path, folder in folders.items()}


def flask() -> dict[str, Handler]:
    """Load the Flask application as one function, behind an adapter for WSGI."""
    return {"": importlib.import_module("tests.bench.beside_flask.app").create_handler(dict(os.environ))}
