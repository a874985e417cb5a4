"""AWS and Aries in a process of their own, over TLS and with kept connections like the real services.

The stand-in answers the broker from rows and secrets in memory. While ``repeating``, it answers an earlier request,
byte for byte, with the bytes of the earlier answer. The bare side therefore repeats the broker's own calls. It reads
commands on standard input, one JSON object a line. It answers each command with one line on standard output; its
first line has the port.

``python -m tests.bench.warm_standin JSON``: the ``client`` of Aries, and the file with the ``certificate``.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import socket
import sys
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from threading import Lock, Thread
from typing import Any, BinaryIO
from urllib.parse import parse_qs, urlencode, urlsplit

from tests.bench.growth_aws import CLIENT_SECRET_ARN, SUBJECT_KEY_ARN, Aws
from tests.bench.growth_serving import Request
from tests.local.aries import AriesCore
from tests.local.aries.tokens import User
from tests.support.certificates import server_context

ARIES = "aries"
# The body of such a call is its access token.
USER = "user"
# KMS' name in the header X-Amz-Target.
_KMS = "TrentService"
# Bytes of KMS' own part of a ciphertext.
_OVERHEAD = 160
_ROUTINE = (CLIENT_SECRET_ARN.encode(), SUBJECT_KEY_ARN.encode(), b'"cut-offs"')

Call = tuple[str, str]


@dataclass
class Services:
    """AWS and Aries. ``made`` counts the calls as ``service:Operation``, and connections as ``connections``.

    ``last`` holds the counted calls and their bodies in order. Every sign-in is another person's.
    """

    aws: Aws
    aries: AriesCore
    made: Counter[str] = field(default_factory=Counter)
    last: list[Call] = field(default_factory=list)
    repeating: bool = False
    _answers: dict[Call, tuple[int, bytes]] = field(default_factory=dict)
    _lock: Any = field(default_factory=Lock)
    _people: Iterator[int] = field(default_factory=itertools.count)

    def answer(self, method: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        """Answer one request and count it."""
        target = headers.get("x-amz-target", "")
        service, _, operation = target.partition(".")
        service = "dynamodb" if service.startswith("DynamoDB") else "kms" if service == _KMS else service
        call = (f"{service}:{operation}" if target else ARIES, body.decode())
        if method == "GET":
            call = (USER, headers["authorization"].removeprefix("Bearer "))
        with self._lock:
            if target and any(name in body for name in _ROUTINE):
                self.made["routine"] += 1
                return self._do(target, body)
            self.made[call[0]] += 1
            self.last.append(call)
            if not self.repeating:
                self._answers[call] = self._user(call[1]) if call[0] == USER else self._do(target, body)
            return self._answers.get(call, (500, b"{}"))

    def connected(self) -> None:
        """Count one more connection."""
        with self._lock:
            self.made["connections"] += 1

    def _user(self, access_token: str) -> tuple[int, bytes]:
        return 200, json.dumps(asdict(self.aries.user(access_token))).encode()

    def _do(self, target: str, body: bytes) -> tuple[int, bytes]:
        if not target:
            status, tokens = self.aries.token(json.loads(body))
            return status, json.dumps(tokens).encode()
        if target.startswith(_KMS):
            return _answer_as_kms(target, json.loads(body))
        if target.endswith(".DeleteSecret"):
            return 200, json.dumps(self._delete_secret(json.loads(body))).encode()
        return self.aws.answer(Request("/", {"X-Amz-Target": target}, body))

    def _delete_secret(self, asked: dict[str, Any]) -> dict[str, Any]:
        return {"Name": asked["SecretId"], "DeletionDate": 1795356191.5}

    def approve(self, location: str) -> str:
        """Approve a sign-in; return the query of the browser's callback."""
        asked = urlsplit(location).query
        number = next(self._people)
        person = User(f"usr_{number}", f"Person {number}", f"person{number}@example.com")
        code = self.aries.approve(self.aries.authorize(asked), person)
        return urlencode({"code": code, "state": parse_qs(asked)["state"][0]})

    def counted(self) -> dict[str, Any]:
        """Return the calls since the last time, and forget them."""
        with self._lock:
            told = {"made": dict(self.made), "last": self.last}
            self.made, self.last = Counter(), []
        return told


def _answer_as_kms(target: str, asked: dict[str, Any]) -> tuple[int, bytes]:
    """Seal or open a text. The ciphertext is the text behind a digest of its context, with the length of KMS' own."""
    context = json.dumps(asked["EncryptionContext"], sort_keys=True).encode()
    head = hashlib.sha256(context).digest().ljust(_OVERHEAD, b".")
    if target.endswith(".Encrypt"):
        name, data = "CiphertextBlob", head + base64.b64decode(asked["Plaintext"])
    else:
        sealed = base64.b64decode(asked["CiphertextBlob"])
        if not sealed.startswith(head):
            return 400, b'{"__type": "InvalidCiphertextException"}'
        name, data = "Plaintext", sealed[_OVERHEAD:]
    return 200, json.dumps({"KeyId": asked["KeyId"], name: base64.b64encode(data).decode()}).encode()


class Server:
    """A small HTTP server over TLS, enough for the SDK and ``requests``. ``port`` is on loopback."""

    def __init__(self, services: Services, certificate: str) -> None:
        self._services = services
        self._tls = server_context(Path(certificate))
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._socket.getsockname()[1]

    def serve(self) -> None:
        """Serve each connection in a thread of its own."""
        while True:
            connection, _ = self._socket.accept()
            Thread(target=self._converse, args=(connection,), daemon=True).start()

    def _converse(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._services.connected()
        with suppress(OSError), self._tls.wrap_socket(connection, server_side=True) as wrapped:
            stream = wrapped.makefile("rb")
            while (request := _read(stream)) is not None:
                wrapped.sendall(_message(*self._services.answer(*request)))


def _read(stream: BinaryIO) -> tuple[str, dict[str, str], bytes] | None:
    method, _, _ = stream.readline().decode().partition(" ")
    if not method:
        return None
    headers: dict[str, str] = {}
    while (line := stream.readline().decode().rstrip()) != "":
        name, _, value = line.partition(": ")
        headers[name.lower()] = value
    return method, headers, stream.read(int(headers.get("content-length", "0")))


def _message(status: int, body: bytes) -> bytes:
    # These are the headers of AWS. The SDK compares the checksum with the body.
    head = (
        f"HTTP/1.1 {status} {'OK' if status == 200 else 'Refused'}\r\nServer: Server\r\n"
        f"Date: Mon, 23 Nov 2026 04:00:00 GMT\r\nContent-Type: application/x-amz-json-1.0\r\n"
        f"Content-Length: {len(body)}\r\nConnection: keep-alive\r\n"
        "x-amzn-RequestId: 3GVLSU6IBDOE0DA0MF0S2LTB2NVV4KQNSO5AEMVJF66Q9ASUAAJG\r\n"
        f"x-amz-crc32: {zlib.crc32(body)}\r\n\r\n"
    )
    return head.encode() + body


def main() -> None:
    """Serve until standard input ends."""
    told = json.loads(sys.argv[1])
    client = told["client"]
    services = Services(Aws(client["client_secret"]), AriesCore(**client))
    server = Server(services, told["certificate"])
    Thread(target=server.serve, daemon=True).start()
    print(json.dumps({"port": server.port}), flush=True)
    for line in sys.stdin:
        command = json.loads(line)
        services.repeating = command.get("repeating", False)
        returning = [services.approve(location) for location in command.get("approve", [])]
        print(json.dumps({**services.counted(), "returning": returning}), flush=True)


if __name__ == "__main__":
    main()
