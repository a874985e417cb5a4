"""The real handlers in separate processes behind loopback ports. Tests race them against each other, and kill them.

``python -m tests.local.worker`` loads the functions once, with its own environment, and forks warm processes, each with
its own port. If a process dies, another takes its place at once, on the same port. The program prints ``ports`` with
all the ports, and ``worker INDEX PID`` for every process. It ends when standard input ends.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import signal
import socket
import sys
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from pathlib import Path
from threading import Thread
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

from werkzeug.serving import make_server

from tests.local.serving import HOST, QuietHandler
from tests.local.shared_clock import SharedClock
from tests.support.functions import http_event, make_handler
from tests.support.lambda_context import Context

FUNCTIONS = ("authorize", "callback", "token", "refresh", "revoke")
_LIFELINE = 0
_MANY = 128


class EventLog:
    """Telemetry of several processes in one file. Each line is an event, or a metric after a ``#``."""

    def __init__(self, path: Path) -> None:
        """Append to ``path``, each line in one write."""
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def log(self, level: str, event: str, fields: dict[str, Any]) -> None:
        """Write the event's name and its fields."""
        os.write(self._file, f"{event} {json.dumps(fields)}\n".encode())

    def measure(self, metric: str, milliseconds: float, dimensions: dict[str, str]) -> None:
        """Leave durations out."""

    def count(self, metric: str, dimensions: dict[str, str]) -> None:
        """Write the metric's name and its dimensions."""
        os.write(self._file, f"#{metric} {json.dumps(dimensions)}\n".encode())


class _Worker:
    """The WSGI application of one process: turns requests into the events of API Gateway, as Lambda gets them."""

    def __init__(self, handlers: Mapping[str, Any], clock: SharedClock) -> None:
        self._handlers = handlers
        self._clock = clock

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path: str = environ["PATH_INFO"]
        handler = self._handlers[path.removeprefix("/oauth2/")]
        answer = handler(_event(environ, path), Context(now=self._clock.now))
        headers = [*answer["headers"].items(), *(("set-cookie", cookie) for cookie in answer["cookies"])]
        start_response(f"{answer['statusCode']} {HTTPStatus(answer['statusCode']).phrase}", headers)
        return [answer["body"].encode()]


def _event(environ: WSGIEnvironment, path: str) -> dict[str, Any]:
    headers = {
        name.removeprefix("HTTP_").replace("_", "-").lower(): value
        for name, value in environ.items()
        if name.startswith("HTTP_") or name == "CONTENT_TYPE"
    }
    cookies = [cookie for cookie in headers.pop("cookie", "").split("; ") if cookie]
    body: bytes = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    return http_event(
        environ["REQUEST_METHOD"],
        path,
        query=environ["QUERY_STRING"],
        headers=headers,
        cookies=cookies,
        body=body or None,
        domain_name=headers["host"],
    )


def main() -> None:
    """Serve until standard input ends."""
    parser = argparse.ArgumentParser(prog="python -m tests.local.worker", description=__doc__)
    parser.add_argument("--clock", type=Path, required=True)
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--skip-sleeps", action="store_true")
    options = parser.parse_args()
    # A process in a script's background ignores SIGINT, and its children would ignore it too.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    clock, log = SharedClock(options.clock, skips=options.skip_sleeps), EventLog(options.log)
    handlers = {name: make_handler(name, os.environ, clock, log) for name in FUNCTIONS}
    worker = _Worker(handlers, clock)
    listening = [socket.create_server((HOST, 0), backlog=_MANY) for _ in range(options.processes)]
    _say("ports", *(server.getsockname()[1] for server in listening))
    running = {_start(worker, listening, index): index for index in range(len(listening))}
    while True:
        pid, _ = os.wait()
        if select.select([_LIFELINE], [], [], 0)[0]:
            return
        index = running.pop(pid)
        running[_start(worker, listening, index)] = index


def _start(worker: _Worker, listening: list[socket.socket], index: int) -> int:
    pid = os.fork()
    if pid == 0:
        _serve(worker, listening[index])
    _say("worker", index, pid)
    return pid


def _serve(worker: _Worker, listening: socket.socket) -> None:
    """Serve in a process of its own; never returns."""
    Thread(target=_end_with_standard_input, daemon=True).start()
    port = listening.getsockname()[1]
    server = make_server(HOST, port, worker, threaded=True, request_handler=QuietHandler, fd=listening.fileno())
    server.serve_forever()
    os._exit(1)


def _end_with_standard_input() -> None:
    os.read(_LIFELINE, 1)
    os._exit(0)


def _say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
