"""Cold starts of the built functions, each in a Python of its own, with stand-ins for AWS and Aries."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from tests.bench.budget import BUDGETS, Store
from tests.bench.cold_sign_ins import GRACE, first_requests
from tests.bench.cold_stand_in import ARIES_PATH, USER_PATH, Asked, StandIn
from tests.bench.interpreter import python3_13
from tests.built.artifacts import BUILT, LAYERS, environment_of, folder_of, functions
from tests.local.aws import REGION
from tests.local.runner import InProcessRunner
from tests.local.stack import LocalStack
from tests.support.certificates import make_certificate

# `row` is ours with the tokens sealed in the row. All others have secrets.
Kind = Literal["ours", "row", "floor", "ordinary"]

_SCRIPT = Path(__file__).with_name("cold_start.py")
_SECONDS = 60


@dataclass(frozen=True)
class Needs:
    """The needs of a function: its clients of AWS by service, and ``requests`` if it calls Aries."""

    clients: tuple[str, ...] = ()
    requests: bool = False


_BOTH = ("dynamodb", "secretsmanager")
NEEDS: Mapping[str, Needs] = {
    "authorize": Needs(("dynamodb",)),
    "callback": Needs(_BOTH, requests=True),
    "token": Needs(_BOTH, requests=True),
    "refresh": Needs(_BOTH, requests=True),
    "revoke": Needs(_BOTH),
    "sessions": Needs(_BOTH),
    "metadata": Needs(),
    "backend": Needs(_BOTH, requests=True),
    "cleanup": Needs(("secretsmanager",)),
    "operator": Needs(("dynamodb", "secretsmanager"), requests=True),
}
# These functions make one more client at their start if the tokens lie in the row: the client of KMS.
IN_ROW = ("callback", "token", "refresh", "sessions", "backend")
SUCCESS = {
    "authorize": 302,
    "callback": 302,
    "token": 200,
    "refresh": 200,
    "revoke": 200,
    "sessions": 200,
    "metadata": 200,
    "backend": 200,
}


@dataclass(frozen=True)
class ColdStart:
    """A cold start, in seconds. ``warm_cpu`` is the CPU time of another request of the same kind."""

    init_cpu: float
    first_cpu: float
    warm_cpu: float
    wall: float
    peak_bytes: int

    @property
    def cpu(self) -> float:
        """Return the CPU time from before the first import to the answer."""
        return self.init_cpu + self.first_cpu


# The starts of each round, by kind and function.
Rounds = Mapping[tuple[Kind, str], list[list[ColdStart]]]


class WrongStart(Exception):
    """A start did other work than the measured work."""


class ColdStarts:
    """Starts functions. ``built`` is a copy of the build, and ``ordinary`` is a copy without bytecode.

    ``python`` is a Python of the runtime's version.
    """

    def __init__(self, python: str, stack: LocalStack, stand_in: StandIn, built: Path, ordinary: Path) -> None:
        self._python = python
        assert isinstance(stack.runner, InProcessRunner)
        self._stack = stack
        self._runner = stack.runner
        self._stand_in = stand_in
        self._built = built
        self._ordinary = ordinary
        self._events: dict[tuple[Store, str], dict[str, Any]] = {}
        self._asked: dict[tuple[Store, str], list[Asked]] = {}
        self._prepared_at = -math.inf

    @property
    def age(self) -> float:
        """Return the seconds since the sign-ins."""
        return time.monotonic() - self._prepared_at

    def prepare(self) -> None:
        """Sign a person in, and record the requests and answers of each function. Stored rows expire."""
        self._prepared_at = time.monotonic()
        self._forget_people()
        for store in BUDGETS:
            # The callback function chooses the store of a sign-in.
            self._runner.restart(_logical("callback"), TOKEN_STORE=store)
            self._events |= {(store, name): event for name, event in first_requests(self._stack).items()}
        self._stand_in.record()
        for name in NEEDS:
            self._record("ours", name)
            if name in IN_ROW:
                self._record("row", name)
        self._stand_in.replay()

    def _forget_people(self) -> None:
        """Delete the person's item, so that the person has the same number of sessions each time."""
        client, table = self._stack.client("dynamodb"), self._stack.table
        for row in client.scan(TableName=table, FilterExpression="attribute_exists(joins)")["Items"]:
            client.delete_item(TableName=table, Key={"session_id": row["session_id"]})

    def _record(self, kind: Kind, name: str) -> None:
        self._stand_in.asked = []
        self._run(kind, name, warm=False)
        self._asked[_store(kind), name] = self._stand_in.asked

    def start(self, kind: Kind, name: str, *, depth: int = 0, extra: Path | None = None) -> ColdStart:
        """Start once, ``depth`` frames deep, with ``extra`` first on the path.

        Raises WrongStart if the start does other work.
        """
        self._stand_in.asked = []
        told = self._run(kind, name, warm=kind in ("ours", "row"), depth=depth, extra=extra)
        expected = [asked.key for asked in self._asked[_store(kind), name]]
        found = [asked.key for asked in self._stand_in.asked[: len(expected)]]
        if sorted(found) != sorted(expected):
            raise WrongStart(f"{kind} {name}: asked for {found}, expected {expected}")
        init, first, warm = told["cpu_seconds"]
        return ColdStart(
            init_cpu=init,
            first_cpu=first,
            warm_cpu=warm / told["warm_requests"],
            wall=sum(told["wall_seconds"][:2]),
            peak_bytes=told["peak_bytes"],
        )

    def asked(self, name: str, store: Store = "secrets") -> list[str]:
        """Return the calls of a function's first request in order."""
        return [asked.name for asked in self._asked[store, name]]

    def _run(self, kind: Kind, name: str, *, warm: bool, depth: int = 0, extra: Path | None = None) -> dict[str, Any]:
        folders, store = self._folders(kind, name), _store(kind)
        asked = self._asked.get((store, name), [])
        spec = {
            "kind": kind,
            "folders": [str(folder) for folder in ([extra] if extra else []) + folders],
            "event": self._events[store, name],
            "clients": NEEDS[name].clients,
            "requests": NEEDS[name].requests,
            "calls": [it.as_call(self._stand_in.url) for it in asked],
            "warm": warm,
            "depth": depth,
        }
        done = subprocess.run(
            [self._python, "-I", "-S", "-B", _SCRIPT],
            input=json.dumps(spec),
            env=self._environment(name, store),
            cwd="/",
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
        if done.returncode != 0:
            raise WrongStart(f"{kind} {name}: {done.stderr}")
        told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        if not _is_right(kind, name, told["answer"]):
            raise WrongStart(f"{kind} {name}: {told['answer']} {done.stdout}")
        return told

    def _folders(self, kind: Kind, name: str) -> list[Path]:
        folders = [folder_of(functions()[_logical(name)]), *(layer / "python" for layer in LAYERS)]
        copy = self._ordinary if kind == "ordinary" else self._built
        return [copy / folder.relative_to(BUILT) for folder in folders]

    def _environment(self, name: str, store: Store) -> dict[str, str]:
        function = next(it for it in self._stack.template.functions.get_all() if it.name == _logical(name))
        return environment_of(function) | {
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ENDPOINT_URL": self._stand_in.url,
            "ARIES_TOKEN_URL": self._stand_in.url + ARIES_PATH,
            "ARIES_USER_URL": self._stand_in.url + USER_PATH,
            "TOKEN_STORE": store,
        }


def _store(kind: Kind) -> Store:
    return "row" if kind == "row" else "secrets"


def _logical(name: str) -> str:
    return f"{name.capitalize()}Function"


def _is_right(kind: Kind, name: str, answer: Any) -> bool:
    """Return whether the first request succeeded."""
    if kind == "floor":
        return answer is True or not NEEDS[name].clients
    match name:
        case "cleanup":
            return bool(answer == {"batchItemFailures": []})
        case "operator":
            return "timeline" in answer
        case "callback" if "code=" not in answer["headers"]["location"]:
            return False
    return bool(answer["statusCode"] == SUCCESS[name])


@contextmanager
def cold_starts() -> Iterator[ColdStarts]:
    """Start the stand-ins, and make two copies of the build: an exact one, and one without bytecode.

    Both copies also trust the certificate of the stand-in.
    """
    with TemporaryDirectory() as folder, LocalStack(refresh_grace=GRACE) as stack:
        certificate = make_certificate(Path(folder))
        built, ordinary = Path(folder) / "built", Path(folder) / "ordinary"
        shutil.copytree(BUILT, built)
        shutil.copytree(BUILT, ordinary, ignore=shutil.ignore_patterns("__pycache__"))
        for copy in (built, ordinary):
            (trusted,) = copy.rglob("certifi/cacert.pem")
            with trusted.open("a") as more:
                more.write(certificate.read_text())
        with StandIn(stack.aws, stack.aries, certificate) as stand_in:
            yield ColdStarts(python3_13(), stack, stand_in, built, ordinary)
