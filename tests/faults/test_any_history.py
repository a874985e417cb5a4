"""Random histories of one session, against a small reference of what its app may see.

Hypothesis mixes an app's actions, lost answers, clock jumps, faults at any call and decisions of Aries', and shrinks
whatever contradicts the reference: the session is alive, or it has ended for a reason that is allowed.
"""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.faults.broker import LEASE_SECONDS, Broker, Session, signed_in
from tests.faults.seam import Fault, Kind
from tests.support.world import GRACE

SHORT = st.sampled_from([0.5, 5, GRACE - 1, GRACE + 1, LEASE_SECONDS, 10 * GRACE, 7200])
# Rarely, or hardly any history would be long.
ENDINGS = st.sampled_from(["none"] * 14 + ["sign out", "Aries withdraws the grant"])
FAULTS = st.builds(Fault, at=st.integers(1, 8), kind=st.sampled_from(list(Kind)), delay=st.integers(0, 12))


class History(RuleBasedStateMachine):
    """The reference: whether the app was signed out on purpose, or Aries withdrew its grant.

    Otherwise only what Aries refused while its newest token was nowhere with us ends the session.
    """

    broker: Broker
    session: Session

    @initialize(rotation=st.sampled_from(["strict", "grace", "family", "same", "none"]))
    def sign_in(self, rotation: str) -> None:
        self.broker = Broker(rotation)
        self.session = signed_in(self.broker)
        self.revoked = self.withdrawn = self.over = False
        self.first = self.session.token

    def _refreshed(self, kind: str) -> None:
        """What an answer to a refresh may be, given what has happened."""
        assert kind in ("200", "busy", "died", "invalid_grant")
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
        seam = self.broker.seam
        at = len(seam.calls) + fault.at
        seam.faults = {at: Fault(at, fault.kind, fault.delay)}
        kind = self.session.refresh(adopt=not lost).kind
        seam.faults = {}
        self._refreshed(kind)

    @rule(seconds=SHORT)
    def wait(self, seconds: float) -> None:
        # A request to Aries that was given up arrives, or is lost, before its lease lapses.
        self.broker.let_pass(seconds)

    @rule()
    def a_forged_token_changes_nothing(self) -> None:
        session_id, generation, mac = self.session.token.split(".")
        forged = f"{session_id}.{generation}.{'A' * len(mac)}"
        assert self.session.refresh(forged, adopt=False).kind in ("invalid_grant", "busy")

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
            self.broker.assert_every_secret_has_a_row()

    def teardown(self) -> None:
        if not hasattr(self, "broker"):
            return
        # G5: when faults stop and the lease lapses, one retry ends in 200 or invalid_grant.
        self.broker.let_pass(LEASE_SECONDS)
        kind = self.session.refresh().kind
        assert kind in ("200", "invalid_grant"), kind
        self._refreshed(kind)


History.TestCase.settings = settings(
    max_examples=600, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
TestAnyHistory = History.TestCase
