"""Warm functions in one process: run by a bare python3.13 with what was built on its path, then the tests.

``python3.13 -I -S -B warm_broker.py JSON`` takes its settings from ``warm_stage``. It reads commands on standard input,
one JSON object a line: an operation, and the input of each time. It answers each command with one line on standard
output: the seconds of processor time of the handlers alone, in all and for each call, and the input of the next
operation.
"""

from __future__ import annotations

import base64
import importlib
import itertools
import json
import os
import socket
import sys
import time
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

# The tests come last on the path, behind the measured modules.
sys.path.append(str(Path(__file__).parents[2]))

from tests.bench.warm_handlers import warm_handlers
from tests.support.clock import VirtualClock
from tests.support.deployment import BACKEND_APP_URI, BACKEND_CLIENT_ID
from tests.support.lambda_context import Context
from tests.support.pkce import VERIFIER

# The app with a backend, and the scope with which Aries says who the person is.
_WITH_ITS_PERSON = {
    "client_id": BACKEND_CLIENT_ID,
    "redirect_uri": BACKEND_APP_URI,
    "scope": "account:information user:information",
}
Answer = dict[str, Any]
Given = dict[str, str]
_CONTEXT = Context()


class SteppedClock(VirtualClock):
    """Stands still until it is put forward, so the handlers read no cached value again in between.

    It lets nobody sleep: a wait would not be in the figures.
    """

    def sleep(self, seconds: float) -> None:
        raise AssertionError("nothing has to wait here")


class Unbuffered:
    """A stream without a buffer, like the standard output of the runtime."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class Broker:
    """The functions in a warm process, and the apps calling them."""

    def __init__(self, told: dict[str, Any], clock: SteppedClock) -> None:
        self._events: dict[str, Answer] = told["events"]
        self._handlers = warm_handlers(told["functions"], clock)
        self._addresses = (f"10.{n // 65536 % 256}.{n // 256 % 256}.{n % 256}" for n in itertools.count())
        self.each: list[float] = []

    def authorize(self, given: Given) -> Given:
        return self._authorize()

    def authorize_with_its_person(self, given: Given) -> Given:
        query = self._events["authorize"]["rawQueryString"]
        return self._authorize(rawQueryString=urlencode({**dict(parse_qsl(query)), **_WITH_ITS_PERSON}))

    def _authorize(self, **changes: Any) -> Given:
        answer = self._call("authorize", "authorize", 302, cookies=[], **changes)
        return {"cookie": answer["cookies"][0].partition(";")[0], "location": answer["headers"]["location"]}

    def callback(self, given: Given) -> Given:
        answer = self._call("callback", "callback", 302, rawQueryString=given["returning"], cookies=[given["cookie"]])
        return {"code": parse_qs(urlsplit(answer["headers"]["location"]).query)["code"][0]}

    def redeem(self, given: Given) -> Given:
        return {"token": self._tokens("redeem", {"code": given["code"], "code_verifier": VERIFIER})}

    def redeem_with_its_person(self, given: Given) -> Given:
        fields = {"code": given["code"], "code_verifier": VERIFIER, **_WITH_ITS_PERSON}
        tokens = self._post("token", "redeem", fields)
        return {"token": tokens["refresh_token"], "handle": tokens["backend_handle"]}

    def list_sessions(self, given: Given) -> Given:
        fields = {"client_id": BACKEND_CLIENT_ID, "token": given["token"]}
        answer = self._post("sessions", "list sessions", fields)
        assert answer["complete"]
        assert len(answer["sessions"]) == 1
        return given

    def backend(self, given: Given) -> Given:
        answer = self._call("backend", "backend", 200, body=json.dumps({"backend_handle": given["handle"]}))
        assert json.loads(answer["body"])["access_token"]
        return given

    def refresh(self, given: Given) -> Given:
        return {"token": self._tokens("refresh", {"refresh_token": given["token"]}), "previous": given["token"]}

    def replay(self, given: Given) -> Given:
        assert self._tokens("refresh", {"refresh_token": given["previous"]}) == given["token"]
        return given

    def revoke(self, given: Given) -> Given:
        assert self._post("revoke", "revoke", {"token": given["token"]}) == {}
        return {}

    def _tokens(self, event: str, fields: Given) -> str:
        tokens = self._post("token", event, fields)
        assert tokens["access_token"]
        refresh_token: str = tokens["refresh_token"]
        return refresh_token

    def _post(self, function: str, event: str, fields: Given) -> Answer:
        captured = dict(parse_qsl(base64.b64decode(self._events[event]["body"]).decode()))
        body = base64.b64encode(urlencode(captured | fields).encode()).decode()
        answered: Answer = json.loads(self._call(function, event, 200, body=body)["body"])
        return answered

    def _call(self, function: str, captured: str, status: int, **changes: Any) -> Answer:
        event = {**self._events[captured], **changes}
        context = event["requestContext"]
        # Each call has its own address. The limit for each address would hold up a single one.
        event["requestContext"] = context | {"http": context["http"] | {"sourceIp": next(self._addresses)}}
        began = time.process_time()
        answer = self._handlers[function](event, _CONTEXT)
        self.each.append(time.process_time() - began)
        assert answer["statusCode"] == status, answer
        return answer


def reach(port: int) -> None:
    """Resolve every host name to loopback and this port."""
    there = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]
    socket.getaddrinfo = lambda *_, **__: there  # type: ignore[assignment]


def trust(certificate: str) -> None:
    """Trust this certificate instead of the ones in ``certifi``."""
    importlib.import_module("certifi").where = lambda: certificate  # type: ignore[attr-defined]


def main() -> None:
    """Follow the commands until standard input ends."""
    told = json.loads(sys.argv[1])
    sys.path[:0] = told["folders"]
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    # Logs go to /dev/null. Writing them still counts as the functions' work.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.stdout = Unbuffered(sys.stdout)
    reach(told["port"])
    trust(told["certificate"])
    clock = SteppedClock(time.time())
    broker = Broker(told, clock)
    print("{}", file=answers)
    for line in sys.stdin:
        command = json.loads(line)
        clock.time += command["later"]
        broker.each.clear()
        operation = getattr(broker, command["do"].replace(" ", "_"))
        made = [operation(given) for given in command["given"]]
        print(json.dumps({"cpu": sum(broker.each), "each": broker.each, "made": made}), file=answers)


if __name__ == "__main__":
    main()
