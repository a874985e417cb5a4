"""What `sam build` built, run by the real SAM CLI in Lambda's containers."""

from __future__ import annotations

import io
import json
import re
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from oauth_broker.web.http import HttpRequest
from tests.local.containers import ContainersFailed, ContainerStack
from tests.local.serving import HOST
from tests.local.template import ROOT
from tests.local.transcript import Transcript
from tests.support.leaks import WATCH, watching_requests

pytestmark = pytest.mark.sam

# What the function answers to each event: a status, where it answers over HTTP; of the operator function what came of
# the command; or all of what it answers. The events are of one sign-in, which this broker does not know.
ANSWERS: dict[str, Any] = {
    "authorize_missing_challenge": 302,
    "authorize_ok": 302,
    "authorize_unknown_client": 400,
    "callback_denied": 400,
    "callback_ok": 400,
    "callback_unknown_state": 400,
    "cleanup_removed": {"batchItemFailures": []},
    # Nobody waits for its answer where the event says, which is how it fails.
    "configuration_create": "NotTaken",
    "metadata_apple": 200,
    "metadata_assetlinks": 200,
    "metadata_jwks": 200,
    "metadata_oauth_authorization_server": 200,
    "metadata_openid_configuration": 200,
    # The browser's Aries is on loopback, where no container finds it.
    "operator_check": {"aries_authorize"},
    "operator_redrive": "done",
    "operator_revoke": "not_found",
    "operator_revoke_all": "not_found",
    "operator_session": "not_found",
    "refresh_form": 400,
    "refresh_json": 400,
    "revoke": 200,
    "token_aries": 400,
    "token_code": 400,
    "token_json_body": 400,
    "token_preflight": 204,
    "token_refresh": 400,
    "token_wrong_method": 405,
}
# With the codes and states in the URLs that a browser is sent to.
_REQUEST_LINE = re.compile(r'127\.0\.0\.1 - - \[[^]]*\] ".*')
EVENTS = sorted((ROOT / "events").iterdir())
# One makes a container while others wait for SAM CLI, or for the image that it makes for all of them.
AT_ONCE = 4


def function_of(event: Path) -> str:
    return f"{event.stem.partition('_')[0].title()}Function"


def essence(answer: dict[str, Any]) -> Any:
    match answer:
        case {"statusCode": status}:
            return status
        case {"error": code, "message": _}:
            return code
        case {"errorType": kind}:
            return kind
        case {"checks": [_, *_] as checks}:
            return {check["name"] for check in checks if not check["ok"]}
        case {"redriven": 0, "in_queue": 0}:
            return "done"
        case _:
            return answer


def meet_the_secrets_of(event: dict[str, Any]) -> None:
    """Have the watch look for what an app or a browser sends in this event."""
    if "requestContext" in event:
        WATCH.body(HttpRequest.from_event(event).body_bytes().decode())


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sam") / "sam.log"


def start(stack: ContainerStack) -> str:
    """Return why it did not start, if it did not."""
    try:
        stack.__enter__()
    except ContainersFailed as failure:
        return str(failure)
    return ""


@pytest.fixture(scope="module")
def stack(log: Path) -> Iterator[ContainerStack]:
    with log.open("w") as sink:
        running = ContainerStack(sink, config=log.with_name("sam.yaml"))
        if failure := start(running):
            pytest.fail(f"{failure}\n{log.read_text()}", pytrace=False)
        try:
            with watching_requests():
                yield running
        finally:
            running.__exit__(None, None, None)
    # The functions are Lambda's own here, and so is how they write. What SAM CLI adds of requests is none of theirs.
    written = _REQUEST_LINE.sub("", log.read_text())
    assert '"message":"' in written
    WATCH.wrote("log of the functions", written)
    # Nothing stays behind: no container, nothing that holds the port, no file.
    assert running.containers() == []
    with socket.create_server((HOST, int(running.issuer.rpartition(":")[2]))):
        pass
    assert list(log.parent.iterdir()) == [log]


def test_a_whole_sign_in_goes_through_the_containers(stack: ContainerStack, log: Path) -> None:
    told = io.StringIO()
    assert Transcript(stack, told).play(), told.getvalue() + log.read_text()
    # Each function runs in a container of its own. (Where SAM CLI makes the image at the start, it may give a function
    # that waited for it a second container at its first request.)
    assert stack.contained_functions() == {function.name for function in stack.template.functions.get_all()}


def test_each_function_has_an_event_each_event_a_function_and_an_answer(stack: ContainerStack) -> None:
    functions = {function.name for function in stack.template.functions.get_all()}
    assert {function_of(event) for event in EVENTS} == functions
    assert [event.name for event in EVENTS] == [f"{name}.json" for name in sorted(ANSWERS)]


def test_each_event_gets_its_answer(stack: ContainerStack) -> None:
    for event in EVENTS:
        meet_the_secrets_of(json.loads(event.read_text()))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = list(pool.map(lambda event: stack.invoke_with(function_of(event), event), EVENTS))
    answered = {event.stem: essence(answer) for event, answer in zip(EVENTS, answers, strict=True)}
    assert answered == ANSWERS, json.dumps(answers)
