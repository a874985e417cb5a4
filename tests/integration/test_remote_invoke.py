"""A person on call reaches the operator function by ``sam remote invoke``: the AWS calls of the command."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qs

import pytest

from tests.support.functions import ROOT
from tests.support.transformed import listed, properties

PHYSICAL_ID = "stack-OperatorFunction-1"
ANSWER = {"answer": "it is well"}
STACK_RESOURCES = f"""
<ListStackResourcesResponse xmlns="http://cloudformation.amazonaws.com/doc/2010-05-15/"><ListStackResourcesResult>
  <StackResourceSummaries><member>
    <LogicalResourceId>OperatorFunction</LogicalResourceId><PhysicalResourceId>{PHYSICAL_ID}</PhysicalResourceId>
    <ResourceType>AWS::Lambda::Function</ResourceType><ResourceStatus>CREATE_COMPLETE</ResourceStatus>
  </member></StackResourceSummaries>
</ListStackResourcesResult></ListStackResourcesResponse>
"""
FUNCTION_CALLS = {
    rf"GET /[\d-]+/functions/{PHYSICAL_ID}/configuration": "lambda:GetFunctionConfiguration",
    rf"GET /[\d-]+/functions/{PHYSICAL_ID}/url": "lambda:GetFunctionUrlConfig",
    rf"POST /[\d-]+/functions/{PHYSICAL_ID}/invocations": "lambda:InvokeFunction",
}


class Recording(BaseHTTPRequestHandler):
    """CloudFormation and Lambda for these calls. It notes the right behind each call."""

    calls: list[str]

    def do_GET(self) -> None:
        right = self.right_on_function()
        if right == "lambda:GetFunctionUrlConfig":
            self.answer(404, json.dumps({"Type": "User", "Message": "none"}))
        else:
            self.answer(200, json.dumps({"FunctionName": PHYSICAL_ID}))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.path == "/":
            self.calls.append(f"cloudformation:{parse_qs(body.decode())['Action'][0]}")
            self.answer(200, STACK_RESOURCES)
        else:
            self.right_on_function()
            self.answer(200, json.dumps(ANSWER))

    def right_on_function(self) -> str:
        path = f"{self.command} {self.path.partition('?')[0]}"
        (right,) = (right for pattern, right in FUNCTION_CALLS.items() if re.fullmatch(pattern, path))
        self.calls.append(right)
        return right

    def answer(self, status: int, body: str) -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def aws() -> Iterator[tuple[str, list[str]]]:
    """Yield the URL of a stand-in for AWS, and the calls it gets."""
    Recording.calls = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Recording) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", Recording.calls
        server.shutdown()


def test_the_policy_for_people_on_call_allows_the_calls_of_sam_remote_invoke_and_no_more(
    aws: tuple[str, list[str]], tmp_path: Path
) -> None:
    url, calls = aws
    sam = [sys.executable, "-m", "samcli"]
    command = ["remote", "invoke", "OperatorFunction", "--stack-name", "stack", "--event", '{"action": "check"}']
    environment = os.environ | {"AWS_ENDPOINT_URL": url, "SAM_CLI_TELEMETRY": "0", "HOME": str(tmp_path)}
    done = subprocess.run(
        [*sam, *command], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert json.loads(done.stdout) == ANSWER, done.stderr
    statements = properties("OperatorPolicy")["PolicyDocument"]["Statement"]
    assert sorted(calls) == sorted(action for it in statements for action in listed(it["Action"]))
