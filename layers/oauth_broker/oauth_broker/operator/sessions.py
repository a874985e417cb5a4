"""Shows or ends one session, for support."""

from __future__ import annotations

from typing import Any

from oauth_broker.clock import Clock
from oauth_broker.operator.errors import NothingFound
from oauth_broker.operator.reports import SessionReports
from oauth_broker.operator.search import SessionSearch
from oauth_broker.people.news import announce_end
from oauth_broker.runtime.invocation import Invocation
from oauth_broker.sessions.not_before import NotBefore
from oauth_broker.sessions.row import SignIn
from oauth_broker.sessions.sign_out import SignOut
from oauth_broker.sessions.table import SignIns

# The reason of a session that a person on call ended.
REASON = "operator"


class SessionActions:
    """Shows and ends the session with a reference, as log lines have it.

    Raises NothingFound if there is no such session, and ServiceUnavailable if AWS fails.
    """

    def __init__(
        self,
        search: SessionSearch,
        sign_ins: SignIns,
        not_before: NotBefore,
        sign_out: SignOut,
        reports: SessionReports,
        clock: Clock,
    ) -> None:
        self._search = search
        self._sign_ins = sign_ins
        self._not_before = not_before
        self._sign_out = sign_out
        self._reports = reports
        self._clock = clock

    def show(self, reference: str) -> dict[str, Any]:
        """Return the state and the timeline of the session, and no secret."""
        row = self._found(reference)
        return self._reports.whole(row, self._not_before.of(row.client_id))

    def revoke(self, reference: str, invocation: Invocation) -> dict[str, Any]:
        """End the session in any state and delete its secret. A repetition changes nothing.

        Returns the state found, the work done, and the answer of ``show`` after that.
        """
        found = self._found(reference)
        ended = self._sign_out.end(found.session_id, REASON, invocation.request_id, invocation)
        announce_end(ended, REASON, self._clock.now(), invocation)
        deleted = self._sign_out.delete_secret(found.session_id, ended, invocation)
        done = {"found": found.status, "ended_now": ended.by_this, "secret_deleted": deleted}
        return done | self._reports.whole(ended.row or found, 0)

    def _found(self, reference: str) -> SignIn:
        session_id = self._search.find(reference)
        row = self._sign_ins.find(session_id) if session_id else None
        if row is None:
            raise NothingFound(
                "No session has this reference. The row of a session that was ended is kept until a day after its end. "
                "The row of a session that ran out, or of an unfinished sign-in, may be deleted at once. Search the "
                "log for the reference: its lines are kept longer.",
                "unknown_session",
            )
        return row
