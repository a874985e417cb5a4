"""A backend's signed requests over real HTTP: the local gateway verifies them, and the documents' client works."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from textwrap import dedent
from typing import Any

import pytest
import requests
from botocore.credentials import Credentials

from tests.local import iam
from tests.local.apps import ALERTS, PHONE, SCOPES
from tests.local.aws import REGION
from tests.local.backend import ask, sign_in, signed, token_url
from tests.local.stack import LocalStack
from tests.support.functions import ROOT

RIVAL = "trader-rival"
RIVAL_APP = {RIVAL: {"redirect_uris": ["com.example.rival:/cb"], "scopes": list(SCOPES), "backend": True}}
GUIDE = (ROOT / "docs" / "connect-an-app.md").read_text()


@pytest.fixture(scope="module")
def stack() -> Iterator[LocalStack]:
    with LocalStack(refresh_grace=1, apps=RIVAL_APP) as stack:
        yield stack


@pytest.fixture(scope="module")
def tokens(stack: LocalStack) -> dict[str, Any]:
    return sign_in(stack)


def post(url: str, body: str, headers: dict[str, str]) -> requests.Response:
    """Send exactly this path, as no library normalises it."""
    request = requests.Request("POST", url, data=body, headers=headers).prepare()
    request.url = url
    with requests.Session() as session:
        return session.send(request, timeout=30)


def assert_forbidden(answer: requests.Response) -> None:
    """API Gateway's own answer: the function was not asked."""
    assert (answer.status_code, answer.json()) == (403, {"message": "Forbidden"})


def test_a_signed_request_with_a_handle_gets_the_access_token(stack: LocalStack, tokens: dict[str, Any]) -> None:
    answer = ask(stack, tokens["backend_handle"], min_seconds=120, scope="account:information")
    assert answer.status_code == 200
    assert answer.json()["access_token"] == tokens["access_token"]
    assert "refresh_token" not in answer.json()


def test_a_request_without_a_right_signature_reaches_no_function(stack: LocalStack, tokens: dict[str, Any]) -> None:
    url, body = token_url(stack), json.dumps({"backend_handle": tokens["backend_handle"]})
    owner = stack.iam.credentials_of(ALERTS)
    good = signed(owner, url, body)
    assert post(url, body, good).status_code == 200
    for name in ("Authorization", "X-Amz-Date"):
        assert_forbidden(post(url, body, {key: value for key, value in good.items() if key != name}))
    wrong = Credentials(owner.access_key, "a" * 40)
    nobody = Credentials("AKIA0000000000000000", owner.secret_key)
    assert_forbidden(post(url, body, signed(wrong, url, body)))
    assert_forbidden(post(url, body, signed(nobody, url, body)))
    assert_forbidden(post(url, body, signed(owner, url, body, region="eu-central-1")))
    assert_forbidden(post(url, body + " ", good))
    assert_forbidden(post(url + "?x=1", body, good))
    assert_forbidden(post(url, body, good | {"X-Amz-Date": "20200101T000000Z"}))
    assert_forbidden(post(url, body, good | {"Authorization": good["Authorization"][:-1]}))
    assert_forbidden(post(url, body, good | {"Authorization": "Bearer x"}))
    unsigned_body = {"X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD"}
    assert_forbidden(post(url, body, signed(owner, url, body) | unsigned_body))


def test_an_old_signature_is_refused(
    stack: LocalStack, tokens: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, body = token_url(stack), json.dumps({"backend_handle": tokens["backend_handle"]})
    headers = signed(stack.iam.credentials_of(ALERTS), url, body)

    class Later(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime.now(UTC) + timedelta(minutes=6)

    monkeypatch.setattr(iam, "datetime", Later)
    assert_forbidden(post(url, body, headers))


def test_a_policy_for_one_app_is_refused_for_another_however_the_path_is_written(
    stack: LocalStack, tokens: dict[str, Any]
) -> None:
    body = json.dumps({"backend_handle": tokens["backend_handle"]})
    rival = stack.iam.credentials_of(RIVAL)
    assert ask(stack, sign_in(stack, RIVAL)["backend_handle"], path_of=RIVAL, caller=RIVAL).status_code == 200
    assert_forbidden(ask(stack, tokens["backend_handle"], caller=RIVAL))
    for written in (
        "trader%2Dalerts",
        "trader-%61lerts",
        f"{RIVAL}/..%2F{ALERTS}",
        f"{RIVAL}/../{ALERTS}",
        f"..%2F{ALERTS}",
        f"{RIVAL}%2F..%2F{ALERTS}",
        f"./{ALERTS}",
        f"/{ALERTS}",
    ):
        url = token_url(stack, written)
        answer = post(url, body, signed(rival, url, body))
        assert answer.status_code in (403, 404), written
        assert "access_token" not in answer.text


def test_the_function_refuses_a_path_that_a_policy_might_take_for_its_apps(
    stack: LocalStack, tokens: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if IAM decoded the path before it compares: the function compares the path as it is sent."""
    monkeypatch.setattr(stack.iam, "identity", lambda request: {"userArn": "arn:aws:iam::123456789012:user/x"})
    url, body = token_url(stack, "trader%2Dalerts"), json.dumps({"backend_handle": tokens["backend_handle"]})
    answer = post(url, body, {"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["error"]) == (403, "not_a_backend_app")


def test_an_app_without_a_backend_has_no_role_and_no_handle(stack: LocalStack) -> None:
    assert "backend_handle" not in sign_in(stack, "trader-ios")
    with pytest.raises(KeyError):
        stack.iam.credentials_of(PHONE)


def test_the_check_of_the_first_day_lets_a_in_and_nobody_to_b(
    stack: LocalStack, tokens: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The program of docs/deploy.md, with the rival as A and the app of the alerts as B."""
    credentials = stack.iam.credentials_of(RIVAL)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", credentials.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", credentials.secret_key)
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
    deploying = (ROOT / "docs" / "deploy.md").read_text()
    (program,) = (block for block in re.findall(r" ```python\n(.*?)```", deploying, re.DOTALL) if "SigV4Auth" in block)
    program = dedent(program)
    place = stack.issuer.removeprefix("http://")
    for name, value in (
        ("https://API", stack.issuer),
        ('HTTPSConnection("API")', f'HTTPConnection("{place}")'),
        ("REGION", REGION),
        ("HANDLE", tokens["backend_handle"]),
        ("%42", "trader%2Dalerts"),
    ):
        assert program.count(name) == 1
        program = program.replace(name, value)
    program = program.replace('"A"', f'"{RIVAL}"').replace('"A', f'"{RIVAL}').replace('"B"', f'"{ALERTS}"')
    program = program.replace('B"', f'{ALERTS}"')
    exec(compile(program, "docs/deploy.md", "exec"), {})  # noqa: S102 - the document is ours
    first, second, *others = capsys.readouterr().out.splitlines()
    assert first.startswith(f"{RIVAL} SigV4Auth 400 ")
    assert "sign_in_required" in first
    assert second.startswith(f"{RIVAL} S3SigV4Auth 400 ")
    assert len(others) == 16
    # The local gateway alone redirects a path with two slashes.
    for line in others:
        assert line.split()[2] in ("403", "404", *(["308"] if line.startswith("/") else [])), line


def client_of_the_guide() -> str:
    """Return the Python client in docs/connect-an-app.md."""
    (program,) = (block for block in re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL) if "SigV4Auth" in block)
    return str(program)


def test_the_client_of_the_documents_gets_a_token_and_learns_that_the_user_must_sign_in(
    stack: LocalStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed_in = sign_in(stack)
    credentials = stack.iam.credentials_of(ALERTS)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", credentials.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", credentials.secret_key)
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
    program = client_of_the_guide()
    for name, value in (("https://ISSUER/backend/CLIENT_ID/token", token_url(stack)), ("REGION_OF_THE_STACK", REGION)):
        assert program.count(name) == 1
        program = program.replace(name, value)
    names: dict[str, Any] = {}
    exec(compile(program, "docs/connect-an-app.md", "exec"), names)  # noqa: S102 - the document is ours
    token, ends_at = names["access_token"](signed_in["backend_handle"])
    assert token == signed_in["access_token"]
    assert 0 < ends_at - time.time() <= signed_in["expires_in"]
    requests.post(
        f"{stack.issuer}/oauth2/revoke",
        data={"client_id": ALERTS, "token": signed_in["refresh_token"]},
        timeout=30,
    ).raise_for_status()
    assert names["access_token"](signed_in["backend_handle"]) is None
