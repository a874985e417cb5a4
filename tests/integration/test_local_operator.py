"""``make operate`` runs the operator's actions on the local stack, with the words of production."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from io import StringIO
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.integration.test_local_stack import come_back, redeem
from tests.local.aries.tokens import USERS
from tests.local.aws import CREDENTIALS, REGION
from tests.local.operate import NotAsked, event_of
from tests.local.stack import LocalStack
from tests.local.template import ROOT
from tests.support.ports import five_free_ports


@pytest.fixture(scope="module")
def stack() -> Iterator[LocalStack]:
    with LocalStack(port=five_free_ports(), refresh_grace=1) as stack:
        yield stack


def operate(port: int | str, **words: str) -> tuple[int, Any, str]:
    """Run the command of the Makefile. Return its status, its answer and its other output."""
    # Desktops may set variables of these names. The command must not read them.
    environment = os.environ | {"SESSION": "gnome", "CLIENT_ID": "x"} | words
    done = subprocess.run(
        [sys.executable, "-m", "tests.local.operate", "--port", str(port), *words],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, json.loads(done.stdout) if done.stdout else None, done.stderr


def port_of(stack: LocalStack) -> str:
    return stack.issuer.rpartition(":")[2]


def reference_of(stack: LocalStack, tokens: dict[str, Any]) -> str:
    session_id = tokens["refresh_token"].partition(".")[0]
    row = stack.client("dynamodb").get_item(TableName=stack.table, Key={"session_id": {"S": session_id}})["Item"]
    return str(row["reference"]["S"])


@pytest.mark.long
def test_a_session_is_shown_and_signed_out_and_everyone_too(stack: LocalStack) -> None:
    port = port_of(stack)
    reference = reference_of(stack, redeem(stack, *come_back(stack)))
    other = reference_of(stack, redeem(stack, *come_back(stack)))
    status, shown, _ = operate(port, ACTION="session", SESSION=reference)
    assert (status, shown["session"], shown["signed_in"]) == (0, reference, True)
    status, ended, _ = operate(port, ACTION="revoke", SESSION=reference, OPERATOR="ann")
    assert (status, ended["ended_now"], ended["signed_in"]) == (0, True, False)
    status, everyone, _ = operate(port, ACTION="revoke_all", EVERYONE="1")
    assert (status, everyone["scope"], everyone["finished"]) == (0, "everyone", True)
    assert operate(port, ACTION="session", SESSION=other)[1]["signed_in"] is False
    status, done, _ = operate(port, ACTION="revoke_all", EVERYONE="1", STATUS="1")
    assert (status, done["cut_off"]) == (0, everyone["cut_off"])


def test_a_person_is_found_signed_out_everywhere_and_forgotten_and_sessions_are_counted(stack: LocalStack) -> None:
    port, user = port_of(stack), USERS[0].id
    reference = reference_of(stack, redeem(stack, *come_back(stack)))
    status, shown, _ = operate(port, ACTION="sessions", USER_ID=user)
    assert status == 0
    assert {session["session"]: session["signed_in"] for session in shown["sessions"]}[reference] is True
    status, counted, _ = operate(port, ACTION="count")
    assert (status, counted["finished"], sum(counted["by_app"].values())) == (0, True, counted["live"])
    assert counted["live"] >= shown["live"] >= 1
    assert operate(port, ACTION="count", STATUS="1")[1] == counted
    status, ended, _ = operate(port, ACTION="revoke", USER_ID=user, OPERATOR="ann")
    assert (status, ended["finished"]) == (0, True)
    assert operate(port, ACTION="session", SESSION=reference)[1]["status"] == "revoked"
    status, forgotten, _ = operate(port, ACTION="forget", USER_ID=user)
    assert (status, forgotten["forgotten"]) == (0, True)
    assert operate(port, ACTION="sessions", USER_ID=user)[1]["sessions"] == []
    assert operate(port, ACTION="sessions")[1]["error"] == "invalid_request"
    assert isinstance(stack.log, StringIO)
    assert '"operator_action"' in stack.log.getvalue()
    assert user not in stack.log.getvalue()


@pytest.mark.long
def test_the_configuration_is_checked_and_dead_letters_are_redriven_by_an_event_as_in_production(
    stack: LocalStack,
) -> None:
    port = port_of(stack)
    assert operate(port, ACTION="check")[:2] == (0, {"ok": True, **operate(port, ACTION="check")[1]})
    event = json.dumps({"action": "redrive", "operator": "ann", "limit": 5})
    assert operate(port, EVENT=event)[:2] == operate(port, ACTION="redrive", LIMIT="5")[:2]


@pytest.mark.long
def test_what_is_not_done_ends_with_a_status_of_its_own(stack: LocalStack) -> None:
    port = port_of(stack)
    status, answer, _ = operate(port, ACTION="session", SESSION="0" * 16)
    assert (status, answer["error"]) == (1, "not_found")
    for words in (
        {"ACTION": "nonsense"},
        {"ACTION": "session"},
        {"ACTION": "redrive", "LIMIT": "x"},
        # The word "false" is no yes.
        {"ACTION": "revoke_all", "EVERYONE": "false"},
        {"EVENT": "[]"},
    ):
        status, answer, _ = operate(port, **words)
        assert (status, answer["error"]) == (1, "invalid_request")
    for words in ({"EVENT": "{"}, {"SESSION": "0" * 16}):
        status, answer, said = operate(port, **words)
        assert (status, answer, said.count("\n")) == (2, None, 1)


def test_a_check_that_finds_something_wrong_ends_with_status_1(stack: LocalStack) -> None:
    secrets = stack.client("secretsmanager")
    name = "aries-client"
    right = secrets.get_secret_value(SecretId=name)["SecretString"]
    secrets.put_secret_value(SecretId=name, SecretString="not the one that Aries knows")
    status, answer, _ = operate(port_of(stack), ACTION="check")
    secrets.put_secret_value(SecretId=name, SecretString=right)
    assert (status, answer["ok"]) == (1, False)


@pytest.mark.parametrize("port", [None, 65535])
def test_one_line_says_that_no_stack_runs(port: int | None) -> None:
    status, answer, said = operate(port or five_free_ports(), ACTION="check")
    assert (status, answer) == (2, None)
    assert said.startswith("No stack with an operator function answers at http://127.0.0.1:")
    assert "Start one with `make run`" in said
    assert said.count("\n") == 1


def test_the_endpoint_is_lambdas_where_any_function_can_be_invoked_and_no_other(stack: LocalStack) -> None:
    make: Any = boto3.client
    functions = make("lambda", endpoint_url=stack.functions, region_name=REGION, **CREDENTIALS)
    with closing(functions):
        answer = functions.invoke(FunctionName="CleanupFunction", Payload=b'{"Records": []}')
        assert json.loads(answer["Payload"].read()) == {"batchItemFailures": []}
        failed = functions.invoke(FunctionName="CleanupFunction", Payload=b'{"Records": 1}')
        assert json.loads(failed["Payload"].read()).keys() == {"errorMessage", "errorType"}
        assert failed["FunctionError"] == "Unhandled"
        with pytest.raises(functions.exceptions.ClientError, match="ResourceNotFound"):
            functions.invoke(FunctionName="OtherFunction")


def test_the_operator_is_the_login_name_or_local_where_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, operator in (("ann", "ann"), ("two words", "local"), ("x" * 65, "local")):
        monkeypatch.setenv("LOGNAME", name)
        assert event_of({"ACTION": "check"}) == {"action": "check", "operator": operator}
    asked = event_of({"ACTION": "sessions", "USER_ID": "usr_1001", "USER": "ann", "OPERATOR": "bob"})
    assert asked == {"action": "sessions", "operator": "bob", "user": "usr_1001"}
    with pytest.raises(NotAsked, match="ACTION=check"):
        event_of({"SESSION": "x"})


def test_make_hands_over_what_it_was_given_itself_and_nothing_of_the_environment(tmp_path: Path) -> None:
    # The stamp is newer than the lock, so make installs nothing. `echo` stands in for Python.
    (tmp_path / "echo").mkdir()
    (tmp_path / "echo" / "python").symlink_to("/bin/echo")
    (tmp_path / ".ready").touch()
    command = ["make", "-s", "operate", f"BIN={tmp_path}/echo", f"READY={tmp_path}/.ready", "PORT=9000"]
    environment = os.environ | {"SESSION": "gnome", "CLIENT_ID": "x"}
    done = subprocess.run(
        [*command, "ACTION=revoke_all", "EVERYONE=1"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["-m", "tests.local.operate", "--port", "9000", "ACTION", "EVERYONE"]
