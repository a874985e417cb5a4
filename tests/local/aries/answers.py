"""Answers of the token endpoint, good and spoilt: the faults in the bytes. `wire` has the faults of the socket."""

import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from http import HTTPStatus

from tests.local.aries.faults import Fault

TRAP_PATH = "/__trap"
LARGE_BODY_BYTES = 10 * 1024 * 1024
BOMB_BYTES = 64 * 1024 * 1024
NESTING = 100_000
DIGITS = 5_000

_PAGE = b"<!doctype html><html><head><title>Aries</title></head><body><h1>Please stand by</h1></body></html>"


@dataclass(frozen=True)
class JsonAnswer:
    """The result of the rules: a status and a JSON object."""

    status: int
    body: Mapping[str, object]


@dataclass(frozen=True)
class Answer:
    """The bytes on the wire, with status and headers."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)

    def all_headers(self) -> dict[str, str]:
        return {
            "Content-Type": self.content_type,
            "Content-Length": str(len(self.body)),
            "Cache-Control": "no-store",
            "Pragma": "no-cache",
            **self.headers,
        }

    def head(self) -> bytes:
        """The status line and headers as sent over a socket."""
        lines = [f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}"]
        lines += [f"{name}: {value}" for name, value in {**self.all_headers(), "Connection": "close"}.items()]
        return "\r\n".join([*lines, "", ""]).encode()


def proper(outcome: JsonAnswer) -> Answer:
    return Answer(outcome.status, json.dumps(outcome.body).encode())


def spoil(fault: Fault, outcome: JsonAnswer) -> Answer:
    """Turn an outcome into the answer of a fault."""
    match fault.kind:
        case "server_error":
            headers = {"Retry-After": fault.retry_after} if fault.retry_after else {}
            return Answer(fault.status or 503, _PAGE, "text/html", headers=headers)
        case "too_many_requests":
            return Answer(429, _error("rate_limited"), headers={"Retry-After": str(round(fault.seconds))})
        case "html":
            return Answer(200, _PAGE, "text/html")
        case "redirect":
            return Answer(307, b"", headers={"Location": TRAP_PATH})
        case "invalid_grant":
            return Answer(fault.status or 400, _error("invalid_grant"))
        case "invalid_client":
            return Answer(fault.status or 401, _error("invalid_client"))
        case "unknown_error":
            return Answer(fault.status or 422, _error(fault.error))
        case "wrong_content_type":
            return Answer(outcome.status, proper(outcome).body, "text/plain")
        case "gzip_bomb":
            # A gzip stream may have several members (RFC 1952 section 2.2), so the bomb itself is compressed only once.
            body = gzip.compress(proper(outcome).body, mtime=0) + _bomb()
            return Answer(outcome.status, body, headers={"Content-Encoding": "gzip"})
        case "members" if outcome.status != 200:
            return proper(outcome)
        case "members":
            return Answer(fault.status or outcome.status, _spoilt_json(fault, outcome.body).encode())
        case _:
            return Answer(outcome.status, _spoilt_json(fault, outcome.body).encode())


def _spoilt_json(fault: Fault, body: Mapping[str, object]) -> str:
    members = [(name, json.dumps(value)) for name, value in body.items()]
    match fault.kind:
        case "json_array":
            return f"[{_json_object(members)}]"
        case "duplicate_keys":
            return _json_object([*members, (members[0][0], '"another value"')])
        case "nan":
            return _json_object(_with(members, {"expires_in": "NaN"}))
        case "long_number":
            return _json_object(_with(members, {"expires_in": "1" * DIGITS}))
        case "deep_nesting":
            return _json_object([*members, ("padding", "[" * NESTING + "]" * NESTING)])
        case "large_body":
            return _json_object(members).ljust(LARGE_BODY_BYTES)
        case "members":
            changes = {name: json.dumps(value) for name, value in fault.members.items()} | dict(fault.raw_members)
            return _json_object([member for member in _with(members, changes) if member[0] not in fault.omit])
        case _:
            raise ValueError(f"{fault.kind} is not an answer")


def _with(members: list[tuple[str, str]], changes: Mapping[str, str]) -> list[tuple[str, str]]:
    return list((dict(members) | dict(changes)).items())


def _json_object(members: list[tuple[str, str]]) -> str:
    return "{" + ", ".join(f"{json.dumps(name)}: {text}" for name, text in members) + "}"


def _error(code: str) -> bytes:
    return json.dumps({"error": code, "error_description": "A fault that a test asked for"}).encode()


@cache
def _bomb() -> bytes:
    return gzip.compress(b" " * BOMB_BYTES, mtime=0)
