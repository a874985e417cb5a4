"""The stage of the two brokers: a process for each broker, and stand-ins for AWS and Aries."""

from __future__ import annotations

import http.client
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from tests.bench.growth_serving import KeptAliveServer, Request
from tests.bench.growth_stage import Program
from tests.bench.interpreter import python3_13
from tests.built.artifacts import BUILT, LAMBDA, LAYERS, PARAMETERS
from tests.local.aries import AriesCore
from tests.local.aws import CREDENTIALS, REGION, LocalAws
from tests.local.template import ROOT, Template
from tests.support.deployment import (
    APP_URI,
    ARIES_CLIENT_ID,
    ARIES_CLIENT_SECRET,
    CALLBACK_URI,
    CLIENT_ID,
    ISSUER,
    KEY_ID,
    SCOPE,
    SCOPES,
    SUBJECT_KEY_ARN,
    deployed_environment,
)

Side = Literal["ours", "flask"]
SIDES: tuple[Side, Side] = ("ours", "flask")
# Seconds, the shortest grace. Within the grace our broker answers a refresh without Aries.
GRACE = 1
_FUNCTIONS = {
    "/oauth2/authorize": "AuthorizeFunction",
    "/oauth2/callback": "CallbackFunction",
    "/oauth2/token": "TokenFunction",
    "/oauth2/revoke": "RevokeFunction",
}
_PYTHON = ROOT / ".venv-beside" / "bin" / "python"
_CONTROL_ITEM = {"session_id": {"S": "cut-offs"}}


@dataclass
class Outside:
    """AWS and Aries over kept connections. ``calls`` counts the calls as ``service:Operation``.

    It leaves out the reads of the control item every five seconds, and of the Aries client secret. They belong to no
    single operation.
    """

    aws_url: str
    client_secret_arn: str
    core: AriesCore
    calls: Counter[str] = field(default_factory=Counter)
    _lock: Any = field(default_factory=Lock)

    def answer_as_aws(self, request: Request) -> tuple[int, bytes]:
        """Ask moto on a new connection for each request. The broker's own connection stays open."""
        target, _, operation = request.headers["X-Amz-Target"].partition(".")
        asked = json.loads(request.body)
        if asked.get("SecretId") != self.client_secret_arn and asked.get("Key") != _CONTROL_ITEM:
            self._count(f"{'dynamodb' if target.startswith('DynamoDB') else 'secretsmanager'}:{operation}")
        moto = http.client.HTTPConnection(urlsplit(self.aws_url).netloc)
        try:
            moto.request("POST", request.path, request.body, dict(request.headers))
            answer = moto.getresponse()
            return answer.status, answer.read()
        finally:
            moto.close()

    def answer_as_aries(self, request: Request) -> tuple[int, bytes]:
        """Answer for the token endpoint by the simulator's rules and for the API, and approve every sign-in."""
        match request.path:
            case "/approve":
                return 200, self.core.approve(self.core.authorize(request.body.decode())).encode()
            case "/v1/users/me":
                return 200, json.dumps({"id": self.core.user(request.body.decode()).id}).encode()
        self._count("aries:token")
        status, answer = self.core.token(json.loads(request.body))
        return status, json.dumps(answer).encode()

    def _count(self, call: str) -> None:
        with self._lock:
            self.calls[call] += 1


@dataclass(frozen=True)
class Took:
    """The cost of some operations: seconds of processor time and calls for one, and the peak memory in bytes."""

    cpu: float
    calls: dict[str, float]
    peak: int


class Stage:
    """The two brokers, each in a warm process of its own."""

    def __init__(self, brokers: dict[Side, Program], outside: Outside) -> None:
        self._brokers = brokers
        self._outside = outside

    @classmethod
    @contextmanager
    def set(cls, *sides: Side) -> Iterator[Self]:
        """Start the stand-ins, and the brokers named in ``sides``, or both."""
        core = AriesCore(ARIES_CLIENT_ID, ARIES_CLIENT_SECRET, [CALLBACK_URI], scopes=SCOPES)
        with ExitStack() as started:
            aws = LocalAws()
            started.callback(aws.close)
            outside = Outside(aws.url, aws.create_secret("aries-client", ARIES_CLIENT_SECRET), core)
            aws_url = started.enter_context(KeptAliveServer(outside.answer_as_aws)).url
            aries_url = started.enter_context(KeptAliveServer(outside.answer_as_aries)).url
            template = Template(PARAMETERS, created={"Key": {"Arn": KEY_ID}, "SubjectKey": {"Id": SUBJECT_KEY_ARN}})
            brokers = {}
            for side in sides or SIDES:
                aws.create_table(side, template.properties("SignInsTable"))
                environment = _environment(side, aws_url, aries_url, outside.client_secret_arn)
                process = Program(_command(side, aries_url), environment)
                brokers[side] = started.enter_context(process)
            yield cls(brokers, outside)

    def do(self, side: Side, what: str, times: int) -> Took:
        """Let a broker do the operation ``times`` times."""
        before = Counter(self._outside.calls)
        told = self._brokers[side].command({"what": what, "times": times})
        made = self._outside.calls - before
        return Took(told["cpu"] / times, {call: count / times for call, count in made.items()}, told["peak"])


def _command(side: Side, aries: str) -> list[str]:
    told: dict[str, Any] = {
        "issuer": ISSUER,
        "aries": aries,
        "app": {"client_id": CLIENT_ID, "redirect_uri": APP_URI, "scope": SCOPE},
    }
    if side == "ours":
        told["folders"] = [str(layer / "python") for layer in LAYERS]
        told["functions"] = {path: str(BUILT / folder) for path, folder in _FUNCTIONS.items()}
        start = [python3_13(), "-I", "-S"]
    else:
        told |= {"folders": [], "functions": {}}
        start = [str(_PYTHON), "-I"]
    return [*start, "-B", str(Path(__file__).with_name("beside_process.py")), json.dumps(told)]


def _environment(side: Side, aws: str, aries: str, client_secret_arn: str) -> dict[str, str]:
    return {
        **LAMBDA,
        **deployed_environment(
            ARIES_TOKEN_URL=f"{aries}/v1/oauth2/token",
            ARIES_CLIENT_SECRET_ARN=client_secret_arn,
            REFRESH_GRACE_SECONDS=str(GRACE),
            TABLE_NAME=side,
            SECRET_PREFIX=f"{side}/session/",
        ),
        "AWS_ACCESS_KEY_ID": CREDENTIALS["aws_access_key_id"],
        "AWS_SECRET_ACCESS_KEY": CREDENTIALS["aws_secret_access_key"],
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ENDPOINT_URL": aws,
        # The Flask application signs its cookie with this key.
        "SECRET_KEY": "a-key-that-signs-the-cookie-of-a-sign-in",
    }
