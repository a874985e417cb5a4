"""Fifty threads use one session over real HTTP, against four real processes.

The table is moto's, behind moto's lock, and then MiniStack's, with conditional writes atomic by themselves. If
``DYNAMODB_LOCAL_URL`` names an Amazon DynamoDB Local, the tests run on it too. On MiniStack's, they run once more with
the tokens sealed in the row, in fewer rounds. Every round proves:

- fifty refreshes with one token make one call to Aries and get the same tokens, under one new generation. Aries never
  has two calls at once (G1, G2);
- fifty callbacks of one browser exchange one code, seal or store its tokens once, and get the same redirect;
- fifty redemptions of one code make one session, and 49 of them get ``invalid_grant``;
- a refresh sent after the answer to a sign-out never gets tokens (G3).

The processes share nothing but AWS and Aries. After a 503, a thread repeats its request as an app does; the numbers
tell how often. Run with ``-s`` to see the numbers.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Barrier
from typing import TypeVar

import pytest

from tests.faults.broker import Store
from tests.faults.processes import RealWorld, ministack
from tests.support.deployment import GRACE
from tests.support.world import Answer, Phone, generation_of

pytestmark = pytest.mark.long

T = TypeVar("T")

THREADS = 50
PROCESSES = 4
ROUNDS: dict[Store, int] = {"secrets": 30, "row": 10}
SIGN_OUTS: dict[Store, int] = {"secrets": 10, "row": 4}
# An app repeats a request for so long after a 503; a worker by itself waits for six seconds.
PATIENCE_SECONDS = 30
# Without the variable, these tests do not exist; no test is skipped.
DYNAMODB_LOCAL = [name for name in ("DYNAMODB_LOCAL_URL",) if os.environ.get(name)]
TABLES: list[tuple[str, Store]] = [
    *((table, "secrets") for table in ("moto", "MiniStack", *DYNAMODB_LOCAL)),
    ("MiniStack", "row"),
]


@pytest.fixture(
    scope="module", params=TABLES, ids=[table if store == "secrets" else f"{table}-{store}" for table, store in TABLES]
)
def real(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealWorld]:
    table, store = request.param
    folder: Path = tmp_path_factory.mktemp("processes")
    with ExitStack() as running:
        url: str | None = None
        if table == "MiniStack":
            url = running.enter_context(ministack(folder))
        elif table in DYNAMODB_LOCAL:
            url = os.environ[table]
        yield running.enter_context(RealWorld(folder, processes=PROCESSES, store=store, dynamodb_url=url))


@pytest.fixture(scope="module")
def crowd() -> Iterator[Crowd]:
    with ThreadPoolExecutor(THREADS) as pool:
        yield Crowd(pool)


@dataclass
class Crowd:
    """Fifty threads start together. ``unavailable`` counts the repetitions after a 503."""

    pool: ThreadPoolExecutor
    unavailable: int = 0

    def at_once(self, act: Callable[[int], T]) -> list[T]:
        barrier = Barrier(THREADS)

        def start(index: int) -> T:
            barrier.wait(60)
            return act(index)

        return list(self.pool.map(start, range(THREADS)))

    def patiently(self, act: Callable[[], Answer]) -> Answer:
        """Act, and repeat while the answer is 503."""
        answer, until = act(), time.monotonic() + PATIENCE_SECONDS
        while answer.status == 503 and time.monotonic() < until:
            self.unavailable += 1
            time.sleep(0.5)
            answer = act()
        return answer


def tokens_in(answer: Answer) -> tuple[str, str, str]:
    """Return the members that must be identical. ``expires_in`` counts down, so it is left out."""
    return answer.json["access_token"], answer.json["refresh_token"], answer.json["scope"]


def assert_one_store(real: RealWorld) -> None:
    """Check that the sessions have touched one store. A sealed session has no secret, and the other way round."""
    sealed = any("sealed" in row for row in real.rows())
    assert (sealed, bool(real.session_secrets())) == (real.store == "row", real.store == "secrets")


def report(what: str, rounds: int, started: float, crowd: Crowd) -> None:
    print(f"\n{what}: {rounds} rounds of {THREADS}, {crowd.unavailable} times 503, {time.monotonic() - started:.1f} s")
    crowd.unavailable = 0


def test_fifty_refreshes_at_once_are_one_call_to_aries_and_fifty_identical_answers(
    real: RealWorld, crowd: Crowd
) -> None:
    started, phone, rounds = time.monotonic(), real.signed_in(), ROUNDS[real.store]
    for round_number in range(rounds):
        real.moved.advance(GRACE + 1)
        before, token = real.aries.refresh_calls, phone.refresh_token

        def refresh(index: int, token: str = token) -> Answer:
            function = "refresh" if index % 2 else "token"
            # Each of the four processes gets calls to both functions.
            return crowd.patiently(lambda: replace(phone).refresh(token, function=function, via=index // 2))

        answers = crowd.at_once(refresh)
        assert [answer.status for answer in answers] == [200] * THREADS
        assert len({tokens_in(answer) for answer in answers}) == 1
        assert real.aries.refresh_calls == before + 1
        assert real.aries.max_in_flight() == 1
        phone.refresh_token = answers[0].json["refresh_token"]
        assert generation_of(phone.refresh_token) == round_number + 2
        assert phone.refresh().json["access_token"] == answers[0].json["access_token"]
    assert_one_store(real)
    report("refresh", rounds, started, crowd)


def test_fifty_callbacks_are_one_exchange_and_fifty_redemptions_one_session(real: RealWorld, crowd: Crowd) -> None:
    started, ended, rounds = time.monotonic(), 0, ROUNDS[real.store]
    for _ in range(rounds):
        phone = real.phone()
        query = phone.approve(phone.authorize())
        exchanged = real.aries.code_calls

        def come_back(index: int, phone: Phone = phone, query: str = query) -> Answer:
            return crowd.patiently(lambda: phone.callback(query, via=index))

        redirects = crowd.at_once(come_back)
        assert [redirect.status for redirect in redirects] == [302] * THREADS
        assert len({redirect.location for redirect in redirects}) == 1
        assert real.aries.code_calls == exchanged + 1
        code = redirects[0].query["code"]

        def redeem(_: int, phone: Phone = phone, code: str = code) -> Answer:
            return crowd.patiently(lambda: replace(phone).redeem(code))

        answers = crowd.at_once(redeem)
        (winner,) = [answer for answer in answers if answer.status == 200]
        assert {answer.json["error"] for answer in answers if answer is not winner} == {"invalid_grant"}
        assert real.aries.code_calls == exchanged + 1
        # A redemption after the successful one ends the session (RFC 6749 section 4.1.2); a simultaneous one does not.
        status = phone.row()["status"]
        assert status in ("active", "dead")
        ended += status == "dead"
        phone.refresh_token = winner.json["refresh_token"]
        assert phone.refresh().status == (200 if status == "active" else 400)
    assert_one_store(real)
    report(f"callback and redeem ({ended} sessions ended by a late redemption)", 2 * rounds, started, crowd)


def sign_out_against_refreshes(real: RealWorld, crowd: Crowd, phone: Phone, pause: float) -> tuple[int, int]:
    """Sign out after ``pause`` seconds, while 49 threads refresh until refused; returns (refreshed, refused)."""
    token, signed_out = phone.refresh_token, [float("inf")]

    def refresh_until_refused() -> list[tuple[float, Answer]]:
        answers: list[tuple[float, Answer]] = []
        while not answers or (answers[-1][1].status == 200 and answers[-1][0] < signed_out[0]):
            sent_at = time.monotonic()
            answers.append((sent_at, crowd.patiently(lambda: replace(phone).refresh(token))))
        return answers

    def sign_out() -> list[tuple[float, Answer]]:
        time.sleep(pause)
        assert crowd.patiently(lambda: phone.revoke(token)).status == 200
        signed_out[0] = time.monotonic()
        return []

    answered = crowd.at_once(lambda index: refresh_until_refused() if index else sign_out())
    seen = [entry for answers in answered for entry in answers]
    refreshed = [sent_at for sent_at, answer in seen if answer.status == 200]
    refused = [answer for _, answer in seen if answer.status == 400 and answer.json["error"] == "invalid_grant"]
    assert all(sent_at < signed_out[0] for sent_at in refreshed)
    assert len(refused) == THREADS - 1
    return len(refreshed), len(refused)


def test_a_refresh_sent_after_a_sign_out_was_answered_gets_no_tokens(real: RealWorld, crowd: Crowd) -> None:
    started, refreshed, refused, rounds = time.monotonic(), 0, 0, SIGN_OUTS[real.store]
    for round_number in range(rounds):
        phone = real.signed_in()
        real.moved.advance(GRACE + 1)
        before = real.aries.refresh_calls
        # Each round signs out a little later among the refreshes.
        counts = sign_out_against_refreshes(real, crowd, phone, pause=round_number * 0.05)
        refreshed, refused = refreshed + counts[0], refused + counts[1]
        assert real.aries.refresh_calls <= before + 1
        assert phone.row()["status"] == "revoked"
    report(f"sign-out against refresh ({refreshed} refreshed, {refused} refused)", rounds, started, crowd)
