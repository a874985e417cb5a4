"""The floor: the bare calls of the broker, with boto3 and ``requests`` from the same layer.

``python3.13 -I -S -B warm_floor.py JSON`` reads commands on standard input, one JSON object a line: the calls of one
operation, and the number of repetitions. It answers each command with the seconds of processor time.
"""

from __future__ import annotations

import base64
import importlib
import json
import os
import re
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

_SERVICES = ("dynamodb", "secretsmanager", "kms")
# Members with bytes. JSON has them in Base64.
_BYTES = frozenset({"B", "Plaintext", "CiphertextBlob"})


class Floor:
    """Clients with the timeouts and retries of the broker, and with the defaults for everything else."""

    def __init__(self) -> None:
        boto3, config = importlib.import_module("boto3"), importlib.import_module("botocore.config")
        requests = importlib.import_module("requests")
        settings = config.Config(
            connect_timeout=1, read_timeout=1.5, retries={"mode": "standard", "total_max_attempts": 2}
        )
        self._clients = {name: boto3.client(name, config=settings) for name in _SERVICES}
        self._session = requests.Session()
        self._aries, self._user = os.environ["ARIES_TOKEN_URL"], os.environ["ARIES_USER_URL"]
        self._refused = importlib.import_module("botocore.exceptions").ClientError

    def bare(self, name: str, body: str) -> Callable[[], Any]:
        """Return a function to send this call."""
        service, _, operation = name.partition(":")
        if name == "user":
            return lambda: self._get(body)
        if not operation:
            return lambda: self._post(body.encode())
        call = getattr(self._clients[service], re.sub(r"(?<!^)(?=[A-Z])", "_", operation).lower())
        parameters = json.loads(body, object_hook=_with_bytes)
        return lambda: call(**parameters)

    def _post(self, body: bytes) -> Any:
        headers = {"content-type": "application/json", "accept": "application/json"}
        return self._session.post(self._aries, data=body, headers=headers, timeout=(2, 10)).json()

    def _get(self, access_token: str) -> Any:
        headers = {"accept": "application/json", "authorization": f"Bearer {access_token}"}
        return self._session.get(self._user, headers=headers, timeout=2).json()

    def make(self, calls: list[Callable[[], Any]], times: int, *, refused: bool) -> float:
        """Make the calls ``times`` times; return the CPU seconds. If ``refused``, AWS refuses the first call."""
        began = time.process_time()
        for _ in range(times):
            for place, call in enumerate(calls):
                try:
                    call()
                except self._refused as error:
                    code = error.response["Error"]["Code"]
                    assert refused, code
                    assert (place, code) == (0, "ConditionalCheckFailedException"), (place, code)
        return time.process_time() - began


def _with_bytes(members: dict[str, Any]) -> dict[str, Any]:
    return {name: base64.b64decode(value) if name in _BYTES else value for name, value in members.items()}


def main() -> None:
    """Follow the commands until standard input ends."""
    told = json.loads(sys.argv[1])
    sys.path[:0] = told["folders"]
    there = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", told["port"]))]
    socket.getaddrinfo = lambda *_, **__: there  # type: ignore[assignment]
    importlib.import_module("certifi").where = lambda: told["certificate"]  # type: ignore[attr-defined]
    floor = Floor()
    print("{}", flush=True)
    for line in sys.stdin:
        command = json.loads(line)
        calls = [floor.bare(name, body) for name, body in command["calls"]]
        cpu = floor.make(calls, command["times"], refused=command["refused"])
        print(json.dumps({"cpu": cpu}), flush=True)


if __name__ == "__main__":
    main()
