"""SIGKILL ends a real worker process at random points of its refreshes, while an app retries as apps do.

The test proves: a session is lost only in the window of G4 (Aries, in strict rotation, has committed a new refresh
token, and the process died before this token was durable with us). After every other interruption, the app's retry
gets tokens (G5, G6). The stores hold every answer (G2). The test judges the window from outside: before each retry, it
waits until all work at AWS and Aries has ended, and looks for Aries' newest token in the stores.

The process, its death, its connections, AWS and Aries are real. Waiting is not: worker, Aries and app share a clock,
and they move it instead of waiting (the app for ``Retry-After``, a worker for Secrets Manager to catch up). Kills come
at seeded random moments within the duration of a refresh on this machine; half of them come after the request has
reached Aries. The test runs again, in fewer rounds, with the tokens sealed in the row. Run with ``-s`` to see the
numbers.
"""

from __future__ import annotations

import http.client
import random
import statistics
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from oauth_broker.oauth.tokens import secret_name, secret_version
from oauth_broker.sessions.row import from_item
from oauth_broker.sessions.seal import Seal
from oauth_broker.sessions.session_secret import SessionSecret
from tests.faults.broker import STORES, Store
from tests.faults.processes import RealWorld
from tests.support.deployment import GRACE, PREFIX, TABLE
from tests.support.world import Answer, Phone

ROUNDS: dict[Store, int] = {"secrets": 300, "row": 60}
SEED = 20261122
# The share of killed attempts in a round, retries included.
KILLED = 0.5
MOST_ATTEMPTS = 60


class Death:
    """An app refreshes, and meanwhile the test kills the worker."""

    COUNTED = ("kills", "kills over a request", "recovered", "lost in the window")

    def __init__(self, real: RealWorld, pool: ThreadPoolExecutor, store: Store) -> None:
        self.real = real
        self.store = store
        self._seal = Seal(lambda: real.kms, real.environment["KEY_ID"])
        self._pool = pool
        self._random = random.Random(SEED)
        self._others = set(threading.enumerate())
        self.counts: Counter[str] = Counter()
        self.phone = real.signed_in()
        # The first refresh of a process takes longer than the later ones.
        self.durations = {cold: self._time_of_a_refresh(cold=cold) for cold in (True, False)}
        self._is_cold = False

    def _time_of_a_refresh(self, *, cold: bool) -> float:
        return statistics.median(self._timed(cold=cold) for _ in range(7))

    def _timed(self, *, cold: bool) -> float:
        if cold:
            self.real.workers.kill(0)
        self.real.moved.advance(GRACE + 1)
        started = time.monotonic()
        assert self.phone.refresh().status == 200
        return time.monotonic() - started

    def round(self) -> None:
        """Refresh once, through all deaths and retries. If the session is lost, sign in again."""
        self.real.moved.advance(GRACE + 1)
        in_window = interrupted = False
        for _ in range(MOST_ATTEMPTS):
            answer = self._attempt()
            if answer is not None and answer.status != 503:
                break
            in_window = in_window or not self._is_newest_stored()
            if answer is None:
                interrupted = True
                self.real.moved.advance(self._random.uniform(0.5, 5))
            else:
                assert answer.body.startswith("Temporarily unavailable")
                self.real.moved.advance(int(answer.headers["retry-after"]))
        else:
            raise AssertionError(f"no answer after {MOST_ATTEMPTS} tries")
        self.counts["recovered"] += interrupted and answer.status == 200
        if answer.status == 200:
            assert answer.json["access_token"] == self._committed().access_token.reveal()
            return
        assert answer.json["error"] == "invalid_grant"
        assert in_window, f"a session was lost outside the window: {self.counts}, {self.real.workers.events()}"
        self.counts["lost in the window"] += 1
        self.phone = self.real.signed_in()

    def _attempt(self) -> Answer | None:
        """Refresh; returns None if the worker died over the request."""
        self.real.aries.recorder.reset()
        request: Future[Answer | None] = self._pool.submit(_ask, self.phone)
        if self._random.random() < KILLED:
            self._let_it_come_to_a_random_point(request)
            self.real.workers.kill(0)
            self.counts["kills"] += 1
            self._come_to_rest()
            self._is_cold = True
        else:
            self._is_cold = False
        answer = request.result()
        self.counts["kills over a request"] += answer is None
        return answer

    def _let_it_come_to_a_random_point(self, request: Future[Answer | None]) -> None:
        """Wait, every second time until Aries is reached: the moments after it are short and matter most."""
        if self._random.random() < 0.5:
            time.sleep(self._random.uniform(0, self.durations[self._is_cold]))
            return
        while not request.done() and not self.real.aries.refresh_calls:
            time.sleep(0.0005)
        time.sleep(self._random.uniform(0, 0.35 * self.durations[False]))

    def _come_to_rest(self) -> None:
        """Wait until AWS and Aries finish every request of a dead worker, because its lease is about to expire (G1).

        A server accepts connections in their order. If it answers a new one, it has accepted all of the dead worker's.
        """
        for url in (self.real.aries.url, self.real.aws_url):
            requests.get(f"{url}/moto-api/none", headers={"connection": "close"}, timeout=60)
        # A server's thread ends with its connection, and no living process has a connection.
        while any("process_request_thread" in thread.name for thread in set(threading.enumerate()) - self._others):
            time.sleep(0.001)

    def _committed(self) -> SessionSecret:
        if self.store == "row":
            return self._opened()
        found = self._version(self.phone.row()["secret_version"])
        assert found is not None
        return found

    def _opened(self) -> SessionSecret:
        item = self.real.dynamodb.get_item(TableName=TABLE, Key={"session_id": {"S": self.phone.session_id}})["Item"]
        return self._seal.open(from_item(item), "row")

    def _version(self, version: str) -> SessionSecret | None:
        secrets = self.real.secretsmanager
        try:
            name = secret_name(PREFIX, self.phone.session_id)
            return SessionSecret.from_json(secrets.get_secret_value(SecretId=name, VersionId=version)["SecretString"])
        except secrets.exceptions.ResourceNotFoundException:
            return None

    def _is_newest_stored(self) -> bool:
        """Tell whether any version that a worker would read, or the row, holds Aries' newest refresh token.

        An ended session has neither. The method judges living sessions only.
        """
        core, row = self.real.aries.core, self.phone.row()
        if row["status"] != "active":
            return True
        stored = [secret.refresh_token for secret in self._all_stored(row)]
        newest = core.newest_refresh_token(core.families()[-1])
        return any(token is not None and token.reveal() == newest for token in stored)

    def _all_stored(self, row: dict[str, Any]) -> list[SessionSecret]:
        if self.store == "row":
            return [self._opened()]
        fences = range(int(row["committed_fence"]), int(row["fence"]) + 1)
        versions = {row["secret_version"], *(secret_version(self.phone.session_id, fence) for fence in fences)}
        return [secret for version in versions if (secret := self._version(version))]


def _ask(phone: Phone) -> Answer | None:
    try:
        return phone.refresh()
    except (OSError, http.client.HTTPException):
        return None


@pytest.fixture(params=STORES)
def death(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Death]:
    world = RealWorld(tmp_path, processes=1, store=request.param, skip_sleeps=True)
    with world as real, ThreadPoolExecutor(1) as pool:
        yield Death(real, pool, request.param)


@pytest.mark.long
def test_a_killed_worker_loses_a_session_in_the_one_window_and_nowhere_else(death: Death) -> None:
    started, rounds = time.monotonic(), ROUNDS[death.store]
    for _ in range(rounds):
        death.round()
    counts, events = death.counts, death.real.workers.events()
    numbers = ", ".join(f"{counts[name]} {name}" for name in death.COUNTED)
    print(f"\n{death.store}: {rounds} rounds with seed {SEED}: {numbers}; {events['rolled_forward']} rolled forward")
    cold, warm = (death.durations[cold] * 1000 for cold in (True, False))
    print(f"a refresh takes {warm:.0f} ms, the first {cold:.0f} ms; {time.monotonic() - started:.1f} s in all")
    # The test did its work: many kills met a request, and each kind of end occurred.
    assert counts["kills over a request"] > rounds / 10
    assert counts["lost in the window"] > 0
    # The window of a session in the row is longer by one call, and these kills seek it.
    assert counts["recovered"] > (counts["lost in the window"] if death.store == "secrets" else 0)
    # A session in the row has nothing to roll forward.
    assert (events["rolled_forward"] > 0) is (death.store == "secrets")
    assert bool(death.real.session_secrets()) is (death.store == "secrets")
