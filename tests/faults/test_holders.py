"""G6 and G7: the broker never takes an honest app for a thief, and finds a thief at the third change of hands."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise, product

import pytest

from tests.faults.broker import STORES, Broker, Session, Store, Violation, settings_of, signed_in
from tests.faults.scheduler import Scheduler, every_schedule
from tests.support.deployment import GRACE

TURNS = 7


def changes_of_hands(turns: tuple[int, ...]) -> int:
    return sum(one != other for one, other in pairwise(turns))


def play(store: Store, turns: tuple[int, ...], lost: tuple[bool, ...]) -> None:
    """Let two holders of one token refresh in turn, each time past the other's grace; some answers are lost.

    Raises Violation if neither is refused after three changes of hands between answered refreshes.
    """
    broker = Broker(settings=settings_of(store))
    session = signed_in(broker)
    held = [session.token, session.token]
    answered: list[int] = []
    for holder, is_lost in zip(turns, lost, strict=True):
        result = session.refresh(held[holder], adopt=False)
        if result.kind == "invalid_grant":
            row = broker.row(session.session_id)
            if row is None or row.status != "dead" or not broker.telemetry.counted("ReuseDetected"):
                raise Violation("G7: a holder was refused and the session did not end with an alarm")
            return
        answered.append(holder)
        if changes_of_hands(tuple(answered)) >= 3:
            raise Violation(f"G7: two holders were both served: {turns}, answers lost {lost}")
        if result.answer and result.answer.refresh_token and not is_lost:
            held[holder] = result.answer.refresh_token.reveal()
        broker.let_pass(GRACE + 1)


@pytest.mark.long
@pytest.mark.parametrize("store", STORES)
def test_two_holders_outside_each_others_grace_are_found_at_the_third_change_of_hands_at_the_latest(
    numbers: Callable[[str], None], store: Store
) -> None:
    played = 0
    for turns in product((0, 1), repeat=TURNS):
        if changes_of_hands(turns) < 3:
            continue
        for lost in product((False, True), repeat=TURNS):
            # The serial app loses answers; the thief keeps every answer.
            if any(is_lost and holder == 1 for is_lost, holder in zip(lost, turns, strict=True)):
                continue
            play(store, turns, lost)
            played += 1
    numbers(f"two holders: {played} sequences of {TURNS} refreshes")


@pytest.mark.long
@pytest.mark.parametrize("store", STORES)
def test_one_serial_app_is_never_signed_out_by_lost_answers_however_late_it_retries(
    numbers: Callable[[str], None], store: Store
) -> None:
    played = 0
    for waits in product((1, GRACE - 1, GRACE + 1, 10 * GRACE), repeat=4):
        for lost in product((False, True), repeat=len(waits)):
            broker = Broker(settings=settings_of(store))
            session = signed_in(broker)
            for wait, is_lost in zip(waits, lost, strict=True):
                result = session.refresh(adopt=not is_lost)
                if result.kind != "200":
                    raise Violation(f"G6: {result.kind} after waits {waits}, lost {lost}")
                broker.let_pass(wait)
            played += 1
    numbers(f"{store}: one serial app: {played} sequences of 4 refreshes with lost answers")


def superseded(broker: Broker) -> tuple[Session, str]:
    """Return a session and its first token, superseded twice since."""
    session = signed_in(broker)
    first = session.token
    for _ in range(2):
        session.refresh()
        broker.let_pass(GRACE + 1)
    return session, first


def beside_a_refresh(store: Store, given: tuple[int, ...]) -> Scheduler:
    broker = Broker(settings=settings_of(store))
    session, first = superseded(broker)
    scheduler = Scheduler(broker, given)
    _, intruder = scheduler.run(session.refresh, lambda: session.refresh(first, adopt=False))
    if intruder.kind != "invalid_grant":
        raise Violation(f"a superseded token beside a refresh was answered with {intruder.kind}")
    return scheduler


@pytest.mark.long
@pytest.mark.parametrize("store", STORES)
def test_a_superseded_token_gets_nothing_whenever_it_comes_in_beside_a_refresh(
    numbers: Callable[[str], None], store: Store
) -> None:
    schedules = sum(1 for _ in every_schedule(partial(beside_a_refresh, store)))
    numbers(f"{store}: a superseded token beside a refresh: {schedules} schedules")
    assert schedules > 5
