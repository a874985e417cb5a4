"""The whole product over real HTTP on one machine: every server of the local stack, and its command."""

from __future__ import annotations

import io
import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from botocore.client import BaseClient

from tests.local.apps import PHONE
from tests.local.aries import Fault, approve
from tests.local.aries.dialects import DialectName
from tests.local.backend import ask, sign_in
from tests.local.serving import HOST, PortTaken
from tests.local.stack import LocalStack
from tests.local.template import ROOT
from tests.local.transcript import Transcript
from tests.support.announced import valid
from tests.support.long import long_but
from tests.support.ports import five_free_ports

# Every secret of the product has at least 43 characters of base64url. Names and paths have less than half as many.
SECRET = re.compile(r"[A-Za-z0-9_-]{40,}")


def come_back(stack: LocalStack) -> tuple[str, str]:
    """Sign a person in up to the redirect to the app. Return the one-time code and its verifier."""
    verifier = secrets.token_urlsafe(32)
    query = {
        "response_type": "code",
        "client_id": PHONE,
        "redirect_uri": f"{stack.phone}/",
        "scope": stack.scope,
        "state": "state",
        "code_challenge": urlsafe_b64encode(sha256(verifier.encode()).digest()).rstrip(b"=").decode(),
        "code_challenge_method": "S256",
    }
    browser = requests.Session()
    to_aries = browser.get(f"{stack.issuer}/oauth2/authorize", params=query, allow_redirects=False, timeout=30)
    to_broker = approve(browser, to_aries.headers["Location"], "approve")
    to_app = browser.get(to_broker, allow_redirects=False, timeout=30)
    return parse_qs(urlsplit(to_app.headers["Location"]).query)["code"][0], verifier


def redeem(stack: LocalStack, code: str, verifier: str) -> dict[str, Any]:
    form = {
        "grant_type": "authorization_code",
        "client_id": PHONE,
        "code": code,
        "redirect_uri": f"{stack.phone}/",
        "code_verifier": verifier,
    }
    answer = requests.post(f"{stack.issuer}/oauth2/token", data=form, timeout=30)
    answer.raise_for_status()
    tokens: dict[str, Any] = answer.json()
    return tokens


def rows(stack: LocalStack) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = stack.client("dynamodb").scan(TableName=stack.table)["Items"]
    # The items of people and the control items have no status.
    return [item for item in found if "status" in item]


def session_secrets(stack: LocalStack) -> list[str]:
    listed = stack.client("secretsmanager").list_secrets()["SecretList"]
    return [entry["Name"] for entry in listed if "/session/" in entry["Name"]]


def urls_of(stack: LocalStack) -> tuple[str, ...]:
    return stack.issuer, stack.aries, stack.aws, stack.phone, stack.functions


def eventually(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 10
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


def play(stack: LocalStack) -> str:
    out = io.StringIO()
    assert Transcript(stack, out).play(), out.getvalue()
    return out.getvalue()


@pytest.fixture
def stack() -> Iterator[LocalStack]:
    with LocalStack(refresh_grace=1) as stack:
        yield stack


def test_a_complete_sign_in_succeeds_and_its_transcript_shows_no_secret(stack: LocalStack) -> None:
    transcript = play(stack)
    assert "invalid_grant" in transcript
    assert "in the session's secret" in transcript
    assert "sealed" not in transcript
    assert SECRET.findall(transcript) == []


def test_a_complete_sign_in_with_its_tokens_in_the_row_asks_secrets_manager_for_no_session(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[tuple[str, Any]] = []
    clients: Any = BaseClient
    call = clients._make_api_call

    def record(client: BaseClient, operation: str, parameters: Any) -> Any:
        # The transcript lists the secrets; no function has the right to do so.
        if client.meta.service_model.service_name == "secretsmanager" and operation != "ListSecrets":
            made.append((operation, parameters))
        return call(client, operation, parameters)

    with LocalStack(refresh_grace=1, token_store="row") as stack:
        monkeypatch.setattr(clients, "_make_api_call", record)
        transcript = play(stack)
        read = [stack.subject_key, stack.parameters["AriesClientSecretArn"]]
        assert made == [("GetSecretValue", {"SecretId": secret}) for secret in read]
        (row,) = (row for row in rows(stack) if row["client_id"] == {"S": PHONE})
    assert transcript.count("the session has no secret") == 2
    assert "in the session's secret" not in transcript
    assert SECRET.findall(transcript) == []
    assert (row["status"], row["token_store"], "sealed" in row) == ({"S": "revoked"}, {"S": "row"}, False)


@pytest.mark.parametrize(
    ("like_aws", "body", "name", "domain_name"),
    [(True, "dG9rZW49eA==", "content-type", HOST), (False, "token=x", "Content-Type", "localhost")],
)
def test_events_are_those_of_the_real_http_api_or_of_sam_local(
    monkeypatch: pytest.MonkeyPatch, like_aws: bool, body: str, name: str, domain_name: str
) -> None:
    events: list[str] = []
    with LocalStack(like_aws=like_aws) as stack:
        run = stack.runner.run

        def record(function: str, event: str) -> str:
            events.append(event)
            return run(function, event)

        monkeypatch.setattr(stack.runner, "run", record)
        requests.post(f"{stack.issuer}/oauth2/revoke", data={"token": "x"}, timeout=30)
    (event,) = map(json.loads, events)
    assert (event["body"], event["isBase64Encoded"]) == (body, like_aws)
    assert event["headers"][name] == "application/x-www-form-urlencoded"
    assert event["requestContext"]["domainName"] == domain_name


def test_every_answer_has_an_id_of_its_own_in_a_header_that_the_page_may_read_and_the_function_gets_it_too(
    stack: LocalStack,
) -> None:
    url, form, origin = f"{stack.issuer}/oauth2/token", {"client_id": PHONE}, {"Origin": stack.phone}
    answers = [requests.post(url, data=form, headers=origin, timeout=30) for _ in range(2)]
    answers.append(requests.get(f"{stack.issuer}/nothing", timeout=30))
    ids = [answer.headers["apigw-requestid"] for answer in answers]
    assert len({*ids, *(answer.json().get("request_id") for answer in answers[:2])}) == 5
    assert "apigw-requestid" in answers[0].headers["Access-Control-Expose-Headers"]
    log = stack.log
    assert isinstance(log, io.StringIO)
    lines = [json.loads(line) for line in log.getvalue().splitlines() if '"refused"' in line]
    assert [line["api_request_id"] for line in lines] == ids[:2]


def test_behind_sam_local_which_asks_nobody_the_function_serves_nobody() -> None:
    with LocalStack(like_aws=False) as stack:
        tokens = sign_in(stack)
        answer = ask(stack, tokens["backend_handle"])
    assert (answer.status_code, answer.json()["error"]) == (403, "access_denied")


def test_an_unrouted_path_and_method_are_not_found(stack: LocalStack) -> None:
    for method, path in (("GET", "/"), ("POST", "/oauth2/authorize"), ("HEAD", "/oauth2/authorize")):
        assert requests.request(method, stack.issuer + path, timeout=30).status_code == 404


def test_the_page_of_the_phone_may_talk_to_the_broker_and_aries_alone(stack: LocalStack) -> None:
    page = requests.get(f"{stack.phone}/", timeout=30)
    policy = page.headers["Content-Security-Policy"]
    assert page.status_code == 200
    assert "default-src 'none'" in policy
    assert f"connect-src 'self' {stack.issuer} {stack.aries}" in policy
    assert "unsafe" not in policy
    for name in re.findall(r'(?:src|href)="([^":]+)"', page.text):
        assert requests.get(f"{stack.phone}/{name}", timeout=30).status_code == 200


def test_the_page_of_the_phone_may_call_the_broker_and_aries_with_its_own_headers(stack: LocalStack) -> None:
    for url, method, header in (
        (f"{stack.issuer}/.well-known/oauth-authorization-server", "GET", ""),
        (f"{stack.issuer}/oauth2/token", "POST", "content-type"),
        (f"{stack.issuer}/oauth2/revoke", "POST", "content-type"),
        (f"{stack.aries}/v1/users/me", "GET", "authorization"),
    ):
        preflight = {"Origin": stack.phone, "Access-Control-Request-Method": method}
        answer = requests.options(url, headers=preflight | {"Access-Control-Request-Headers": header}, timeout=30)
        assert answer.headers["Access-Control-Allow-Origin"] in ("*", stack.phone)
        assert header in answer.headers["Access-Control-Allow-Headers"].lower()


def test_the_page_of_the_phone_is_told_nothing_but_public_facts(stack: LocalStack) -> None:
    assert requests.get(f"{stack.phone}/config.json", timeout=30).json() == {
        "issuer": stack.issuer,
        "client_id": PHONE,
        "redirect_uri": f"{stack.phone}/",
        "scope": stack.scope,
        "api": stack.aries,
        "refresh_grace": 1,
    }


def test_an_abandoned_sign_in_is_swept_and_its_secret_with_it(stack: LocalStack) -> None:
    assert eventually(lambda: session_secrets(stack) == [])
    before = {row["session_id"]["S"] for row in rows(stack)}
    come_back(stack)
    (abandoned,) = {row["session_id"]["S"] for row in rows(stack)} - before
    assert len(session_secrets(stack)) == 1
    stack.client("dynamodb").update_item(
        TableName=stack.table,
        Key={"session_id": {"S": abandoned}},
        UpdateExpression="SET expires_at = :past",
        ExpressionAttributeValues={":past": {"N": str(int(time.time()) - 1)}},
    )
    assert eventually(lambda: abandoned not in {row["session_id"]["S"] for row in rows(stack)})
    assert eventually(lambda: session_secrets(stack) == [])


def test_a_session_that_has_not_expired_is_left_alone(stack: LocalStack) -> None:
    tokens = redeem(stack, *come_back(stack))
    time.sleep(1)
    form = {"grant_type": "refresh_token", "client_id": PHONE, "refresh_token": tokens["refresh_token"]}
    assert requests.post(f"{stack.issuer}/oauth2/refresh", data=form, timeout=30).status_code == 200


def test_what_cleanup_cannot_do_has_a_queue_to_end_in(stack: LocalStack) -> None:
    sqs = stack.client("sqs")
    queue = {"QueueUrl": sqs.get_queue_url(QueueName=stack.dead_letter_queue)["QueueUrl"]}
    attributes = sqs.get_queue_attributes(**queue, AttributeNames=["QueueArn"])["Attributes"]
    assert attributes["QueueArn"] == stack.template.stream_trigger().on_failure


def test_a_function_that_raises_is_answered_for_as_lambda_does(stack: LocalStack) -> None:
    assert stack.invoke("CleanupFunction", {"Records": 1}).keys() == {"errorMessage", "errorType"}


def test_a_second_stack_in_one_process_is_refused(stack: LocalStack) -> None:
    with pytest.raises(RuntimeError, match="Another LocalStack"), LocalStack():
        pass


def test_a_step_that_fails_is_told_with_what_was_expected(stack: LocalStack) -> None:
    stack.aries_simulator.faults.append(Fault("invalid_grant", grant_type="refresh_token"))
    out = io.StringIO()
    assert not Transcript(stack, out).play()
    assert "FAILED: status: expected 200, got 400" in out.getvalue()
    assert SECRET.findall(out.getvalue()) == []


@pytest.mark.long
def test_a_complete_sign_in_succeeds_behind_the_events_of_sam_local() -> None:
    with LocalStack(refresh_grace=1, like_aws=False) as stack:
        play(stack)


@pytest.mark.parametrize("dialect", long_but(["standard"], ["standard", "standard-basic"]))
def test_a_complete_sign_in_succeeds_with_a_standard_dialect(dialect: DialectName) -> None:
    with LocalStack(refresh_grace=1, dialect=dialect) as stack:
        play(stack)


def test_without_a_client_secret_a_sign_in_gets_no_refresh_token() -> None:
    with LocalStack(client_secret=False) as stack:
        assert "refresh_token" not in redeem(stack, *come_back(stack))


@pytest.mark.long
def test_a_stack_that_is_reached_by_other_names_is_the_issuer_and_aries_by_those() -> None:
    base = five_free_ports()
    with LocalStack(
        port=base, issuer=f"http://localhost:{base}", aries=f"http://localhost:{base + 1}", refresh_grace=1
    ) as stack:
        transcript = play(stack)
    assert f"GET  http://localhost:{base}/oauth2/callback" in transcript
    assert f"POST http://localhost:{base + 1}/oauth2/authorize" in transcript
    assert f"http://127.0.0.1:{base}/" not in transcript


def test_nothing_is_left_behind() -> None:
    before, stdout = dict(os.environ), sys.stdout
    with LocalStack() as stack:
        assert os.environ["ISSUER"] == stack.issuer
    assert dict(os.environ) == before
    assert sys.stdout is stdout
    for url in urls_of(stack):
        with pytest.raises(requests.ConnectionError):
            requests.get(url, timeout=1)


def command(*arguments: str) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if name != "VERBOSE"}
    return subprocess.Popen(
        [sys.executable, "-m", "tests.local", *arguments],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.long
def test_once_succeeds_and_prints_no_secret() -> None:
    with command("--once", "--port", "0") as process:
        output, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")
    assert SECRET.findall(output) == []


@pytest.mark.long
def test_the_command_shows_the_events_of_the_sign_in_that_the_bus_got() -> None:
    with command("--once", "--port", "0", "--events") as process:
        output, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")
    shown = output.split("The event bus got these events of the session:\n")[1].splitlines()
    # The sign-in of the app, and that of the app with a backend.
    assert [line.split()[0] for line in shown] == 2 * ["session.started", "session.ended"]
    # A subject is no secret.
    assert SECRET.findall(re.sub(r"k1\.[A-Za-z0-9_-]{43}", "", output)) == []


def test_the_stack_hands_the_events_of_its_sessions_to_a_queue() -> None:
    with LocalStack(events=True) as stack:
        tokens = redeem(stack, *come_back(stack))
        assert stack.received is not None
        (started,) = stack.received.take()
        assert valid(started)["detail-type"] == "session.started"
        reference = started["detail"]["session"]
        form = {"client_id": PHONE, "token": tokens["refresh_token"]}
        assert requests.post(f"{stack.issuer}/oauth2/revoke", data=form, timeout=30).status_code == 200
        (ended,) = stack.received.take()
        assert valid(ended)["detail"]["session"] == reference
        command = {"action": "check", "operator": "ann@example.com"}
        found = {it["name"]: it["detail"] for it in stack.invoke("OperatorFunction", command)["checks"]}
        assert found["event_bus"].endswith(":event-bus/sessions exists")
        assert stack.received.take() == []


@pytest.mark.parametrize("offset", range(5))
def test_a_taken_port_is_named_and_nothing_is_left_open(offset: int) -> None:
    base = five_free_ports()
    with socket.create_server((HOST, base + offset)):
        with pytest.raises(PortTaken, match=rf"Port {base + offset} is already in use.*PORT=") as failure:
            LocalStack(port=base).__enter__()
        assert failure.value.port == base + offset
    with LocalStack(port=base) as stack:
        assert [urlsplit(url).port for url in urls_of(stack)] == [*range(base, base + 5)]


@pytest.mark.long
def test_the_command_names_a_taken_port_in_one_line() -> None:
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        with command("--port", str(port)) as process:
            _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert re.fullmatch(rf"Port {port} is already in use\. .*PORT=.*\n", errors)


MINE = {
    "my-app": {"redirect_uris": ["com.example.mine:/callback"], "scopes": ["mine"]},
    "trader-web": {"redirect_uris": ["http://localhost:5173/"], "scopes": ["account:information"]},
}


@pytest.mark.long
def test_the_command_adds_the_apps_of_a_file_replaces_those_of_the_same_id_and_prints_them_all(tmp_path: Path) -> None:
    (tmp_path / "apps.json").write_text(json.dumps(MINE))
    with command("--port", "0", "--apps", str(tmp_path / "apps.json")) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line.startswith("Open "):
                break
        told = "".join(lines[next(n for n, line in enumerate(lines) if line.startswith("Registered apps")) :])
        issuer = re.findall(r"issuer (http://127\.0\.0\.1:\d+)", told)[0]
        query = {"response_type": "code", "client_id": "my-app", "redirect_uri": "com.example.mine:/callback"}
        query |= {"scope": "mine", "code_challenge": "c" * 43, "code_challenge_method": "S256"}
        with requests.Session() as browser:
            url = f"{issuer}/oauth2/authorize"
            at_aries = browser.get(url, params=query, allow_redirects=False, timeout=30).headers["Location"]
            back = browser.get(approve(browser, at_aries, "approve"), allow_redirects=False, timeout=30)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    # The app signs in with its own scheme and scope.
    assert back.headers["Location"].startswith("com.example.mine:/callback?code=")
    assert "http://localhost:5173/" in told
    assert "https://web.example.com/callback" not in told
    assert all(client_id in told for client_id in (PHONE, "trader-ios", "trader-android", "my-app"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "No such file"),
        ("{", "Expecting property name"),
        ("[]", "JSON is not an object"),
        ("{}", "no app is registered"),
        ("\udcff", "not UTF-8"),
        ('{"a": {"redirect_uris": ["https://a.example/"], "scope": ["x"]}}', "app 'a': unknown member 'scope'"),
        ('{"phone": {"redirect_uris": ["https://a.example/"], "scopes": ["x"]}}', "app 'phone': the page that plays"),
        (
            '{"a": {"redirect_uris": ["myapp:/cb"], "scopes": ["x"]}}',
            "app 'a': redirect_uris has 'myapp:/cb', which is not allowed: a custom scheme needs a dot",
        ),
        (
            '{"a": {"redirect_uris": ["https://a.example/"], "scopes": ["x"], "origins": ["https://a.example/"]}}',
            "app 'a': origins has 'https://a.example/', which is not allowed: an origin is https://",
        ),
        (
            '{"a": {"redirect_uris": ["https://tunnel.example/oauth2/callback"], "scopes": ["x"]}}',
            "app 'a': redirect_uris has the broker's own callback",
        ),
    ],
)
def test_a_file_of_apps_that_is_missing_or_wrong_ends_the_command_with_one_line(
    text: str | None, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "apps.json"
    if text is not None:
        path.write_bytes(text.encode(errors="surrogateescape"))
    with command("--port", "0", "--issuer", "https://tunnel.example", "--apps", str(path)) as process:
        output, errors = process.communicate(timeout=60)
    assert (process.returncode, output) == (2, "")
    assert errors.startswith(str(path))
    assert said in errors
    assert errors.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--issuer", "http://192.0.2.1:8080"], "must be https://HOST, or http on loopback"),
        (["--aries", "http://192.0.2.1:8080"], "must be https://HOST, or http on loopback"),
        (["--issuer", "https://tunnel.example:443"], "without a default port"),
        (["--port", "abc"], "must be a number from 0 to 65531"),
        (["--port", "65532"], "must be a number from 0 to 65531"),
        (["--token-store", "rows"], "must be secrets or row"),
        (["--containers", "--issuer", "https://tunnel.example"], "--containers allows neither"),
        (["--containers", "--aries", "https://tunnel.example"], "--containers allows neither"),
    ],
)
def test_an_option_that_the_stack_cannot_have_ends_the_command_with_one_line(options: list[str], said: str) -> None:
    with command("--port", "0", *options) as process:
        output, errors = process.communicate(timeout=60)
    assert (process.returncode, output) == (2, "")
    assert said in errors
    assert errors.count("\n") == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.long
def test_the_command_serves_until_it_is_stopped(number: signal.Signals) -> None:
    with command("--port", "0") as process:
        assert process.stdout is not None
        opened = next(line for line in process.stdout if line.startswith("Open "))
        assert requests.get(opened.split()[1], timeout=30).status_code == 200
        process.send_signal(number)
        _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (0, "")
