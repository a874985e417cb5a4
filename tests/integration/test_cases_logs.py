"""The logs hold no secret, whatever happens, and one JSON line an event, whatever a caller sends (cases 47 and 48)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, quote

import pytest

from oauth_broker.runtime.telemetry import PowertoolsTelemetry
from tests.local.aries import Fault
from tests.support.deployment import ARIES_CLIENT_SECRET, GRACE, OTHER_CLIENT_ID
from tests.support.lambda_context import Context
from tests.support.streams import stream_record
from tests.support.telemetry import Recorded
from tests.support.world import Answer, Phone, World, running_world

HOSTILE = "a\r\nb\x1b[31m\u2028\u2029\x85{}"
LEASE_SECONDS = 60


class Written(Recorded):
    """Telemetry that the test reads and Lambda's logger also writes."""

    def __init__(self, service: str) -> None:
        super().__init__()
        # A fresh name makes a fresh logger. An existing logger still writes to an earlier standard output.
        names = {
            "POWERTOOLS_SERVICE_NAME": service,
            "POWERTOOLS_METRICS_NAMESPACE": "AriesTokenBroker",
            "LOG_LEVEL": "INFO",
        }
        self._real = PowertoolsTelemetry(names)

    def log(self, level: Any, event: str, fields: dict[str, Any]) -> None:
        super().log(level, event, fields)
        self._real.log(level, event, fields)

    def measure(self, metric: str, milliseconds: float, dimensions: dict[str, str]) -> None:
        super().measure(metric, milliseconds, dimensions)
        self._real.measure(metric, milliseconds, dimensions)

    def count(self, metric: str, dimensions: dict[str, str]) -> None:
        super().count(metric, dimensions)
        self._real.count(metric, dimensions)


class Story:
    """A sign-in, a life and an end with every possible failure, with their secrets and the refused answers."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.phone = world.phone(verifier="canary-verifier-" * 3, state="canary-state-of-the-app")
        self.secrets = {ARIES_CLIENT_SECRET, self.phone.verifier, self.phone.state}
        self.refused: list[Answer] = []
        # The calls that read and write tokens, and a call of a sign-out.
        in_row = world.environment["TOKEN_STORE"] == "row"
        self.read, self.write = ("Decrypt", "Encrypt") if in_row else ("GetSecretValue", "PutSecretValue")
        self.end_by = "UpdateItem" if in_row else "DeleteSecret"

    def refuse(self, answer: Answer) -> None:
        assert answer.status >= 400
        self.refused.append(answer)

    def sign_in(self) -> None:
        world, phone = self.world, self.phone
        self.refuse(phone.authorize(redirect_uri="https://evil.example/canary-state-of-the-app"))
        returning = phone.approve(phone.authorize())
        self.secrets |= {*dict(parse_qsl(returning)).values(), *phone.cookies.values()}
        self.refuse(world.phone().callback(returning))
        with world.aws.failing("UpdateItem", "throttled"):
            self.refuse(phone.callback(returning))
        code = phone.callback(returning).query["code"]
        self.secrets.add(code)
        self.refuse(phone.redeem(code, code_verifier="canary-verifier-" * 4))
        self.refuse(phone.redeem(code, client_id=OTHER_CLIENT_ID))
        self.refuse(phone.redeem(code, client_secret=ARIES_CLIENT_SECRET))
        with world.aws.failing(self.read, "access_denied"):
            self.refuse(phone.redeem(code))
        assert phone.redeem(code).status == 200
        self._learn()

    def live(self) -> None:
        world, phone = self.world, self.phone
        for fault in (Fault("unknown_error"), Fault("html"), Fault("duplicate_keys"), Fault("invalid_client")):
            world.clock.time += GRACE + LEASE_SECONDS
            world.aries.faults.append(fault)
            self.refuse(phone.refresh())
        for operation in (self.write, self.read):
            world.clock.time += GRACE + LEASE_SECONDS
            with world.aws.failing(operation, "access_denied", times=1):
                phone.refresh()
            self._learn()
        self.refuse(phone.refresh(scope="canary-state-of-the-app"))
        self.refuse(phone.refresh(phone.refresh_token[:-1] + "!"))
        self.refuse(phone.refresh(client_id=OTHER_CLIENT_ID))

        def stumble() -> None:
            raise KeyError(phone.refresh_token, ARIES_CLIENT_SECRET)

        world.clock.time += GRACE + LEASE_SECONDS
        with world.aws.visited("UpdateItem", stumble):
            self.refuse(phone.refresh())

    def end(self) -> None:
        oldest = min(token for token in self.secrets if token.startswith(f"{self.phone.session_id}.1."))
        with self.world.aws.failing(self.end_by, "throttled"):
            self.refuse(self.phone.revoke())
        assert self.phone.revoke().status == 200
        self.refuse(self.phone.refresh(oldest))

    def _learn(self) -> None:
        """Note the secrets of this step: tokens of both sides, every value sent to Aries, every stored value."""
        world, phone = self.world, self.phone
        self.secrets |= {phone.access_token, phone.refresh_token}
        for body in world.token_requests():
            named = ("code", "code_verifier", "refresh_token", "client_secret")
            self.secrets |= {str(body[name]) for name in named if name in body and body[name] != "code"}
        stored = json.loads(world.tokens(phone.session_id).to_json())
        self.secrets |= {value for value in stored.values() if isinstance(value, str) and len(value) >= 40}


@pytest.fixture(params=["secrets", "row"])
def world_of(request: pytest.FixtureRequest) -> Iterator[World]:
    """A world whose sessions keep their tokens in either store."""
    with running_world(TOKEN_STORE=request.param) as running:
        yield running


def test_no_secret_is_in_any_log_metric_or_error_whatever_goes_wrong(
    world_of: World, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    world = world_of
    world.telemetry = Written(f"canaries-of-this-test-{world.environment['TOKEN_STORE']}")
    caplog.set_level("DEBUG", logger="oauth_broker")
    story = Story(world)
    for step in (story.sign_in, story.live, story.end):
        step()
    written = "".join(capsys.readouterr())
    assert len(story.secrets) >= 12
    assert len(story.refused) >= 17
    told_of = [*world.telemetry.lines, *world.telemetry.metrics, *world.telemetry.durations]
    assert written.count("\n") >= len(told_of) > 40
    told = written + caplog.text + str(world.telemetry) + str(story.refused)
    assert [secret for secret in story.secrets if secret in told or quote(secret, safe="") in told] == []


def test_cleanup_tells_nothing_of_what_a_removed_row_held(
    world: World, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    world.telemetry = Written("cleanup-of-this-test")
    caplog.set_level("DEBUG")
    names = ("code_verifier", "browser_hash", "code_hash", "handle_hash", "previous_hash", "app_state", "lease_id")
    canaries: dict[str, Any] = {name: f"canary-of-the-{name}" for name in names}
    records = [
        *(stream_record(f"canary-session-{state}", 7, status=state, **canaries) for state in ("pending", "active")),
        stream_record("canary-session-of-no-sense", 8, "TRUNCATE", **canaries),
        stream_record("", 9, **canaries),
    ]
    for record in records:
        record["dynamodb"]["ApproximateCreationDateTime"] = 0
        record["dynamodb"]["OldImage"]["escrow"] = {"L": [{"B": "Y2FuYXJ5LXNlYWw="}]}
    for kind in ("not_deletable", "access_denied", "server_error"):
        with world.aws.failing("DeleteSecret", kind):
            world.handler("cleanup")({"Records": records}, Context(now=world.clock.now))
    written = "".join(capsys.readouterr())
    assert "secret_not_deleted" in written
    assert "malformed_record" in written
    assert "secret_access_denied" in written
    told = written + str(world.telemetry)
    assert "canary" not in told
    assert "Y2FuYXJ5LXNlYWw" not in told + caplog.text


def test_whatever_a_caller_or_aries_sends_is_one_json_line_an_event(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.telemetry = Written("lines-of-this-test")
    headers = {"user-agent": HOSTILE, "referer": HOSTILE, "x-forwarded-for": HOSTILE}
    phone = world.phone(state=HOSTILE)
    for changes in ({"response_type": HOSTILE}, {"scope": HOSTILE}, {"client_id": HOSTILE}):
        query = phone.authorization_query(**changes)
        assert world.call("authorize", "GET", "/oauth2/authorize", query=query, headers=headers).status in (302, 400)
    for name in ("error", "code", "iss"):
        come_back_with(world.phone(state=HOSTILE), name, headers)
    session = world.signed_in()
    world.clock.time += GRACE + 1
    world.aries.faults.append(Fault("unknown_error", error=HOSTILE))
    assert session.refresh(client_id=HOSTILE).status == 401
    assert session.refresh().status == 503
    assert session.revoke(HOSTILE).status == 200
    out = capsys.readouterr().out
    assert [character for character in "\r\x1b\u2028\u2029\x85" if character in out] == []
    events = [line["message"] for line in map(json.loads, out.split("\n")[:-1]) if "message" in line]
    assert events == [event for _, event, _ in world.telemetry.lines]
    assert len(events) >= 8


def come_back_with(phone: Phone, name: str, headers: dict[str, str]) -> None:
    """Return from Aries with a hostile value of one parameter, and with hostile headers from the browser."""
    returning = dict(parse_qsl(phone.approve(phone.authorize()))) | {name: HOSTILE}
    query = "&".join(f"{key}={quote(value, safe='')}" for key, value in returning.items())
    assert phone.callback(query, headers=headers).status in (302, 400)
