"""Every fault at every call of a sign-in and a sign-out: a code is used once, every secret has a row, a retry works."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from oauth_broker.errors import PageError, RedirectError
from oauth_broker.web.http import HttpResponse
from tests.faults.broker import (
    STORES,
    Broker,
    Browser,
    Store,
    Violation,
    code_in,
    in_turn,
    location,
    settings_of,
    signed_in,
)
from tests.faults.seam import faults_at
from tests.support.deployment import GRACE
from tests.support.leases import LEASE_SECONDS

MAX_DELAY = 8


def sign_in_as_a_person_would(broker: Broker) -> int:
    """Sign in; reload, repeat and start again as a browser and an app do. Returns the number of starts.

    Raises Violation if this does not end in a session.
    """
    for start in range(1, 4):
        browser = Browser(broker)
        sent_to = browser.authorize()
        if not sent_to.startswith("https://app.aries.example/"):
            continue
        if broker.row(session_of(browser, sent_to)) is None:
            raise Violation("a person was sent to Aries with a sign-in that was not saved")
        code = come_back(browser, browser.approve(sent_to))
        if code and redeem(browser, code):
            return start
    raise Violation("three sign-ins in a row did not end in a session")


def session_of(browser: Browser, sent_to: str) -> str:
    browser.approve(sent_to)
    return browser.session_id


def come_back(browser: Browser, query: str) -> str:
    """Load the callback; reload after no answer or a page with "try again". Returns the code, or ''."""
    answer: HttpResponse | RedirectError | PageError | None = None
    for _ in range(3):
        answer = browser.callback(query)
        if isinstance(answer, RedirectError):
            return ""
        if code_in(answer):
            return code_in(answer)
        browser.broker.let_pass(LEASE_SECONDS / 2)
    return ""


def redeem(browser: Browser, code: str) -> bool:
    """Redeem; repeat after no answer or a temporary failure."""
    for _ in range(3):
        result = browser.redeem(code)
        if result.kind in ("200", "invalid_grant"):
            return result.kind == "200"
    return False


_EITHER = {"put_item", "update_item", "Aries", "get_item", "cut-offs get_item"}
SIGN_IN_CALLS: dict[Store, set[str]] = {
    "secrets": {*_EITHER, "create_secret", "get_secret_value"},
    "row": {*_EITHER, "encrypt", "decrypt"},
}


@pytest.mark.parametrize("store", STORES)
def test_a_sign_in_under_every_single_fault_ends_in_a_session_and_leaves_nothing_behind(
    numbers: Callable[[str], None], store: Store
) -> None:
    schedules, restarted, at = 0, 0, 1
    names: set[str] = set()
    while True:
        injected = 0
        for fault in faults_at(at, range(MAX_DELAY)):
            broker = Broker(settings=settings_of(store))
            broker.seam.faults = in_turn([fault])
            starts = sign_in_as_a_person_would(broker)
            if not broker.seam.injected:
                continue
            injected += 1
            restarted += starts > 1
            names |= {name for name, _ in broker.seam.injected}
            broker.seam.land_all()
            if len(broker.aries.codes) != len(set(broker.aries.codes)):
                raise Violation("an authorization code of Aries' was sent twice")
            broker.assert_stores_are_in_order()
        if not injected:
            break
        schedules += injected
        at += 1
    assert names == SIGN_IN_CALLS[store]
    numbers(f"sign-in, {store}: {schedules} schedules of one fault; in {restarted} the person started again")


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("older", [False, True], ids=["newest token", "older token"])
def test_a_sign_out_under_every_single_fault_is_never_confirmed_unless_it_happened(
    numbers: Callable[[str], None], older: bool, store: Store
) -> None:
    schedules, at = 0, 1
    while True:
        injected = 0
        for fault in faults_at(at, range(MAX_DELAY)):
            broker = Broker(settings=settings_of(store))
            session = signed_in(broker)
            token = session.token
            if older:
                for _ in range(2):
                    session.refresh()
                    broker.let_pass(GRACE + 1)
            broker.seam.calls.clear()
            broker.seam.faults = in_turn([fault])
            result = session.revoke(token)
            if not broker.seam.injected:
                continue
            injected += 1
            broker.seam.faults = {}
            row = broker.row(session.session_id)
            assert row is not None
            if result.kind == "200" and (row.status != "revoked" or broker.stored(session.session_id)):
                raise Violation(f"a sign-out was confirmed that did not happen: {broker.seam.injected}")
            broker.seam.land_all()
            assert session.revoke(token).kind == "200"
            assert session.refresh().kind == "invalid_grant"
            assert not broker.stored(session.session_id)
            broker.assert_stores_are_in_order()
        if not injected:
            break
        schedules += injected
        at += 1
    numbers(f"sign-out, {store}: {schedules} schedules of one fault")
    # The sign-out of a session in the row has one call less.
    assert schedules > (15 if store == "secrets" else 10)


def test_a_refused_sign_in_sends_the_browser_nowhere() -> None:
    browser = Browser(Broker())
    assert location(browser.visit(browser.broker.authorize, "/", "")) == ""
