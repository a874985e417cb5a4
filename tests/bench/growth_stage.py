"""The stage for the measurement of growth: the processes of the broker, and stand-ins for AWS and Aries."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

from tests.bench.growth_aws import CLIENT_SECRET_ARN
from tests.bench.growth_serving import KeptAliveServer, Request
from tests.bench.interpreter import python3_13
from tests.built.artifacts import BUILT, LAMBDA, LAYERS
from tests.local.aries import AriesCore
from tests.local.template import ROOT
from tests.support.deployment import ARIES_CLIENT_ID, ARIES_CLIENT_SECRET, CALLBACK_URI, SCOPES, deployed_environment

# Seconds after the last refresh. An earlier refresh is a replay.
MINUTE = 61
_FUNCTIONS = {"authorize": "AuthorizeFunction", "callback": "CallbackFunction", "token": "TokenFunction"}
_EVENTS = {"authorize": "authorize_ok", "callback": "callback_ok", "code": "token_code", "refresh": "token_refresh"}


class Stage:
    """The processes of the broker, and stand-ins for AWS and Aries: three programs on loopback."""

    def __init__(self, aws: Program, broker: Program) -> None:
        self._aws = aws
        self._broker = broker

    @classmethod
    @contextmanager
    def set(cls, processes: int) -> Iterator[Self]:
        """Start all programs, and let every process of the broker sign in and refresh twice."""
        with ExitStack() as started:
            core = AriesCore(ARIES_CLIENT_ID, ARIES_CLIENT_SECRET, [CALLBACK_URI], scopes=SCOPES)
            aries = started.enter_context(KeptAliveServer(lambda request: _answer_as_aries(core, request)))
            command = [sys.executable, "-m", "tests.bench.growth_aws", ARIES_CLIENT_SECRET]
            aws = started.enter_context(Program(command, {"PYTHONPATH": str(ROOT)}))
            script = str(Path(__file__).with_name("growth_broker.py"))
            told = json.dumps(_what_the_broker_is_told(aries.url, processes))
            broker = Program([python3_13(), "-I", "-S", "-B", script, told], _for_broker(aws.told["url"], aries.url))
            stage = cls(aws, started.enter_context(broker))
            stage.command("sign_in", processes, 2)
            stage.command("refresh", processes, 2, MINUTE)
            yield stage

    def have_rows(self, count: int) -> None:
        """Fill the table with exactly ``count`` rows."""
        self._aws.command({"rows": count})

    def command(
        self, what: str, workers: int, times: int = 1, later: float = 0.0, *, in_turn: bool = False
    ) -> dict[str, float]:
        """Let ``workers`` processes do the operation, all at once or ``in_turn``, ``later`` seconds on."""
        said = {"what": what, "workers": workers, "times": times, "later": later, "in_turn": in_turn}
        return self._broker.command(said)

    def asked_for(self) -> dict[str, Any]:
        """Return the calls of AWS since the last time, and the processor seconds of the stand-in."""
        return self._aws.command({})


class Program:
    """A child process: each line of JSON gets one line as an answer. ``told`` is its first line."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.told = self._read()

    def command(self, said: dict[str, Any]) -> dict[str, Any]:
        """Send a command and return the answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(said) + "\n")
        self._process.stdin.flush()
        return self._read()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(60)
        self._process.stdout.close()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._process.args!r} ended: its standard error says why")
        told: dict[str, Any] = json.loads(line)
        return told


def _answer_as_aries(core: AriesCore, request: Request) -> tuple[int, bytes]:
    """Answer for the token endpoint by the simulator's rules, and approve every sign-in."""
    if request.path == "/approve":
        return 200, core.approve(core.authorize(request.body.decode())).encode()
    status, answer = core.token(json.loads(request.body))
    return status, json.dumps(answer).encode()


def _what_the_broker_is_told(aries: str, processes: int) -> dict[str, Any]:
    return {
        "folders": [str(layer / "python") for layer in LAYERS],
        "functions": {name: str(BUILT / folder) for name, folder in _FUNCTIONS.items()},
        "events": {name: json.loads((ROOT / "events" / f"{file}.json").read_text()) for name, file in _EVENTS.items()},
        "approve": aries,
        "processes": processes,
    }


def _for_broker(aws: str, aries: str) -> dict[str, str]:
    return {
        **LAMBDA,
        **deployed_environment(
            ARIES_TOKEN_URL=f"{aries}/v1/oauth2/token",
            ARIES_CLIENT_SECRET_ARN=CLIENT_SECRET_ARN,
        ),
        "AWS_ENDPOINT_URL": aws,
    }
