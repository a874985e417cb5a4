"""Counts the live sessions of every app, by a look at every row.

A number that is kept beside the rows would drift: a session also ends by time, by disuse and by a mass sign-out, and
none of these writes anything. The count reads the whole table instead, consistently. A session that begins or ends
while the count runs may count or not.

A million rows of 1 KB take this:

- DynamoDB, on demand: consistent reads of 1 GB are 250,000 read units. The cost is about 0.03 dollars.
- Time: 1,000 pages of a megabyte. PAGES_PER_SECOND lets them take some 200 seconds.

The progress is an item of the table, because its cursor is a session id, and no answer may hold one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from oauth_broker.clock import Clock
from oauth_broker.errors import ServiceUnavailable
from oauth_broker.operator.commands import CountSessions
from oauth_broker.operator.count_progress import Counted, Counts, Overtaken
from oauth_broker.operator.errors import NothingFound, TemporaryFailure
from oauth_broker.operator.mass_sign_out import CONTINUE
from oauth_broker.operator.pace import Pace
from oauth_broker.operator.reports import SessionReports
from oauth_broker.operator.search import SessionSearch
from oauth_broker.operator.utc import utc
from oauth_broker.runtime.invocation import Invocation
from oauth_broker.secret import base64url
from oauth_broker.sessions.not_before import NotBefore
from oauth_broker.sessions.sign_out import RESERVED_SECONDS

# A scan goes through one partition after the other. A page of a megabyte is 256 read units, and a partition takes 3,000
# a second. The count leaves more than half of them to the apps.
PAGES_PER_SECOND = 5


class LiveCount:
    """Counts the live sessions by app."""

    def __init__(
        self,
        search: SessionSearch,
        not_before: NotBefore,
        reports: SessionReports,
        counts: Counts,
        clock: Clock,
        random_bytes: Callable[[int], bytes],
    ) -> None:
        self._search = search
        self._not_before = not_before
        self._reports = reports
        self._counts = counts
        self._clock = clock
        self._random_bytes = random_bytes

    def __call__(self, command: CountSessions, invocation: Invocation) -> dict[str, Any]:
        """Begin, continue, or report; return the numbers so far, and whether the count is finished.

        Raises NothingFound if there is no count to continue, and TemporaryFailure if AWS fails in the middle; the last
        saved page stands.
        """
        try:
            counted = self._begun() if command.step == "start" else self._known()
            return _report(counted if command.step == "status" else self._worked_on(counted, invocation))
        except Overtaken as overtaken:
            raise TemporaryFailure(
                'Another invocation counts too, or has begun a new count. Look at it with "status": true.',
                overtaken.reason,
            ) from overtaken

    def _begun(self) -> Counted:
        now = int(self._clock.now())
        counted = Counted(started_at=now, saved_at=now, saved_id=self._new_id())
        self._counts.begin(counted)
        return counted

    def _known(self) -> Counted:
        counted = self._counts.find()
        if counted is None:
            raise NothingFound('No count was ever begun. To begin one, leave out "continue" and "status".', "no_count")
        return counted

    def _worked_on(self, counted: Counted, invocation: Invocation) -> Counted:
        pace = Pace(self._clock, PAGES_PER_SECOND)
        try:
            while not counted.finished_at and invocation.remaining() > RESERVED_SECONDS:
                pace.keep()
                before, counted = counted.saved_id, self._advanced(counted)
                self._counts.save(counted, before)
        except ServiceUnavailable as unavailable:
            raise TemporaryFailure(
                f"AWS failed ({unavailable.reason}), and not all sessions are counted yet. {CONTINUE}",
                unavailable.reason,
            ) from unavailable
        return counted

    def _advanced(self, counted: Counted) -> Counted:
        """Return the count with one more page in it."""
        page, now = self._search.active_page(counted.cursor), int(self._clock.now())
        live = Counter(counted.live)
        live.update(
            row.client_id for row in page.rows if self._reports.is_signed_in(row, self._not_before.of(row.client_id))
        )
        return replace(
            counted,
            live=live,
            read=counted.read + page.read,
            malformed=counted.malformed + page.malformed,
            cursor=page.cursor,
            saved_at=now,
            finished_at=0 if page.cursor else now,
            saved_id=self._new_id(),
        )

    def _new_id(self) -> str:
        return base64url(self._random_bytes(16))


def _report(counted: Counted) -> dict[str, Any]:
    report: dict[str, Any] = {
        "live": sum(counted.live.values()),
        "by_app": dict(sorted(counted.live.items())),
        "rows_read": counted.read,
        "malformed": counted.malformed,
        "finished": bool(counted.finished_at),
        "started_at": utc(counted.started_at),
        "last_progress_at": utc(counted.saved_at),
        "finished_at": utc(counted.finished_at),
    }
    return report if counted.finished_at else report | {"next": CONTINUE}
