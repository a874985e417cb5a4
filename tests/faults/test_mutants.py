"""The enumeration notices what it is there for: each of these changes to the real code breaks a guarantee.

Every mutant is the real broker with one thing done wrong. The hunt for it stops at the first schedule that violates.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from oauth_broker import refresh as refresh_module
from oauth_broker import standing
from oauth_broker.callback import Callback
from oauth_broker.leases import Leases
from oauth_broker.secret import Secret
from oauth_broker.session_store import SessionStore
from oauth_broker.sign_in import SignIn
from oauth_broker.standing import Standing
from oauth_broker.vault import SecretsManagerVault
from tests.faults.aws import MemoryDynamoDb
from tests.faults.broker import LEASE_SECONDS, Violation
from tests.faults.scheduler import every_schedule
from tests.faults.seam import Fault, Kind
from tests.faults.test_holders import beside_a_refresh, play
from tests.faults.test_interleavings import TwoCallbacks, TwoRefreshes
from tests.faults.test_refresh_faults import WINDOW, run, single_faults

Patch = pytest.MonkeyPatch


def single(rotation: str = "strict") -> None:
    """Every single fault of a refresh: what is lost must be the window, and nothing else."""
    outcomes = single_faults(rotation, LEASE_SECONDS)
    lost = {outcome.name for outcome in outcomes if outcome.lost}
    if lost != (set() if rotation == "grace" else WINDOW):
        raise Violation(f"G4: lost: {lost}")


def single_of_every_rotation() -> None:
    for rotation in ("strict", "grace", "family"):
        single(rotation)


def two_deaths() -> None:
    """A worker dies after some call, and the next one at some later call: what is lost must be in the window."""
    for first in range(1, 8):
        for second in range(first + 1, 20):
            for kind in Kind:
                outcome = run("strict", (Fault(first, Kind.DIES_AFTER), Fault(second, kind)), LEASE_SECONDS)
                if outcome.lost and not outcome.in_window:
                    raise Violation(f"G4: {outcome.name}")


def a_put_that_lands_late() -> None:
    """A worker dies over a write to the vault that lands at any time afterwards, when others have gone on."""
    for delay in range(80):
        outcome = run("grace", (Fault(4, Kind.LATE, delay), Fault(5, Kind.DIES_BEFORE)), LEASE_SECONDS)
        if outcome.lost:
            raise Violation(f"G4: {outcome.name}")


def two_refreshes() -> None:
    pair = TwoRefreshes()
    for scheduler in every_schedule(lambda given: pair.run({}, given)):
        if scheduler.calls.count("Aries") != 1:
            raise Violation("G1: two refreshes asked Aries twice")


def two_callbacks() -> None:
    pair = TwoCallbacks()
    for _ in every_schedule(lambda given: pair.run({}, given)):
        pass


def a_thief() -> None:
    # The app's answer is lost and it retries late; the thief holds what was lost.
    play((0, 1, 0, 1, 0, 1), (False, False, False, False, False, False))
    play((0, 0, 1, 0, 1, 0), (True, False, False, False, False, False))


def a_superseded_token_beside_a_refresh() -> None:
    for _ in every_schedule(beside_a_refresh):
        pass


def rewritten(patch: Patch, marker: str, rewrite: Callable[[str, str], tuple[str, str]]) -> None:
    """Change the update and the condition of every update that holds ``marker``, with the values that are left."""
    original = MemoryDynamoDb.update_item

    def update_item(self: MemoryDynamoDb, **parameters: Any) -> Any:
        if marker in parameters["UpdateExpression"]:
            update, condition = rewrite(parameters["UpdateExpression"], parameters["ConditionExpression"])
            used = set(re.findall(r":\w+", f"{update} {condition}"))
            values = {name: value for name, value in parameters["ExpressionAttributeValues"].items() if name in used}
            parameters |= {"UpdateExpression": update, "ConditionExpression": condition}
            parameters["ExpressionAttributeValues"] = values | ({":one": {"N": "1"}} if ":one" in used else {})
        return original(self, **parameters)

    patch.setattr(MemoryDynamoDb, "update_item", update_item)


COMMIT = "previous_hash = :presented"
WITHOUT_FENCE = "#status = :active AND expires_at > :now"


def lease_shorter_than_the_work(patch: Patch) -> None:
    patch.setattr(refresh_module, "LEASE_MARGIN_SECONDS", -29.0)


def no_roll_forward(patch: Patch) -> None:
    patch.setattr(SessionStore, "earlier", lambda self, row: None)


def commit_without_the_fence(patch: Patch) -> None:
    rewritten(patch, COMMIT, lambda update, condition: (update, WITHOUT_FENCE))


def reading_the_current_version(patch: Patch) -> None:
    def read(self: SecretsManagerVault, session_id: str, version: str) -> Any:
        return original(self, session_id, None)  # type: ignore[arg-type]

    original = SecretsManagerVault.read
    committed = SessionStore.committed

    def committed_of_current(self: SessionStore, row: SignIn) -> Any:
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(SecretsManagerVault, "read", read)
            return committed(self, row)

    patch.setattr(SessionStore, "committed", committed_of_current)


def claiming_after_exchanging(patch: Patch) -> None:
    claim = Callback._claim

    def exchange_first(self: Callback, browser: Any, invocation: Any) -> SignIn:
        row = self._sign_ins.find(browser.session_id)
        assert row is not None
        if row.code_verifier:
            code = self._provider_code  # type: ignore[attr-defined]
            self._provider.exchange(code, Secret(row.code_verifier), row.provider_redirect_uri, invocation)
        return claim(self, browser, invocation)

    proceed = Callback._proceed

    def remember_code(self: Callback, callback: Any, *rest: Any) -> Any:
        self._provider_code = callback.code  # type: ignore[attr-defined]
        return proceed(self, callback, *rest)

    patch.setattr(Callback, "_claim", exchange_first)
    patch.setattr(Callback, "_proceed", remember_code)


def a_late_retry_that_does_not_supersede(patch: Patch) -> None:
    commit = Leases.commit

    def keep_the_lost_token(self: Leases, row: SignIn, token_hash: str, now: float) -> None:
        # The token whose answer was lost stays good beside the new one.
        before = row.previous_hash == token_hash
        lost = self._sign_ins.find(row.session_id)
        commit(self, row, lost.handle_hash if before and lost else token_hash, now)

    patch.setattr(Leases, "commit", keep_the_lost_token)


def waiting_before_classifying(patch: Patch) -> None:
    stand = standing.stand
    waited: set[int] = set()

    def wait_first(row: SignIn | None, grant: Any, terms: Any, now: float) -> Standing:
        found = stand(row, grant, terms, now)
        if row is not None and found is Standing.STRANGER and row.is_leased(now):
            waited.add(id(grant))
            return Standing.WAIT
        return Standing.REPLAY if found is Standing.STRANGER and id(grant) in waited else found

    patch.setattr(refresh_module, "stand", wait_first)


def a_commit_that_adds(patch: Patch) -> None:
    def add(update: str, condition: str) -> tuple[str, str]:
        added = update.replace("generation = :next, ", "") + " ADD generation :one"
        return added.replace("REMOVE escrow, lease_id, lease_until", "REMOVE escrow"), (
            "fence = :fence AND #status = :active AND expires_at > :now"
        )

    rewritten(patch, COMMIT, add)


def releasing_the_lease_after_an_ambiguous_answer(patch: Patch) -> None:
    patch.setattr(Leases, "settle", Leases.release)


def looking_back_one_fence_only(patch: Patch) -> None:
    earlier = SessionStore.earlier

    def one_fence(self: SessionStore, row: SignIn) -> Any:
        return earlier(self, _with_committed_fence(row, max(row.committed_fence, row.fence - 2)))

    patch.setattr(SessionStore, "earlier", one_fence)


def _with_committed_fence(row: SignIn, fence: int) -> SignIn:
    return replace(row, committed_fence=fence)


MUTANTS: list[tuple[Callable[[Patch], None], Callable[[], None]]] = [
    (lease_shorter_than_the_work, two_refreshes),
    (no_roll_forward, single),
    (commit_without_the_fence, single_of_every_rotation),
    (reading_the_current_version, a_put_that_lands_late),
    (claiming_after_exchanging, two_callbacks),
    (a_late_retry_that_does_not_supersede, a_thief),
    (waiting_before_classifying, a_superseded_token_beside_a_refresh),
    (a_commit_that_adds, single),
    (releasing_the_lease_after_an_ambiguous_answer, lambda: single("family")),
    (looking_back_one_fence_only, two_deaths),
]


@pytest.mark.parametrize(("mutate", "hunt"), MUTANTS, ids=[mutate.__name__ for mutate, _ in MUTANTS])
def test_a_mutant_is_caught(
    mutate: Callable[[Patch], None], hunt: Callable[[], None], numbers: Callable[[str], None]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        mutate(patch)
        with pytest.raises((Violation, AssertionError)) as caught:
            hunt()
    numbers(f"caught {mutate.__name__}: {caught.value}")


HUNTS = {hunt.__name__: hunt for _, hunt in MUTANTS if hunt.__name__ != "<lambda>"}


@pytest.mark.parametrize("hunt", HUNTS.values(), ids=HUNTS)
def test_the_real_code_passes_every_hunt(hunt: Callable[[], None]) -> None:
    hunt()
