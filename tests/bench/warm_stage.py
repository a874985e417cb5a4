"""The stage for the measurement of warm functions: the broker, the bare calls, and a stand-in for AWS and Aries."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

from tests.bench.budget import Store
from tests.bench.growth_aws import CLIENT_SECRET_ARN, SUBJECT_KEY_ARN
from tests.bench.growth_stage import Program
from tests.bench.interpreter import python3_13
from tests.built.artifacts import BUILT, LAMBDA, LAYERS
from tests.local.template import ROOT
from tests.support.certificates import make_certificate
from tests.support.deployment import (
    APPS,
    ARIES_CLIENT_ID,
    ARIES_CLIENT_SECRET,
    BACKEND_CLIENT_ID,
    CALLBACK_URI,
    SCOPES,
    deployed_environment,
)

# Seconds after the last refresh. An earlier refresh is a replay.
MINUTE = 61.0
# The measured operations: those of a session in their order, and then those of a session with its person and a backend.
OPERATIONS = (
    *("authorize", "callback", "redeem", "refresh", "replay", "revoke"),
    *("redeem with its person", "list sessions", "backend"),
)
# Operations that begin anew, with the steps before them that are not measured.
BEGINNINGS: Mapping[str, tuple[str, ...]] = {
    "authorize": (),
    "redeem with its person": ("authorize with its person", "callback"),
}
_FUNCTIONS = {
    "authorize": "AuthorizeFunction",
    "callback": "CallbackFunction",
    "token": "TokenFunction",
    "revoke": "RevokeFunction",
    "sessions": "SessionsFunction",
    "backend": "BackendFunction",
}
_EVENTS = {
    "authorize": "authorize_ok",
    "callback": "callback_ok",
    "redeem": "token_code",
    "refresh": "token_refresh",
    "revoke": "revoke",
    "list sessions": "sessions_list",
    "backend": "backend_token",
}
# The app with a backend may also ask who the person is.
_APPS = {**APPS, BACKEND_CLIENT_ID: {**APPS[BACKEND_CLIENT_ID], "scopes": SCOPES}}
_CLIENT = {
    "client_id": ARIES_CLIENT_ID,
    "client_secret": ARIES_CLIENT_SECRET,
    "redirect_uris": [CALLBACK_URI],
    "scopes": SCOPES,
}
_HOSTS = (
    *(f"{service}.eu-west-1.amazonaws.com" for service in ("dynamodb", "secretsmanager", "kms")),
    "api.aries.example",
)


class Stage:
    """Three programs on loopback, under the host names of AWS and Aries."""

    def __init__(
        self, services: Program, broker: Program, floor: Program, fresh: Callable[..., AbstractContextManager[Program]]
    ) -> None:
        self._services = services
        self._broker = broker
        self._floor = floor
        self._fresh = fresh

    @classmethod
    @contextmanager
    def set(cls, functions: dict[str, Path] | None = None, store: Store = "secrets") -> Iterator[Self]:
        """Start all programs. ``functions`` replaces some of the built functions; ``store`` has the tokens."""
        with ExitStack() as started:
            certificate = make_certificate(Path(started.enter_context(TemporaryDirectory())), *_HOSTS)
            stand_in = json.dumps({"client": _CLIENT, "certificate": str(certificate)})
            command = [sys.executable, "-m", "tests.bench.warm_standin", stand_in]
            services = started.enter_context(Program(command, {"PYTHONPATH": str(ROOT)}))
            built = {name: BUILT / folder for name, folder in _FUNCTIONS.items()} | (functions or {})
            told = {
                "folders": [str(layer / "python") for layer in LAYERS],
                "functions": {name: str(folder) for name, folder in built.items()},
                "events": {
                    name: json.loads((ROOT / "events" / f"{file}.json").read_text()) for name, file in _EVENTS.items()
                },
                "port": services.told["port"],
                "certificate": str(certificate),
            }
            fresh = partial(_bare, told, store)
            broker, floor = (started.enter_context(fresh(script)) for script in ("warm_broker", "warm_floor"))
            yield cls(services, broker, floor, fresh)

    def operate(self, what: str, given: list[dict[str, str]], later: float = 0.0) -> dict[str, Any]:
        """Let the broker do the operation once for each member of ``given``, ``later`` seconds on.

        Returns the seconds of processor time and, as ``made``, the input of the next operation.
        """
        self._services.command({})
        done = self._broker.command({"do": what, "given": given, "later": later})
        if what.startswith("authorize"):
            asked = [made["location"] for made in done["made"]]
            told = self._services.command({"approve": asked})
            done["made"] = [
                {**made, "returning": query} for made, query in zip(done["made"], told["returning"], strict=True)
            ]
        else:
            told = self._services.command({})
        return {**done, "asked": told["made"], "calls": told["last"]}

    def fresh_token_function(self, *, is_frozen: bool) -> AbstractContextManager[Program]:
        """Start the token function in one more process. It follows the commands of the broker's process.

        If not ``is_frozen``, it starts as outside Lambda: the garbage collector searches the objects of the start.
        """
        without = () if is_frozen else ("AWS_LAMBDA_INITIALIZATION_TYPE",)
        return self._fresh("warm_broker", functions=("token",), without=without)

    def repeat(self, calls: list[tuple[str, str]], times: int, *, refused: bool) -> dict[str, Any]:
        """Make these bare calls ``times`` times. If ``refused``, AWS refuses the first call."""
        self._services.command({"repeating": True})
        done = self._floor.command({"calls": calls, "times": times, "refused": refused})
        return {**done, "asked": self._services.command({})["made"]}


def _bare(
    told: dict[str, Any], store: Store, script: str, functions: Iterable[str] = (), without: Iterable[str] = ()
) -> Program:
    if functions:
        told = told | {"functions": {name: told["functions"][name] for name in functions}}
    environment = LAMBDA | deployed_environment(
        ARIES_CLIENT_SECRET_ARN=CLIENT_SECRET_ARN,
        SUBJECT_KEY_ARN=SUBJECT_KEY_ARN,
        TOKEN_STORE=store,
        APPS=json.dumps(_APPS),
    )
    environment = {name: value for name, value in environment.items() if name not in without}
    path = Path(__file__).with_name(f"{script}.py")
    return Program([python3_13(), "-I", "-S", "-B", str(path), json.dumps(told)], environment)
