"""The sign-out of a person's other sessions: in every order beside a sign-in under way, and under every single fault.

The person's item is in one table and the rows are in another, as far as these tests go: no write here spans both. The
redemption adds its session to the item and then activates its row. The sign-out sets the cut-off and reads the sessions
in one write, and then ends each. In every order, a sign-out that was confirmed leaves no session alive that the broker
knew to be the person's, and a later sign-in lives, whatever lands once more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from oauth_broker.errors import TooManyRequests
from oauth_broker.oauth.tokens import RefreshToken
from oauth_broker.people.session_request import EndRequest
from oauth_broker.secret import Secret
from tests.faults.broker import (
    CLIENT,
    STORES,
    USER_SCOPE,
    Broker,
    Browser,
    Result,
    Session,
    Store,
    Violation,
    code_in,
    in_turn,
    observe,
    settings_of,
    signed_in,
)
from tests.faults.seam import USER, Fault, Kind, faults_at
from tests.faults.test_interleavings import IN_ROW, IN_SECRETS, Pair, all_single_faults, by_name
from tests.support.deployment import CLIENT_ID, GRACE

MAX_DELAY = 10
# The last delay is that of a write that lands after all calls.
DELAYS = (*range(MAX_DELAY), 1_000)
DAY = 24 * 60 * 60


def end_others(broker: Broker, session: Session) -> Result:
    """End the other sessions, as an app asks. The result is 200 only if the answer says that none is left."""
    token = RefreshToken.parse(Secret(session.token))
    assert token is not None

    def ask() -> None:
        answer = broker.parts.other_sessions(EndRequest(CLIENT, token, None), broker.invocation())
        if not answer.is_complete:
            raise Violation("the sign-out says that a session may be left, and no row is malformed")

    return observe(ask)


def end_others_at_last(broker: Broker, session: Session) -> None:
    """Repeat the request until it is confirmed. A dead process, and its limit of a minute, are gone."""
    for _ in range(3):
        if end_others(broker.another_process(), session).kind == "200":
            return
    raise Violation("G5: the sign-out of the others was not confirmed after all faults")


def waiting_sign_in(broker: Broker) -> tuple[Browser, str]:
    """Return a person's sign-in whose app has its code and has not redeemed it yet."""
    browser = Browser(broker, scope=USER_SCOPE)
    return browser, code_in(browser.callback(browser.approve(browser.authorize())))


def status_of(broker: Broker, session_id: str) -> str:
    row = broker.row(session_id)
    assert row is not None
    return row.status


def assert_lives(broker: Broker, session: Session) -> None:
    """Check that a session is active, and in the person's item, so that a later sign-out finds it."""
    if status_of(broker, session.session_id) != "active":
        raise Violation("a session ended that was not meant")
    if session.session_id not in broker.person().sessions_of(CLIENT_ID):
        raise Violation("a live session left the person's item")


class RedemptionAndSignOutOfOthers(Pair):
    """A redemption is in the set of the sign-out, or it meets the cut-off."""

    def prepare(self, broker: Broker, other: Broker) -> tuple[Callable[[], Any], Callable[[], Any]]:
        self.mine = signed_in(broker, scope=USER_SCOPE)
        browser, code = waiting_sign_in(broker)
        self.browser, self.code = browser, code
        self.results: list[Result] = []
        return (lambda: browser.redeem(code)), (lambda: end_others(other, self.mine))

    def check(self, broker: Broker, redeemed: Result, ended: Result) -> None:
        if redeemed.kind not in ("200", "invalid_grant", "503", "died") or ended.kind not in ("200", "503", "died"):
            raise Violation(f"a redemption beside a sign-out of the others: {redeemed.kind}, {ended.kind}")
        undisturbed = not broker.seam.injected
        if undisturbed and ended.kind != "200":
            raise Violation("a sign-out of the others was not confirmed without a fault")
        if ended.kind != "200":
            end_others_at_last(broker, self.mine)
        self.check_over(broker)
        if redeemed.kind in ("503", "died") and not self.is_unknown(broker):
            # The app repeats its request.
            if self.browser.redeem(self.code).kind == "200":
                raise Violation("a sign-in that was signed out was redeemed later")
            self.check_over(broker)
        broker.seam.land_all()
        self.check_over(broker)
        assert_lives(broker, self.mine)
        broker.clock.time += 1
        later = signed_in(broker, scope=USER_SCOPE)
        assert_lives(broker, later)

    def is_unknown(self, broker: Broker) -> bool:
        """Tell whether Aries did not say whose session the redeemed one is."""
        row = broker.row(self.browser.session_id)
        return bool(row and row.status == "active" and not row.subject)

    def check_over(self, broker: Broker) -> None:
        if status_of(broker, self.browser.session_id) != "active":
            return
        if not self.is_unknown(broker) or {name for name, _ in broker.seam.injected} != {USER}:
            raise Violation("a confirmed sign-out of the others left a session alive")
        # Nobody knew whose session it is. It ends as soon as that is known.


ORDERS = [RedemptionAndSignOutOfOthers("strict", *stores) for stores in (IN_SECRETS, IN_ROW)]


@pytest.mark.parametrize("pair", ORDERS, ids=by_name)
def test_a_redemption_and_a_sign_out_of_the_others_in_every_order(numbers: Callable[[str], None], pair: Pair) -> None:
    assert sum(1 for _ in pair.every_schedule({})) == pair.schedules > 100
    numbers(f"{by_name(pair)}: {pair.schedules} orders")


@pytest.mark.long
@pytest.mark.parametrize("stores", [IN_SECRETS, pytest.param(IN_ROW, marks=pytest.mark.exhaustive)], ids=str)
def test_the_same_in_every_order_and_with_every_fault(
    numbers: Callable[[str], None], stores: tuple[Store, Store]
) -> None:
    pair = RedemptionAndSignOutOfOthers("strict", *stores)
    undisturbed = sum(not scheduler.broker.seam.injected for scheduler in all_single_faults(pair))
    numbers(f"{by_name(pair)}: {pair.schedules} schedules ({undisturbed} without a fault)")
    assert undisturbed > 100
    assert pair.schedules > 20 * undisturbed


def test_a_session_that_was_unknown_at_the_sign_out_ends_as_soon_as_its_person_is_known() -> None:
    broker = Broker()
    mine = signed_in(broker, scope=USER_SCOPE)
    browser, code = waiting_sign_in(broker)
    broker.warm_up()
    broker.seam.calls.clear()
    # The row, the tokens, and then the question.
    broker.seam.faults = in_turn([Fault(3, Kind.DROPPED)])
    redeemed = browser.redeem(code)
    broker.seam.faults = {}
    assert broker.seam.injected[0][0] == USER
    assert redeemed.answer is not None
    assert redeemed.answer.refresh_token is not None
    session = Session(broker, browser.session_id, redeemed.answer.refresh_token.reveal())
    assert end_others(broker, mine).kind == "200"
    assert status_of(broker, session.session_id) == "active"
    broker.let_pass(DAY)
    assert session.refresh().kind == "invalid_grant"
    assert status_of(broker, session.session_id) == "revoked"


def every_sign_out_of_the_others(store: Store) -> tuple[int, set[str]]:
    """Sign the others out under every single fault. Return the number of schedules and the calls that failed."""
    schedules, at = 0, 1
    names: set[str] = set()
    while True:
        injected = 0
        for fault in faults_at(at, DELAYS):
            broker = Broker(settings=settings_of(store))
            others = [signed_in(broker, scope=USER_SCOPE) for _ in range(2)]
            mine = signed_in(broker, scope=USER_SCOPE)
            broker.warm_up()
            broker.seam.calls.clear()
            broker.seam.faults = in_turn([fault])
            result = end_others(broker, mine)
            if not broker.seam.injected:
                continue
            injected += 1
            names |= {name for name, _ in broker.seam.injected}
            broker.seam.faults = {}
            if result.kind != "200":
                end_others_at_last(broker, mine)
            assert_over(broker, others)
            later = sign_out_once_more(broker, mine)
            assert_over(broker, others)
            broker.clock.time += GRACE + 1
            for session in (mine, later):
                assert_lives(broker, session)
                assert session.refresh().kind == "200"
            broker.assert_stores_are_in_order()
        if not injected:
            return schedules, names
        schedules += injected
        at += 1


def sign_out_once_more(broker: Broker, mine: Session) -> Session:
    """Sign the others out again, seconds later, and let the first sign-out's writes land that have not landed yet.

    A sign-in that began between the two is refused, and one that began later is not. Return the session of the later
    one.
    """
    broker.clock.time += 1
    between, its_code = waiting_sign_in(broker)
    broker.clock.time += 1
    end_others_at_last(broker, mine)
    broker.clock.time += 1
    later, code = waiting_sign_in(broker)
    broker.seam.land_all()
    if between.redeem(its_code).kind != "invalid_grant":
        raise Violation("G12: a sign-out that landed once more has moved the cut-off of a later one back")
    answer = later.redeem(code).answer
    assert answer is not None
    assert answer.refresh_token is not None
    return Session(broker, later.session_id, answer.refresh_token.reveal(), answer)


@pytest.mark.parametrize("store", STORES)
def test_a_sign_out_of_the_others_under_every_single_fault(numbers: Callable[[str], None], store: Store) -> None:
    schedules, names = every_sign_out_of_the_others(store)
    either = {"get_item", "batch_get_item", "update_item", "person update_item"}
    assert names == either | ({"get_secret_value", "delete_secret"} if store == "secrets" else {"decrypt"})
    numbers(f"sign-out of the others, {store}: {schedules} schedules of one fault")


def assert_over(broker: Broker, sessions: list[Session]) -> None:
    """Check that the sessions have ended, and that nothing of Aries' is left of them."""
    for session in sessions:
        if status_of(broker, session.session_id) != "revoked" or broker.stored(session.session_id):
            raise Violation(f"a sign-out of the others was confirmed that did not happen: {broker.seam.injected}")


def every_sign_in_beyond_the_limit(store: Store) -> tuple[int, set[str]]:
    """Sign in beyond the limit of two under every single fault.

    Return the number of schedules, and the calls that failed after the activation of the row.
    """
    schedules, at = 0, 1
    names: set[str] = set()
    while True:
        injected = 0
        for fault in faults_at(at, range(MAX_DELAY)):
            broker = Broker(settings=settings_of(store, session_limit=2))
            oldest, other = signed_in(broker, scope=USER_SCOPE), signed_in(broker, scope=USER_SCOPE)
            browser, code = waiting_sign_in(broker)
            broker.seam.calls.clear()
            broker.seam.faults = in_turn([fault])
            result = browser.redeem(code)
            if not broker.seam.injected:
                continue
            injected += 1
            (name, _), *_ = broker.seam.injected
            calls = broker.seam.calls
            if "update_item" in calls and at > calls.index("update_item") + 1:
                names.add(name)
                if result.kind not in ("200", "died"):
                    raise Violation(f"the limit failed a sign-in: {result.kind}")
            broker.seam.faults = {}
            broker.seam.land_all()
            # If the row does not name the person, then the limit does not count the session.
            assert_limit_is_kept(broker, [oldest.session_id, other.session_id], browser, result, is_known=name != USER)
        if not injected:
            return schedules, names
        schedules += injected
        at += 1


def assert_limit_is_kept(broker: Broker, old: list[str], browser: Browser, result: Result, *, is_known: bool) -> None:
    """Check that the sign-in ended no session but the one longest unused, and that the next one leaves two."""
    is_active = status_of(broker, browser.session_id) == "active"
    if result.kind == "200" and not is_active:
        raise Violation("the limit ended the new session")
    if status_of(broker, old[-1]) != "active":
        raise Violation("the limit ended another session than the one longest unused")
    if not is_known:
        return
    broker.clock.time += 1
    newest = signed_in(broker, scope=USER_SCOPE)
    assert_lives(broker, newest)
    used = [*old, *([browser.session_id] if is_active else []), newest.session_id]
    if [session_id for session_id in used if status_of(broker, session_id) == "active"] != used[-2:]:
        raise Violation("the next sign-in did not keep the limit")


@pytest.mark.parametrize("store", STORES)
def test_a_sign_in_beyond_the_limit_under_every_single_fault_gets_its_tokens_and_keeps_them(
    numbers: Callable[[str], None], store: Store
) -> None:
    schedules, names = every_sign_in_beyond_the_limit(store)
    either = {"batch_get_item", "update_item"}
    assert names == either | ({"delete_secret"} if store == "secrets" else set())
    numbers(f"sign-in beyond the limit, {store}: {schedules} schedules of one fault")


class TwoSignInsBeyondTheLimit(Pair):
    """Two sign-ins at once with room for one session: neither is refused, and at least one of them lives."""

    are_alike = True

    def run(self, faults: dict[int, Fault], given: tuple[int, ...]) -> Any:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                "tests.faults.test_interleavings.settings_of", lambda store: settings_of(store, session_limit=1)
            )
            return super().run(faults, given)

    def prepare(self, broker: Broker, other: Broker) -> tuple[Callable[[], Any], Callable[[], Any]]:
        self.old = signed_in(broker, scope=USER_SCOPE)
        self.waiting = [waiting_sign_in(broker) for _ in range(2)]
        (one, code), (two, another) = self.waiting
        return (lambda: one.redeem(code)), (lambda: two.redeem(another))

    def check(self, broker: Broker, *redeemed: Result) -> None:
        if {result.kind for result in redeemed} != {"200"}:
            raise Violation("the limit refused a sign-in")
        if "active" not in [status_of(broker, browser.session_id) for browser, _ in self.waiting]:
            raise Violation("two sign-ins at once ended each other")
        if status_of(broker, self.old.session_id) == "active":
            raise Violation("the session longest unused lives on beyond the limit")
        broker.clock.time += 1
        newest = signed_in(broker, scope=USER_SCOPE)
        assert_lives(broker, newest)
        if "active" in [status_of(broker, browser.session_id) for browser, _ in self.waiting]:
            raise Violation("the next sign-in did not keep the limit")


@pytest.mark.parametrize(
    "stores",
    [pytest.param(IN_SECRETS, marks=pytest.mark.exhaustive), pytest.param(IN_ROW, marks=pytest.mark.long)],
    ids=str,
)
def test_two_sign_ins_beyond_the_limit_in_every_order(
    numbers: Callable[[str], None], stores: tuple[Store, Store]
) -> None:
    pair = TwoSignInsBeyondTheLimit("strict", *stores)
    assert sum(1 for _ in pair.every_schedule({})) == pair.schedules > 100
    numbers(f"{by_name(pair)}: {pair.schedules} orders")


@pytest.mark.parametrize("stores", [IN_SECRETS, IN_ROW], ids=str)
def test_two_sign_ins_beyond_the_limit_that_take_turns_do_not_end_each_other(stores: tuple[Store, Store]) -> None:
    for ahead in range(4):
        TwoSignInsBeyondTheLimit("strict", *stores).run({}, (*(ahead * (0,)), *(4 * (1, 0))))


def test_a_confirmed_sign_out_counts_for_the_minute_and_a_failed_one_does_not() -> None:
    broker = Broker()
    mine = signed_in(broker, scope=USER_SCOPE)
    other = signed_in(broker, scope=USER_SCOPE)
    broker.warm_up()
    broker.seam.calls.clear()
    broker.seam.faults = in_turn([Fault(4, Kind.NOT_APPLIED)])
    assert end_others(broker, mine).kind == "503"
    assert end_others(broker, mine).kind == "200"
    assert status_of(broker, other.session_id) == "revoked"
    with pytest.raises(TooManyRequests):
        end_others(broker, mine)
