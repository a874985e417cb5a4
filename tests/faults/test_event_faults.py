"""Every fault at every call of a sign-in, a sign-out and a reuse with an event bus: the bus changes no answer.

Events are true: whatever fails, no event tells of a session that did not begin or end.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from oauth_broker.events.bus import EventBus
from oauth_broker.runtime.invocation import Invocation
from oauth_broker.secret import session_reference
from tests.faults.broker import STORES, Broker, Session, Store, in_turn, settings_of, signed_in
from tests.faults.seam import Fault, Kind, SeamedClient, faults_at
from tests.faults.test_sign_in_faults import sign_in_as_a_person_would
from tests.support.announced import valid
from tests.support.deployment import GRACE

PUT = "events put_events"
DEATHS = (Kind.DIES_BEFORE, Kind.DIES_AFTER)
DELAYS = (0, 3)


class MemoryBus:
    """The bus. ``events`` lists the events that it took, valid by their schema."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    def put_events(self, **parameters: Any) -> dict[str, Any]:
        for entry in parameters["Entries"]:
            event = {"source": entry["Source"], "detail-type": entry["DetailType"]}
            self.events.append(valid(event | {"detail": json.loads(entry["Detail"])}))
        return {"FailedEntryCount": 0, "Entries": [{"EventId": "id"} for _ in parameters["Entries"]]}


def sending(operation: Callable[[Any, Invocation], Any]) -> Callable[[Any, Invocation], Any]:
    """Return the operation with the last step of its endpoint. A process that died sends nothing."""

    def operate(request: Any, invocation: Invocation) -> Any:
        try:
            answer = operation(request, invocation)
        except Exception:
            invocation.send_announced()
            raise
        invocation.send_announced()
        return answer

    return operate


class Announcing(Broker):
    """A broker whose calls to the event bus go through the seam too."""

    memory_bus: MemoryBus

    def _compose(self) -> None:
        super()._compose()
        self.memory_bus = MemoryBus()
        for name in ("redeem", "refresh", "revoke"):
            setattr(self, name, sending(getattr(self, name)))

    def invocation(self) -> Invocation:
        invocation = super().invocation()
        invocation.bus = EventBus(SeamedClient(self.seam, self.memory_bus, "events"), "sessions")
        return invocation

    def told(self, kind: str) -> list[str]:
        """Return the references of the sessions in the events of one type."""
        return [event["detail"]["session"] for event in self.memory_bus.events if event["detail-type"] == kind]

    def in_state(self, *states: str) -> set[str]:
        """Return the references of the sessions in these states."""
        found = {session_id: item["status"]["S"] for session_id, item in self.dynamodb.items.items()}
        return {session_reference(session_id) for session_id, state in found.items() if state in states}

    def assert_events_are_true(self) -> None:
        assert set(self.told("session.started")) <= self.in_state("active", "dead", "revoked")
        assert set(self.told("session.ended")) <= self.in_state("dead", "revoked")


def is_heard(broker: Broker) -> bool:
    """Tell whether the injected fault lets an event through: nobody died, and the fault was another call's."""
    return not any(kind in DEATHS or name == PUT for name, kind in broker.seam.injected)


@pytest.mark.parametrize("store", STORES)
def test_a_sign_in_ends_in_a_session_and_is_told_truly(numbers: Callable[[str], None], store: Store) -> None:
    schedules, at = 0, 1
    names: set[str] = set()
    while True:
        injected = 0
        for fault in faults_at(at, DELAYS):
            broker = Announcing(settings=settings_of(store))
            broker.seam.faults = in_turn([fault])
            sign_in_as_a_person_would(broker)
            if not broker.seam.injected:
                continue
            injected += 1
            names |= {name for name, _ in broker.seam.injected}
            broker.seam.land_all()
            broker.assert_events_are_true()
            broker.assert_stores_are_in_order()
            if is_heard(broker):
                assert broker.in_state("active") == set(broker.told("session.started"))
        if not injected:
            break
        schedules += injected
        at += 1
    assert PUT in names
    numbers(f"sign-in with an event bus, {store}: {schedules} schedules of one fault")


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("kind", list(Kind))
def test_a_redemption_is_answered_whatever_the_bus_does_unless_the_process_dies(store: Store, kind: Kind) -> None:
    clean = Announcing(settings=settings_of(store))
    sign_in_as_a_person_would(clean)
    (at,) = [number for number, name in enumerate(clean.seam.calls, 1) if name == PUT]
    broker = Announcing(settings=settings_of(store))
    broker.seam.faults = {at: Fault(at, kind, 0)}
    # Only Aries refuses for now, and only a write lands again.
    broker.seam.misfit = lambda: None
    starts = sign_in_as_a_person_would(broker)
    assert starts == (2 if kind in DEATHS else 1)
    assert len(broker.in_state("active")) == 1


def ends_by_sign_out(session: Session) -> str:
    return session.revoke().kind


def ends_by_reuse(session: Session) -> str:
    first = session.token
    for _ in range(2):
        assert session.refresh().kind == "200"
        session.broker.let_pass(GRACE + 1)
    return session.refresh(first).kind


ENDS: list[tuple[Callable[[Session], str], str]] = [(ends_by_sign_out, "200"), (ends_by_reuse, "invalid_grant")]


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize(("end", "answer"), ENDS, ids=["sign-out", "reuse"])
def test_an_end_is_answered_as_without_a_bus_and_told_truly(
    numbers: Callable[[str], None], end: Callable[[Session], str], answer: str, store: Store
) -> None:
    clean = Announcing(settings=settings_of(store))
    session = signed_in(clean)
    clean.seam.calls.clear()
    assert end(session) == answer
    put_at = len(clean.seam.calls)
    assert clean.seam.calls[-1] == PUT
    schedules = 0
    # The refreshes before the reuse have enumerations of their own.
    for at in range(1 if end is ends_by_sign_out else put_at - 3, put_at + 1):
        for fault in faults_at(at, DELAYS):
            broker = Announcing(settings=settings_of(store))
            session = signed_in(broker)
            broker.seam.calls.clear()
            broker.seam.faults = in_turn([fault])
            kind = end(session)
            if not broker.seam.injected:
                continue
            schedules += 1
            broker.seam.faults = {}
            broker.seam.land_all()
            broker.assert_events_are_true()
            if at == put_at and fault.kind not in DEATHS:
                assert kind == answer
            if kind == answer and is_heard(broker):
                assert set(broker.told("session.ended")) == broker.in_state("dead", "revoked") != set()
    numbers(f"{answer} with an event bus, {store}: {schedules} schedules of one fault")
    assert schedules > 8
