"""Events on their way to the bus: their form, ten a call, one try, and nothing that a failure could spoil."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.exceptions import ConnectTimeoutError, ReadTimeoutError

from oauth_broker.events.bus import EventBus
from oauth_broker.runtime import aws
from oauth_broker.runtime.invocation import Event, Invocation
from oauth_broker.secret import session_reference
from tests.support.announced import SCHEMA, VALIDATOR, valid
from tests.support.client_error import client_error
from tests.support.lambda_context import Context
from tests.support.telemetry import Recorded
from tests.unit.peer import Peer, Script, answer, answering, black_hole, closing, silent

SESSION = "s" * 43
SUBJECT = "k1." + "p" * 43
AT = 1_800_000_000
STARTED = Event("session.started", AT, SESSION, "app", began_at=AT, ends_at=AT + 9, idle_days=7)
ENDED = Event.ended(SESSION, "app", AT, "signed_out", "")


def fine(entries: list[dict[str, Any]]) -> dict[str, Any]:
    return {"FailedEntryCount": 0, "Entries": [{"EventId": "id"} for _ in entries]}


class Client:
    """EventBridge's client, which answers as ``behave`` says."""

    def __init__(self, behave: Callable[[list[dict[str, Any]]], Any] = fine) -> None:
        self.behave = behave
        self.calls: list[list[dict[str, Any]]] = []

    def put_events(self, **parameters: Any) -> Any:
        assert parameters.keys() == {"Entries"}
        self.calls.append(parameters["Entries"])
        return self.behave(parameters["Entries"])

    def describe_event_bus(self, **parameters: Any) -> Any:
        raise AssertionError("no request looks the bus up")


def send(client: Any, *events: Event, seconds: float = 29) -> Recorded:
    """Announce the events in one invocation, and send them."""
    telemetry = Recorded()
    invocation = Invocation(Context(seconds), telemetry)
    invocation.bus = EventBus(client, "sessions")
    for event in events:
        invocation.announce(event)
    invocation.send_announced()
    return telemetry


def outcome(telemetry: Recorded) -> tuple[int, int, list[str]]:
    """Return the counts of sent and unsent events, and the logged reasons."""
    logged = [fields["reason"] for _, event, fields in telemetry.lines if event == "event_not_sent"]
    return telemetry.counted("EventsSent"), telemetry.counted("EventsNotSent"), logged


def test_the_schema_is_one() -> None:
    VALIDATOR.check_schema(SCHEMA)


@pytest.mark.parametrize("subject", [None, SUBJECT])
@pytest.mark.parametrize(
    "make",
    [
        lambda subject: STARTED._replace(subject=subject),
        lambda subject: Event.ended(SESSION, "app", AT + 0.7, "signed_out", subject),
        lambda subject: Event.signed_out_by_another(SESSION, "app", AT + 0.7, subject),
    ],
)
def test_an_event_of_a_session_is_put_by_the_schema(make: Callable[[str | None], Event], subject: str | None) -> None:
    client, event = Client(), make(subject)
    assert outcome(send(client, event)) == (1, 0, [])
    ((entry,),) = client.calls
    assert entry.keys() == {"Source", "DetailType", "Detail", "EventBusName", "Time"}
    assert (entry["EventBusName"], entry["Time"]) == ("sessions", AT)
    detail = json.loads(entry["Detail"])
    valid({"source": entry["Source"], "detail-type": entry["DetailType"], "detail": detail})
    reference = session_reference(SESSION)
    assert (detail["session"], detail["client_id"], detail["at"]) == (reference, "app", AT)
    assert detail["event_id"] == f"{reference}:{event.type}"
    assert detail.get("subject") == subject
    assert SESSION not in entry["Detail"]


@pytest.mark.parametrize(
    ("client_id", "members"),
    [
        (None, {"event_id": f"all@{AT}:sessions.revoked_all", "at": AT}),
        ("app", {"event_id": f"app@{AT}:sessions.revoked_all", "at": AT, "client_id": "app"}),
    ],
)
def test_a_mass_sign_out_is_one_event(client_id: str | None, members: dict[str, Any]) -> None:
    client = Client()
    send(client, Event.revoked_all(client_id, AT))
    ((entry,),) = client.calls
    assert json.loads(entry["Detail"]) == members
    valid({"source": entry["Source"], "detail-type": entry["DetailType"], "detail": members})


@pytest.mark.parametrize(
    "wrong",
    [
        {"user_id": "4711"},
        {"address": "192.0.2.1"},
        {"session": SESSION},
        {"reason": None},
        {"subject": "4711"},
        {"at": "2027-01-15T08:00:00Z"},
    ],
)
def test_the_schema_refuses_what_no_event_may_have(wrong: dict[str, Any]) -> None:
    good = {"event_id": "id", "session": "0" * 16, "client_id": "app", "at": AT, "reason": "signed_out"}
    event = {"source": "aries-token-broker", "detail-type": "session.ended"}
    valid(event | {"detail": good})
    bad = {name: value for name, value in (good | wrong).items() if value is not None}
    assert not VALIDATOR.is_valid(event | {"detail": bad})


def test_ten_go_out_with_each_call() -> None:
    client = Client()
    events = [Event.ended(f"{number:043}", "app", AT, "signed_out", "") for number in range(23)]
    assert outcome(send(client, *events)) == (23, 0, [])
    assert [len(entries) for entries in client.calls] == [10, 10, 3]
    told = [json.loads(entry["Detail"])["session"] for entries in client.calls for entry in entries]
    assert told == [session_reference(event.session_id or "") for event in events]


def test_an_entry_that_the_bus_refuses_is_counted_alone() -> None:
    def partly(entries: list[dict[str, Any]]) -> dict[str, Any]:
        refused = {"ErrorCode": "ThrottlingException", "ErrorMessage": "slow down"}
        return {"FailedEntryCount": 1, "Entries": [{"EventId": "1"}, refused, {"EventId": "3"}]}

    client = Client(partly)
    assert outcome(send(client, ENDED, ENDED, ENDED)) == (2, 1, ["events:ThrottlingException"])
    assert len(client.calls) == 1


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (client_error("AccessDeniedException"), "events:AccessDeniedException"),
        (client_error("ThrottlingException"), "events:ThrottlingException"),
        (ReadTimeoutError(endpoint_url="https://aws.example"), "events:ReadTimeoutError"),
        (ConnectTimeoutError(endpoint_url="https://aws.example"), "events:ConnectTimeoutError"),
        (ZeroDivisionError(SESSION), "bug:ZeroDivisionError"),
    ],
)
def test_a_failure_is_counted_and_logged_and_raised_to_nobody(failure: Exception, reason: str) -> None:
    def fail(entries: list[dict[str, Any]]) -> dict[str, Any]:
        raise failure

    client = Client(fail)
    telemetry = send(client, ENDED, ENDED)
    assert outcome(telemetry) == (0, 2, [reason, reason])
    assert len(client.calls) == 1
    assert SESSION not in str(telemetry.lines)


@pytest.mark.parametrize("malformed", [{}, {"FailedEntryCount": 1}, None, "x"])
def test_an_answer_that_cannot_be_read_is_a_failure_too(malformed: Any) -> None:
    sent, unsent, (reason,) = outcome(send(Client(lambda entries: malformed), ENDED))
    assert (sent, unsent) == (0, 1)
    assert reason.startswith("bug:")


def test_a_failed_call_does_not_hold_up_the_next_ten() -> None:
    def first_fails(entries: list[dict[str, Any]]) -> dict[str, Any]:
        if len(client.calls) == 1:
            raise client_error("InternalException")
        return fine(entries)

    client = Client(first_fails)
    assert outcome(send(client, *[ENDED] * 12)) == (2, 10, ["events:InternalException"] * 10)


def test_at_the_end_of_an_invocation_nothing_is_sent_any_more() -> None:
    client = Client()
    assert outcome(send(client, ENDED, seconds=0.9)) == (0, 1, ["too_little_time"])
    assert not client.calls


def test_without_a_bus_nothing_is_kept() -> None:
    telemetry = Recorded()
    invocation = Invocation(Context(), telemetry)
    invocation.announce(ENDED)
    client = Client()
    invocation.bus = EventBus(client, "sessions")
    invocation.send_announced()
    assert not client.calls
    assert not telemetry.metrics


def test_an_event_is_sent_once() -> None:
    telemetry, client = Recorded(), Client()
    invocation = Invocation(Context(), telemetry)
    invocation.bus = EventBus(client, "sessions")
    invocation.announce(ENDED)
    invocation.send_announced()
    invocation.send_announced()
    assert len(client.calls) == 1


@pytest.fixture
def own_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the session of other tests away. It hands requests to moto."""
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")


@pytest.mark.usefixtures("own_session")
@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (silent, "events:ReadTimeoutError"),
        (closing, "events:ConnectionClosedError"),
        (answering(answer(b'{"__type":"InternalException"}', "500 Internal Server Error")), "events:InternalException"),
        (answering(answer(b'{"__type":"ThrottlingException"}', "400 Bad Request")), "events:ThrottlingException"),
    ],
)
def test_a_slow_or_broken_bus_gets_one_try_and_a_third_of_a_second(
    monkeypatch: pytest.MonkeyPatch, script: Script, reason: str
) -> None:
    with Peer(script) as peer:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{peer.port}")
        client = aws.events()
        began = time.monotonic()
        telemetry = send(client, ENDED)
        took = time.monotonic() - began
    assert outcome(telemetry) == (0, 1, [reason])
    assert len(peer.requests) == 1
    # The machine of the tests may be busy. A second try, or the usual 1.5 seconds, would take longer.
    assert took < 1.0


@pytest.mark.usefixtures("own_session")
def test_a_bus_that_takes_no_connection_gets_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    with black_hole() as port:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        client = aws.events()
        began = time.monotonic()
        telemetry = send(client, ENDED)
        took = time.monotonic() - began
    assert outcome(telemetry) == (0, 1, ["events:ConnectTimeoutError"])
    assert took < 1.0


@pytest.mark.usefixtures("own_session")
def test_the_time_of_a_call_is_three_tenths_of_a_second_in_all() -> None:
    config: Any = aws.events().meta.config  # type: ignore[attr-defined]
    assert config.connect_timeout + config.read_timeout == pytest.approx(0.3)
    assert config.retries["total_max_attempts"] == 1
