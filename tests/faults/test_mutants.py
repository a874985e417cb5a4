"""The enumeration notices errors: each of these changes to the real code breaks a guarantee.

Every mutant is the real broker with one error. Its hunt stops at the first schedule with a violation.
"""

from __future__ import annotations

import copy
import math
import re
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import count
from typing import Any

import pytest

from oauth_broker.aries.client import Provider, ProviderFailure
from oauth_broker.aries.transport import Reply
from oauth_broker.config.dialect import Outcome
from oauth_broker.errors import ServiceUnavailable
from oauth_broker.oauth.tokens import secret_version
from oauth_broker.operations import pause as pause_module
from oauth_broker.operations import turn as turn_module
from oauth_broker.operations.callback import Callback
from oauth_broker.operations.pause import Pause
from oauth_broker.operations.renewal import Renewal
from oauth_broker.people import session_limit
from oauth_broker.people.identification import Identification, Identified
from oauth_broker.people.person_items import PersonItem, PersonItems
from oauth_broker.secret import Secret
from oauth_broker.sessions import renewers, secret_store, verdict
from oauth_broker.sessions import seal as seal_module
from oauth_broker.sessions.conditional_update import ConditionFailed
from oauth_broker.sessions.control_item import ControlItem
from oauth_broker.sessions.leases import Leases
from oauth_broker.sessions.renewers import AppRenewer, Clause, Renewer, SessionRenewer
from oauth_broker.sessions.row import IN_ROW, SignIn
from oauth_broker.sessions.seal import Seal, Sealing
from oauth_broker.sessions.secret_store import SecretsManagerStore
from oauth_broker.sessions.token_store import TokenStore
from oauth_broker.sessions.verdict import Verdict
from tests.faults.aws import MemoryDynamoDb, MemorySecretsManager
from tests.faults.broker import Broker, Session, Violation, in_turn, settings_of, signed_in
from tests.faults.scheduler import every_schedule
from tests.faults.seam import Fault, Kind
from tests.faults.test_holders import beside_a_refresh, play
from tests.faults.test_interleavings import IN_ROW as BOTH_IN_ROW
from tests.faults.test_interleavings import Pair, RefreshAndRevoke, RenewalAndRefresh, TwoCallbacks, TwoRefreshes
from tests.faults.test_lands_again import every_landing
from tests.faults.test_other_sessions_faults import (
    RedemptionAndSignOutOfOthers,
    every_sign_in_beyond_the_limit,
    every_sign_out_of_the_others,
)
from tests.faults.test_people_faults import every_redemption
from tests.faults.test_refresh_faults import (
    MAX_DELAY,
    REFRESH,
    ROW_WINDOW,
    WINDOW,
    every_single,
    run,
    single_faults,
)
from tests.faults.test_refusals import (
    asking_for_a_thousand_sessions,
    asking_for_one_session,
    refused_beside_served,
)
from tests.faults.test_renewal_faults import (
    a_caller_without_a_right,
    a_stored_answer_that_is_over,
    every_late_lease,
    previous_tokens_beside_a_backend,
)
from tests.faults.test_renewal_faults import run as renewal_run
from tests.support.client_error import client_error
from tests.support.deployment import GRACE
from tests.support.lambda_context import FUNCTION_SECONDS
from tests.support.leases import LEASE_SECONDS

pytestmark = pytest.mark.long

Patch = pytest.MonkeyPatch


def single(rotation: str = "strict", variant: str = "") -> None:
    """Try every single fault of a refresh: exactly the faults of the window lose the session."""
    outcomes = single_faults(rotation, LEASE_SECONDS, variant)
    lost = {outcome.name for outcome in outcomes if outcome.lost}
    window = ROW_WINDOW if variant == "row" else WINDOW
    if lost != (set() if rotation == "grace" else window):
        raise Violation(f"G4: lost: {lost}")


def single_in_the_row() -> None:
    single(variant="row")


def single_of_every_rotation() -> None:
    for rotation in ("strict", "grace", "family"):
        single(rotation)


def single_of_a_renewal() -> None:
    """Try every single fault of a renewal: exactly the faults of the window lose the session."""
    outcomes = every_single(range(MAX_DELAY), partial(renewal_run, "family", "secrets", LEASE_SECONDS))
    lost = {outcome.name for outcome in outcomes if outcome.lost}
    if lost != WINDOW:
        raise Violation(f"G4: lost: {lost}")


PUT = REFRESH.index("put_secret_value") + 1


def two_deaths() -> None:
    """A worker dies after some call, and a second fault follows: the session is lost only in the window."""
    for first in range(1, len(REFRESH) + 2):
        for second in range(first + 1, 2 * len(REFRESH) + 8):
            for kind in Kind:
                outcome = run("strict", (Fault(first, Kind.DIES_AFTER), Fault(second, kind)), LEASE_SECONDS)
                if outcome.lost and not outcome.excused:
                    raise Violation(f"G4: {outcome.name}")


def dying_over_a_put_that_lands(delay: int) -> tuple[Fault, ...]:
    return Fault(PUT, Kind.LATE, delay), Fault(PUT + 1, Kind.DIES_BEFORE)


def a_put_that_lands_late() -> None:
    """A worker dies over a write to Secrets Manager. The write lands at any later time, after others have gone on."""
    for delay in range(80):
        outcome = run("grace", dying_over_a_put_that_lands(delay), LEASE_SECONDS)
        if outcome.lost:
            raise Violation(f"G4: {outcome.name}")


def after_dying_over_a_put_that_lands(delay: int, rotation: str) -> tuple[Broker, Session]:
    broker = Broker(rotation)
    session = signed_in(broker)
    broker.seam.calls.clear()
    broker.seam.faults = in_turn(dying_over_a_put_that_lands(delay))
    session.refresh()
    broker.let_pass(LEASE_SECONDS)
    return broker, session


def a_put_that_is_read_a_moment_later() -> None:
    """Secrets Manager shows a write only after a moment. If Aries kills families, the broker must not ask it before."""
    # The latest write lands after the lease and the first look of the next refresh, but before its second look.
    for delay in range(REFRESH.index("get_secret_value") + 3):
        broker, session = after_dying_over_a_put_that_lands(delay, "family")
        if session.refresh().kind != "200" or broker.seam.calls.count("Aries") > 1:
            raise Violation(f"G4: Aries was asked before a put had landed {delay} calls later")


def a_put_that_lands_before_the_last_look() -> None:
    """If Aries refuses, the broker finds a newer stored token, however late it was stored."""
    for delay in range(60):
        broker, session = after_dying_over_a_put_that_lands(delay, "strict")
        if session.refresh().kind != "invalid_grant":
            continue
        # The call before the deletion of the secret ends the row.
        ended_at = broker.seam.calls.index("delete_secret")
        if PUT + delay + 1 < ended_at:
            raise Violation(f"G4: ended {ended_at - PUT} calls after a put that had landed {delay + 1} calls after it")


def a_table_that_fails_at_the_commit() -> None:
    """The broker answers only with committed tokens."""
    broker = Broker()
    session = signed_in(broker)
    broker.seam.calls.clear()
    broker.seam.faults = in_turn(Fault(at, Kind.NOT_APPLIED) for at in range(len(REFRESH), 200))
    assert session.refresh().kind == "503"


# The clocks of two processes may differ by so much. Aries may work on an abandoned request for so long.
CLOCKS_DIFFER_SECONDS = ARIES_TAKES_LONGER_SECONDS = 5


def a_worker_stopped_at_its_very_end() -> None:
    """The stopped worker's request reaches Aries late. Another worker, its clock ahead, tries in every second."""
    broker = Broker()
    session = signed_in(broker)
    broker.warm_up()
    begun = broker.clock.time
    broker.seam.calls.clear()
    broker.seam.faults = in_turn([Fault(REFRESH.index("Aries") - 1, Kind.LATE, delay=10_000)])
    assert session.refresh().kind == "503"
    broker.seam.faults = {}

    def set_clock(at: float) -> None:
        broker.clock.time = at
        if at - CLOCKS_DIFFER_SECONDS >= begun + FUNCTION_SECONDS + ARIES_TAKES_LONGER_SECONDS:
            broker.seam.land_all("Aries")

    broker.clock.sleep = lambda seconds: set_clock(broker.clock.time + seconds)  # type: ignore[method-assign]
    for second in range(60):
        set_clock(begun + second + CLOCKS_DIFFER_SECONDS)
        session.refresh()


def a_secret_that_takes_no_more() -> None:
    """A secret has no room for more versions, so the broker seals the answer into the row."""
    broker = Broker()
    session = signed_in(broker)
    broker.secrets.put_secret_value = refused_for_its_limit  # type: ignore[method-assign]
    for _ in range(3):
        if session.refresh().kind != "200":
            raise Violation("G4: an answer of Aries' was dropped because Secrets Manager refused it")
        broker.let_pass(GRACE + 1)


def refused_for_its_limit(**_: Any) -> Any:
    raise client_error("LimitExceededException")


def two_refreshes() -> None:
    pair = TwoRefreshes()
    for scheduler in every_schedule(lambda given: pair.run({}, given)):
        if scheduler.calls.count("Aries") != 1:
            raise Violation("G1: two refreshes asked Aries twice")


def in_every_order(pair: Pair) -> None:
    for _ in every_schedule(lambda given: pair.run({}, given)):
        pass


def a_refresh_and_a_sign_out_in_the_row() -> None:
    in_every_order(RefreshAndRevoke("strict", *BOTH_IN_ROW))


def two_refreshes_while_a_deployment_chooses_the_row() -> None:
    in_every_order(TwoRefreshes("strict", "secrets", "row"))


def two_refreshes_while_a_deployment_chooses_secrets() -> None:
    in_every_order(TwoRefreshes("strict", "row", "secrets"))


def a_seal_in_the_row_of_another_session() -> None:
    """Somebody copies a seal to the row of another session of the app. It does not open there, and ends nothing."""
    broker = Broker(settings=settings_of("row"))
    session, other = signed_in(broker), signed_in(broker)
    items = broker.dynamodb.items
    own = items[session.session_id]
    items[session.session_id] = own | {"sealed": items[other.session_id]["sealed"]}
    if session.refresh().kind != "503":
        raise Violation("a seal opened in the row of another session")
    items[session.session_id] = items[session.session_id] | {"sealed": own["sealed"]}
    if session.refresh().kind != "200":
        raise Violation("G4: a seal that did not open ended a session")


def two_callbacks() -> None:
    in_every_order(TwoCallbacks())


def a_thief() -> None:
    # The app loses an answer and retries late; the thief holds the lost answer.
    play("secrets", (0, 1, 0, 1, 0, 1), (False, False, False, False, False, False))
    play("secrets", (0, 0, 1, 0, 1, 0), (True, False, False, False, False, False))


def a_superseded_token_beside_a_refresh() -> None:
    for _ in every_schedule(partial(beside_a_refresh, "secrets")):
        pass


def rewritten(patch: Patch, marker: str, rewrite: Callable[[str, str], tuple[str, str]]) -> None:
    """Rewrite every update with ``marker`` in it, and its condition; unused values are left out."""
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
    patch.setattr(turn_module, "LEASE_MARGIN_SECONDS", -29.0)


def no_lease_margin(patch: Patch) -> None:
    patch.setattr(turn_module, "LEASE_MARGIN_SECONDS", 0.0)


def taking_a_lease_that_is_held(patch: Patch) -> None:
    held = " AND (attribute_not_exists(lease_until) OR lease_until <= :now)"
    rewritten(patch, "ADD fence :one", lambda update, condition: (update, condition.replace(held, "")))
    patch.setattr(SignIn, "is_leased", lambda self, now: False)


def looking_for_an_earlier_answer_once(patch: Patch) -> None:
    patch.setattr(TokenStore, "_repeatedly", lambda self, read: read())


def believing_the_first_refusal(patch: Patch) -> None:
    def end(self: Renewal, refused: Any, row: SignIn, renewer: Any, invocation: Any) -> Any:
        raise self._session_end.end_refused(row, invocation)

    patch.setattr(Renewal, "_newer_than", end)


def posting_again_where_no_answer_came(patch: Patch) -> None:
    refresh = Provider.refresh

    def twice(self: Provider, *given: Any) -> Any:
        try:
            return refresh(self, *given)
        except ProviderFailure as failure:
            if failure.outcome is not Outcome.AMBIGUOUS:
                raise
        return refresh(self, *given)

    patch.setattr(Provider, "refresh", twice)


def storing_under_a_version_that_no_fence_leads_to(patch: Patch) -> None:
    numbers = count()
    patch.setattr(
        secret_store, "secret_version", lambda session_id, fence: secret_version(session_id, 10**6 + next(numbers))
    )


def nothing_sealed_if_secrets_manager_refuses(patch: Patch) -> None:
    def refuse(self: Sealing, *final: Any) -> Any:
        raise ServiceUnavailable("kms:refused", retriable=False)

    patch.setattr(Sealing, "sealed", refuse)


def answering_what_is_not_committed(patch: Patch) -> None:
    commit = Renewal._commit

    def hopefully(self: Renewal, row: SignIn, stored: Any, *rest: Any) -> SignIn:
        try:
            return commit(self, row, stored, *rest)
        except ServiceUnavailable:
            return replace(row, generation=row.generation + 1)

    patch.setattr(Renewal, "_commit", hopefully)


def saving_over_what_is_there(patch: Patch) -> None:
    def put_item(self: MemoryDynamoDb, **parameters: Any) -> Any:
        self.items.pop(parameters["Item"]["session_id"]["S"], None)
        return original(self, **parameters)

    original = MemoryDynamoDb.put_item
    patch.setattr(MemoryDynamoDb, "put_item", put_item)


def no_roll_forward(patch: Patch) -> None:
    patch.setattr(TokenStore, "earlier", lambda self, row: None)


def commit_without_the_fence(patch: Patch) -> None:
    rewritten(patch, COMMIT, lambda update, condition: (update, WITHOUT_FENCE))


def reading_the_current_version(patch: Patch) -> None:
    def read(self: SecretsManagerStore, session_id: str, version: str) -> Any:
        return original(self, session_id, None)  # type: ignore[arg-type]

    original = SecretsManagerStore.read
    committed = TokenStore.committed

    def committed_of_current(self: TokenStore, row: SignIn) -> Any:
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(SecretsManagerStore, "read", read)
            return committed(self, row)

    patch.setattr(TokenStore, "committed", committed_of_current)


def claiming_after_exchanging(patch: Patch) -> None:
    claim = Callback._claim

    def exchange_first(self: Callback, browser: Any, invocation: Any) -> SignIn:
        row = self._sign_ins.find(browser.session_id)
        assert row is not None
        if row.code_verifier:
            code = self._provider_code  # type: ignore[attr-defined]
            self._exchange._provider.exchange(code, Secret(row.code_verifier), row.provider_redirect_uri, invocation)
        return claim(self, browser, invocation)

    proceed = Callback._proceed

    def remember_code(self: Callback, callback: Any, *rest: Any) -> Any:
        self._provider_code = callback.code  # type: ignore[attr-defined]
        return proceed(self, callback, *rest)

    patch.setattr(Callback, "_claim", exchange_first)
    patch.setattr(Callback, "_proceed", remember_code)


def a_late_retry_that_does_not_supersede(patch: Patch) -> None:
    def keep_the_lost_token(self: AppRenewer, row: SignIn, now: float) -> Any:
        # The token of the lost answer stays good beside the new one.
        (sets, values), condition = clauses(self, row, now)
        if self.grant.token.has_hash(row.previous_hash):
            values["presented"] = lost[row.session_id]
        return (sets, values), condition

    def remember(self: AppRenewer, row: SignIn, *given: Any) -> SignIn:
        lost[row.session_id] = row.handle_hash
        return renewed(self, row, *given)

    lost: dict[str, str] = {}
    clauses, renewed = AppRenewer.commit_clauses, AppRenewer.renewed
    patch.setattr(AppRenewer, "commit_clauses", keep_the_lost_token)
    patch.setattr(AppRenewer, "renewed", remember)


def waiting_before_classifying(patch: Patch) -> None:
    judge = verdict.judge
    waited: set[int] = set()

    def wait_first(row: SignIn | None, grant: Any, terms: Any, now: float) -> Verdict:
        found = judge(row, grant, terms, now)
        if row is not None and found is Verdict.UNKNOWN_TOKEN and row.is_leased(now):
            waited.add(id(grant))
            return Verdict.WAIT
        return Verdict.REPLAY if found is Verdict.UNKNOWN_TOKEN and id(grant) in waited else found

    patch.setattr(renewers, "judge", wait_first)


def a_commit_that_adds(patch: Patch) -> None:
    def add(update: str, condition: str) -> tuple[str, str]:
        added = update.replace("generation = :next, ", "") + " ADD generation :one"
        return added.replace("REMOVE escrow, lease_id, lease_until", "REMOVE escrow"), (
            "fence = :fence AND #status = :active AND expires_at > :now"
        )

    rewritten(patch, COMMIT, add)


def releasing_the_lease_after_an_ambiguous_answer(patch: Patch) -> None:
    patch.setattr(Leases, "give_back_fence", Leases.release)


def looking_back_one_fence_only(patch: Patch) -> None:
    earlier = TokenStore.earlier

    def one_fence(self: TokenStore, row: SignIn) -> Any:
        return earlier(self, _with_committed_fence(row, max(row.committed_fence, row.fence - 2)))

    patch.setattr(TokenStore, "earlier", one_fence)


def _with_committed_fence(row: SignIn, fence: int) -> SignIn:
    return replace(row, committed_fence=fence)


def forgetting_that_aries_refused_a_session(patch: Patch) -> None:
    patch.setattr(Leases, "pause", lambda self, row, reason, now, until: self.release(row, reason, now))


def telling_no_other_process_that_aries_refuses(patch: Patch) -> None:
    patch.setattr(Pause, "refused", lambda self, reference: None)


def letting_everybody_in_when_a_pause_is_over(patch: Patch) -> None:
    patch.setattr(ControlItem, "swap", lambda self, name, seen, number: True)


def no_end_of_a_pause(patch: Patch) -> None:
    patch.setattr(Pause, "served", lambda self: None)


def pausing_for_one_refusal(patch: Patch) -> None:
    begins_at = Pause._begins_at

    def after_one(self: Pause, numbers: dict[str, float]) -> float:
        self._settings = replace(self._settings, refused_sessions=1)
        return begins_at(self, numbers)

    patch.setattr(Pause, "_begins_at", after_one)


def pausing_before_a_success_is_known(patch: Patch) -> None:
    patch.setattr(pause_module, "CACHE_SECONDS", 0)


def sealing_under_the_committed_fence(patch: Patch) -> None:
    sealing = Seal.sealing

    def under_the_committed_fence(self: Seal, row: SignIn, *given: Any) -> Sealing:
        return sealing(self, replace(row, fence=row.committed_fence), *given)

    patch.setattr(Seal, "sealing", under_the_committed_fence)


def sealing_for_any_session(patch: Patch) -> None:
    context = seal_module._context

    def without_the_session(*given: Any) -> dict[str, str]:
        return {name: value for name, value in context(*given).items() if name != "session"}

    patch.setattr(seal_module, "_context", without_the_session)


def answering_before_the_one_write(patch: Patch) -> None:
    commit = Leases.commit

    def hopefully(self: Leases, row: SignIn, *given: Any) -> None:
        with suppress(ServiceUnavailable, ConditionFailed):
            commit(self, row, *given)

    patch.setattr(Leases, "commit", hopefully)


def answering_although_the_session_has_ended(patch: Patch) -> None:
    commit = Leases.commit

    def hopefully(self: Leases, row: SignIn, *given: Any) -> None:
        with suppress(ConditionFailed):
            commit(self, row, *given)

    patch.setattr(Leases, "commit", hopefully)


def choosing_the_store_anew_at_a_refresh(patch: Patch) -> None:
    """Move the session whole: its row names the new store, and the new store has its tokens."""
    renew, commit = Renewal._renew, Renewal._commit
    update_item, put_secret_value = MemoryDynamoDb.update_item, MemorySecretsManager.put_secret_value

    def chosen(renewal: Renewal, row: SignIn) -> SignIn:
        return replace(row, token_store=IN_ROW if renewal._settings.tokens_in_row else "")

    def naming_the_store(self: MemoryDynamoDb, **parameters: Any) -> Any:
        result = update_item(self, **parameters)
        if COMMIT in parameters["UpdateExpression"]:
            item = self.items[parameters["Key"]["session_id"]["S"]]
            item.pop("token_store", None)
            if "sealed = " in parameters["UpdateExpression"]:
                item["token_store"] = {"S": IN_ROW}
            else:
                item.pop("sealed", None)
        return result

    def creating(self: MemorySecretsManager, **parameters: Any) -> Any:
        self.secrets.setdefault(parameters["SecretId"], {})
        return put_secret_value(self, **parameters)

    patch.setattr(Renewal, "_renew", lambda self, row, *given: renew(self, chosen(self, row), *given))
    patch.setattr(Renewal, "_commit", lambda self, row, *given: commit(self, chosen(self, row), *given))
    patch.setattr(MemoryDynamoDb, "update_item", naming_the_store)
    patch.setattr(MemorySecretsManager, "put_secret_value", creating)


def renewals_clauses(patch: Patch, changed: Callable[[SignIn, float], Clause]) -> None:
    """Let the commit of a renewal set something more."""
    patch.setattr(SessionRenewer, "commit_clauses", lambda self, row, now: (changed(row, now), ("", {})))


def a_renewal_that_begins_a_grace(patch: Patch) -> None:
    renewals_clauses(patch, lambda row, now: ("rotated_at = :rotated_at", {"rotated_at": now}))


def a_renewal_that_moves_a_hash(patch: Patch) -> None:
    renewals_clauses(patch, lambda row, now: ("previous_hash = :hash", {"hash": row.handle_hash}))


def a_renewal_that_looks_for_no_earlier_answer(patch: Patch) -> None:
    call = Renewal.__call__

    def blindly(self: Renewal, row: SignIn, renewer: Renewer, *given: Any) -> Any:
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(TokenStore, "earlier", lambda *_: None)
            return call(self, row, renewer, *given)

    def by_kind(self: Renewal, row: SignIn, renewer: Renewer, *given: Any) -> Any:
        return (blindly if isinstance(renewer, SessionRenewer) else call)(self, row, renewer, *given)

    patch.setattr(Renewal, "__call__", by_kind)


def a_renewal_that_takes_any_stored_answer(patch: Patch) -> None:
    patch.setattr(SessionRenewer, "least_seconds", lambda *_: -math.inf)


def a_renewal_under_a_lease_that_is_held(patch: Patch) -> None:
    held = " AND (attribute_not_exists(lease_until) OR lease_until <= :now)"

    def take(update: str, condition: str) -> tuple[str, str]:
        return update, condition.replace(held, "") if ":seen" in condition else condition

    rewritten(patch, "ADD fence :one", take)
    judge = SessionRenewer.judge

    def hopefully(self: SessionRenewer, row: SignIn | None, now: float) -> Verdict:
        found = judge(self, row, now)
        return Verdict.READY if found is Verdict.WAIT else found

    patch.setattr(SessionRenewer, "judge", hopefully)


def a_renewals_lease_that_is_not_bound(patch: Patch) -> None:
    patch.setattr(SessionRenewer, "lease_condition", lambda self: ("fence > :less", {"less": -1}))


def no_proof_of_a_caller_without_a_token(patch: Patch) -> None:
    patch.setattr(SessionRenewer, "refuse_forged", lambda self, secret, invocation: None)


def the_item_after_the_row(patch: Patch) -> None:
    before, after = Identification.before_redemption, Identification.after_redemption

    def without_joining(self: Identification, *given: Any) -> Identified | None:
        stand_in = copy.copy(self)
        stand_in._items = JoiningNothing()  # type: ignore[assignment]
        return before(stand_in, *given)

    def joining(self: Identification, row: SignIn, known: Identified, *given: Any) -> None:
        item = self._items.join(known.subject, row.client_id, row.session_id)
        after(self, row, replace(known, item=item), *given)

    patch.setattr(Identification, "before_redemption", without_joining)
    patch.setattr(Identification, "after_redemption", joining)


class JoiningNothing:
    """Items of people that say that a session has joined, and write nothing."""

    def join(self, subject: str, client_id: str, session_id: str) -> PersonItem:
        return PersonItem({client_id: frozenset({session_id})}, {})


def a_sign_out_that_reads_the_item_before_the_cut_off(patch: Patch) -> None:
    sign_out = PersonItems.sign_out

    def in_two_steps(self: PersonItems, subject: str, *given: Any) -> PersonItem:
        item = self.find(subject)
        sign_out(self, subject, *given)
        return item

    patch.setattr(PersonItems, "sign_out", in_two_steps)


def a_sign_out_without_a_cut_off(patch: Patch) -> None:
    patch.setattr(PersonItems, "sign_out", lambda self, subject, *_: self.find(subject))


def a_cut_off_that_moves_back(patch: Patch) -> None:
    def at_any_time(update: str, condition: str) -> tuple[str, str]:
        return update, condition.replace("#not_before <= :second", "attribute_exists(#not_before)")

    rewritten(patch, "#not_before = :second", at_any_time)


def a_redemption_that_ignores_the_cut_off(patch: Patch) -> None:
    patch.setattr(PersonItem, "is_cut_off", lambda *_: False)


def a_sign_out_of_active_sessions_alone(patch: Patch) -> None:
    active = "#status = :active AND expires_at > :now"
    rewritten(patch, "lease_id = :by", lambda update, condition: (update, active))


def a_limit_that_ends_the_newest(patch: Patch) -> None:
    patch.setattr(session_limit, "sorted", lambda rows, key: sorted(rows, key=key, reverse=True), raising=False)


def redemptions_of_a_known_person() -> None:
    every_redemption("row")


def a_redemption_beside_a_sign_out_of_the_others() -> None:
    in_every_order(RedemptionAndSignOutOfOthers("strict", *BOTH_IN_ROW))


def sign_outs_of_the_others() -> None:
    every_sign_out_of_the_others("row")


def sign_ins_beyond_the_limit() -> None:
    every_sign_in_beyond_the_limit("row")


def a_renewal_beside_a_refresh() -> None:
    in_every_order(RenewalAndRefresh("strict", *BOTH_IN_ROW))


A_MOMENT = Reply(429, b"", "3")


def a_session_that_aries_refuses() -> None:
    asking_for_one_session(A_MOMENT, 3)


def a_thousand_sessions_that_aries_refuses() -> None:
    asking_for_a_thousand_sessions(A_MOMENT)


def a_refused_session_in_a_small_deployment() -> None:
    refused_beside_served(1, 60, 60.0, 401)


def refused_sessions_in_a_larger_one() -> None:
    refused_beside_served(10, 200, 0.5, 429)


MUTANTS: list[tuple[Callable[[Patch], None], Callable[[], object]]] = [
    (lease_shorter_than_the_work, two_refreshes),
    (no_lease_margin, a_worker_stopped_at_its_very_end),
    (taking_a_lease_that_is_held, two_refreshes),
    (no_roll_forward, single),
    (looking_for_an_earlier_answer_once, a_put_that_is_read_a_moment_later),
    (believing_the_first_refusal, a_put_that_lands_before_the_last_look),
    (posting_again_where_no_answer_came, lambda: single("family")),
    (storing_under_a_version_that_no_fence_leads_to, single),
    (nothing_sealed_if_secrets_manager_refuses, a_secret_that_takes_no_more),
    (answering_what_is_not_committed, a_table_that_fails_at_the_commit),
    (saving_over_what_is_there, every_landing),
    (commit_without_the_fence, single_of_every_rotation),
    (reading_the_current_version, a_put_that_lands_late),
    (claiming_after_exchanging, two_callbacks),
    (a_late_retry_that_does_not_supersede, a_thief),
    (waiting_before_classifying, a_superseded_token_beside_a_refresh),
    (a_commit_that_adds, single),
    (releasing_the_lease_after_an_ambiguous_answer, lambda: single("family")),
    (looking_back_one_fence_only, two_deaths),
    (forgetting_that_aries_refused_a_session, a_session_that_aries_refuses),
    (telling_no_other_process_that_aries_refuses, a_thousand_sessions_that_aries_refuses),
    (letting_everybody_in_when_a_pause_is_over, a_thousand_sessions_that_aries_refuses),
    (no_end_of_a_pause, a_thousand_sessions_that_aries_refuses),
    (pausing_for_one_refusal, a_refused_session_in_a_small_deployment),
    (pausing_before_a_success_is_known, refused_sessions_in_a_larger_one),
    (sealing_under_the_committed_fence, single_in_the_row),
    (sealing_for_any_session, a_seal_in_the_row_of_another_session),
    (answering_before_the_one_write, single_in_the_row),
    (answering_although_the_session_has_ended, a_refresh_and_a_sign_out_in_the_row),
    (choosing_the_store_anew_at_a_refresh, two_refreshes_while_a_deployment_chooses_the_row),
    (choosing_the_store_anew_at_a_refresh, two_refreshes_while_a_deployment_chooses_secrets),
    (a_renewal_that_begins_a_grace, previous_tokens_beside_a_backend),
    (a_renewal_that_moves_a_hash, single_of_a_renewal),
    (a_renewal_that_looks_for_no_earlier_answer, single_of_a_renewal),
    (a_renewal_that_takes_any_stored_answer, a_stored_answer_that_is_over),
    (a_renewal_under_a_lease_that_is_held, a_renewal_beside_a_refresh),
    (a_renewals_lease_that_is_not_bound, every_late_lease),
    (no_proof_of_a_caller_without_a_token, a_caller_without_a_right),
    (the_item_after_the_row, redemptions_of_a_known_person),
    (the_item_after_the_row, a_redemption_beside_a_sign_out_of_the_others),
    (a_sign_out_that_reads_the_item_before_the_cut_off, a_redemption_beside_a_sign_out_of_the_others),
    (a_sign_out_without_a_cut_off, a_redemption_beside_a_sign_out_of_the_others),
    (a_cut_off_that_moves_back, sign_outs_of_the_others),
    (a_redemption_that_ignores_the_cut_off, a_redemption_beside_a_sign_out_of_the_others),
    (a_sign_out_of_active_sessions_alone, a_redemption_beside_a_sign_out_of_the_others),
    (a_limit_that_ends_the_newest, sign_ins_beyond_the_limit),
]


def mutant_names() -> list[str]:
    """Name every mutant, and its hunt too if it has several."""
    several = Counter(mutate for mutate, _ in MUTANTS)
    return [mutate.__name__ + (f" {hunt.__name__}" if several[mutate] > 1 else "") for mutate, hunt in MUTANTS]


@pytest.mark.parametrize(("mutate", "hunt"), MUTANTS, ids=mutant_names())
def test_a_mutant_is_caught(
    mutate: Callable[[Patch], None], hunt: Callable[[], object], numbers: Callable[[str], None]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        mutate(patch)
        with pytest.raises((Violation, AssertionError)) as caught:
            hunt()
    numbers(f"caught {mutate.__name__}: {caught.value}")


def test_a_refresh_makes_the_calls_that_the_hunts_count_by() -> None:
    broker = Broker()
    session = signed_in(broker)
    broker.seam.calls.clear()
    assert session.refresh().kind == "200"
    assert tuple(broker.seam.calls) == REFRESH


HUNTS = {hunt.__name__: hunt for _, hunt in MUTANTS if hunt.__name__ != "<lambda>"}


@pytest.mark.parametrize("hunt", HUNTS.values(), ids=HUNTS)
def test_the_real_code_passes_every_hunt(hunt: Callable[[], object]) -> None:
    hunt()
