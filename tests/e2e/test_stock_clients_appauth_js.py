"""AppAuth-JS in Node.js, unmodified: https://github.com/openid/AppAuth-JS. The app is clients/appauth.mjs."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Timer
from typing import Any

import pytest

from tests.e2e.person import DECISION, Decision
from tests.e2e.stock_clients import ACCOUNT, ARIES_FAILS, CLIENT, LOOPBACK, ODD_STATES, SCOPE, Broker
from tests.local.aries import Fault
from tests.local.template import ROOT

pytestmark = pytest.mark.clients

CLIENTS = Path(__file__).parent / "clients"
# Far more than a test takes. The timeout turns a hanging app into a failure with a message.
PATIENCE_SECONDS = 60


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    with Broker() as broker:
        yield broker


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The app in one file: a bundler resolves the library's own imports, Node.js does not."""
    bundle = tmp_path_factory.mktemp("appauth") / "appauth.cjs"
    esbuild = CLIENTS / "node_modules/.bin/esbuild"
    options = ["--bundle", "--platform=node", "--format=cjs", "--log-level=warning", f"--outfile={bundle}"]
    subprocess.run([esbuild, CLIENTS / "appauth.mjs", *options], cwd=CLIENTS, check=True)
    return bundle


@pytest.fixture(scope="module")
def path_with_a_browser(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A PATH with a person in place of the commands with which the library opens a browser."""
    folder = tmp_path_factory.mktemp("browser")
    run_person = shlex.join([sys.executable, "-m", "tests.e2e.person"])
    for command in ("xdg-open", "open"):
        script = folder / command
        script.write_text(f'#!/bin/sh\ncd {shlex.quote(str(ROOT))} && exec {run_person} "$1"\n')
        script.chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


class AppAuth:
    """The running app."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def _step(self, step: str, **options: str) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"step": step, **options}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, f"The app ended, or took longer than {PATIENCE_SECONDS} s, at {step}"
        outcome: dict[str, Any] = json.loads(line)
        return outcome

    def does(self, step: str, **options: str) -> dict[str, Any]:
        outcome = self._step(step, **options)
        assert "raised" not in outcome, outcome
        result: dict[str, Any] = outcome["result"]
        return result

    def fails(self, step: str) -> dict[str, str]:
        raised: dict[str, str] = self._step(step)["raised"]
        return raised

    def signs_in(self) -> dict[str, Any]:
        self.does("discover")
        self.does("authorize")
        return self.does("redeem")


def free_port() -> int:
    with socket.create_server(("", 0)) as server:
        port: int = server.getsockname()[1]
    return port


@contextmanager
def running_app(broker: Broker, program: Path, path: str, decision: Decision = "approve") -> Iterator[AppAuth]:
    node = shutil.which("node")
    assert node is not None, "Node.js is needed"
    config = {
        "issuer": broker.issuer,
        "clientId": CLIENT,
        "redirectUri": f"{LOOPBACK}:{free_port()}",
        "scope": SCOPE,
        "account": broker.aries + ACCOUNT,
    }
    with subprocess.Popen(
        [node, program, json.dumps(config)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PATH": path, DECISION: decision},
    ) as process:
        impatience = Timer(PATIENCE_SECONDS, process.kill)
        impatience.start()
        try:
            yield AppAuth(process)
        finally:
            impatience.cancel()
            process.kill()


@pytest.fixture
def app(broker: Broker, program: Path, path_with_a_browser: str) -> Iterator[AppAuth]:
    with running_app(broker, program, path_with_a_browser) as app:
        yield app


def test_the_library_finds_the_endpoints_that_it_uses(broker: Broker, app: AppAuth) -> None:
    assert app.does("discover") == {
        "authorization_endpoint": f"{broker.issuer}/oauth2/authorize",
        "token_endpoint": f"{broker.issuer}/oauth2/token",
        "revocation_endpoint": f"{broker.issuer}/oauth2/revoke",
    }


def test_a_session_is_used_refreshed_refreshed_again_and_revoked(broker: Broker, app: AppAuth) -> None:
    first = app.signs_in()
    # The library counts a token stale ten minutes before it expires.
    assert (first["type"], first["fresh"]) == ("Bearer", True)
    assert first["scope"].split() == sorted(SCOPE.split())
    assert app.does("account") == {"status": 200}
    broker.wait_out_the_grace()
    with broker.refreshes_at_aries(1):
        second = app.does("refresh")
    assert first["access"] != second["access"]
    assert first["refresh"] != second["refresh"]
    with broker.refreshes_at_aries(0):
        assert app.does("refresh_again") == second
    assert app.does("account") == {"status": 200}
    assert app.does("revoke") == {"revoked": True}
    # In Node.js the library passes on the status line alone, not the body.
    with broker.refreshes_at_aries(0):
        assert app.fails("refresh") == {"type": "AppAuthError", "message": "BAD REQUEST"}


@pytest.mark.parametrize(("fault", "seconds"), ARIES_FAILS)
def test_while_aries_fails_the_tokens_are_kept_and_the_repeated_refresh_works(
    broker: Broker, app: AppAuth, fault: Fault, seconds: int
) -> None:
    kept = app.signs_in()
    broker.wait_out_the_grace()
    with broker.aries_failing(fault):
        assert app.fails("refresh") == {"type": "AppAuthError", "message": "SERVICE UNAVAILABLE"}
    assert app.does("tokens") == kept
    assert app.does("account") == {"status": 200}
    broker.wait(seconds)
    with broker.refreshes_at_aries(1):
        assert app.does("refresh")["refresh"] != kept["refresh"]


def test_a_refused_sign_in_reaches_the_authorization_listener(
    broker: Broker, program: Path, path_with_a_browser: str
) -> None:
    with running_app(broker, program, path_with_a_browser, "deny") as app:
        app.does("discover")
        assert app.does("authorize") == {"code": False, "error": "access_denied", "same_state": True}


@pytest.mark.parametrize("state", ODD_STATES)
def test_any_state_comes_back_as_it_was(app: AppAuth, state: str) -> None:
    app.does("discover")
    assert app.does("authorize", state=state) == {"code": True, "same_state": True}
    assert app.does("redeem")["type"] == "Bearer"
