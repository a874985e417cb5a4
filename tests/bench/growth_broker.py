"""As many warm Lambdas as wanted at once: run by a bare python3.13 with what was built on its path, then the tests.

Each Lambda is a process. As on AWS, a process serves one request at a time. Threads of one process would share Python's
lock, and the benchmark would measure the lock. One process loads the functions, and all others are forks of it.

``python3.13 -I -S growth_broker.py JSON`` takes its settings from ``growth_stage``. It reads commands on standard
input, one JSON object a line, and answers each with one line on standard output. The seconds of processor time count
the handlers alone, without the code of the browser and the app.
"""

from __future__ import annotations

import base64
import http.client
import itertools
import json
import multiprocessing
import os
import sys
import time
from collections import deque
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

# The tests come last on the path, behind the measured modules.
sys.path.append(str(Path(__file__).parents[2]))

from tests.bench.warm_handlers import Handler, warm_handlers
from tests.support.clock import RunningClock
from tests.support.lambda_context import Context
from tests.support.pkce import CHALLENGE, VERIFIER

Event = dict[str, Any]
_CONTEXT = Context()


class Worker:
    """A warm Lambda of each function, and a phone in front of them."""

    def __init__(self, handlers: dict[str, Handler], clock: RunningClock, told: dict[str, Any], number: int) -> None:
        self._handlers = handlers
        self._clock = clock
        self._events: dict[str, Event] = told["events"]
        self._aries = http.client.HTTPConnection(urlsplit(told["approve"]).netloc)
        self._addresses = (f"10.{number}.{n // 256 % 256}.{n % 256}" for n in itertools.count())
        self._signed_in: deque[str] = deque()
        self.cpu = self.wall = 0.0

    def run(self, what: str, times: int, seconds: float) -> dict[str, float]:
        """Do the operation ``times`` times, ``seconds`` from now; return CPU and wall-clock seconds."""
        self.cpu = self.wall = 0.0
        self._clock.time += seconds
        for _ in range(times):
            self._sign_in() if what == "sign_in" else self._refresh()
        return {"cpu": self.cpu, "wall": self.wall}

    def forget(self) -> None:
        """Forget the tokens of all sessions. The sessions stay."""
        self._signed_in.clear()

    def _sign_in(self) -> None:
        source = next(self._addresses)
        query = dict(parse_qsl(self._events["authorize"]["rawQueryString"])) | {"code_challenge": CHALLENGE}
        answer = self._call("authorize", source, rawQueryString=urlencode(query), cookies=[])
        cookie = answer["cookies"][0].partition(";")[0]
        returning = self._approve(_expect(answer, 302)["headers"]["location"])
        answer = self._call("callback", source, rawQueryString=returning, cookies=[cookie])
        code = parse_qs(urlsplit(_expect(answer, 302)["headers"]["location"]).query)["code"][0]
        fields = {"code": code, "code_verifier": VERIFIER, "redirect_uri": query["redirect_uri"]}
        self._signed_in.append(self._ask_for_tokens("code", source, fields))

    def _refresh(self) -> None:
        fields = {"refresh_token": self._signed_in.popleft()}
        renewed = self._ask_for_tokens("refresh", next(self._addresses), fields)
        assert renewed != fields["refresh_token"]

    def _ask_for_tokens(self, event: str, source: str, fields: dict[str, str]) -> str:
        captured = dict(parse_qsl(base64.b64decode(self._events[event]["body"]).decode()))
        body = base64.b64encode(urlencode(captured | fields).encode()).decode()
        answer = _expect(self._call("token", source, event, body=body), 200)
        tokens = json.loads(answer["body"])
        assert tokens["access_token"]
        refresh_token: str = tokens["refresh_token"]
        return refresh_token

    def _call(self, function: str, source: str, captured: str = "", **changes: Any) -> dict[str, Any]:
        event = {**self._events[captured or function], **changes}
        context = event["requestContext"]
        event["requestContext"] = context | {"http": context["http"] | {"sourceIp": source}}
        cpu, wall = time.process_time(), time.perf_counter()
        answer = self._handlers[function](event, _CONTEXT)
        self.cpu += time.process_time() - cpu
        self.wall += time.perf_counter() - wall
        return answer

    def _approve(self, location: str) -> str:
        asked = urlsplit(location).query
        self._aries.request("POST", "/approve", asked.encode())
        code = self._aries.getresponse().read().decode()
        return urlencode({"code": code, "state": parse_qs(asked)["state"][0]})


def _expect(answer: dict[str, Any], status: int) -> dict[str, Any]:
    assert answer["statusCode"] == status, answer
    return answer


def _serve(commands: Connection, worker: Worker) -> None:
    # Logs go to /dev/null. Writing them still counts as the functions' work.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    while (command := commands.recv()) is not None:
        if command["what"] == "forget":
            worker.forget()
            commands.send({"cpu": 0.0, "wall": 0.0})
        else:
            commands.send(worker.run(command["what"], command["times"], command["later"]))


def _started(told: dict[str, Any]) -> Iterator[Connection]:
    # A token is refreshed a minute after the last time, and nobody waits for it.
    clock = RunningClock()
    handlers = warm_handlers(told["functions"], clock)
    fork = multiprocessing.get_context("fork")
    for number in range(told["processes"]):
        ours, theirs = fork.Pipe()
        fork.Process(target=_serve, args=(theirs, Worker(handlers, clock, told, number)), daemon=True).start()
        yield ours


def _at_once(workers: list[Connection], command: dict[str, Any]) -> Iterator[dict[str, float]]:
    for worker in workers:
        worker.send(command)
    for worker in workers:
        yield worker.recv()


def _in_turn(workers: list[Connection], command: dict[str, Any]) -> Iterator[dict[str, float]]:
    for worker in workers:
        worker.send(command)
        yield worker.recv()


def main() -> None:
    """Start the processes, and follow the commands until standard input ends."""
    told = json.loads(sys.argv[1])
    sys.path[:0] = told["folders"]
    workers = list(_started(told))
    print(json.dumps({"processes": len(workers)}), flush=True)
    for line in sys.stdin:
        command = json.loads(line)
        busy = workers[: command["workers"]]
        started = time.perf_counter()
        took = list(_in_turn(busy, command) if command["in_turn"] else _at_once(busy, command))
        total = {name: sum(each[name] for each in took) for name in ("cpu", "wall")}
        print(json.dumps(total | {"elapsed": time.perf_counter() - started}), flush=True)


if __name__ == "__main__":
    main()
