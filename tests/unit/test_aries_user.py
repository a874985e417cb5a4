"""The question to Aries whose access token it is: its answers, its time, and its silence after failures."""

from __future__ import annotations

import json
from typing import Any

import pytest

from oauth_broker.aries.transport import NoReply, NotSent, Reply
from oauth_broker.aries.user import USER_CALL_SECONDS, AriesUser
from oauth_broker.runtime.invocation import Invocation
from oauth_broker.secret import Secret
from tests.support.clock import VirtualClock
from tests.support.lambda_context import Context
from tests.support.telemetry import Recorded

URL = "https://aries.example/v1/users/me"
TOKEN = Secret("aries-access-token-canary")


class Transport:
    """Answers with one reply or failure."""

    def __init__(self, answer: Reply | Exception) -> None:
        self.answer = answer
        self.asked: list[tuple[str, dict[str, str], float]] = []

    def get(self, url: str, headers: dict[str, str], seconds: float) -> Reply:
        self.asked.append((url, headers, seconds))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def asked(answer: Reply | Exception, member: str = "id") -> tuple[str | None, Transport, Recorded]:
    transport, telemetry, clock = Transport(answer), Recorded(), VirtualClock()
    user = AriesUser(URL, member, transport, clock)
    return user.id(TOKEN, Invocation(Context(now=clock.now), telemetry)), transport, telemetry


def said(value: Any, member: str = "id") -> Reply:
    return Reply(200, json.dumps({member: value, "name": "Alex"}).encode())


def test_the_access_token_goes_in_a_header_and_the_answer_has_two_seconds() -> None:
    found, transport, telemetry = asked(said("usr_1001"))
    assert found == "usr_1001"
    assert transport.asked == [(URL, {"authorization": f"Bearer {TOKEN.reveal()}"}, USER_CALL_SECONDS)]
    assert USER_CALL_SECONDS == 2
    assert [(name, dimensions) for name, _, dimensions in telemetry.durations] == [
        ("ProviderLatency", {"grant": "user"})
    ]
    assert telemetry.metrics == []


@pytest.mark.parametrize(
    ("value", "found"),
    [("x", "x"), ("é" * 128, "é" * 128), (17, "17"), (-1, "-1"), (0, "0"), ("17", "17"), (10**60, str(10**60))],
)
def test_an_id_is_a_string_of_1_to_256_bytes_or_an_integer(value: Any, found: str) -> None:
    assert asked(said(value))[0] == found
    assert asked(said(value, "user_id"), "user_id")[0] == found


@pytest.mark.parametrize(
    "value", ["", "é" * 129, None, True, 1.5, ["x"], {"id": "x"}, 10**256, "\ud800"], ids=lambda value: repr(value)[:9]
)
def test_anything_else_is_no_id(value: Any) -> None:
    found, _, telemetry = asked(said(value))
    assert found is None
    assert telemetry.metrics == [("SubjectsNotFound", {"reason": "no_id"})]


@pytest.mark.parametrize(
    ("answer", "reason", "said_in_log"),
    [
        (NotSent("ConnectionError"), "no_reply", "user:no_reply:ConnectionError"),
        (NoReply("ReadTimeout"), "no_reply", "user:no_reply:ReadTimeout"),
        (Reply(401, b"{}"), "status_401", "user:status_401"),
        (Reply(204, b'{"id": "x"}'), "status_204", "user:status_204"),
        (Reply(302, b'{"id": "x"}'), "status_302", "user:status_302"),
        (Reply(200, b"<html>"), "malformed_answer", "user:malformed_answer"),
        (Reply(200, b'["id"]'), "malformed_answer", "user:malformed_answer"),
        (Reply(200, b'{"id": "x", "id": "y"}'), "malformed_answer", "user:malformed_answer"),
        (Reply(200, b'{"name": "x"}'), "no_id", "user:no_id"),
    ],
    ids=str,
)
def test_a_failure_is_no_id_and_is_counted_and_logged(answer: Reply | Exception, reason: str, said_in_log: str) -> None:
    found, _, telemetry = asked(answer)
    assert found is None
    assert telemetry.metrics == [("SubjectsNotFound", {"reason": reason})]
    assert [(event, fields["reason"]) for _, event, fields in telemetry.lines] == [("subject_not_found", said_in_log)]


def test_after_three_failures_in_a_row_nobody_is_asked_for_half_a_minute() -> None:
    transport, telemetry, clock = Transport(NoReply("ReadTimeout")), Recorded(), VirtualClock()
    user = AriesUser(URL, "id", transport, clock)

    def ask() -> str | None:
        return user.id(TOKEN, Invocation(Context(now=clock.now), telemetry))

    assert [ask(), ask()] == [None, None]
    transport.answer = said("x")
    assert ask() == "x"
    transport.answer = NoReply("ReadTimeout")
    assert [ask() for _ in range(5)] == [None] * 5
    assert len(transport.asked) == 6
    assert telemetry.metrics[-2:] == [("SubjectsNotFound", {"reason": "paused"})] * 2
    clock.time += 30
    transport.answer = said("x")
    assert ask() == "x"


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_of_one_access_token_after_a_pause_pauses_nobody(status: int) -> None:
    transport, telemetry, clock = Transport(NoReply("ReadTimeout")), Recorded(), VirtualClock()
    user = AriesUser(URL, "id", transport, clock)
    for _ in range(3):
        user.id(TOKEN, Invocation(Context(now=clock.now), telemetry))
    assert user.is_silent()
    clock.time += 30
    transport.answer = Reply(status, b"")
    user.id(TOKEN, Invocation(Context(now=clock.now), telemetry))
    assert not user.is_silent()


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_of_one_access_token_pauses_nobody(status: int) -> None:
    transport, telemetry, clock = Transport(Reply(status, b"")), Recorded(), VirtualClock()
    user = AriesUser(URL, "id", transport, clock)
    for _ in range(5):
        assert user.id(TOKEN, Invocation(Context(now=clock.now), telemetry)) is None
    assert len(transport.asked) == 5
    assert not user.is_silent()
