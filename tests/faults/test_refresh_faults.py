"""Every fault, and every ordered pair of faults, at every call of a refresh loses a session only in one window.

The window is G4's: Aries has committed a new refresh token, and the process dies, or Aries' reply is lost, before this
token is durable with us. For a session in the row, it is durable with the one write that stores and commits it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

import pytest

from oauth_broker.operations.rate_limits import MINUTE, RateLimits
from oauth_broker.runtime.aws import AWS_CALL_SECONDS
from tests.faults.broker import STORES, Broker, Session, Store, Violation, idle_app, in_turn, settings_of, signed_in
from tests.faults.seam import Fault, Kind, Seam, faults_at, may_befall
from tests.support.client_error import client_error
from tests.support.deployment import GRACE
from tests.support.lambda_context import FUNCTION_SECONDS
from tests.support.leases import LEASE_SECONDS
from tests.support.long import long, long_but

ROTATIONS = ("strict", "grace", "family")
# The app comes back once a lease may have expired, within the grace, or well after the grace.
PATIENCE = (LEASE_SECONDS, GRACE + LEASE_SECONDS)
MAX_DELAY = 16
# For each fault of a pair: its effect lands within the refresh, within the next refresh, or after both.
DELAYS = (1, 5, 12)
# In the row, `make test-coverage` tries the first two for an Aries that rotates strictly. `make test-exhaustive` tries
# all for every Aries. The single faults have every delay.
ROW_DELAYS = (1, 5)


@dataclass(frozen=True)
class FaultRun:
    """The result of one schedule."""

    injected: tuple[tuple[str, Kind], ...]
    lost: bool
    # True if Aries' newest token was not durable with us after the fault.
    in_window: bool
    # True if Aries' newest token was not durable with us at the very call refused by Aries.
    excused: bool

    @property
    def name(self) -> str:
        return ", then ".join(f"{call}: {kind.value}" for call, kind in self.injected)


class Spent(RateLimits):
    """Somebody tries tokens from the app's address."""

    def is_exceeded(self, client_id: str, source: str) -> bool:
        return True


def run(rotation: str, faults: tuple[Fault, ...], time_left: float, variant: str = "") -> FaultRun:
    """Refresh under faults, let the faults stop and the lease expire, retry as an app does, and check the guarantees.

    In the variant ``revoke`` a late retry ends the session; in ``limited`` the app's address is beyond its limit; in
    ``paused`` Aries has refused five other sessions, and this one is the first to ask again; in ``row`` the session
    keeps its tokens in the row. ``row elsewhere`` and ``secrets elsewhere`` name the store of the session, and all its
    workers have the other TOKEN_STORE by now.
    """
    broker = Broker(
        rotation,
        settings=settings_of(
            "row" if variant.startswith("row") else "secrets", late_retry=not variant.endswith("revoke")
        ),
    )
    if variant.endswith("limited"):
        broker.refresh._limits = broker.revoke._limits = Spent(1, MINUTE, broker.clock)
    session = signed_in(broker)
    if variant.endswith("elsewhere"):
        session.broker = broker.beside("secrets" if variant.startswith("row") else "row")
    if variant.endswith("paused"):
        noted = {f"aries_refused_{place}": {"N": f"{broker.clock.time - GRACE:.0f}"} for place in range(5)}
        broker.control_table.items["cut-offs"] = {"session_id": {"S": "cut-offs"}, **noted}
    broker.seam.calls.clear()
    broker.seam.faults = in_turn(faults)
    in_window = False
    for _ in range(len(faults)):
        session.refresh()
        # The app first retries while the lease may be held, and again after the lease has expired.
        session.refresh()
        broker.let_pass(time_left)
        in_window = in_window or session.is_lost_at_aries
    injected = tuple(broker.seam.injected)
    lost = not recovers(broker, session)
    return FaultRun(injected, lost, in_window, broker.aries.refused_what_was_lost)


def recovers(broker: Broker, session: Session) -> bool:
    """G5: a single retry ends in 200 or ``invalid_grant``, and a living session can refresh at Aries again."""
    broker.seam.faults = {}
    token = session.token
    result = session.refresh()
    if result.answer and session.refresh(token).answer != result.answer:
        raise Violation("G6: an answer that was lost was not given again")
    if result.kind == "invalid_grant":
        # G6: Aries refused, not our own reuse detection.
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
            # If Aries kills families, it may have done so before a late write showed us its answer.
            return False
        if later != "200":
            raise Violation(f"G5: a refresh after all faults ended in {later}")
    broker.assert_stores_are_in_order()
    return True


Run = Callable[[tuple[Fault, ...]], FaultRun]


def single_faults(rotation: str, time_left: float, variant: str = "") -> list[FaultRun]:
    """Run a refresh with each kind of fault at each of its calls."""
    return every_single(range(MAX_DELAY), lambda faults: run(rotation, faults, time_left, variant))


def every_single(delays: Iterable[int], run: Run) -> list[FaultRun]:
    """Run each kind of fault at each call, until a run does not make the next call."""
    outcomes: list[FaultRun] = []
    at = 1
    while True:
        found = injected_at(at, delays, 1, lambda fault: run((fault,)))
        if not found:
            return outcomes
        outcomes += found
        at += 1


def injected_at(at: int, delays: Iterable[int], number: int, run: Callable[[Fault], FaultRun]) -> list[FaultRun]:
    """Run every fault that can happen to the call ``at``; returns [] if there is no such call.

    The fault is number ``number`` of its run. A process may die at any call, so the first run tells the call's name.
    """
    first, *others = faults_at(at, delays)
    assert first.kind is Kind.DIES_BEFORE
    outcome = run(first)
    if len(outcome.injected) < number:
        return []
    call, _ = outcome.injected[-1]
    outcomes = [outcome, *(run(other) for other in others if may_befall(other.kind, call))]
    assert all(len(outcome.injected) == number for outcome in outcomes)
    return outcomes


# The window, by name: these faults may lose a session if Aries rotates strictly. Aries processed the call, but its
# answer did not arrive, or the process died after the answer and before it was stored.
WINDOW = {
    "Aries: dies after",
    "Aries: error though applied",
    "Aries: error, applied late",
    "put_secret_value: dies before",
}


# The calls of a refresh, in order, in a process with empty caches.
REFRESH = (
    "cut-offs get_item",
    "update_item",
    "get_secret_value",
    "client secret get_secret_value",
    "Aries",
    "put_secret_value",
    "update_item",
)
CALLS = set(REFRESH)


@pytest.mark.parametrize("time_left", long_but([LEASE_SECONDS], PATIENCE))
@pytest.mark.parametrize(("rotation", "window"), [("strict", WINDOW), ("family", WINDOW), ("grace", set())])
def test_a_single_fault_loses_the_session_in_the_one_window_and_nowhere_else(
    numbers: Callable[[str], None], rotation: str, window: set[str], time_left: float
) -> None:
    outcomes = single_faults(rotation, time_left)
    assert {outcome.name for outcome in outcomes if outcome.lost} == window
    assert {outcome.name for outcome in outcomes if outcome.in_window} == WINDOW
    assert all(outcome.excused for outcome in outcomes if outcome.lost)
    counted = Counter(name.partition(":")[0] for name in (outcome.name for outcome in outcomes))
    assert counted.keys() == CALLS
    numbers(f"{rotation}: {len(outcomes)} schedules of one fault, {sum(o.lost for o in outcomes)} lost in the window")


@pytest.mark.parametrize(
    ("variant", "more"),
    [("paused", {"cut-offs update_item"}), *long(("revoke", set()), ("limited", {"get_item"}))],
)
def test_a_single_fault_loses_no_more_where_late_retries_or_addresses_are_limited_or_aries_has_refused_others(
    numbers: Callable[[str], None], variant: str, more: set[str]
) -> None:
    # The app retries after the broker's own Retry-After, within the grace.
    outcomes = single_faults("strict", LEASE_SECONDS, variant)
    assert {outcome.name for outcome in outcomes if outcome.lost} == WINDOW
    assert {name.partition(":")[0] for name in (outcome.name for outcome in outcomes)} == CALLS | more
    numbers(f"{variant}: {len(outcomes)} schedules of one fault, {sum(o.lost for o in outcomes)} lost in the window")


@pytest.mark.long
@pytest.mark.parametrize("store", STORES)
def test_a_single_fault_finds_the_same_calls_and_window_if_unused_sessions_of_the_app_end(
    numbers: Callable[[str], None], store: Store
) -> None:
    with idle_app():
        outcomes = single_faults("strict", LEASE_SECONDS, "row" if store == "row" else "")
    assert {outcome.name for outcome in outcomes if outcome.lost} == (ROW_WINDOW if store == "row" else WINDOW)
    calls = set(ROW_REFRESH) if store == "row" else CALLS
    assert {outcome.name.partition(":")[0] for outcome in outcomes} == calls
    numbers(f"idle sessions, {store}: {len(outcomes)} schedules of one fault")


# The window of a session in the row ends with the one write that stores and commits.
ROW_WINDOW = {
    "Aries: dies after",
    "Aries: error though applied",
    "Aries: error, applied late",
    "encrypt: dies before",
    "encrypt: dies after",
    "update_item: dies before",
}
ROW_REFRESH = (
    "cut-offs get_item",
    "update_item",
    "decrypt",
    "client secret get_secret_value",
    "Aries",
    "encrypt",
    "update_item",
)


@pytest.mark.parametrize("time_left", long_but([LEASE_SECONDS], PATIENCE))
@pytest.mark.parametrize("rotation", ROTATIONS)
def test_a_single_fault_loses_a_session_in_the_row_before_its_one_write_and_nowhere_else(
    numbers: Callable[[str], None], rotation: str, time_left: float
) -> None:
    outcomes = single_faults(rotation, time_left, "row")
    assert {outcome.name for outcome in outcomes if outcome.lost} == (set() if rotation == "grace" else ROW_WINDOW)
    assert {outcome.name for outcome in outcomes if outcome.in_window} == ROW_WINDOW
    assert all(outcome.excused for outcome in outcomes if outcome.lost)
    assert {name.partition(":")[0] for name in (outcome.name for outcome in outcomes)} == set(ROW_REFRESH)
    numbers(
        f"row, {rotation}: {len(outcomes)} schedules of one fault, {sum(o.lost for o in outcomes)} lost in the window"
    )


@pytest.mark.long
@pytest.mark.parametrize(
    ("variant", "more"), [("revoke", set()), ("limited", {"get_item"}), ("paused", {"cut-offs update_item"})]
)
def test_a_single_fault_loses_no_more_in_the_row_either_if_retries_or_addresses_are_limited_or_aries_refused_others(
    numbers: Callable[[str], None], variant: str, more: set[str]
) -> None:
    outcomes = single_faults("strict", LEASE_SECONDS, f"row {variant}")
    assert {outcome.name for outcome in outcomes if outcome.lost} == ROW_WINDOW
    assert {name.partition(":")[0] for name in (outcome.name for outcome in outcomes)} == set(ROW_REFRESH) | more
    numbers(
        f"row, {variant}: {len(outcomes)} schedules of one fault, {sum(o.lost for o in outcomes)} lost in the window"
    )


@pytest.mark.long
@pytest.mark.parametrize(
    ("variant", "window", "calls"),
    [("row elsewhere", ROW_WINDOW, ROW_REFRESH), ("secrets elsewhere", WINDOW, REFRESH)],
    ids=["row", "secrets"],
)
def test_a_single_fault_finds_the_same_calls_and_window_if_the_workers_begin_sessions_in_the_other_store(
    numbers: Callable[[str], None], variant: str, window: set[str], calls: tuple[str, ...]
) -> None:
    outcomes = single_faults("strict", LEASE_SECONDS, variant)
    assert {outcome.name for outcome in outcomes if outcome.lost} == window
    assert {name.partition(":")[0] for name in (outcome.name for outcome in outcomes)} == set(calls)
    numbers(f"{variant}: {len(outcomes)} schedules of one fault, {sum(o.lost for o in outcomes)} lost in the window")


def pairs_of_faults(rotation: str, variant: str = "", delays: tuple[int, ...] = DELAYS) -> Iterator[FaultRun]:
    """Run every ordered pair of faults of a refresh. No pair loses a session outside the window."""
    for outcome in every_pair(delays, lambda faults: run(rotation, faults, LEASE_SECONDS, variant)):
        assert outcome.excused or not outcome.lost, outcome.name
        assert rotation != "grace" or not outcome.lost or "LATE" in str(outcome.injected), outcome.name
        yield outcome


def every_pair(delays: tuple[int, ...], run: Run) -> Iterator[FaultRun]:
    """Run every ordered pair of faults."""
    for first in range(1, 20):
        reached = False
        for fault in faults_at(first, delays):
            for second in range(first + 1, 60):
                outcomes = injected_at(second, delays, 2, partial(_after, run, fault))
                if not outcomes:
                    break
                reached = True
                yield from outcomes
        if not reached:
            break


def _after(run: Run, first: Fault, second: Fault) -> FaultRun:
    return run((first, second))


@pytest.mark.parametrize("rotation", ROTATIONS)
@pytest.mark.long
def test_a_pair_of_faults_loses_the_session_in_that_window_and_nowhere_else(
    numbers: Callable[[str], None], rotation: str
) -> None:
    lost = Counter(outcome.lost for outcome in pairs_of_faults(rotation))
    assert lost.total() > 500
    numbers(f"{rotation}: {lost.total()} schedules of two faults, {lost[True]} lost in the window")


@pytest.mark.parametrize(
    ("rotation", "delays"),
    [
        pytest.param("strict", ROW_DELAYS, marks=pytest.mark.long),
        *(pytest.param(rotation, DELAYS, marks=pytest.mark.exhaustive) for rotation in ROTATIONS),
    ],
)
def test_a_pair_of_faults_loses_a_session_in_the_row_before_its_one_write_and_nowhere_else(
    numbers: Callable[[str], None], rotation: str, delays: tuple[int, ...]
) -> None:
    lost: Counter[bool] = Counter()
    for outcome in pairs_of_faults(rotation, "row", delays):
        lost[outcome.lost] += 1
        names = {f"{call}: {kind.value}" for call, kind in outcome.injected}
        assert not outcome.lost or names & ROW_WINDOW, outcome.name
    assert lost.total() > 500
    numbers(f"row, {rotation}: {lost.total()} schedules of two faults, {lost[True]} lost in the window")


AFTER_ARIES = ROW_REFRESH.index("Aries") + 2


@pytest.mark.parametrize(("what", "first"), [("KMS", AFTER_ARIES), ("the table", AFTER_ARIES + 1)])
def test_a_session_in_the_row_outlives_every_refusal_after_aries_answer_but_one_to_the_functions_end(
    numbers: Callable[[str], None], what: str, first: int
) -> None:
    def refresh_with(refused: int) -> tuple[Broker, Session, str, float]:
        """Refuse so many tries of the call ``first``; return also the answer and the seconds of the refresh."""
        broker = Broker(settings=settings_of("row"))
        session = signed_in(broker)
        broker.seam.calls.clear()
        broker.seam.faults = in_turn(Fault(first + try_, Kind.NOT_APPLIED) for try_ in range(refused))
        started = broker.clock.now()
        kind = session.refresh().kind
        return broker, session, kind, broker.clock.now() - started

    tries = 0
    while (refused := refresh_with(tries))[2] == "200":
        broker, session, _, _ = refused
        broker.let_pass(GRACE + 1)
        assert recovers(broker, session)
        tries += 1
        assert tries < 100
    broker, session, kind, seconds = refused
    assert kind == "503"
    assert session.is_lost_at_aries
    # The tries go on while there is time for one more.
    assert FUNCTION_SECONDS - AWS_CALL_SECONDS - 1 < seconds < FUNCTION_SECONDS
    broker.let_pass(LEASE_SECONDS)
    assert not recovers(broker, session)
    numbers(f"row: {tries} tries in {seconds:.1f} s, and the session is lost only if {what} refuses them all")


def test_a_process_that_may_open_and_not_seal_loses_one_session_and_asks_aries_for_no_other() -> None:
    broker = Broker(settings=settings_of("row"))
    first, *others = (signed_in(broker) for _ in range(3))
    may_seal = broker.kms.encrypt

    def may_not_seal(**_: object) -> None:
        raise client_error("AccessDeniedException")

    broker.kms.encrypt = may_not_seal  # type: ignore[method-assign]
    assert (first.refresh().kind, first.is_lost_at_aries) == ("503", True)
    for other in others:
        broker.seam.calls.clear()
        assert other.refresh().kind == "503"
        assert broker.seam.calls[-4:] == ["update_item", "decrypt", "encrypt", "update_item"]
        assert "Aries" not in broker.seam.calls
    broker.kms.encrypt = may_seal  # type: ignore[method-assign]
    # The others hold no lease: each goes on at once.
    for other, tries in zip(others, (2, 1), strict=True):
        broker.seam.calls.clear()
        assert other.refresh().kind == "200"
        assert broker.seam.calls.count("encrypt") == tries
        assert recovers(broker, other)
    broker.let_pass(LEASE_SECONDS)
    assert not recovers(broker, first)


def test_the_seam_sees_every_call_of_the_budget() -> None:
    broker = Broker()
    session = signed_in(broker)
    broker.warm_up()
    broker.seam.calls.clear()
    assert session.refresh().kind == "200"
    assert broker.seam.calls == ["update_item", "get_secret_value", "Aries", "put_secret_value", "update_item"]


def test_a_fault_is_really_injected() -> None:
    broker = Broker(seam=Seam())
    session = signed_in(broker)
    broker.warm_up()
    broker.seam.calls.clear()
    broker.seam.faults = in_turn([Fault(2, Kind.NOT_APPLIED)])
    assert session.refresh().kind == "503"
    assert broker.seam.injected == [("get_secret_value", Kind.NOT_APPLIED)]
