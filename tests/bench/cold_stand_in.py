"""A stand-in for AWS and Aries: it records the answers of the real stand-ins once, and replays them.

Each cold start gets the same answers within a millisecond. It uses up no state.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from botocore import xform_name

from tests.support.certificates import server_context

ARIES_PATH = "/v1/oauth2/token"
USER_PATH = "/v1/users/me"
# The services by the beginning of their X-Amz-Target.
_SERVICES = {"DynamoDB": "dynamodb", "secretsmanager": "secretsmanager", "TrentService": "kms", "AmazonSQS": "sqs"}
# These parameters distinguish two calls of an operation. The values of the others change from start to start.
_TELLING = ("Key", "UpdateExpression", "IndexName", "SecretId", "CiphertextBlob", "RequestItems")
# Headers of a single connection, or of a single length.
_NOT_PASSED_ON = {"connection", "content-length", "host", "keep-alive", "date", "server", "transfer-encoding"}


@dataclass(frozen=True)
class Asked:
    """A request. A request to AWS has a ``target``; a request to Aries has none.

    A request to Aries' user endpoint has the ``method`` GET, all others have POST.
    """

    target: str
    body: bytes
    headers: Mapping[str, str]
    method: str = "POST"

    @property
    def name(self) -> str:
        """Return the name of the operation, or ``aries`` or ``user`` for an endpoint of Aries."""
        return self.target.rpartition(".")[2] or ("aries" if self.method == "POST" else "user")

    @property
    def key(self) -> tuple[str, str]:
        """Return a key. The same call in another start has the same key."""
        given = json.loads(self.body) if self.target else {}
        return self.name, json.dumps({name: given[name] for name in _TELLING if name in given}, sort_keys=True)

    def as_call(self, url: str) -> dict[str, Any]:
        """Describe the bare request for a repetition: a call of boto3, or a request to Aries, which is at ``url``."""
        if not self.target:
            kept = ("content-type", "accept", "authorization")
            headers = {name: value for name, value in self.headers.items() if name.lower() in kept}
            path = ARIES_PATH if self.method == "POST" else USER_PATH
            return {"method": self.method, "url": url + path, "body": self.body.decode(), "headers": headers}
        service = self.target.partition("_")[0].partition(".")[0]
        return {
            "service": _SERVICES[service],
            "method": xform_name(self.name),
            "parameters": json.loads(self.body),
        }


@dataclass(frozen=True)
class _Answer:
    status: int
    headers: list[tuple[str, str]]
    body: bytes


@dataclass
class StandIn:
    """A server on loopback, over TLS, while the context is open.

    ``asked`` collects the requests.
    """

    aws: str
    aries: str
    certificate: Path
    asked: list[Asked] = field(default_factory=list)
    _records: bool = False
    _answers: dict[tuple[str, str], _Answer] = field(default_factory=dict)

    def __enter__(self) -> Self:
        handler = type("Handler", (_Handler,), {"stand_in": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._server.socket = server_context(self.certificate).wrap_socket(self._server.socket, server_side=True)
        self._thread = Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        self.url = f"https://127.0.0.1:{self._server.server_port}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def record(self) -> None:
        """Forward all later requests to AWS and Aries, and record the answers. Earlier records go."""
        self.asked, self._answers, self._records = [], {}, True

    def replay(self) -> None:
        """Answer all later requests from the records."""
        self.asked, self._records = [], False

    def answer(self, asked: Asked, path: str) -> _Answer:
        """Answer a request. A request without a record gets an error."""
        self.asked.append(asked)
        if self._records:
            self._answers[asked.key] = _forward(self.aws if asked.target else self.aries, path, asked)
        return self._answers.get(asked.key) or _Answer(HTTPStatus.IM_A_TEAPOT, [], b"{}")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body are two writes. With Nagle's algorithm, the second waits for an acknowledgement of the first.
    disable_nagle_algorithm = True
    stand_in: StandIn

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers["content-length"])))

    def do_GET(self) -> None:
        self._answer(b"")

    def _answer(self, body: bytes) -> None:
        asked = Asked(self.headers.get("x-amz-target", ""), body, dict(self.headers.items()), self.command)
        answer = self.stand_in.answer(asked, self.path)
        self.send_response_only(answer.status)
        for name, value in answer.headers:
            self.send_header(name, value)
        self.send_header("content-length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    def log_message(self, *_: object) -> None:
        pass


def _forward(upstream: str, path: str, asked: Asked) -> _Answer:
    connection = http.client.HTTPConnection(urlsplit(upstream).netloc, timeout=30)
    headers = {name: value for name, value in asked.headers.items() if name.lower() not in _NOT_PASSED_ON}
    connection.request(asked.method, path, asked.body, headers)
    answer = connection.getresponse()
    kept = [(name, value) for name, value in answer.getheaders() if name.lower() not in _NOT_PASSED_ON]
    body = answer.read()
    connection.close()
    return _Answer(answer.status, kept, body)
