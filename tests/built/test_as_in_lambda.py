"""The build goes through a whole sign-in, run as Lambda runs it, and logs at the right level."""

from __future__ import annotations

import io
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.built.sandbox import Sandbox, SandboxStack
from tests.local.transcript import Transcript
from tests.support.functions import ROOT
from tests.support.leaks import WATCH, watching_requests
from tests.support.missing import missing
from tests.unit.peer import Peer, answer, answering

pytestmark = pytest.mark.built

# A function may write to this folder only.
TMP = "/tmp"  # noqa: S108 - it is Lambda's, in a sandbox of its own
PROBE = """
import errno, json, os
def written(folder):
    try:
        open(os.path.join(folder, "probe"), "w").close()
    except OSError as error:
        return errno.errorcode[error.errno]
    return "written"
tmp = os.statvfs("/tmp")
print(json.dumps({
    "written": {folder: written(folder) for folder in ("/", "/var/task", "/opt", "/opt/python", "/usr", "/tmp")},
    "tmp": tmp.f_frsize * tmp.f_blocks,
    "variables": sorted(os.environ),
    "task": sorted(os.listdir("/var/task")),
    "here": os.getcwd(),
}))
"""
DEPLOYED: dict[str, Any] = json.loads((ROOT / "events" / "configuration_create.json").read_text())
# These events are logged at every level.
ALWAYS = {"operator_action", "session_ended", "signed_out"}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    if not (python := os.environ.get("PYTHON3_13", "")):
        missing("no python3.13 was found (set PYTHON3_13 to one), so there is no runtime")
    with Sandbox(python) as made:
        yield made


def test_the_sandbox_is_as_in_lambda(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(PROBE)
    command = sandbox.command(tmp_path, {"A_NAME": "with blanks  and 'quotes' \"of both kinds\" *"}, "/var/task/app.py")
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert {folder for folder, came_of_it in found["written"].items() if came_of_it == "written"} == {TMP}
    assert set(found["written"].values()) == {"written", "EROFS"}
    assert found["tmp"] == 512 * 1024 * 1024
    assert found["task"] == ["app.py"]
    assert found["here"] == "/var/task"
    assert {"A_NAME", "AWS_LAMBDA_LOG_LEVEL", "AWS_LAMBDA_FUNCTION_NAME", "AWS_EXECUTION_ENV", "LAMBDA_TASK_ROOT"} <= {
        *found["variables"]
    }
    assert not {"HOME", "PWD", "USER", "VIRTUAL_ENV"} & {*found["variables"]}


@pytest.mark.parametrize("level", ["INFO", "ERROR"])
def test_a_whole_sign_in_goes_through_and_the_parameter_decides_what_is_logged(
    sandbox: Sandbox, tmp_path: Path, level: str
) -> None:
    log, told = tmp_path / "functions.log", io.StringIO()
    with log.open("w") as sink, SandboxStack(sandbox, sink, LogLevel=level) as stack, watching_requests():
        assert Transcript(stack, told).play(), told.getvalue() + log.read_text()
        asked = stack.invoke("OperatorFunction", {"action": "check", "operator": "ann"})
        with Peer(answering(answer())) as cloudformation:
            assert stack.invoke("ConfigurationFunction", DEPLOYED | {"ResponseURL": cloudformation.url}) is None
        (judgement,) = cloudformation.requests
        assert b'"Status": "SUCCESS"' in judgement
    # The browser's half of Aries may fail its check on this machine; every other check must pass.
    assert {check["name"] for check in asked["checks"] if not check["ok"]} <= {"aries_authorize"}, asked
    written = log.read_text()
    WATCH.wrote("log of the functions", written)
    lines: list[dict[str, Any]] = [json.loads(line) for line in written.splitlines()]
    events = {line["message"] for line in lines if "message" in line}
    assert {"signed_out", "operator_action"} <= events
    if level == "ERROR":
        assert events <= ALWAYS
    else:
        assert {"sign_in_started", "code_issued", "sign_in_succeeded", "refresh_succeeded"} <= events
    metrics = {name for line in lines if "_aws" in line for name in line}
    assert {"SignInsSucceeded", "RefreshesSucceeded", "SignOuts"} <= metrics
