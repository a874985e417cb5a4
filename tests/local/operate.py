"""Act as the operator of the stack on this machine, in the same words as in production.

``make operate ACTION=check`` sends ``{"action": "check", "operator": ...}`` to the operator function and prints the
answer. The exit status is 0 if the command is done, 1 if the answer has an ``error`` or is not ``ok``, and 2 if no
function answers.
"""

from __future__ import annotations

import argparse
import getpass
import json
import os
import re
import sys
from collections.abc import Mapping
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from tests.local.aws import CREDENTIALS, REGION
from tests.local.serving import HOST

# Beside the issuer's port.
PORT_OFFSET = 4
_FUNCTION = "OperatorFunction"
# Members and their variables. A shell's own variable USER is the login name, and no person at Aries.
_TEXTS = {name: name for name in ("action", "operator", "session", "client_id")} | {"user": "user_id"}
_FLAGS = ("everyone", "continue", "status", "removed_app", "drop_lost")
_NUMBERS = ("limit", "seconds")
# The operator function refuses other names.
_OPERATOR = re.compile(r"[A-Za-z0-9._@+-]{1,64}")
# The longest time of the function. boto3 never repeats an invocation by itself.
_CALL = Config(read_timeout=910, connect_timeout=5, retries={"total_max_attempts": 1}, proxies={})


class NotAsked(Exception):
    """The function got no event, or gave no answer."""


def main() -> int:
    """Return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.local.operate", description=__doc__)
    parser.add_argument("--port", type=int, default=8080, help="the issuer's port of the running stack (8080)")
    parser.add_argument("words", nargs="*", metavar="NAME", help="environment variables that hold members of the event")
    options = parser.parse_args()
    try:
        answer = invoke(event_of({name: os.environ.get(name, "") for name in options.words}), options.port)
    except NotAsked as why:
        print(why, file=sys.stderr)
        return 2
    print(json.dumps(answer, indent=2))
    return int(not isinstance(answer, dict) or "error" in answer or answer.get("ok") is False)


def event_of(words: Mapping[str, str]) -> Any:
    """Return the event of these variables: ``EVENT`` is a whole event, others are a member each. Raises NotAsked."""
    if words.get("EVENT"):
        try:
            return json.loads(words["EVENT"])
        except ValueError as error:
            raise NotAsked(f"EVENT must be JSON: {error}.") from error
    given = {name.lower(): text for name, text in words.items() if text}
    if "action" not in given:
        raise NotAsked(
            "Name an action: make operate ACTION=check, session, sessions, revoke, revoke_all, forget, count or "
            "redrive."
        )
    event: dict[str, Any] = {name: given[word] for name, word in _TEXTS.items() if word in given}
    event.setdefault("operator", _login_name())
    for name in _FLAGS:
        if name in given:
            # The function itself refuses another text: "false" must not sign everyone out.
            event[name] = {"1": True, "0": False}.get(given[name], given[name])
    for name in _NUMBERS:
        if name in given:
            # The function itself refuses a text that is no number.
            event[name] = int(given[name]) if re.fullmatch(r"[0-9]{1,9}", given[name]) else given[name]
    return event


def invoke(event: Any, port: int) -> Any:
    """Invoke the operator function of the stack with this issuer port. Return its answer. Raises NotAsked."""
    url = f"http://{HOST}:{port + PORT_OFFSET}"
    make: Any = boto3.client
    functions = make("lambda", endpoint_url=url, region_name=REGION, config=_CALL, **CREDENTIALS)
    try:
        answer = functions.invoke(FunctionName=_FUNCTION, Payload=json.dumps(event).encode())
        told = json.loads(answer["Payload"].read())
    except (BotoCoreError, ClientError, ValueError) as error:
        # A ValueError comes from an impossible port, or from the answer of another program.
        raise NotAsked(
            f"No stack with an operator function answers at {url} ({type(error).__name__}). "
            "Start one with `make run`. If you gave it PORT=..., give `make operate` the same."
        ) from error
    return {"error": "function_error", **told} if "FunctionError" in answer else told


def _login_name() -> str:
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        return "local"
    return name if _OPERATOR.fullmatch(name) else "local"


if __name__ == "__main__":
    sys.exit(main())
