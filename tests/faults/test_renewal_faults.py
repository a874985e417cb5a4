"""A renewal by a caller without a token, under every fault at every call, and what it leaves of the app's tokens (G9).

The caller's tokens have 600 seconds left and it asks for 3,600, so it renews. A fault that keeps it from renewing gets
it the committed access token, which still lives. The window of a renewal is that of a refresh, because both rotate the
tokens at Aries.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from oauth_broker.aries.transport import Reply
from oauth_broker.sessions.control_item import CACHE_SECONDS
from oauth_broker.sessions.not_before import EVERYONE
from oauth_broker.sessions.row import SignIn
from oauth_broker.sessions.session_secret import SessionSecret
from tests.faults.broker import (
    CLIENT,
    DISALLOWED,
    STORES,
    Broker,
    Result,
    Session,
    Store,
    Violation,
    in_turn,
    near_its_end,
    observe,
    settings_of,
    signed_in,
)
from tests.faults.seam import Fault, Kind
from tests.faults.test_refresh_faults import (
    MAX_DELAY,
    REFRESH,
    ROTATIONS,
    ROW_DELAYS,
    ROW_REFRESH,
    ROW_WINDOW,
    WINDOW,
    FaultRun,
    every_pair,
    every_single,
    recovers,
)
from tests.faults.test_refusals import gathering
from tests.support.deployment import GRACE
from tests.support.leases import LEASE_SECONDS
from tests.support.long import long_but

# The calls of a renewal in a process with empty caches: a look at the row and the proof, and then those of a refresh.
CALLS: dict[Store, tuple[str, ...]] = {
    "secrets": (REFRESH[0], "get_item", "get_secret_value", *REFRESH[1:]),
    "row": (ROW_REFRESH[0], "get_item", "decrypt", *ROW_REFRESH[1:]),
}
# Aries grants access tokens that live for so many seconds. A renewal is due when half of them are over.
SHORT_LIFE = 3
WINDOWS: dict[Store, set[str]] = {"secrets": WINDOW, "row": ROW_WINDOW}


def about_to_renew(rotation: str = "strict", store: Store = "secrets") -> tuple[Broker, Session]:
    broker = Broker(rotation, settings=settings_of(store))
    session = signed_in(broker)
    near_its_end(broker)
    broker.seam.calls.clear()
    broker.dynamodb.log.clear()
    return broker, session


def app_side(broker: Broker, session: Session) -> tuple[object, ...]:
    """Return all that a row holds of the app's tokens."""
    row = broker.row(session.session_id)
    assert row is not None
    return row.generation, row.handle_hash, row.previous_hash, row.rotated_at


def run(rotation: str, store: Store, time_left: float, faults: tuple[Fault, ...]) -> FaultRun:
    """Renew under faults, let the faults stop and the lease expire, renew and refresh, and check the guarantees."""
    broker, session = about_to_renew(rotation, store)
    broker.seam.faults = in_turn(faults)
    in_window = False
    before = app_side(broker, session)
    for _ in range(len(faults)):
        session.renew()
        session.renew()
        broker.let_pass(time_left)
        in_window = in_window or session.is_lost_at_aries
    if app_side(broker, session) != before:
        raise Violation("G9: a renewal changed a token of the app's")
    injected = tuple(broker.seam.injected)
    broker.seam.faults = {}
    renewed = session.renew().kind
    if renewed not in ("200", "invalid_grant"):
        raise Violation(f"G5: a renewal after all faults ended in {renewed}")
    lost = not recovers(broker, session)
    if renewed == "invalid_grant" and not lost:
        raise Violation("a renewal was refused for a session that lives")
    return FaultRun(injected, lost, in_window, broker.aries.refused_what_was_lost)


@pytest.mark.parametrize("time_left", long_but([LEASE_SECONDS], [LEASE_SECONDS, GRACE + LEASE_SECONDS]))
@pytest.mark.parametrize("rotation", long_but(["strict"], ROTATIONS))
@pytest.mark.parametrize("store", STORES)
def test_a_single_fault_of_a_renewal_loses_the_session_in_the_window_of_a_refresh_and_nowhere_else(
    numbers: Callable[[str], None], rotation: str, store: Store, time_left: float
) -> None:
    outcomes = every_single(range(MAX_DELAY), partial(run, rotation, store, time_left))
    window = WINDOWS[store]
    assert {outcome.name for outcome in outcomes if outcome.lost} == (set() if rotation == "grace" else window)
    assert {outcome.name for outcome in outcomes if outcome.in_window} == window
    assert all(outcome.excused for outcome in outcomes if outcome.lost)
    assert {outcome.name.partition(":")[0] for outcome in outcomes} == set(CALLS[store])
    lost = sum(outcome.lost for outcome in outcomes)
    numbers(f"renewal, {store}, {rotation}: {len(outcomes)} schedules of one fault, {lost} lost in the window")


@pytest.mark.parametrize(
    ("store", "rotation"),
    [
        *(pytest.param(store, "strict", marks=pytest.mark.long) for store in STORES),
        *(
            pytest.param(store, rotation, marks=pytest.mark.exhaustive)
            for store in STORES
            for rotation in ROTATIONS[1:]
        ),
    ],
)
def test_a_pair_of_faults_of_a_renewal_loses_the_session_in_that_window_and_nowhere_else(
    numbers: Callable[[str], None], store: Store, rotation: str
) -> None:
    outcomes = list(every_pair(ROW_DELAYS, partial(run, rotation, store, LEASE_SECONDS)))
    for outcome in outcomes:
        assert outcome.excused or not outcome.lost, outcome.name
    assert len(outcomes) > 500
    lost = sum(outcome.lost for outcome in outcomes)
    numbers(f"renewal, {store}, {rotation}: {len(outcomes)} schedules of two faults, {lost} lost in the window")


@pytest.mark.parametrize("store", STORES)
def test_a_renewal_makes_the_calls_of_a_refresh_after_a_look_and_the_proof(store: Store) -> None:
    broker, session = about_to_renew(store=store)
    assert session.renew().kind == "200"
    assert tuple(broker.seam.calls) == CALLS[store]


@pytest.mark.parametrize("store", STORES)
def test_a_token_that_lives_long_enough_costs_one_look_and_one_opening(store: Store) -> None:
    broker, session = about_to_renew(store=store)
    broker.warm_up()
    broker.seam.calls.clear()
    assert session.renew(300).kind == "200"
    assert broker.seam.calls == ["get_item", "get_secret_value" if store == "secrets" else "decrypt"]


@pytest.mark.parametrize("store", STORES)
def test_a_renewal_stops_no_replay_and_its_tokens_are_at_least_as_fresh(store: Store) -> None:
    broker = Broker(settings=settings_of(store), access_token_seconds=SHORT_LIFE)
    session = signed_in(broker)
    before = session.token
    refreshed = session.refresh(adopt=False)
    assert refreshed.answer is not None
    # Within the grace of the rotation, a renewal commits new tokens of Aries.
    broker.clock.time += 2
    asked = broker.seam.calls.count("Aries")
    assert session.renew().kind == "200"
    assert broker.seam.calls.count("Aries") == asked + 1
    again = session.refresh(before)
    assert again.answer is not None
    assert again.answer.refresh_token == refreshed.answer.refresh_token
    assert again.answer.secret.access_expires_at >= refreshed.answer.secret.access_expires_at
    assert again.answer.secret.access_token != refreshed.answer.secret.access_token


def polled_since_a_rotation(store: Store, seconds: int) -> tuple[Session, str, str]:
    """Rotate, and let a backend renew all the time for so long. Return also the previous token and the current one."""
    broker = Broker(settings=settings_of(store), access_token_seconds=SHORT_LIFE)
    session = signed_in(broker)
    previous = session.token
    assert session.refresh().kind == "200"
    broker.warm_up()
    rotated_at, asked = broker.clock.time, broker.seam.calls.count("Aries")
    while broker.clock.time < rotated_at + seconds:
        broker.clock.time = min(broker.clock.time + 2, rotated_at + seconds)
        assert session.renew().kind == "200"
    assert broker.seam.calls.count("Aries") - asked >= seconds // 2
    return session, previous, session.token


@pytest.mark.parametrize("store", STORES)
def test_a_previous_token_is_answered_again_only_within_the_grace_of_its_own_rotation(store: Store) -> None:
    previous_tokens_beside_a_backend(store)


def previous_tokens_beside_a_backend(store: Store = "secrets") -> None:
    """Present the previous token before the grace of its rotation ends, and after it (G8)."""
    session, previous, current = polled_since_a_rotation(store, GRACE - 1)
    again = session.refresh(previous, adopt=False)
    assert again.answer is not None
    assert again.answer.refresh_token is not None
    assert again.answer.refresh_token.reveal() == current
    session, previous, current = polled_since_a_rotation(store, GRACE + 1)
    late = session.refresh(previous)
    if late.answer and session.token == current:
        raise Violation("G8: a previous token was answered again after the grace of its rotation")
    assert late.kind == "200"
    assert session.refresh(current).kind == "invalid_grant"


@pytest.mark.parametrize(("with_refresh", "most"), [(False, 1), (True, 2)])
@pytest.mark.parametrize("store", STORES)
def test_fifty_renewals_at_once_are_one_call_to_aries_and_with_a_refresh_of_the_app_at_most_two(
    store: Store, most: int, *, with_refresh: bool
) -> None:
    broker, clock, (session,) = gathering(1, settings_of(store))
    near_its_end(broker)
    broker.seam.calls.clear()
    callers = [replace(session, broker=broker.another_process()) for _ in range(50)]
    results: list[Result] = []
    works: list[tuple[float, Callable[[], None]]] = []
    works += [(index / 100, partial(_renewing, caller, results)) for index, caller in enumerate(callers)]
    if with_refresh:
        works.append((0.15, lambda: results.append(session.refresh())))
    clock.run(works)
    assert [result.kind for result in results] == ["200"] * len(works)
    assert 1 <= broker.seam.calls.count("Aries") <= most
    if not with_refresh:
        assert len({result.tokens.access_token.reveal() for result in results if result.tokens}) == 1
    assert recovers(broker, session)


def _renewing(caller: Session, results: list[Result]) -> None:
    results.append(caller.renew())


def after_a_lease_that_lands_again(store: Store, delay: int) -> str:
    """Let the renewal's request for the lease land once more after so many calls, and refresh. Return the answer."""
    broker, session = about_to_renew(store=store)
    broker.seam.faults = in_turn([Fault(CALLS[store].index("update_item") + 1, Kind.AGAIN, delay)])
    session.renew()
    broker.seam.land_all()
    return session.refresh().kind


def every_late_lease() -> None:
    """A lease that lands late has no worker, so it must not be taken."""
    for store in STORES:
        for delay in range(len(CALLS[store]) + 1):
            kind = after_a_lease_that_lands_again(store, delay)
            if kind != "200":
                raise Violation(f"a lease without a worker held the app up: {kind}, {store}, {delay} calls later")


def test_a_lease_that_lands_once_more_holds_nobody_up() -> None:
    every_late_lease()


OTHER = replace(CLIENT, client_id="other")


def a_caller_without_a_right() -> None:
    """Ask with a false proof, as another app, and for a scope that was taken away: nobody gets a token, or writes."""
    for store in STORES:
        for enough in (300, 3600):
            broker, session = about_to_renew(store=store)
            writes = broker.dynamodb.writes
            for refused in (
                session.renew(enough, is_proof_of=lambda secret: False),
                session.renew(enough, client=OTHER),
                # Without the proof, not even a lost scope ends the session.
                session.renew(enough, client=DISALLOWED, is_proof_of=lambda secret: False),
            ):
                if refused.kind != "invalid_grant":
                    raise Violation(f"a caller without a right was answered {refused.kind}")
            if broker.dynamodb.writes != writes or "Aries" in broker.seam.calls:
                raise Violation("a caller without a right wrote the row, or had Aries asked")
            if session.renew(enough).kind != "200" or not recovers(broker, session):
                raise Violation("a caller without a right ended a session")


def test_a_caller_without_a_right_gets_nothing_and_writes_nothing() -> None:
    a_caller_without_a_right()


@pytest.mark.parametrize("store", STORES)
def test_a_lost_scope_ends_the_session_at_a_renewal_too(store: Store) -> None:
    broker, session = about_to_renew(store=store)
    assert session.renew(client=DISALLOWED).kind == "invalid_grant"
    row = broker.row(session.session_id)
    assert row is not None
    assert row.status == "dead"
    assert session.refresh().kind == "invalid_grant"


@pytest.mark.parametrize("store", STORES)
def test_a_session_of_before_a_mass_sign_out_is_not_renewed(store: Store) -> None:
    broker, session = about_to_renew(store=store)
    everyone = {"N": str(int(broker.clock.time))}
    broker.control_table.items["cut-offs"] = {"session_id": {"S": "cut-offs"}, EVERYONE: everyone}
    broker.clock.time += CACHE_SECONDS + 1
    assert session.renew(300).kind == "invalid_grant"


def without_a_client_secret(broker: Broker, session: Session) -> Result:
    return session.renew(via=broker.another_process(replace(broker.settings, aries_client_secret_arn="")))


def without_refresh_for_the_app(broker: Broker, session: Session) -> Result:
    return session.renew(client=replace(CLIENT, may_refresh=False))


def without_a_refresh_token_of_aries(broker: Broker, session: Session) -> Result:
    committed = broker.store.committed

    def without(row: SignIn) -> SessionSecret:
        return replace(committed(row), refresh_token=None)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(broker.store, "committed", without)
        return observe(lambda: broker.access(CLIENT, session.session_id, 3600, session.has_key, broker.invocation()))


@pytest.mark.parametrize(
    "ask", [without_a_client_secret, without_refresh_for_the_app, without_a_refresh_token_of_aries]
)
@pytest.mark.parametrize("store", STORES)
def test_a_session_that_cannot_be_renewed_is_served_while_its_token_lives_and_takes_no_lease(
    store: Store, ask: Callable[[Broker, Session], Result]
) -> None:
    broker, session = about_to_renew(store=store)
    writes = broker.dynamodb.writes
    assert ask(broker, session).kind == "200"
    broker.clock.time += 600
    assert ask(broker, session).kind == "invalid_grant"
    assert broker.dynamodb.writes == writes
    assert recovers(broker, session)


@pytest.mark.parametrize(
    ("call", "kind", "number"),
    [
        # The request tries again for one lease.
        ("update_item", Kind.APPLIED, 1),
        # Aries declines for a moment: the request gives its lease back, and takes another.
        ("Aries", Kind.REFUSED, 2),
    ],
)
def test_the_tries_for_one_lease_have_one_id_and_the_next_lease_has_another(call: str, kind: Kind, number: int) -> None:
    broker, session = about_to_renew()
    ids = []
    update_item = broker.dynamodb.update_item

    def noting(**parameters: Any) -> Any:
        if "ADD fence" in parameters["UpdateExpression"]:
            ids.append(parameters["ExpressionAttributeValues"][":lease_id"]["S"])
        return update_item(**parameters)

    broker.dynamodb.update_item = noting  # type: ignore[method-assign]
    broker.seam.faults = in_turn([Fault(CALLS["secrets"].index(call) + 1, kind)])
    assert session.renew().kind == "200"
    assert (len(ids), len(set(ids))) == (2, number)


@pytest.mark.parametrize("delay", range(MAX_DELAY))
@pytest.mark.parametrize("store", STORES)
def test_a_lease_that_was_given_back_once_more_later_takes_no_other_away(store: Store, delay: int) -> None:
    at = CALLS[store].index("Aries") + 1
    outcome = run("strict", store, LEASE_SECONDS, (Fault(at, Kind.REFUSED), Fault(at + 1, Kind.AGAIN, delay)))
    assert [kind for _, kind in outcome.injected] == [Kind.REFUSED, Kind.AGAIN]
    assert not outcome.lost


def with_a_stored_answer(seconds: int, *, redeemed_after: int = 0) -> tuple[Broker, Session]:
    """Let Aries grant tokens for so long, and let a renewal for a caller die after it stored new ones."""
    broker = Broker(access_token_seconds=seconds)
    session = signed_in(broker, redeemed_after=redeemed_after)
    broker.clock.time += seconds
    broker.seam.calls.clear()
    broker.seam.faults = in_turn([Fault(CALLS["secrets"].index("put_secret_value") + 1, Kind.DIES_AFTER)])
    assert session.renew(300).kind == "died"
    broker.seam.faults = {}
    assert broker.seam.calls.count("Aries") == 1
    return broker, session


@pytest.mark.parametrize("life_over", [0.2, 0.4])
@pytest.mark.parametrize("reply", [None, Reply(429, b"")], ids=["served", "429"])
def test_a_stored_answer_with_more_than_half_of_its_life_serves_without_another_call(
    reply: Reply | None, life_over: float
) -> None:
    """The life is shorter than the caller asks for."""
    broker, session = with_a_stored_answer(250)
    # The lease has expired, and the committed token is over.
    broker.clock.time += 250 * life_over
    broker.refusals.reply = reply
    assert session.renew(300).kind == "200"
    assert broker.seam.calls.count("Aries") == 1
    broker.refusals.reply = None
    assert recovers(broker, session)


@pytest.mark.parametrize(
    ("seconds", "redeemed_after", "life_over"),
    [
        (250, 0, 0.6),
        (3600, 0, 0.95),
        # The answer is over.
        (3600, 0, 1.02),
        # The app redeemed its code after the first tokens were over.
        (30, 50, 1.3),
        (30, 50, 1.7),
    ],
)
def test_a_stored_answer_with_less_is_renewed_however_late_the_code_was_redeemed(
    seconds: int, redeemed_after: int, life_over: float
) -> None:
    after_a_stored_answer(seconds, redeemed_after, life_over)


def after_a_stored_answer(seconds: int, redeemed_after: int, life_over: float) -> None:
    """Let so much of the stored answer's life go by, and renew: Aries must be asked again."""
    broker, session = with_a_stored_answer(seconds, redeemed_after=redeemed_after)
    broker.clock.time += max(seconds * life_over, LEASE_SECONDS)
    renewed = session.renew(300).tokens
    if renewed is None or renewed.access_expires_at != int(broker.clock.time) + seconds:
        raise Violation("a caller was answered with a token that had lived too long")
    assert broker.seam.calls.count("Aries") == 2
    assert recovers(broker, session)


def a_stored_answer_that_is_over() -> None:
    """A worker died after it stored an answer, and nobody came before the answer was over."""
    after_a_stored_answer(3600, 0, 1.02)


@pytest.mark.parametrize("store", STORES)
def test_a_late_commit_makes_no_access_token_look_younger(store: Store) -> None:
    """An app that redeems late commits an old token: half of its life is over all the same."""
    broker = Broker(settings=settings_of(store), access_token_seconds=600)
    session = signed_in(broker, redeemed_after=50)
    broker.clock.time += 600 - 50 - (GRACE + 1) - 299
    assert session.renew(300).tokens is not None
    assert broker.seam.calls.count("Aries") == 2


@pytest.mark.parametrize("reply", [Reply(429, b""), Reply(401, b"{}"), Reply(503, b"")], ids=["429", "401", "503"])
@pytest.mark.parametrize("store", STORES)
def test_a_renewal_that_cannot_be_had_is_answered_with_the_token_that_still_lives(store: Store, reply: Reply) -> None:
    broker, session = about_to_renew(store=store)
    committed = broker.committed(session.session_id)
    broker.refusals.reply = reply
    assert session.renew().tokens == committed
    # Now nothing lives any more.
    broker.clock.time += 600
    assert session.renew().kind == "503"
    broker.refusals.reply = None
    broker.clock.time += LEASE_SECONDS
    assert session.renew().tokens == broker.committed(session.session_id) != committed
    assert recovers(broker, session)
