"""Aries refuses to serve: the tests count the calls of one session and of a thousand, and watch the other sessions.

Every session has a process of its own here, with no memory of the others' refusals. The table alone bounds the calls.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from math import ceil

import pytest

from oauth_broker.aries.transport import Reply
from oauth_broker.config.settings import Settings
from oauth_broker.sessions.control_item import CACHE_SECONDS
from tests.faults.broker import SETTINGS, Broker, Session
from tests.faults.test_storm import Concurrent, signed_in
from tests.support.deployment import GRACE
from tests.support.lambda_context import FUNCTION_SECONDS
from tests.support.leases import LEASE_SECONDS
from tests.support.long import long

SESSIONS = 1000
MOST_CALLS_A_SECOND = 20
# Aries refuses for SECONDS. An app that ignores Retry-After asks again after RUDE_PAUSE seconds.
SECONDS = 30
RUDE_PAUSE = 2.0
# The longest pause for everybody, and as long again for a refused session itself.
LONGEST_PAUSE = 20
# In this harness, a call let in just before a pause reaches Aries this much later at most.
MOST_SECONDS_OF_A_CALL = 0.1

REFUSALS = {
    "429": Reply(429, b""),
    "429 for 3 seconds": Reply(429, b"", "3"),
    "429 for a minute": Reply(429, b"", "60"),
    "401": Reply(401, b'{"error":"invalid_client"}'),
    "401 for 5 seconds": Reply(401, b"{}", "5"),
}


def gathering(sessions: int, settings: Settings = SETTINGS) -> tuple[Broker, Concurrent, list[Session]]:
    """Return sessions ready to refresh, each in a process of its own."""
    broker, clock = Broker("strict", settings=settings), Concurrent()
    broker.clock = clock
    broker.refusals.now = clock.now
    broker._compose()
    found = [signed_in(broker) for _ in range(sessions)]
    for session in found:
        session.broker = broker.another_process()
    clock.time += GRACE + 1
    # Every call takes a moment, so workers run side by side.
    broker.seam.switch = lambda: clock.sleep(0.02)
    return broker, clock, found


def insisting(session: Session, clock: Concurrent, until: float, told: list[float] | None = None) -> Callable[[], None]:
    """Return the work of an app: it asks again and again, and does not wait as long as ``told``."""

    def work() -> None:
        while (result := session.refresh()).kind == "503" and clock.now() < until:
            if told is not None:
                told.append(max(1, ceil(result.retry_after)))
            clock.sleep(RUDE_PAUSE)

    return work


@pytest.mark.long
@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
def test_a_thousand_sessions_leave_an_aries_that_refuses_alone_and_are_all_served_when_it_is_well(
    numbers: Callable[[str], None], refusal: Reply
) -> None:
    early, late = asking_for_a_thousand_sessions(refusal)
    numbers(f"{SESSIONS} sessions: Aries was asked {early} times in {CACHE_SECONDS} s, then {late} times in {SECONDS}")


def asking_for_a_thousand_sessions(refusal: Reply) -> tuple[int, int]:
    """Let all sessions ask again and again; return the number of calls to Aries in the first seconds, and later."""
    broker, clock, sessions = gathering(SESSIONS)
    broker.refusals.reply = refusal
    began = clock.now()
    told: list[float] = []
    clock.run([(index / SESSIONS, insisting(it, clock, began + SECONDS, told)) for index, it in enumerate(sessions)])
    # An app must wait as long as Aries asks, or as long as a pause because of other sessions lasts.
    assert 0 < min(told) <= max(told) <= max(LONGEST_PAUSE, float(refusal.retry_after or 0))
    # All processes know of the pause five seconds after the fifth refusal.
    known_at = broker.refusals.answered_at[4] + CACHE_SECONDS + MOST_SECONDS_OF_A_CALL
    early = sum(at < known_at for at in broker.refusals.answered_at)
    late = Counter(int(at - known_at) for at in broker.refusals.answered_at if at >= known_at)
    # A session asks once in each pause that Aries wants, and such a pause takes two seconds or more.
    assert SESSIONS <= early <= SESSIONS * (1 + CACHE_SECONDS / 2)
    assert max(late.values(), default=0) <= MOST_CALLS_A_SECOND

    broker.refusals.reply = None
    # This is longer than Aries asked any session to wait.
    clock.time += 60
    well_since = clock.now()
    before = broker.seam.calls.count("Aries")
    clock.run([(index / SESSIONS, insisting(it, clock, well_since + 120)) for index, it in enumerate(sessions)])
    assert all(session.token.split(".")[1] == "2" for session in sessions)
    assert broker.seam.calls.count("Aries") - before == SESSIONS
    assert clock.now() - well_since < 3 * CACHE_SECONDS
    return early, sum(late.values())


@pytest.mark.parametrize(
    ("refusal", "seconds"),
    list(zip(REFUSALS.values(), [2, 3, 60, 10, 5], strict=True)),
    ids=REFUSALS,
)
def test_fifty_refreshes_at_once_of_one_session_ask_aries_once_in_the_time_that_it_wants(
    refusal: Reply, seconds: int
) -> None:
    asking_for_one_session(refusal, seconds)


def asking_for_one_session(refusal: Reply, seconds: int) -> None:
    """Let fifty requests ask again and again for one session; Aries refuses it for ``seconds`` each time."""
    broker, clock, (session,) = gathering(1)
    broker.refusals.reply = refusal
    began = clock.now()
    alike = [Session(broker.another_process(), session.session_id, session.token) for _ in range(50)]
    told: list[float] = []
    clock.run([(index / 50, insisting(it, clock, began + SECONDS, told)) for index, it in enumerate(alike)])
    # An app waits for the rest of Aries' pause, or for the rest of the asking worker's lease.
    assert 0 < min(told) <= max(told) <= max(LEASE_SECONDS, seconds)
    asked = broker.refusals.answered_at
    assert 1 <= len(asked) <= (clock.now() - began) / seconds + 1
    assert all(later - sooner >= seconds for sooner, later in pairwise(asked))


@pytest.mark.parametrize(
    ("refused", "served", "every", "status"),
    [
        # Fewer than five refused sessions pause nobody, however rarely others come.
        *long((1, 60, 60.0, 429), (1, 60, 60.0, 401), (1, 100, 10.0, 429), (4, 60, 60.0, 429)),
        # More refused sessions pause nobody either, as long as Aries serves somebody every few seconds.
        (5, 200, 0.5, 401),
        *long((5, 200, 0.5, 429), (10, 200, 0.5, 429), (20, 400, 0.1, 429)),
    ],
)
def test_sessions_that_aries_refuses_for_reasons_of_their_own_hold_up_nobody_else(
    refused: int, served: int, every: float, status: int
) -> None:
    """Aries may answer 401 or 429 because of one person's grant; its documents do not say."""
    refused_beside_served(refused, served, every, status)


def refused_beside_served(refused: int, served: int, every: float, status: int) -> None:
    """Let the sessions that Aries always refuses insist, while served sessions ask one after the other."""
    broker, clock, sessions = gathering(refused + served)
    broken = sessions[:refused]
    tokens = set()
    for session in broken:
        committed = broker.committed(session.session_id)
        assert committed is not None
        assert committed.refresh_token is not None
        tokens.add(committed.refresh_token.reveal())
    broker.refusals.reply = Reply(status, b"{}")
    broker.refusals.applies = lambda request: request.get("refresh_token") in tokens
    kinds: Counter[str] = Counter()

    def one(session: Session) -> Callable[[], None]:
        def work() -> None:
            kinds[session.refresh().kind] += 1

        return work

    ends = clock.now() + every * served
    works = [(0.01 * index, insisting(session, clock, ends)) for index, session in enumerate(broken)]
    works += [(every * index, one(session)) for index, session in enumerate(sessions[refused:])]
    clock.run(works)
    assert len(broker.refusals.answered_at) > 2 * refused
    assert kinds == {"200": served}


@pytest.mark.parametrize("is_known", [True, False], ids=["a refusal is known", "no refusal is known"])
def test_an_app_gets_its_tokens_in_time_however_slow_every_call_is(is_known: bool) -> None:
    broker, clock, (session, other) = gathering(2)
    broker.seam.switch = lambda: None
    if is_known:
        broker.refusals.reply = REFUSALS["401"]
        other.refresh()
        broker.refusals.reply = None
    process = session.broker = broker.another_process()
    process.warm_up()
    slow = {"Aries": 9.9, "update_item": 5.5, "put_secret_value": 5.5, "cut-offs update_item": 5.5}
    call = broker.seam.call

    def slowly(name: str, effect: Callable[[], object]) -> object:
        found = call(name, effect)
        clock.time += slow.get(name, 1)
        return found

    broker.seam.call = slowly  # type: ignore[method-assign]
    began = clock.now()
    assert session.refresh().kind == "200"
    assert clock.now() - began < FUNCTION_SECONDS
