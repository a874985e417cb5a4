"""The real functions as real processes, over real HTTP, for the tests of races and deaths."""

from __future__ import annotations

import http.client
import itertools
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import boto3

from tests.faults.broker import Store
from tests.local.aries import AriesCore, AriesSimulator
from tests.local.aws import CREDENTIALS, REGION, LocalAws
from tests.local.serving import HOST
from tests.local.shared_clock import SharedClock
from tests.support.deployment import (
    ARIES_CLIENT_ID,
    ARIES_CLIENT_SECRET,
    CALLBACK_URI,
    SCOPES,
    TABLE,
    deployed_environment,
)
from tests.support.functions import ROOT
from tests.support.lambda_context import FUNCTION_SECONDS
from tests.support.leaks import WATCH
from tests.support.world import Answer, World

_TIME_LEFT_SECONDS = 60
_MINISTACK_PYTHON = ROOT / ".venv-ministack" / "bin" / "python"


class Workers:
    """``count`` processes serve the functions, each on its own port. If a process is killed, another replaces it."""

    def __init__(self, folder: Path, environment: dict[str, str], *, count: int, skip_sleeps: bool) -> None:
        self.clock_file, self.log_file, self._output = folder / "clock", folder / "events.log", folder / "workers.log"
        SharedClock(self.clock_file).close()
        options = ["--clock", str(self.clock_file), "--log", str(self.log_file), "--processes", str(count)]
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.local.worker", *options, *(["--skip-sleeps"] if skip_sleeps else [])],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
            )
        self._pids: dict[int, int] = {}
        try:
            self.ports = [int(port) for port in self._read("ports")]
            for _ in self.ports:
                self._meet()
        except BaseException:
            self.close()
            raise

    def kill(self, index: int) -> None:
        """Kill a process with SIGKILL; returns when another has taken its place."""
        os.kill(self._pids[index], signal.SIGKILL)
        self._meet()

    def events(self) -> Counter[str]:
        """Count the events and metrics of all processes by name. The name of a metric follows a ``#``."""
        return Counter(line.split()[0] for line in self.log_file.read_text().splitlines())

    def close(self) -> None:
        """End all processes, and search their output for secrets."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(_TIME_LEFT_SECONDS)
        self._process.stdout.close()
        for written in (self.log_file, self._output):
            # If the workers did not start, there is no log of events.
            WATCH.wrote("log of the workers", written.read_text() if written.exists() else "")

    def _read(self, kind: str) -> list[str]:
        assert self._process.stdout is not None
        words = self._process.stdout.readline().decode().split()
        if not words or words[0] != kind:
            raise RuntimeError("the workers did not start: see workers.log")
        return words[1:]

    def _meet(self) -> None:
        index, pid = self._read("worker")
        self._pids[int(index)] = int(pid)


class RealWorld(World):
    """A broker of several processes, with moto and the Aries simulator over HTTP: a World for any Phone.

    ``dynamodb_url`` is a DynamoDB in place of moto's. ``store`` is the TOKEN_STORE of all processes.
    """

    moved: SharedClock

    def __init__(
        self,
        folder: Path,
        *,
        processes: int,
        store: Store = "secrets",
        dynamodb_url: str | None = None,
        skip_sleeps: bool = False,
    ) -> None:
        self._folder = folder
        self._processes = processes
        self.store = store
        self._dynamodb_url = dynamodb_url
        self._skip_sleeps = skip_sleeps
        self._turn = itertools.count()
        self._running = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as started:
            self._start(started)
            self._running = started.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running.close()

    def _start(self, started: ExitStack) -> None:
        clock_file = self._folder / "clock"
        self.moved = SharedClock(clock_file)
        started.callback(self.moved.close)
        self.aries = AriesSimulator(
            AriesCore(ARIES_CLIENT_ID, ARIES_CLIENT_SECRET, [CALLBACK_URI], scopes=SCOPES, now=self.moved.now)
        )
        started.enter_context(self.aries)
        aws = LocalAws()
        started.callback(aws.close)
        self.aws_url = aws.url
        self.dynamodb = _client("dynamodb", self._dynamodb_url or aws.url)
        self.secretsmanager = _client("secretsmanager", aws.url)
        self.kms = _client("kms", aws.url)
        self.dynamodb.create_table(
            TableName=TABLE,
            KeySchema=[{"AttributeName": "session_id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "session_id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        started.callback(self.dynamodb.delete_table, TableName=TABLE)
        self.environment = deployed_environment(
            # Here all phones have one address.
            SOURCE_LIMIT="0",
            SIGN_IN_LIMIT="0",
            ARIES_CLIENT_SECRET_ARN=aws.create_secret("aries/client-secret", ARIES_CLIENT_SECRET),
            ARIES_TOKEN_URL=self.aries.token_url,
            KEY_ID=aws.create_key(),
            TOKEN_STORE=self.store,
        )
        around = {
            "PATH": os.environ.get("PATH", ""),
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "layers" / "oauth_broker")]),
            "AWS_ACCESS_KEY_ID": CREDENTIALS["aws_access_key_id"],
            "AWS_SECRET_ACCESS_KEY": CREDENTIALS["aws_secret_access_key"],
            "AWS_DEFAULT_REGION": REGION,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_ENDPOINT_URL": aws.url,
            "AWS_ENDPOINT_URL_DYNAMODB": self._dynamodb_url or aws.url,
            "NO_PROXY": HOST,
            "no_proxy": HOST,
        }
        self.workers = Workers(
            self._folder, self.environment | around, count=self._processes, skip_sleeps=self._skip_sleeps
        )
        started.callback(self.workers.close)

    def call(
        self,
        function: str,
        method: str,
        path: str,
        *,
        seconds: float = FUNCTION_SECONDS,
        via: Any = None,
        **event: Any,
    ) -> Answer:
        """Send the request to the process with the number ``via``, or to each in turn.

        Raises ConnectionError or http.client.HTTPException if the process died over the request.
        """
        processes = len(self.workers.ports)
        index = (next(self._turn) if via is None else via) % processes
        connection = http.client.HTTPConnection(HOST, self.workers.ports[index], timeout=_TIME_LEFT_SECONDS)
        headers = {"connection": "close", **event.get("headers", {})}
        if event.get("cookies"):
            headers["cookie"] = "; ".join(event["cookies"])
        query = f"?{event['query']}" if event.get("query") else ""
        try:
            connection.request(method, path + query, body=event.get("body"), headers=headers)
            response = connection.getresponse()
            body = response.read().decode()
        finally:
            connection.close()
        answered = {name.lower(): value for name, value in response.getheaders()}
        answer = Answer(response.status, answered, response.headers.get_all("set-cookie", []), body)
        WATCH.answer(answer)
        return answer


def _client(service: str, url: str) -> Any:
    make: Any = boto3.client
    client = make(service, endpoint_url=url, region_name=REGION, **CREDENTIALS)
    # The test closes its own connections, because an idle server must have no open connection.
    client.meta.events.register("before-send", _close_afterwards)
    return client


def _close_afterwards(request: Any, **_: Any) -> None:
    request.headers["Connection"] = "close"


@contextmanager
def ministack(folder: Path) -> Iterator[str]:
    """Run MiniStack's DynamoDB; yields its URL."""
    missing = "MiniStack is not installed: `make .venv-ministack/.ready` does it, as does `make test`"
    assert _MINISTACK_PYTHON.exists(), missing
    with socket.create_server((HOST, 0)) as free:
        port = free.getsockname()[1]
    environment = {
        "PATH": os.environ.get("PATH", ""),
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "BIND_HOST": HOST,
        "GATEWAY_PORT": str(port),
        "SERVICES": "dynamodb",
        "LOG_LEVEL": "ERROR",
        # MiniStack must not look for Docker.
        "DOCKER_HOST": f"unix://{folder}/none",
    }
    with (folder / "ministack.log").open("wb") as output:
        command = [str(_MINISTACK_PYTHON), "-m", "ministack"]
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output, cwd=folder)
    try:
        _wait_for(port, process)
        yield f"http://{HOST}:{port}"
    finally:
        process.kill()
        process.wait()


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + _TIME_LEFT_SECONDS
    while True:
        try:
            socket.create_connection((HOST, port), timeout=1).close()
        except OSError:
            assert process.poll() is None, "MiniStack ended at its start: see ministack.log"
            assert time.monotonic() < until, "MiniStack did not start"
            time.sleep(0.05)
        else:
            return
