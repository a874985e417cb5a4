"""The sweep after a mass sign-out: it ends every row that began before it, and deletes the secrets.

Safety does not depend on its pace: the not-before time is in effect after the first seconds, and no sign-in or refresh
waits for a sweep.

A million sessions that keep their tokens in a secret, with rows of 2 KB, take this:

- Time: an update and then a deletion a row, together some 50 ms. DELETIONS_PER_SECOND keeps the same pace. All rows
  take 14 hours, or 57 invocations of 15 minutes.
- Secrets Manager: it takes 50 deletions a second in a region. The sweep uses 20, and leaves most of them to sign-outs
  and cleanup. A million calls cost 5 dollars.
- DynamoDB, on demand: consistent reads of 2 GB are 500,000 read units. Each row takes 2 write units (2 million), and
  each page takes one. The cost is about 1.5 dollars.
- A day later: the ended rows expire, and cleanup deletes each secret once more, at its own pace.

A million sessions that keep their tokens in the row, with rows of some 4 KB, take this:

- Time: an update a row, and no call of Secrets Manager. UPDATES_PER_SECOND lets all rows take 2.8 hours, or 12
  invocations of 15 minutes. If an update takes 20 ms, then they take twice that.
- DynamoDB, on demand: consistent reads of 4 GB are a million read units. Each row takes up to 5 write units (5
  million). The cost is about 3.5 dollars.
- A day later: the ended rows expire, and Lambda does not call cleanup for them.

A sign-in that nobody claimed takes an update alone, too, because anybody may begin sign-ins. An app with few sessions
among a million takes ten thousand pages of a scan, some minutes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from oauth_broker.clock import Backoff, Clock
from oauth_broker.errors import ServiceUnavailable, Throttled
from oauth_broker.operator.pace import Pace
from oauth_broker.operator.search import SessionSearch
from oauth_broker.operator.sweep_progress import Overtaken, Progress, Sweeps
from oauth_broker.runtime.invocation import Invocation
from oauth_broker.secret import base64url
from oauth_broker.sessions.row import MALFORMED_ROW
from oauth_broker.sessions.sign_out import RESERVED_SECONDS, SIGN_IN_UNDER_WAY, SignOut

Result = TypeVar("Result")

REASON = "mass_sign_out"
# Secrets Manager takes 50 deletions a second in a region. Most of them are for sign-outs and cleanup.
DELETIONS_PER_SECOND = 20
# A scan goes through one partition after the other. All updates of a moment therefore meet one partition, which takes
# 1,000 write units a second. The update of a row of some 4 KB takes up to 5 units. The sweep leaves half of the
# partition to the API, and seven eighths of a new table on demand (4,000 units).
UPDATES_PER_SECOND = 100
# One row, or one page, is retried for this long.
RETRY_SECONDS = 10
# If this many rows fail one after another, AWS fails and not the rows.
_OUTAGE_ROWS = 3
# If this many failed rows are left, they are tried again before the next page, because an item holds 400 KB.
_MOST_LEFT = 500


class Sweeper:
    """Runs sweeps."""

    def __init__(
        self,
        search: SessionSearch,
        sign_out: SignOut,
        sweeps: Sweeps,
        clock: Clock,
        random_bytes: Callable[[int], bytes],
    ) -> None:
        self.search = search
        self.sign_out = sign_out
        self.sweeps = sweeps
        self.clock = clock
        self.random_bytes = random_bytes
        self._backoff = Backoff(clock, random_bytes)

    def with_retries(self, call: Callable[[], Result], invocation: Invocation) -> Result:
        """Return the result of ``call``. Repeat it for up to RETRY_SECONDS while it raises ServiceUnavailable."""
        ends_at = self.clock.now() + RETRY_SECONDS

        def time_left() -> float:
            return min(ends_at - self.clock.now(), invocation.remaining() - RESERVED_SECONDS)

        return self._backoff.until_done(call, time_left)

    def sweep(self, progress: Progress, client_id: str | None, invocation: Invocation) -> tuple[Progress, str]:
        """Continue from ``progress`` until all is done or the invocation is nearly over.

        Returns the last saved progress, and the reason of an earlier stop, otherwise ''. A failed row is tried again at
        the end. If several rows fail one after another, the sweep stops. If a page was not saved, its rows are done
        again, which changes nothing. Raises ServiceUnavailable if the table cannot be read or the progress cannot be
        saved; the last save stands.
        """
        run = _Run(self, client_id, invocation)
        try:
            while not progress.finished_at and not run.trouble and run.time_left() > 0:
                progress = run.save(run.step(progress), progress.saved_id)
        except Overtaken:
            run.trouble = "Another invocation works on this mass sign-out, or has begun a new one."
            progress = self.with_retries(lambda: self.sweeps.find(progress.target), invocation) or progress
        return progress, run.trouble


@dataclass(slots=True)
class _Tally:
    """The results for the first ``handled`` of some rows.

    Every row that did not fail has no secret any more, except ``denied`` ones: AWS refused, because a right is missing.
    """

    handled: int = 0
    ended: int = 0
    secrets_deleted: int = 0
    denied: int = 0
    failed: tuple[str, ...] = ()

    @property
    def is_without_success(self) -> bool:
        return self.handled == len(self.failed) + self.denied


class _Run:
    """One invocation's part of a sweep. ``trouble`` is the reason to stop, or ''."""

    def __init__(self, sweeper: Sweeper, client_id: str | None, invocation: Invocation) -> None:
        self.trouble = ""
        self._sweeper = sweeper
        self._client_id = client_id
        self._invocation = invocation
        self._clock = sweeper.clock
        self._failures_in_a_row = 0
        self._last_failure = ""
        self._updates = Pace(sweeper.clock, UPDATES_PER_SECOND)
        self._deletions = Pace(sweeper.clock, DELETIONS_PER_SECOND)

    def time_left(self) -> float:
        """Return the seconds left in which the run may begin one more row."""
        return self._invocation.remaining() - RESERVED_SECONDS

    def _with_retries(self, call: Callable[[], Result]) -> Result:
        return self._sweeper.with_retries(call, self._invocation)

    def step(self, progress: Progress) -> Progress:
        """Do one page of the table or, after the last page, the failed rows. Return the progress, not saved yet."""
        if progress.is_scanned or len(progress.left) >= _MOST_LEFT:
            tally = self._work_off(progress.left)
            if tally.failed and tally.is_without_success and not self.trouble:
                # Another try in this invocation would fail again.
                self.trouble = f"The sessions that are left cannot be done yet ({self._last_failure})."
            return self._advanced(progress, tally, left=(*tally.failed, *progress.left[tally.handled :]))
        page = self._with_retries(
            lambda: self._sweeper.search.page(progress.not_before, self._client_id, progress.cursor)
        )
        tally = self._work_off(page.session_ids)
        is_whole = tally.handled == len(page.session_ids)
        cursor = page.cursor if is_whole else (progress.cursor, *page.session_ids)[tally.handled]
        is_scanned = is_whole and not page.cursor
        left = (*progress.left, *tally.failed)
        return self._advanced(progress, tally, cursor=cursor, is_scanned=is_scanned, left=left)

    def save(self, progress: Progress, before: str) -> Progress:
        """Save progress that continues the one saved as ``before``. Raises Overtaken."""
        self._with_retries(lambda: self._sweeper.sweeps.save(progress, before))
        return progress

    def _advanced(self, progress: Progress, tally: _Tally, **changes: Any) -> Progress:
        now = int(self._clock.now())
        advanced = replace(
            progress,
            ended=progress.ended + tally.ended,
            secrets_deleted=progress.secrets_deleted + tally.secrets_deleted,
            secrets_denied=progress.secrets_denied + tally.denied,
            saved_at=now,
            saved_id=self._new_id(),
            **changes,
        )
        is_finished = advanced.is_scanned and not advanced.left
        return replace(advanced, finished_at=now) if is_finished else advanced

    def _work_off(self, session_ids: Sequence[str]) -> _Tally:
        tally = _Tally()
        for session_id in session_ids:
            if self.trouble or self.time_left() <= 0:
                break
            tally.handled += 1
            try:
                self._sign_out(session_id, tally)
                self._failures_in_a_row = 0
            except ServiceUnavailable as unavailable:
                tally.failed += (session_id,)
                self._note(unavailable, session_id)
        return tally

    def _sign_out(self, session_id: str, tally: _Tally) -> None:
        sign_out, by = self._sweeper.sign_out, self._new_id()
        self._updates.keep()
        ended = self._with_retries(lambda: sign_out.end(session_id, REASON, by, self._invocation))
        tally.ended += ended.by_this
        if not ended.may_have_a_secret:
            return
        self._deletions.keep()
        deleted = self._with_retries(lambda: sign_out.delete_secret(session_id, ended, self._invocation))
        tally.secrets_deleted += deleted
        tally.denied += not deleted

    def _new_id(self) -> str:
        return base64url(self._sweeper.random_bytes(16))

    def _note(self, failure: ServiceUnavailable, session_id: str) -> None:
        self._last_failure = failure.reason
        if failure.reason == SIGN_IN_UNDER_WAY:
            return
        if failure.reason != MALFORMED_ROW:
            # Somebody wrote a malformed row. It says nothing about AWS, even if its neighbours are malformed too.
            self._failures_in_a_row += 1
        if self._failures_in_a_row >= _OUTAGE_ROWS:
            self.trouble = f"Several sessions in a row failed ({failure.reason})."
        if isinstance(failure, Throttled):
            self._invocation.count("AwsThrottled", aws_service=failure.service)
        self._invocation.about_session(session_id)
        self._invocation.log("secret_not_deleted", level="warning", reason=failure.reason)
