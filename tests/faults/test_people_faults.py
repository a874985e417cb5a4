"""Every fault of a sign-in of a known person, and of the later try to learn who it is.

Whatever fails, a session whose row names the person is in the person's item, and a session outside of the item is one
that nobody knows. A sign-out of the others reaches every session of the first kind. The redemption adds the session and
then activates it, so the order of its writes is what these tests find.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.faults.broker import (
    STORES,
    USER_SCOPE,
    Broker,
    Browser,
    Session,
    Store,
    Violation,
    code_in,
    in_turn,
    settings_of,
)
from tests.faults.seam import USER, Fault, Kind, faults_at
from tests.faults.test_sign_in_faults import redeem
from tests.support.deployment import CLIENT_ID, GRACE

MAX_DELAY = 8
DAY = 24 * 60 * 60
EITHER = {USER, "subject key get_secret_value", "person update_item", "get_item", "update_item"}
CALLS: dict[Store, set[str]] = {
    "secrets": {*EITHER, "get_secret_value"},
    "row": {*EITHER, "decrypt"},
}


def assert_item_is_complete(broker: Broker) -> None:
    """Check that the person's item has every session whose row names the person."""
    listed = broker.person().sessions_of(CLIENT_ID)
    for session_id in broker.dynamodb.items:
        row = broker.row(session_id)
        if row and row.subject and session_id not in listed:
            raise Violation("a row names its person, and the person's item does not list the session")


def redeemed_under(store: Store, fault: Fault) -> tuple[Broker, Browser, bool]:
    """Redeem a code under a fault, and repeat as an app does. Tell whether the app got its tokens."""
    broker = Broker(settings=settings_of(store))
    browser = Browser(broker, scope=USER_SCOPE)
    code = code_in(browser.callback(browser.approve(browser.authorize())))
    broker.warm_up()
    broker.seam.calls.clear()
    broker.seam.faults = in_turn([fault])
    return broker, browser, redeem(browser, code)


def every_redemption(store: Store) -> tuple[int, int, set[str]]:
    """Redeem a known person's code under every single fault.

    Return the number of schedules, the number of those whose row does not name the person, and the calls that failed.
    """
    schedules, unknown, at = 0, 0, 1
    names: set[str] = set()
    while True:
        injected = 0
        for fault in faults_at(at, range(MAX_DELAY)):
            broker, browser, has_tokens = redeemed_under(store, fault)
            if not broker.seam.injected:
                continue
            injected += 1
            names |= {name for name, _ in broker.seam.injected}
            assert_item_is_complete(broker)
            row = broker.row(browser.session_id)
            assert row is not None
            if has_tokens and not row.subject:
                unknown += 1
                # Aries said nothing. Nothing else may leave a session without its person.
                assert {name for name, _ in broker.seam.injected} == {USER}
            broker.seam.land_all()
            assert_item_is_complete(broker)
            broker.assert_stores_are_in_order()
        if not injected:
            return schedules, unknown, names
        schedules += injected
        at += 1


@pytest.mark.parametrize("store", STORES)
def test_a_redemption_under_every_single_fault_leaves_no_known_session_outside_of_the_item(
    numbers: Callable[[str], None], store: Store
) -> None:
    schedules, unknown, names = every_redemption(store)
    assert names == CALLS[store]
    assert unknown
    numbers(f"redemption of a known person, {store}: {schedules} schedules of one fault, {unknown} without the person")


@pytest.mark.parametrize("store", STORES)
def test_a_later_try_under_every_single_fault_loses_no_session_and_leaves_none_outside_of_the_item(
    numbers: Callable[[str], None], store: Store
) -> None:
    schedules, at = 0, 1
    names: set[str] = set()
    while True:
        injected = 0
        for fault in faults_at(at, range(MAX_DELAY)):
            broker, session = of_an_unknown_person(store)
            broker.seam.faults = in_turn([fault])
            session.refresh()
            if not broker.seam.injected:
                continue
            injected += 1
            names |= {name for name, _ in broker.seam.injected}
            broker.seam.faults = {}
            assert_item_is_complete(broker)
            broker.let_pass(DAY)
            broker.seam.land_all()
            lost = session.is_lost_at_aries
            if session.refresh().kind == "200":
                row = broker.row(session.session_id)
                assert row is not None
                assert row.subject
            elif not lost:
                raise Violation(f"a session was lost: {broker.seam.injected}")
            assert_item_is_complete(broker)
        if not injected:
            break
        schedules += injected
        at += 1
    assert {USER, "person update_item", "subject key get_secret_value", "update_item"} <= names
    numbers(f"later try, {store}: {schedules} schedules of one fault")


def of_an_unknown_person(store: Store) -> tuple[Broker, Session]:
    """Sign in while Aries does not say who it is, and wait until a refresh reaches Aries."""
    broker = Broker(settings=settings_of(store), access_token_seconds=GRACE)
    browser = Browser(broker, scope=USER_SCOPE)
    code = code_in(browser.callback(browser.approve(browser.authorize())))
    broker.seam.calls.clear()
    broker.warm_up()
    # The calls of a redemption: the row, the tokens, and then the question.
    asked_at = len(broker.seam.calls) + 3
    broker.seam.faults = in_turn([Fault(asked_at, Kind.DROPPED)])
    result = browser.redeem(code)
    assert broker.seam.injected == [(USER, Kind.DROPPED)]
    broker.seam.injected.clear()
    broker.seam.calls.clear()
    assert result.answer is not None
    assert result.answer.refresh_token is not None
    broker.clock.time += GRACE + 1
    return broker, Session(broker, browser.session_id, result.answer.refresh_token.reveal(), result.answer)
