"""Every interleaving of two workers, at every call, and each of these again with every single fault.

The pairs are two refreshes, a refresh and a sign-out, a refresh and a refresh without the scope, two callbacks of one
browser, two redemptions of one code, and a renewal by a caller without a token beside another, a refresh, a repeated
refresh and a sign-out. Each pair runs in every possible order of its calls to DynamoDB, Secrets
Manager and Aries. The last count was 43,571 schedules: 8,136 of two refreshes for each of three kinds of Aries, 4,198
of a refresh and a sign-out, 10,359 of a refresh and a removed scope, 1,816 of two callbacks, 2,790 of two redemptions.
Every run prints its own numbers. If a fault does not fit its call, the schedule is the same as one without a fault; it
is neither run nor counted a second time.

The same pairs run for sessions in the row, and while TOKEN_STORE differs between the two workers. With every single
fault, the last count in the row was 8,553 schedules: 5,123 of two refreshes, 1,208 of a refresh and a sign-out, 872 of
two callbacks, 1,350 of two redemptions. There, if two workers are alike, the first one begins.

The quick run takes most interleavings without a fault. `make test-exhaustive` takes what is left with every single
fault: each other kind of Aries in the row, a removed scope there, workers of which one begins sessions in the row, and
the renewals. A renewal beside a refresh, in the row, has 37,180 of these schedules.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import count, pairwise
from typing import Any

import pytest

from oauth_broker.errors import PageError, RedirectError
from oauth_broker.sessions.row import from_item
from oauth_broker.web.http import HttpResponse
from tests.faults.broker import (
    DISALLOWED,
    Broker,
    Browser,
    Result,
    Session,
    Store,
    Violation,
    code_in,
    in_turn,
    near_its_end,
    settings_of,
    signed_in,
)
from tests.faults.scheduler import Scheduler, every_schedule
from tests.faults.seam import Fault, Kind, faults_at
from tests.faults.test_refresh_faults import ROTATIONS, recovers
from tests.support.leases import LEASE_SECONDS
from tests.support.long import long_but

DELAYS = (0, 4)
# Stands for the call that began the sign-in, long before the two workers. Its write of the row lands again beside them.
BEGINNING = 0
IN_ROW: tuple[Store, Store] = ("row", "row")
IN_SECRETS: tuple[Store, Store] = ("secrets", "secrets")


def all_single_faults(pair: Pair) -> Iterator[Scheduler]:
    """Yield every schedule without a fault, and then every schedule with each fault at each call."""
    yield from pair.every_schedule({})
    for delay in count():
        landing = list(pair.every_schedule(in_turn([Fault(BEGINNING, Kind.AGAIN, delay)])))
        yield from landing
        if all(delay > len(scheduler.calls) for scheduler in landing):
            break
    reached = True
    for at in count(1):
        if not reached:
            return
        reached = False
        for fault in faults_at(at, DELAYS):
            for scheduler in pair.every_schedule(in_turn([fault])):
                if not scheduler.broker.seam.injected:
                    # The fault does not fit the call, or both workers ended before it.
                    reached = reached or len(scheduler.calls) >= at
                    continue
                reached = True
                yield scheduler


class Pair(ABC):
    """Two operations side by side. Every run has a new ``broker``.

    The process of the first one begins sessions in the store ``first``, and so does the sign-in before them. The
    process of the second one begins sessions in ``second``: if this differs, a deployment is under way.
    """

    # True if both operations are the same.
    are_alike = False
    access_token_seconds = 3600

    def __init__(self, rotation: str = "strict", first: Store = "secrets", second: Store = "secrets") -> None:
        self.rotation, self.stores = rotation, (first, second)
        self.schedules = self.lost = 0

    @property
    def is_mirrored(self) -> bool:
        """Whether the workers are alike, so that it is enough that the first one begins: the others mirror these.

        The sessions with a secret run in full all the same.
        """
        return self.are_alike and self.stores == IN_ROW

    def every_schedule(self, faults: dict[int, Fault]) -> Iterator[Scheduler]:
        """Yield every schedule with these faults."""
        return every_schedule(partial(self.run, faults), first_begins=self.is_mirrored)

    def run(self, faults: dict[int, Fault], given: tuple[int, ...]) -> Scheduler:
        first, second = self.stores
        broker = Broker(self.rotation, settings=settings_of(first), access_token_seconds=self.access_token_seconds)
        other = broker.beside(second)
        operations = self.prepare(broker, other)
        broker.warm_up()
        if other is not broker:
            other.warm_up()
        broker.seam.calls.clear()
        broker.dynamodb.log.clear()
        broker.seam.faults = faults
        if BEGINNING in faults:
            broker.seam.land_later(faults[BEGINNING].delay, "put_item")
        scheduler = Scheduler(broker, given, any_of_equals=self.is_mirrored)
        results = scheduler.run(*operations)
        broker.seam.faults = {}
        if scheduler.misfit_after is not None or (faults and not broker.seam.injected):
            # This run had no fault, and runs without a fault are checked by themselves.
            return scheduler
        self.schedules += 1
        self.check(broker, *results)
        broker.assert_stores_are_in_order()
        return scheduler

    @staticmethod
    def check_end(broker: Broker, refreshed: Result, status: str) -> bool:
        """Return whether the row became ``status``. A refresh must not answer from its work after this change (G3)."""
        log = broker.dynamodb.log
        ended = [n for n, access in enumerate(log) if access.applied and (access.item or {})["status"]["S"] == status]
        deciding = [n for n, access in enumerate(log) if access.worker == 0]
        if refreshed.kind == "200" and ended and deciding[-1] > ended[0]:
            raise Violation(f"G3: a refresh answered from what it did after the session was {status}")
        return bool(ended)

    @abstractmethod
    def prepare(self, broker: Broker, other: Broker) -> tuple[Callable[[], Any], Callable[[], Any]]: ...

    @abstractmethod
    def check(self, broker: Broker, first: Any, second: Any, /) -> None: ...


class TwoRefreshes(Pair):
    """Two refreshes with one token get the same answer. A session is lost only in the window."""

    are_alike = True

    def prepare(self, broker: Broker, other: Broker) -> tuple[Callable[[], Any], Callable[[], Any]]:
        self.session = signed_in(broker)
        token = self.session.token
        return (lambda: self.session.refresh(token)), (lambda: self.session.refresh(token, via=other))

    def check(self, broker: Broker, first: Result, second: Result) -> None:
        if first.answer and second.answer and first.answer != second.answer:
            raise Violation("two refreshes with one token were answered differently")
        broker.let_pass(LEASE_SECONDS)
        if not recovers(broker, self.session):
            self.lost += 1
            if not broker.aries.refused_what_was_lost or self.rotation == "grace":
                raise Violation(f"G4: lost outside the window: {broker.seam.injected}")


class RefreshAndRevoke(Pair):
    """If a refresh commits, or reads the row for a replay, after the sign-out's update, it must not answer 200 (G3)."""

    def prepare(self, broker: Broker, other: Broker) -> tuple[Callable[[], Any], Callable[[], Any]]:
        self.session = signed_in(broker)
        token = self.session.token
        return (lambda: self.session.refresh(token)), (lambda: self.session.revoke(token, via=other))

    def check(self, broker: Broker, refreshed: Result, revoked: Result) -> None:
        if not self.check_end(broker, refreshed, "revoked") and revoked.kind == "200":
            raise Violation("a sign-out was confirmed that did not happen")
        broker.let_pass(LEASE_SECONDS)
        again = self.session.revoke()
        if again.kind != "200" or self.session.refresh().kind != "invalid_grant":
            raise Violation("a sign-out after all faults did not end the session")
        broker.seam.land_all()
        if broker.stored(self.session.session_id):
            raise Violation("the tokens outlived the sign-out")


class RefreshAndRemovedScope(Pair):
    """The second worker already knows that the app may not have the scope: the session ends in every order."""

    def prepare(self, broker: Broker, other: Broker) -> tuple[Callable[[], Any], Callable[[], Any]]:
        self.session = signed_in(broker)
        token = self.session.token
        return (lambda: self.session.refresh(token)), (
            lambda: self.session.refresh(token, client=DISALLOWED, via=other)
        )

    def check(self, broker: Broker, refreshed: Result, disallowed: Result) -> None:
        if disallowed.kind == "200":
            raise Violation("a session was refreshed whose scope its app may not have")
        self.check_end(broker, refreshed, "dead")
        broker.let_pass(LEASE_SECONDS)
        if self.session.refresh(client=DISALLOWED).kind != "invalid_grant":
            raise Violation("after all faults the session did not end")
        if self.session.refresh().kind != "invalid_grant":
            raise Violation("a session that had ended was refreshed")
        broker.seam.land_all()
        row = broker.row(self.session.session_id)
        if row is None or row.status != "dead":
            raise Violation("a write that landed late brought the session back")


class TwoCallbacks(Pair):
    """Two callbacks of one browser make at most one code exchange and get one redirect. A new sign-in always works."""

    are_alike = True

    def prepare(self, broker: Broker, other: Broker) -> tuple[Callable[[], Any], Callable[[], Any]]:
        browser = self.browser = Browser(broker)
        query = self.query = browser.approve(browser.authorize())
        at_other = replace(browser, broker=other)
        return (lambda: browser.callback(query)), (lambda: at_other.callback(query))

    def check(self, broker: Broker, *answers: HttpResponse | RedirectError | PageError | None) -> None:
        if broker.seam.calls.count("Aries") > 1:
            raise Violation("an authorization code of Aries' was sent twice")
        codes = {code_in(answer) for answer in answers} - {""}
        if len(codes) > 1:
            raise Violation("one sign-in was given two codes")
        assert_sign_in_ends_well(broker, self.browser, self.query, codes)


def assert_sign_in_ends_well(broker: Broker, browser: Browser, query: str, codes: set[str]) -> None:
    """Act as an app and a browser do after all faults: redeem, reload, or start again. This must end in a session."""
    for code in codes:
        if browser.redeem(code).kind == "200":
            return
    broker.let_pass(LEASE_SECONDS)
    code = code_in(browser.callback(query))
    if code and browser.redeem(code).kind == "200":
        return
    broker.seam.land_all()
    if signed_in(broker).refresh().kind != "200":
        raise Violation("after all faults a new sign-in did not work")


class TwoRedemptions(Pair):
    """Two redemptions of one code: at most one succeeds. If the code is not redeemed, it stays good."""

    are_alike = True

    def prepare(self, broker: Broker, other: Broker) -> tuple[Callable[[], Any], Callable[[], Any]]:
        browser = self.browser = Browser(broker)
        code = self.code = code_in(browser.callback(browser.approve(browser.authorize())))
        at_other = replace(browser, broker=other)
        return (lambda: browser.redeem(code)), (lambda: at_other.redeem(code))

    def check(self, broker: Broker, first: Result, second: Result) -> None:
        kinds = [first.kind, second.kind]
        if kinds.count("200") > 1:
            raise Violation("one code was redeemed twice")
        broker.let_pass(1)
        row = broker.row(self.browser.session_id)
        assert row is not None
        if row.status == "issued" and self.browser.redeem(self.code).kind != "200":
            raise Violation("a code that was not redeemed is no good any more")
        read = [(access.item or {})["status"]["S"] for access in broker.dynamodb.log if not access.applied]
        if row.status == "dead" and "active" not in read:
            raise Violation("a session ended though nobody presented its code after it was redeemed")
        broker.seam.land_all()
        if signed_in(broker).refresh().kind != "200":
            raise Violation("after all faults a new sign-in did not work")


class TwoRenewals(Pair):
    """Two renewals by callers without a token get the same tokens, by one call to Aries."""

    are_alike = True

    def prepare(self, broker: Broker, other: Broker) -> tuple[Callable[[], Any], Callable[[], Any]]:
        self.session = signed_in(broker)
        near_its_end(broker)
        return self.session.renew, (lambda: self.session.renew(via=other))

    def check(self, broker: Broker, first: Result, second: Result) -> None:
        check_rotations(broker, self.session)
        undisturbed = not broker.seam.injected
        kinds = (first.kind, second.kind)
        if undisturbed and (kinds != ("200", "200") or first.tokens != second.tokens):
            raise Violation(f"two renewals at once were answered {kinds}")
        if undisturbed and broker.seam.calls.count("Aries") != 1:
            raise Violation("two renewals at once were not one")
        broker.let_pass(LEASE_SECONDS)
        self.check_life(broker)

    def check_life(self, broker: Broker) -> None:
        """Renew and refresh after all faults. A session is lost only in the window."""
        renewed = self.session.renew().kind
        if renewed not in ("200", "invalid_grant"):
            raise Violation(f"G5: a renewal after all faults ended in {renewed}")
        if not recovers(broker, self.session):
            self.lost += 1
            if not broker.aries.refused_what_was_lost or self.rotation == "grace":
                raise Violation(f"G4: lost outside the window: {broker.seam.injected}")


class RenewalAndRefresh(TwoRenewals):
    """A renewal and the app's refresh: at most two calls to Aries, and the app's tokens are as without the renewal."""

    are_alike = False

    def prepare(self, broker: Broker, other: Broker) -> tuple[Callable[[], Any], Callable[[], Any]]:
        self.session = signed_in(broker)
        near_its_end(broker)
        token = self.session.token
        return self.session.renew, (lambda: self.session.refresh(token, via=other))

    def check(self, broker: Broker, renewed: Result, refreshed: Result) -> None:
        check_rotations(broker, self.session)
        if not broker.seam.injected and (renewed.kind, refreshed.kind) != ("200", "200"):
            raise Violation(f"a renewal beside a refresh: {renewed.kind}, {refreshed.kind}")
        if not broker.seam.injected and broker.seam.calls.count("Aries") > 2:
            raise Violation("a renewal beside a refresh asked Aries more than twice")
        broker.let_pass(LEASE_SECONDS)
        self.check_life(broker)


class RenewalAndReplay(RenewalAndRefresh):
    """A renewal and a repeated refresh, within the grace of a rotation, of tokens that live for seconds."""

    access_token_seconds = 3

    def prepare(self, broker: Broker, other: Broker) -> tuple[Callable[[], Any], Callable[[], Any]]:
        self.session = signed_in(broker)
        token = self.session.token
        rotated = self.session.refresh()
        assert rotated.answer is not None
        self.rotated = rotated.answer
        broker.let_pass(2)
        return self.session.renew, (lambda: self.session.refresh(token, adopt=False, via=other))

    def check(self, broker: Broker, renewed: Result, refreshed: Result) -> None:
        if refreshed.answer is not None:
            again, before = refreshed.answer, self.rotated
            if again.refresh_token != before.refresh_token:
                raise Violation("G6: a repeated refresh was answered with another refresh token")
            if again.secret.access_expires_at < before.secret.access_expires_at:
                raise Violation("G6: a repeated refresh was answered with an older access token")
        super().check(broker, renewed, refreshed)


class RenewalAndRevoke(RefreshAndRevoke):
    """If a renewal commits, or reads the row, after the sign-out's update, it must not answer with tokens (G3)."""

    def prepare(self, broker: Broker, other: Broker) -> tuple[Callable[[], Any], Callable[[], Any]]:
        self.session = signed_in(broker)
        near_its_end(broker)
        token = self.session.token
        return self.session.renew, (lambda: self.session.revoke(token, via=other))

    def check(self, broker: Broker, refreshed: Result, revoked: Result) -> None:
        super().check(broker, refreshed, revoked)
        if self.session.renew().kind != "invalid_grant":
            raise Violation("a session was renewed after its end")


def check_rotations(broker: Broker, session: Session) -> None:
    """G9: only a rotation by the app changes a token of the app's, and it changes them all."""
    items = [access.item for access in broker.dynamodb.log if access.applied and access.item]
    rows = [from_item(item) for item in items if item["session_id"]["S"] == session.session_id]
    for before, after in pairwise(rows):
        held = [(row.handle_hash, row.previous_hash, row.rotated_at) for row in (before, after)]
        if (held[0] != held[1]) != (after.generation == before.generation + 1):
            raise Violation("G9: a token of the app's changed without a rotation")


RENEWALS = (TwoRenewals, RenewalAndRefresh, RenewalAndReplay, RenewalAndRevoke)


def pairs() -> list[Pair]:
    """Return each pair once, new: a pair counts its own schedules."""
    return [*pairs_without_renewals(), *(pair() for pair in RENEWALS)]


def pairs_without_renewals() -> list[Pair]:
    refreshes = [TwoRefreshes(rotation) for rotation in ROTATIONS]
    return [*refreshes, RefreshAndRevoke(), RefreshAndRemovedScope(), TwoCallbacks(), TwoRedemptions()]


# A table with sessions of both stores, while a deployment changes TOKEN_STORE in one process after the other.
MIXED: tuple[tuple[Store, Store], ...] = (("secrets", "row"), ("row", "secrets"))


def more_pairs() -> list[Pair]:
    """Return each pair of processes of which one or both begin sessions in the row."""
    kinds = (RefreshAndRevoke, RefreshAndRemovedScope, TwoCallbacks, TwoRedemptions, RenewalAndRevoke, RenewalAndReplay)
    rotating = (TwoRefreshes, TwoRenewals, RenewalAndRefresh)
    stores_of = (IN_ROW, *MIXED)
    others = [pair(rotation) for pair in rotating[1:] for rotation in ROTATIONS[1:]]
    in_row = [pair(rotation, *stores) for stores in stores_of for pair in rotating for rotation in ROTATIONS]
    return [*others, *in_row, *(pair("strict", *stores) for stores in stores_of for pair in kinds)]


def pairs_under_faults() -> list[Pair]:
    """Return those pairs that `make test-coverage` runs with every fault."""
    kinds = (TwoRefreshes, RefreshAndRevoke, TwoCallbacks, TwoRedemptions)
    return [*pairs_without_renewals(), *(pair("strict", *IN_ROW) for pair in kinds)]


def more_pairs_under_faults() -> list[Pair]:
    """Return those that `make test-exhaustive` runs with every fault.

    A renewal looks at the row and the tokens first, so one pair has up to 40,000 schedules. The renewals under faults
    therefore have an Aries that rotates strictly, and workers of one value.
    """
    often = {by_name(pair) for pair in pairs_under_faults()}
    renewals = [pair("strict", *stores) for stores in (IN_SECRETS, IN_ROW) for pair in RENEWALS]
    others = [pair for pair in more_pairs() if by_name(pair) not in often and not isinstance(pair, RENEWALS)]
    return [*renewals, *others]


def under_faults() -> list[Any]:
    """Return the pairs for a test that runs each with every fault. Their marks say which command runs them."""
    return [
        *(pytest.param(pair, id=by_name(pair), marks=pytest.mark.long) for pair in pairs_under_faults()),
        *(pytest.param(pair, id=by_name(pair), marks=pytest.mark.exhaustive) for pair in more_pairs_under_faults()),
    ]


def by_name(pair: Pair) -> str:
    """Name the stores too if one of them is the row."""
    stores = " beside ".join(dict.fromkeys(pair.stores))
    return "-".join((type(pair).__name__, pair.rotation, *([] if stores == "secrets" else [stores])))


ORDERS = {by_name(pair): pair for pair in (*pairs(), *more_pairs())}
# Of the renewals, the quick run has those with an Aries that rotates strictly and with workers of one value. It has two
# renewals side by side in the row alone.
RENEWALS_IN_QUICK = {f"{pair.__name__}-strict{store}" for pair in RENEWALS for store in ("", "-row")} - {
    "TwoRenewals-strict"
}
QUICK = [name for name in ORDERS if "Renewal" not in name or name in RENEWALS_IN_QUICK]


@pytest.mark.parametrize("name", long_but(QUICK, ORDERS))
def test_two_workers_in_every_order(name: str) -> None:
    pair = ORDERS[name]
    assert sum(1 for _ in pair.every_schedule({})) == pair.schedules > 10


@pytest.mark.parametrize("pair", under_faults())
def test_two_workers_in_every_order_and_with_every_fault(numbers: Callable[[str], None], pair: Pair) -> None:
    undisturbed = sum(not scheduler.broker.seam.injected for scheduler in all_single_faults(pair))
    numbers(
        f"{by_name(pair)}: {pair.schedules} schedules ({undisturbed} without a fault), {pair.lost} lost in the window"
    )
    assert undisturbed > 10
    assert pair.schedules > 20 * undisturbed
