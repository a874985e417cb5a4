"""Every fault, and every ordered pair of faults, at every call of a refresh: no session is lost outside one window.

The window is G4's: Aries has committed a new refresh token, and the process dies, or Aries' reply is lost, before that
token is durable with us.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.faults.broker import LEASE_SECONDS, Broker, Session, Violation, in_turn, signed_in
from tests.faults.seam import Fault, Kind, Seam
from tests.support.world import GRACE

ROTATIONS = ("strict", "grace", "family")
# The app comes back as soon as a lease may have lapsed, which is within the grace, or long after the grace.
PATIENCE = (LEASE_SECONDS, GRACE + LEASE_SECONDS)
MAX_DELAY = 16


@dataclass(frozen=True)
class Outcome:
    """What became of one schedule."""

    injected: tuple[tuple[str, Kind], ...]
    lost: bool
    in_window: bool

    @property
    def name(self) -> str:
        return ", then ".join(f"{call}: {kind.value}" for call, kind in self.injected)


def run(rotation: str, faults: tuple[Fault, ...], patience: float) -> Outcome:
    """Refresh under faults, let them stop and the lease lapse, retry as an app would, and check the guarantees."""
    broker = Broker(rotation)
    session = signed_in(broker)
    broker.seam.calls.clear()
    broker.seam.faults = in_turn(faults)
    in_window = False
    for _ in range(len(faults)):
        session.refresh()
        # Impatient first, while the lease may be held; and again when it has lapsed.
        session.refresh()
        broker.let_pass(patience)
        in_window = in_window or session.is_lost_at_aries
    injected = tuple(broker.seam.injected)
    return Outcome(injected, lost=not recovers(broker, session), in_window=in_window)


def recovers(broker: Broker, session: Session) -> bool:
    """G5: one retry ends in 200 or ``invalid_grant``; and a session that lives can be refreshed at Aries again."""
    broker.seam.faults = {}
    token = session.token
    result = session.refresh()
    if result.answer and session.refresh(token).answer != result.answer:
        raise Violation("G6: an answer that was lost was not given again")
    if result.kind == "invalid_grant":
        # G6: it was Aries that refused, never our own reuse detection.
        if broker.telemetry.counted("ReuseDetected"):
            raise Violation("G6: an app that holds one copy of its newest token was taken for a thief")
        if session.refresh().kind != "invalid_grant":
            raise Violation("an ended session came back")
        return False
    if result.kind != "200":
        raise Violation(f"G5: a retry after all faults ended in {result.kind}")
    for last in (False, False, True):
        broker.let_pass(GRACE + 1)
        if last:
            broker.seam.land_all()
        later = session.refresh().kind
        if later == "invalid_grant":
            # An Aries that kills families may have done so before a late write showed us its answer.
            return False
        if later != "200":
            raise Violation(f"G5: a refresh after all faults ended in {later}")
    broker.assert_every_secret_has_a_row()
    return True


def single_faults(rotation: str, patience: float) -> list[Outcome]:
    """One run for each kind of fault at each call, until a run needs no more calls than were made."""
    outcomes: list[Outcome] = []
    at = 1
    while True:
        found = [run(rotation, (fault,), patience) for fault in variants(at)]
        if not any(outcome.injected for outcome in found):
            return outcomes
        outcomes += [outcome for outcome in found if outcome.injected]
        at += 1


def variants(at: int) -> list[Fault]:
    kinds = [kind for kind in Kind if kind is not Kind.LATE]
    return [Fault(at, kind) for kind in kinds] + [Fault(at, Kind.LATE, delay) for delay in range(MAX_DELAY)]


# The window, by name: what may be lost where Aries rotates strictly. A call to Aries that was processed and whose
# answer did not arrive; and a death after that answer and before it was stored.
WINDOW = {
    "Aries: dies after",
    "Aries: error though applied",
    "Aries: error, applied late",
    "put_secret_value: dies before",
}


@pytest.mark.parametrize("patience", PATIENCE)
@pytest.mark.parametrize(("rotation", "window"), [("strict", WINDOW), ("family", WINDOW), ("grace", set())])
def test_a_single_fault_loses_the_session_in_the_one_window_and_nowhere_else(
    numbers: Callable[[str], None], rotation: str, window: set[str], patience: float
) -> None:
    outcomes = single_faults(rotation, patience)
    assert {outcome.name for outcome in outcomes if outcome.lost} == window
    assert {outcome.name for outcome in outcomes if outcome.in_window} == WINDOW
    counted = Counter(name.partition(":")[0] for name in (outcome.name for outcome in outcomes))
    assert counted.keys() == {"update_item", "get_secret_value", "Aries", "put_secret_value"}
    numbers(f"{rotation}: {len(outcomes)} schedules of one fault, {sum(o.lost for o in outcomes)} lost in the window")


@pytest.mark.parametrize("rotation", ROTATIONS)
def test_a_pair_of_faults_loses_the_session_in_that_window_and_nowhere_else(
    numbers: Callable[[str], None], rotation: str
) -> None:
    schedules = lost = 0
    for first in range(1, 20):
        kinds = [Fault(first, kind, delay) for kind in Kind for delay in ((1, 5, 12) if kind is Kind.LATE else (0,))]
        reached = False
        for fault in kinds:
            for second in range(first + 1, 60):
                outcomes = [run(rotation, (fault, Fault(second, kind)), LEASE_SECONDS) for kind in Kind]
                outcomes = [outcome for outcome in outcomes if len(outcome.injected) == 2]
                if not outcomes:
                    break
                reached = True
                schedules += len(outcomes)
                for outcome in outcomes:
                    lost += outcome.lost
                    assert outcome.in_window or not outcome.lost, outcome.name
                    assert rotation != "grace" or not outcome.lost or "LATE" in str(outcome.injected), outcome.name
        if not reached:
            break
    assert schedules > 500
    numbers(f"{rotation}: {schedules} schedules of two faults, {lost} lost in the window")


def test_the_seam_sees_every_call_of_the_budget() -> None:
    broker = Broker()
    session = signed_in(broker)
    broker.seam.calls.clear()
    assert session.refresh().kind == "200"
    assert broker.seam.calls == ["update_item", "get_secret_value", "Aries", "put_secret_value", "update_item"]


def test_a_fault_is_really_injected() -> None:
    broker = Broker(seam=Seam())
    session = signed_in(broker)
    broker.seam.calls.clear()
    broker.seam.faults = in_turn([Fault(2, Kind.NOT_APPLIED)])
    assert session.refresh().kind == "busy"
    assert broker.seam.injected == [("get_secret_value", Kind.NOT_APPLIED)]
