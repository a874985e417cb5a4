"""The two brokers as a server has them in front of itself: ours behind API Gateway, the other behind WSGI.

Read by ``beside_process`` in a bare python3.13, and so without anything that is not in the standard library.
"""

from __future__ import annotations

import base64
import importlib
import importlib.util
import io
import itertools
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlencode, urlsplit

_FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True)
class Asked:
    """One request; ``form`` is what is posted."""

    path: str
    query: str = ""
    cookie: str = ""
    form: dict[str, str] = field(default_factory=dict)

    @property
    def method(self) -> str:
        return "POST" if self.form else "GET"


@dataclass(frozen=True)
class Answer:
    """The answer; names of headers are in lower case, ``cookie`` is the name and value of the one that was set."""

    status: int
    headers: dict[str, str]
    cookie: str
    body: str


class Broker(Protocol):
    """Either of the two. ``prepare`` does what a server in front of it does, and returns what remains."""

    def prepare(self, asked: Asked) -> Callable[[], Any]: ...

    def read(self, raw: Any) -> Answer: ...


class Context:
    """What Lambda tells of an invocation."""

    aws_request_id = "00000000-0000-0000-0000-000000000000"

    def get_remaining_time_in_millis(self) -> int:
        return 29_000


class Functions:
    """Ours: the Lambda handlers, called with API Gateway's events."""

    def __init__(self, told: dict[str, Any]) -> None:
        self._handlers = {path: _load(folder) for path, folder in told["functions"].items()}
        self._host = urlsplit(told["issuer"]).netloc
        # As many people as sign-ins: each comes from an address of its own.
        self._addresses = (f"10.{n // 65536 % 256}.{n // 256 % 256}.{n % 256}" for n in itertools.count())

    def prepare(self, asked: Asked) -> Callable[[], Any]:
        handler, event = self._handlers[asked.path], self._event(asked)
        return lambda: handler(event, Context())

    def read(self, raw: Any) -> Answer:
        cookie = next(iter(raw.get("cookies") or []), "").partition(";")[0]
        return Answer(raw["statusCode"], raw["headers"], cookie, raw.get("body") or "")

    def _event(self, asked: Asked) -> dict[str, Any]:
        event: dict[str, Any] = {
            "version": "2.0",
            "routeKey": f"{asked.method} {asked.path}",
            "rawPath": asked.path,
            "rawQueryString": asked.query,
            "cookies": [asked.cookie] if asked.cookie else [],
            "headers": {"host": self._host, "accept": "*/*"},
            "requestContext": {
                "domainName": self._host,
                "http": {"method": asked.method, "path": asked.path, "sourceIp": next(self._addresses)},
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


class Wsgi:
    """The application of Flask, called as WSGI has it: the least that can stand in front of it, and less than Lambda.

    What would turn API Gateway's event into this, and the answer back, is not there and does not count.
    """

    def __init__(self, told: dict[str, Any]) -> None:
        module = importlib.import_module("tests.bench.beside_flask.app")
        self._app = module.create_app(dict(os.environ))
        self._host = urlsplit(told["issuer"]).netloc

    def prepare(self, asked: Asked) -> Callable[[], Any]:
        environ = self._environ(asked)

        def call() -> Any:
            started: list[Any] = []
            chunks = self._app(environ, lambda status, headers, _=None: started.extend((status, headers)))
            body = b"".join(chunks)
            chunks.close()
            return started, body

        return call

    def read(self, raw: Any) -> Answer:
        (status, headers), body = raw
        named = {name.lower(): value for name, value in headers}
        cookie = named.get("set-cookie", "").partition(";")[0]
        return Answer(int(status.split()[0]), named, cookie, body.decode())

    def _environ(self, asked: Asked) -> dict[str, Any]:
        body = urlencode(asked.form).encode() if asked.form else b""
        environ = {
            "REQUEST_METHOD": asked.method,
            "SCRIPT_NAME": "",
            "PATH_INFO": asked.path,
            "QUERY_STRING": asked.query,
            "SERVER_NAME": self._host,
            "SERVER_PORT": "443",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "HTTP_HOST": self._host,
            "HTTP_ACCEPT": "*/*",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "https",
            "wsgi.input": io.BytesIO(body),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": False,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }
        if asked.cookie:
            environ["HTTP_COOKIE"] = asked.cookie
        if body:
            environ |= {"CONTENT_TYPE": _FORM, "CONTENT_LENGTH": str(len(body))}
        return environ


def _load(folder: str) -> Callable[[Any, Any], Any]:
    spec = importlib.util.spec_from_file_location(Path(folder).name, Path(folder) / "app.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    handler: Callable[[Any, Any], Any] = module.lambda_handler
    return handler
