"""A broker in a process of its own, ours or the Flask one, with a person and an app in front of it.

``python3.13 -I beside_process.py JSON`` takes its settings from ``beside_stage``. It reads commands on standard input,
one JSON object a line, and answers each with one line on standard output. The seconds of processor time count the
handlers alone: the code makes each request before the clock starts, and reads each answer after it stops.
"""

from __future__ import annotations

import http.client
import json
import os
import sys
import time
import traceback
from collections import deque
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import parse_qs, urlencode, urlsplit

# The checkout comes last on the path. An import of a measured package finds the build before it.
sys.path.append(str(Path(__file__).parents[2]))

from tests.bench.beside_brokers import Answer, Asked, Broker, flask, functions
from tests.support.pkce import CHALLENGE, VERIFIER


class Person:
    """A person with an app. The app signs in, refreshes and signs out, and checks every answer."""

    def __init__(self, broker: Broker, told: dict[str, Any]) -> None:
        self._broker = broker
        self._app: dict[str, str] = told["app"]
        self._aries = http.client.HTTPConnection(urlsplit(told["aries"]).netloc)
        self._signed_in: deque[str] = deque()
        self._refreshed: deque[str] = deque()
        self._cpu = 0.0

    def do(self, what: str, times: int) -> float:
        """Do the operation ``times`` times; return the seconds of processor time."""
        self._cpu = 0.0
        for _ in range(times):
            getattr(self, what)()
        return self._cpu

    def sign_in(self) -> None:
        asked = {
            "response_type": "code",
            **self._app,
            "state": "the-state-of-the-app",
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
        }
        begun = self._send(Asked("/oauth2/authorize", urlencode(asked)), 302)
        at_aries = urlsplit(begun.headers["location"]).query
        back = {"code": self._ask_aries("/approve", at_aries), "state": parse_qs(at_aries)["state"][0]}
        came_back = self._send(Asked("/oauth2/callback", urlencode(back), begun.cookie), 302)
        given = parse_qs(urlsplit(came_back.headers["location"]).query)
        assert given["state"] == [asked["state"]], given
        redeemed = {"grant_type": "authorization_code", "code": given["code"][0], "code_verifier": VERIFIER}
        self._signed_in.append(self._ask_for_tokens(redirect_uri=self._app["redirect_uri"], **redeemed))

    def refresh(self) -> None:
        token = self._signed_in.popleft()
        renewed = self._ask_for_tokens(grant_type="refresh_token", refresh_token=token)
        assert renewed != token
        self._refreshed.append(renewed)

    def sign_out(self) -> None:
        self._send(self._post("/oauth2/revoke", token=self._refreshed.popleft()), 200)

    def sign_out_and_try_again(self) -> None:
        """Sign out, and expect a refusal for the old refresh token."""
        token = self._refreshed[0]
        self.sign_out()
        self._see_refused(token)

    def refresh_and_try_again(self) -> None:
        """Refresh, and expect a refusal for the old token. Flask only: our broker repeats its answer."""
        token = self._signed_in[0]
        self.refresh()
        self._see_refused(token)

    def _see_refused(self, token: str) -> None:
        refusal = self._send(self._post("/oauth2/token", grant_type="refresh_token", refresh_token=token), 400)
        assert json.loads(refusal.body)["error"] == "invalid_grant", refusal

    def _ask_for_tokens(self, **form: str) -> str:
        tokens = json.loads(self._send(self._post("/oauth2/token", **form), 200).body)
        assert json.loads(self._ask_aries("/v1/users/me", tokens["access_token"]))["id"], tokens
        refresh_token: str = tokens["refresh_token"]
        return refresh_token

    def _post(self, path: str, **form: str) -> Asked:
        return Asked(path, form={"client_id": self._app["client_id"], **form})

    def _send(self, asked: Asked, status: int) -> Answer:
        call = self._broker.prepare(asked)
        started = time.process_time()
        raw = call()
        self._cpu += time.process_time() - started
        answer = self._broker.read(raw)
        assert answer.status == status, answer
        return answer

    def _ask_aries(self, path: str, body: str) -> str:
        self._aries.request("POST", path, body.encode())
        answer = self._aries.getresponse()
        content = answer.read().decode()
        assert answer.status == 200, content
        return content


def _peak_bytes() -> int:
    """Return the peak memory of this process. getrusage would include the peak of its parent."""
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM:"))


def main() -> None:
    """Start the broker, and follow the commands until standard input ends."""
    told = json.loads(sys.argv[1])
    sys.path[:0] = told["folders"]
    # Logs go to /dev/null. Writing them still counts as the brokers' work.
    answers, errors = os.fdopen(os.dup(1), "w"), os.fdopen(os.dup(2), "w")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    try:
        _serve(told, answers)
    except Exception:
        traceback.print_exc(file=errors)
        raise


def _serve(told: dict[str, Any], answers: TextIO) -> None:
    broker = Broker(functions(told["functions"]) if told["functions"] else flask(), told["issuer"])
    person = Person(broker, told)
    print("{}", file=answers, flush=True)
    for line in sys.stdin:
        command = json.loads(line)
        cpu = person.do(command["what"], command["times"])
        print(json.dumps({"cpu": cpu, "peak": _peak_bytes()}), file=answers, flush=True)


if __name__ == "__main__":
    main()
