"""Every write of a whole life lands once more, at any later time, and undoes no decision.

The SDK gives up an attempt after its timeout and makes another one. The first attempt may stay in a network for
seconds. Meanwhile the app may redeem the code, refresh the session and sign out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

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
    near_its_end,
    settings_of,
)
from tests.faults.seam import Fault, Kind, may_befall
from tests.support.deployment import CLIENT_ID, GRACE, SCOPE
from tests.support.long import long_but


def steps(broker: Broker, scope: str) -> Iterator[tuple[str, str]]:
    """Live a life as an app sees it; yields each action and its result."""
    browser = Browser(broker, scope=scope)
    sent_to = browser.authorize()
    yield "authorize", "sent to Aries" if sent_to else "failed"
    code = code_in(browser.callback(browser.approve(sent_to)))
    yield "callback", "code" if code else "failed"
    result = browser.redeem(code)
    yield "redeem", result.kind
    if result.answer is None or result.answer.refresh_token is None:
        raise Violation("a code was not redeemed")
    session = Session(broker, browser.session_id, result.answer.refresh_token.reveal(), result.answer)
    for _ in range(2):
        near_its_end(broker)
        yield "renew", session.renew().kind
        broker.clock.time += GRACE + 1
        before = session.token
        yield "refresh", session.refresh().kind
        yield "refresh repeated", session.refresh(before, adopt=False).kind
    yield "revoke", session.revoke().kind
    broker.seam.land_all()
    yield "refresh after it", session.refresh().kind
    yield "revoke repeated", session.revoke().kind
    row = broker.row(session.session_id)
    yield "row", row.status if row else "none"


UNDISTURBED = [
    ("authorize", "sent to Aries"),
    ("callback", "code"),
    ("redeem", "200"),
    *[("renew", "200"), ("refresh", "200"), ("refresh repeated", "200")] * 2,
    ("revoke", "200"),
    ("refresh after it", "invalid_grant"),
    ("revoke repeated", "200"),
    ("row", "revoked"),
]


def live(store: Store, fault: Fault | None = None, scope: str = SCOPE) -> Broker:
    """Live this life under a fault; raises Violation if any result differs from the undisturbed life."""
    broker = Broker(settings=settings_of(store))
    broker.seam.faults = in_turn([fault] if fault else [])
    lived = list(steps(broker, scope))
    if lived != UNDISTURBED:
        raise Violation(f"{broker.seam.injected} landed once more, {fault and fault.delay} calls later: {lived}")
    broker.assert_stores_are_in_order()
    (session_id,) = broker.dynamodb.items
    if broker.stored(session_id):
        raise Violation("the tokens outlived the sign-out")
    if scope == USER_SCOPE and broker.person().sessions_of(CLIENT_ID) != {session_id}:
        raise Violation("the person's item does not list the session")
    return broker


def every_landing(store: Store = "secrets", scope: str = SCOPE) -> Counter[str]:
    """Let every call land once more after every possible number of later calls; return the counts by call."""
    landed: Counter[str] = Counter()
    calls = live(store, scope=scope).seam.calls
    for at, call in enumerate(calls, 1):
        if not may_befall(Kind.AGAIN, call):
            continue
        for delay in range(len(calls) - at + 1):
            landed.update(name for name, _ in live(store, Fault(at, Kind.AGAIN, delay), scope).seam.injected)
    return landed


WRITES: dict[Store, set[str]] = {
    "secrets": {"put_item", "update_item", "create_secret", "put_secret_value", "delete_secret"},
    "row": {"put_item", "update_item"},
}


@pytest.mark.long
@pytest.mark.parametrize("store", STORES)
def test_the_same_holds_for_the_life_of_a_session_whose_person_is_known(
    numbers: Callable[[str], None], store: Store
) -> None:
    landed = every_landing(store, USER_SCOPE)
    assert landed.keys() == {*WRITES[store], "person update_item"}
    numbers(f"one life of a known person, {store}: {sum(landed.values())} schedules of a write that lands once more")


@pytest.mark.parametrize("store", long_but(["secrets"], STORES))
def test_a_write_that_lands_once_more_later_undoes_nothing_of_a_whole_life(
    numbers: Callable[[str], None], store: Store
) -> None:
    landed = every_landing(store)
    assert landed.keys() == WRITES[store]
    numbers(f"one life, {store}: {sum(landed.values())} schedules of a write that lands once more ({dict(landed)})")
