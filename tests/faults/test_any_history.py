"""Random histories of one session, compared with a small reference of the allowed answers.

Hypothesis mixes an app's actions, lost answers, clock jumps, faults at any call and decisions of Aries. It shrinks
every history that contradicts the reference: the session is alive, or it ended for an allowed reason.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.faults.broker import STORES, Broker, Result, Session, Store, settings_of, signed_in
from tests.faults.seam import Fault, Kind
from tests.support.deployment import GRACE
from tests.support.leases import LEASE_SECONDS

SHORT = st.sampled_from([0.5, 5, GRACE - 1, GRACE + 1, LEASE_SECONDS, 10 * GRACE, 7200])
# An ending is rare, because otherwise few histories would be long.
ENDINGS = st.sampled_from(["none"] * 14 + ["sign out", "Aries withdraws the grant"])
FAULTS = st.builds(Fault, at=st.integers(1, 8), kind=st.sampled_from(list(Kind)), delay=st.integers(0, 12))
ROTATIONS = st.sampled_from(["strict", "grace", "family", "same", "none"])
STORE = st.sampled_from(STORES)


class History(RuleBasedStateMachine):
    """The reference: a sign-out on purpose ends the session, or a grant withdrawn by Aries.

    Otherwise the session ends only if Aries refuses a refresh while our stores do not hold Aries' newest token.
    """

    broker: Broker
    session: Session

    @initialize(rotation=ROTATIONS)
    def sign_in(self, rotation: str) -> None:
        self._begin(Broker(rotation))

    def _begin(self, broker: Broker) -> None:
        self.broker = broker
        self.session = signed_in(broker)
        self.revoked = self.withdrawn = self.over = False
        self.first = self.session.token

    def _refreshed(self, kind: str) -> None:
        """Check an answer to a refresh against the history so far."""
        assert kind in ("200", "503", "died", "invalid_grant")
        if kind == "invalid_grant":
            in_window = self.broker.aries.refused_what_was_lost
            assert self.revoked or self.withdrawn or in_window, "signed out without a reason"
            self.over = True
        if kind == "200":
            assert not self.over, "an ended session came back"
            assert not self.revoked, "a session was refreshed after its sign-out"

    @rule(lost=st.booleans())
    def refresh(self, lost: bool) -> None:
        self._refreshed(self.session.refresh(adopt=not lost).kind)

    @rule(fault=FAULTS, lost=st.booleans())
    def refresh_under_a_fault(self, fault: Fault, lost: bool) -> None:
        self._refreshed(self._under(fault, lambda: self.session.refresh(adopt=not lost)))

    def _under(self, fault: Fault, operation: Callable[[], Result]) -> str:
        seam = self.broker.seam
        at = len(seam.calls) + fault.at
        seam.faults = {at: Fault(at, fault.kind, fault.delay)}
        kind = operation().kind
        seam.faults = {}
        return kind

    @rule()
    def renew(self) -> None:
        """A caller without a token asks for an access token. The session may end for the same reasons."""
        self._refreshed(self.session.renew().kind)

    @rule(fault=FAULTS)
    def renew_under_a_fault(self, fault: Fault) -> None:
        self._refreshed(self._under(fault, self.session.renew))

    @rule(seconds=SHORT)
    def wait(self, seconds: float) -> None:
        # An abandoned request to Aries arrives, or is lost, before its lease expires.
        self.broker.let_pass(seconds)

    @rule()
    def a_forged_token_changes_nothing(self) -> None:
        session_id, generation, mac = self.session.token.split(".")
        forged = f"{session_id}.{generation}.{'A' * len(mac)}"
        assert self.session.refresh(forged, adopt=False).kind in ("invalid_grant", "503")

    @rule(ending=ENDINGS)
    def end(self, ending: str) -> None:
        if ending == "Aries withdraws the grant":
            for family in self.broker.core.families():
                self.broker.core.revoke_family(family)
            self.withdrawn = True
        elif ending == "sign out":
            assert self.session.revoke().kind == "200"
            self.revoked = True

    @invariant()
    def nothing_is_left_that_cleanup_would_not_find(self) -> None:
        if hasattr(self, "broker"):
            self.broker.assert_stores_are_in_order()

    def teardown(self) -> None:
        if not hasattr(self, "broker"):
            return
        # G5: if faults stop and the lease expires, one retry ends in 200 or invalid_grant.
        self.broker.let_pass(LEASE_SECONDS)
        kind = self.session.refresh().kind
        assert kind in ("200", "invalid_grant"), kind
        self._refreshed(kind)


class HistoryOfADeployment(History):
    """TOKEN_STORE differs from worker to worker, and the table has a session of each store.

    The session keeps its store, whichever workers it meets, and so does the bystander, which refreshes at the end.
    """

    bystander: Session

    # The name of the rule that it replaces, because a history begins once.
    @initialize(rotation=ROTATIONS, store=STORE, at_once=STORE)
    def sign_in(self, rotation: str, store: Store, at_once: Store) -> None:
        broker = Broker(rotation, settings=settings_of(store))
        (other,) = (broker.beside(name) for name in STORES if name != store)
        self.workers = {store: broker, STORES[1 - STORES.index(store)]: other}
        self.bystander = signed_in(other)
        self._begin(broker)
        self.meet(at_once)

    @rule(store=STORE)
    def meet(self, store: Store) -> None:
        """Let the session meet a worker with this TOKEN_STORE from now on."""
        self.session.broker = self.workers[store]

    def teardown(self) -> None:
        super().teardown()
        if not hasattr(self, "bystander"):
            return
        self.broker.let_pass(GRACE + 1)
        kind = self.bystander.refresh().kind
        assert kind == ("invalid_grant" if self.withdrawn else "200"), kind
        self.broker.assert_stores_are_in_order()


pytestmark = pytest.mark.long

History.TestCase.settings = settings(
    max_examples=600, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
TestAnyHistory = History.TestCase
HistoryOfADeployment.TestCase.settings = settings(History.TestCase.settings, max_examples=250)
TestAnyHistoryOfADeployment = HistoryOfADeployment.TestCase
