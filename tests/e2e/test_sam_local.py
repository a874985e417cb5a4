"""The output of `sam build`, run by the real SAM CLI in Lambda's containers."""

from __future__ import annotations

import io
import json
import re
import socket
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import urlsplit

import pytest
import requests

from oauth_broker.web.http import HttpRequest
from tests.local.containers import ContainersFailed, ContainerStack
from tests.local.serving import HOST
from tests.local.template import ROOT
from tests.local.transcript import Transcript
from tests.support.leaks import WATCH, watching_requests

pytestmark = pytest.mark.sam

# Expected answer for each event: the HTTP status; the outcome of the command for the operator function; for the others
# the whole answer. The events belong to one sign-in, unknown to this broker.
ANSWERS: dict[str, Any] = {
    "authorize_missing_challenge": 302,
    "authorize_ok": 302,
    "authorize_unknown_client": 400,
    "backend_other_app": 403,
    "backend_token": 400,
    "callback_denied": 400,
    "callback_ok": 400,
    "callback_unknown_state": 400,
    "cleanup_removed": {"batchItemFailures": []},
    # The event names a URL for the answer. It has no listener, and the function fails with this name.
    "configuration_create": "NotTaken",
    "metadata_apple": 200,
    "metadata_assetlinks": 200,
    "metadata_jwks": 200,
    "metadata_oauth_authorization_server": 200,
    "metadata_openid_configuration": 200,
    # Aries' address for browsers is on loopback, out of a container's reach.
    "operator_check": {"aries_authorize"},
    "operator_count": "done",
    "operator_forget": "done",
    "operator_redrive": "done",
    "operator_revoke": "not_found",
    "operator_revoke_all": "not_found",
    "operator_revoke_user": "done",
    "operator_session": "not_found",
    "operator_sessions": "done",
    "refresh_form": 400,
    "refresh_json": 400,
    "revoke": 200,
    "sessions_list": 400,
    "sessions_revoke": 400,
    "token_aries": 400,
    "token_code": 400,
    "token_json_body": 400,
    "token_preflight": 204,
    "token_refresh": 400,
    "token_wrong_method": 405,
}
# The URLs in these lines hold codes and states.
_REQUEST_LINE = re.compile(r'127\.0\.0\.1 - - \[[^]]*\] ".*')
EVENTS = sorted((ROOT / "events").iterdir())
# Four at once: one request makes a container while others wait for SAM CLI or for the shared image.
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
        case {"redriven": 0, "in_queue": 0} | {"finished": True} | {"sessions": []}:
            return "done"
        case _:
            return answer


def meet_the_secrets_of(event: dict[str, Any]) -> None:
    """Make the watch look for the secrets that an app or a browser sends in this event."""
    if "requestContext" in event:
        WATCH.body(HttpRequest.from_event(event).body_bytes().decode())


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sam") / "sam.log"


def start(stack: ContainerStack) -> str:
    """Return the reason of a failed start, or ""."""
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
    # The functions write as in Lambda itself. The request lines come from SAM CLI, so they do not count.
    written = _REQUEST_LINE.sub("", log.read_text())
    assert '"message":"' in written
    WATCH.wrote("log of the functions", written)
    # The stack leaves no container, no process on the port and no file behind.
    assert running.containers() == []
    with socket.create_server((HOST, int(running.issuer.rpartition(":")[2]))):
        pass
    assert list(log.parent.iterdir()) == [log]


def test_a_whole_sign_in_goes_through_the_containers(stack: ContainerStack, log: Path) -> None:
    told = io.StringIO()
    assert Transcript(stack, told).play(), told.getvalue() + log.read_text()
    # Each function runs in a container of its own. (If SAM CLI makes the image at the start, it may give a function a
    # second container at its first request.)
    assert stack.contained_functions() == {function.name for function in stack.template.functions.get_all()}


class TokensInRow(Transcript):
    """A sign-in whose callback runs with TOKEN_STORE=row, in a container of its own. The rest knows the row's store."""

    def __init__(self, stack: ContainerStack, out: TextIO, folder: Path) -> None:
        super().__init__(stack, out)
        self._containers = stack
        self._folder = folder

    def _send(
        self, session: requests.Session, method: str, url: str, shown: Mapping[str, Any] | None = None, **more: Any
    ) -> requests.Response:
        parts = urlsplit(url)
        if parts.path != "/oauth2/callback":
            return super()._send(session, method, url, shown, **more)
        cookies = str(session.prepare_request(requests.Request(method, url)).headers["Cookie"]).split("; ")
        event = json.loads((ROOT / "events" / "callback_ok.json").read_text())
        event_file, variables = self._folder / "callback.json", self._folder / "variables.json"
        event_file.write_text(json.dumps(event | {"rawQueryString": parts.query, "cookies": cookies}))
        variables.write_text(
            json.dumps(
                {
                    "Parameters": {
                        "KEY_ID": self._containers.key,
                        "SUBJECT_KEY_ARN": self._containers.subject_key,
                        "TOKEN_STORE": "row",
                    }
                }
            )
        )
        told = self._containers.invoke_with("CallbackFunction", event_file, variables)
        answer = requests.Response()
        answer.status_code = told["statusCode"]
        answer.headers.update(told["headers"])
        return answer


def test_a_session_in_the_row_is_redeemed_refreshed_and_ended_in_the_containers(
    stack: ContainerStack, log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stack, "token_store", "row")
    told = io.StringIO()
    assert TokensInRow(stack, told, tmp_path).play(), told.getvalue() + log.read_text()
    assert told.getvalue().count("sealed in the session's row") == 2


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
