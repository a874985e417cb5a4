"""A snapshot of an initialised function is safe to copy: AWS Lambda SnapStart."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from tests.local.apps import PHONE
from tests.local.stack import LocalStack
from tests.support.deployment import deployed_environment
from tests.support.functions import ROOT
from tests.support.long import long_but
from tests.support.missing import missing
from tests.support.snapshot import NOT_PERMITTED

FUNCTIONS = ("authorize", "callback", "token", "refresh", "revoke", "sessions", "metadata", "backend")
NEVER_LISTENING = "http://127.0.0.1:9"
ENVIRONMENT = {
    **deployed_environment(
        ISSUER="",
        ARIES_AUTHORIZE_URL=f"{NEVER_LISTENING}/oauth2/authorize",
        ARIES_TOKEN_URL=f"{NEVER_LISTENING}/v1/oauth2/token",
        EVENT_BUS="sessions",
        APPS=json.dumps({PHONE: {"redirect_uris": ["https://app.example.com/callback"], "scopes": ["a"]}}),
    ),
    "AWS_ACCESS_KEY_ID": "key",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_REGION": "eu-west-1",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_ENDPOINT_URL": NEVER_LISTENING,
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}


def snapshot(what: str, *functions: str, environment: Mapping[str, str]) -> Any:
    """Run tests/support/snapshot.py, and return its findings."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.snapshot", what, *functions],
        cwd=ROOT,
        env={**environment, "PYTHONPATH": os.pathsep.join([".", "layers/oauth_broker"])},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode == NOT_PERMITTED:
        missing("process ids of its own are not permitted to a process here")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def of_itself() -> dict[str, Any]:
    """Return the traces of initialising all functions in one process."""
    found: dict[str, Any] = snapshot("init", *FUNCTIONS, environment=os.environ | ENVIRONMENT)
    return found


class TestInitialising:
    def test_opens_no_connection_and_resolves_no_name_and_so_reads_no_secret(self, of_itself: dict[str, Any]) -> None:
        assert of_itself["network"] == []

    def test_draws_nothing_random(self, of_itself: dict[str, Any]) -> None:
        assert of_itself["random"] == []

    def test_reads_no_clock(self, of_itself: dict[str, Any]) -> None:
        assert of_itself["clock"] == []

    @pytest.mark.parametrize("function", long_but(["token"], FUNCTIONS))
    def test_has_the_process_reseed_when_it_is_restored(self, function: str) -> None:
        found = snapshot("init", function, environment=os.environ | ENVIRONMENT)
        assert found["hooks"] == ["oauth_broker.runtime.snap_start.reseed"]


@pytest.mark.long
def test_two_copies_of_a_process_have_nothing_in_common_that_must_differ() -> None:
    with LocalStack(refresh_grace=1) as stack:
        copies = snapshot("sign-in", *FUNCTIONS, environment=os.environ)
        secrets = stack.client("secretsmanager")
        names = [it["Name"] for it in secrets.list_secrets()["SecretList"] if "/session/" in it["Name"]]
        keys = [json.loads(secrets.get_secret_value(SecretId=name)["SecretString"])["session_key"] for name in names]
        endpoints = {f"connect {url.removeprefix('http://')}" for url in (stack.aws, stack.aries)}
    assert len(set(keys)) == len(keys) == len(copies)
    for name in ("state", "challenge", "cookie", "code", "leases"):
        assert len({str(copy[name]) for copy in copies}) == len(copies), name
    for copy in copies:
        assert len(copy["leases"]) == 1
        assert set(copy["connections"]) >= endpoints


def test_openssl_would_give_every_copy_the_same_keys_and_does_not_once_it_was_reseeded() -> None:
    drawn = snapshot("openssl", "token", environment=os.environ | ENVIRONMENT)
    assert len(set(drawn["unrestored"])) == 1
    assert len(set(drawn["restored"])) == len(drawn["restored"])


class Credentials(BaseHTTPRequestHandler):
    """Lambda's endpoint for credentials. The first ones are about to expire, as in an old snapshot."""

    given: int

    def do_GET(self) -> None:
        life = timedelta(hours=6) if self.given else timedelta(minutes=1)
        body = {
            "AccessKeyId": f"KEY{self.given}",
            "SecretAccessKey": "secret",
            "Token": "token",
            "Expiration": (datetime.now(UTC) + life).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        type(self).given += 1
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def credentials_endpoint() -> Iterator[str]:
    Credentials.given = 0
    with ThreadingHTTPServer(("127.0.0.1", 0), Credentials) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


class TestTheCredentialsOfAws:
    """SnapStart gives a function its credentials by a local endpoint, not by its environment."""

    def environment(self, endpoint: str) -> dict[str, str]:
        environment = os.environ | ENVIRONMENT
        of_the_environment = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"}
        return {
            **{name: value for name, value in environment.items() if name not in of_the_environment},
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://{endpoint}/credentials",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN": "token",
        }

    def test_are_all_that_initialising_fetches(self) -> None:
        with credentials_endpoint() as endpoint:
            found = snapshot("init", *FUNCTIONS, environment=self.environment(endpoint))
        assert {line for line in found["network"] if line.startswith("connect")} == {f"connect {endpoint}"}

    @pytest.mark.long
    def test_of_an_old_snapshot_are_not_used_any_more(self) -> None:
        with credentials_endpoint() as endpoint:
            keys = snapshot("sign", "refresh", environment=self.environment(endpoint))
        assert len(keys) == 2
        for used in keys:
            assert used
            assert "KEY0" not in used
