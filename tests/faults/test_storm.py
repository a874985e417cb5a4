"""A market opens: a thousand sessions refresh at once while Secrets Manager takes few writes, and then no more.

The real operations run over AWS in memory, in virtual time. Secrets Manager takes 50 writes a second in the first
seconds, and no write in the minute after them. The test proves (case 41c): all thousand apps get tokens, with one call
to Aries each. The broker seals every refused secret into its row. During the outage, a repeated request gets the
identical answer from there. The next refresh replaces the sealed secrets, and leaves nothing in any row.

Three hundred sessions in the row refresh at once too, while KMS takes 120 requests a second, and then none. If the
outage is shorter than a function's run, no session is lost. If it is longer, the lost sessions are those that Aries had
answered: KMS refused every seal of them until the function's end. All others wait for KMS, and go on.

Every call takes time, so all workers run side by side: each is a thread, one thread runs at a time, and the clock
jumps to the next one to wake up. Every run is the same. Run with ``-s`` to see the numbers.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from threading import Semaphore, Thread, current_thread
from typing import Any

import pytest
from botocore.exceptions import ClientError

from oauth_broker.aries.client import ARIES_CALL_SECONDS
from oauth_broker.runtime.aws import AWS_CALL_SECONDS
from oauth_broker.secret import session_digest
from tests.faults.aws import MemoryKms, MemorySecretsManager
from tests.faults.broker import SETTINGS, Broker, Browser, Result, Session, code_in, settings_of
from tests.support.client_error import client_error
from tests.support.clock import VirtualClock
from tests.support.deployment import GRACE
from tests.support.lambda_context import FUNCTION_SECONDS

SESSIONS = 1000
WRITES_A_SECOND = 50
OUTAGE_STARTS = 3.0
OUTAGE_SECONDS = 60.0
AWS_SECONDS = (0.004, 0.03)
ARIES_SECONDS = (0.05, 0.4)
MOST_TRIES = 20
SESSIONS_IN_ROW = 300
KMS_REQUESTS_A_SECOND = 120
KMS_OUTAGE_STARTS = 1.5


class Concurrent(VirtualClock):
    """A clock for many workers: a sleeping worker lets others go on, and time passes once all workers sleep."""

    def __init__(self) -> None:
        super().__init__()
        self._order = itertools.count()
        self._due: list[tuple[float, int, Semaphore]] = []
        self._workers: dict[Thread, Semaphore] = {}
        self._hub = Semaphore(0)

    def sleep(self, seconds: float) -> None:
        turn = self._workers.get(current_thread())
        if turn is None:
            self.time += seconds
            return
        heapq.heappush(self._due, (self.time + seconds, next(self._order), turn))
        self._hub.release()
        turn.acquire()

    def run(self, works: list[tuple[float, Callable[[], None]]]) -> None:
        """Run all works side by side until all have ended. Each one starts after its number of seconds."""
        failures: list[BaseException] = []

        def start(work: Callable[[], None], turn: Semaphore) -> None:
            turn.acquire()
            try:
                work()
            except BaseException as failure:  # noqa: BLE001 - raised below, in the test's own thread
                failures.append(failure)
            self._hub.release()

        for seconds, work in works:
            turn = Semaphore(0)
            thread = Thread(target=start, args=(work, turn), daemon=True)
            self._workers[thread] = turn
            heapq.heappush(self._due, (self.time + seconds, next(self._order), turn))
            thread.start()
        while self._due:
            time, _, turn = heapq.heappop(self._due)
            self.time = max(self.time, time)
            turn.release()
            self._hub.acquire()
        for thread in self._workers:
            thread.join()
        self._workers.clear()
        if failures:
            raise failures[0]


class LimitedSecretsManager(MemorySecretsManager):
    """Takes ``WRITES_A_SECOND``, and no write in the outage. ``taken`` and ``refused`` count the writes."""

    def __init__(self, unlimited: MemorySecretsManager, clock: VirtualClock) -> None:
        super().__init__()
        self.secrets, self.current = unlimited.secrets, unlimited.current
        self._clock = clock
        self._in_second: Counter[int] = Counter()
        self.storm_starts = float("inf")
        self.taken = self.refused = self.refused_in_outage = 0

    def put_secret_value(self, **parameters: Any) -> Any:
        since = self._clock.now() - self.storm_starts
        in_outage = OUTAGE_STARTS <= since < OUTAGE_STARTS + OUTAGE_SECONDS
        second = int(self._clock.now())
        if in_outage or self._in_second[second] >= WRITES_A_SECOND:
            self.refused += 1
            self.refused_in_outage += in_outage
            raise client_error("InternalServiceError" if in_outage else "ThrottlingException")
        self._in_second[second] += 1
        self.taken += 1
        return super().put_secret_value(**parameters)


class LimitedKms(MemoryKms):
    """Takes ``KMS_REQUESTS_A_SECOND``, and none in an outage. ``refused`` has the times of the refused seals."""

    def __init__(self, clock: VirtualClock, outage_seconds: float) -> None:
        super().__init__()
        self._clock = clock
        self._in_second: Counter[int] = Counter()
        self.outage_seconds = outage_seconds
        self.storm_starts = float("inf")
        self.throttled = 0
        # By the digest of the session.
        self.refused: defaultdict[str, list[float]] = defaultdict(list)

    def encrypt(self, *, EncryptionContext: dict[str, str], **parameters: Any) -> Any:  # noqa: N803
        try:
            self._admit()
        except ClientError:
            self.refused[EncryptionContext["session"]].append(self._clock.now())
            raise
        self.refused.pop(EncryptionContext["session"], None)
        return super().encrypt(EncryptionContext=EncryptionContext, **parameters)

    def decrypt(self, **parameters: Any) -> Any:
        self._admit()
        return super().decrypt(**parameters)

    def _admit(self) -> None:
        since = self._clock.now() - self.storm_starts
        if since < 0:
            return
        second = int(self._clock.now())
        if KMS_OUTAGE_STARTS <= since < KMS_OUTAGE_STARTS + self.outage_seconds:
            raise client_error("KMSInternalException")
        if self._in_second[second] >= KMS_REQUESTS_A_SECOND:
            self.throttled += 1
            raise client_error("ThrottlingException")
        self._in_second[second] += 1


@dataclass
class Storm:
    """The broker and its thousand sessions. ``unavailable`` counts the 503s."""

    broker: Broker
    clock: Concurrent
    sessions: list[Session]
    # An app repeats its request so long after a 503.
    pause: float = 2
    unavailable: int = 0

    def refreshed(self, index: int) -> Result:
        """Refresh as an app does, and repeat after a 503."""
        for _ in range(MOST_TRIES):
            result = self.sessions[index].refresh()
            if result.kind != "503":
                return result
            self.unavailable += 1
            self.clock.sleep(self.pause)
        raise AssertionError("an app was kept waiting for too long")

    def wave(self, refresh: Callable[[int], Result], spread: float) -> list[Result]:
        """Let all apps act within ``spread`` seconds, each with its number; returns their results in order."""
        results: list[Result] = [Result("died")] * len(self.sessions)

        def work_of(index: int) -> Callable[[], None]:
            def work() -> None:
                results[index] = refresh(index)

            return work

        starts = [spread * index / len(self.sessions) for index in range(len(self.sessions))]
        self.clock.run([(start, work_of(index)) for index, start in enumerate(starts)])
        return results

    @property
    def escrowed(self) -> int:
        return sum("escrow" in item for item in self.broker.dynamodb.items.values())


def gathering(broker: Broker, clock: Concurrent, apps: int) -> Storm:
    """Let so many apps sign in to this broker."""
    broker.clock = clock
    broker._compose()
    sessions = [signed_in(broker) for _ in range(apps)]
    clock.time += GRACE + 1
    pace = random.Random(2)

    def take_time() -> None:
        seam_call = ARIES_SECONDS if pace.random() < 0.2 else AWS_SECONDS
        clock.sleep(pace.uniform(*seam_call))

    broker.seam.switch = take_time
    return Storm(broker, clock, sessions)


def signed_in(broker: Broker) -> Session:
    browser = Browser(broker)
    code = code_in(browser.callback(browser.approve(browser.authorize())))
    answer = browser.redeem(code).answer
    assert answer is not None
    assert answer.refresh_token is not None
    return Session(broker, browser.session_id, answer.refresh_token.reveal())


@pytest.mark.long
def test_a_thousand_refreshes_while_secrets_manager_refuses_lose_nothing_and_heal() -> None:
    broker, clock = Broker("strict"), Concurrent()
    limited = broker.secrets = LimitedSecretsManager(broker.secrets, clock)
    storm, calls = gathering(broker, clock, SESSIONS), broker.seam.calls
    tokens = [session.token for session in storm.sessions]

    calls.clear()
    limited.storm_starts = clock.now()
    results = storm.wave(storm.refreshed, spread=1.0)
    assert Counter(result.kind for result in results) == {"200": SESSIONS}
    assert calls.count("Aries") == SESSIONS
    over_after = clock.now() - limited.storm_starts
    assert over_after < OUTAGE_STARTS + OUTAGE_SECONDS
    escrowed, taken = storm.escrowed, limited.taken
    assert taken + escrowed == SESSIONS
    assert limited.refused_in_outage > 0 < taken
    print(
        f"\nstorm: {SESSIONS} sessions, all answered after {over_after:.1f} s, {storm.unavailable} times 503;"
        f" {taken} stored at once, {escrowed} in escrow, {limited.refused} writes refused,"
        f" {limited.refused_in_outage} in the outage"
    )

    # Suppose all answers were lost. During the outage, the repeated requests cause no write and no call to Aries.
    repeated = storm.wave(lambda index: storm.sessions[index].refresh(tokens[index], adopt=False), spread=1.0)
    assert [again.answer for again in repeated] == [result.answer for result in results]
    assert calls.count("Aries") == SESSIONS
    assert limited.taken == taken
    assert clock.now() - limited.storm_starts < OUTAGE_STARTS + OUTAGE_SECONDS

    clock.time = limited.storm_starts + OUTAGE_STARTS + OUTAGE_SECONDS + GRACE
    storm.unavailable = 0
    results = storm.wave(storm.refreshed, spread=2 * SESSIONS / WRITES_A_SECOND)
    assert Counter(result.kind for result in results) == {"200": SESSIONS}
    assert calls.count("Aries") == 2 * SESSIONS
    assert storm.escrowed == 0
    for session in storm.sessions:
        committed = broker.committed(session.session_id)
        assert committed is not None
        assert committed.refresh_token is not None
        assert broker.core.is_refresh_token_live(committed.refresh_token.reveal())
    assert broker.telemetry.counted("ReuseDetected") == 0
    print(f"next refresh: all answered, {storm.unavailable} times 503, {storm.escrowed} left in escrow")


@pytest.mark.long
@pytest.mark.parametrize("outage_seconds", [12, 60])
def test_many_refreshes_in_the_row_lose_those_that_kms_refuses_to_the_end_and_no_others(
    outage_seconds: float,
) -> None:
    broker, clock = Broker("strict", settings=settings_of("row")), Concurrent()
    kms = broker.kms = LimitedKms(clock, outage_seconds)
    storm = gathering(broker, clock, SESSIONS_IN_ROW)
    storm.pause = max(storm.pause, outage_seconds / 6)

    kms.storm_starts = clock.now()
    results = storm.wave(storm.refreshed, spread=1.0)
    lost = [session for session, result in zip(storm.sessions, results, strict=True) if result.kind == "invalid_grant"]
    kinds = Counter(result.kind for result in results)
    print(
        f"\nstorm in the row, KMS refuses all for {outage_seconds} s: {dict(kinds)} after"
        f" {clock.now() - kms.storm_starts:.1f} s, {storm.unavailable} times 503, {kms.throttled} requests throttled"
    )
    assert kinds.keys() <= {"200", "invalid_grant"}
    assert kms.throttled > 0
    # KMS served the same requests before, and has refused every seal of the lost sessions since Aries' answer.
    assert {session_digest(session.session_id) for session in lost} == kms.refused.keys()
    tried = [times[-1] - times[0] for times in kms.refused.values()]
    assert all(seconds > FUNCTION_SECONDS - ARIES_CALL_SECONDS - AWS_CALL_SECONDS for seconds in tried)
    assert bool(lost) is (outage_seconds > FUNCTION_SECONDS)
    assert len(lost) < SESSIONS_IN_ROW / 10
    assert broker.telemetry.counted("ReuseDetected") == 0
    assert broker.secrets.touched <= {SETTINGS.aries_client_secret_arn}
    broker.assert_stores_are_in_order()
