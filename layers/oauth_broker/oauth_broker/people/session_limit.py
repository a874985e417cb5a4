"""The most sessions of one person with one app: beyond it, a sign-in ends the session longest unused.

A sign-in is never refused. Without a subject there is no such limit.
"""

from __future__ import annotations

from oauth_broker.clock import Clock
from oauth_broker.config.clients import Client
from oauth_broker.errors import BrokerError
from oauth_broker.people.news import announce_end
from oauth_broker.people.person_items import PersonItem, PersonItems
from oauth_broker.people.session_rows import FoundRows, SessionRows
from oauth_broker.people.subjects import is_of
from oauth_broker.runtime.aws import AWS_CALL_SECONDS
from oauth_broker.runtime.invocation import Invocation
from oauth_broker.sessions.not_before import NotBefore
from oauth_broker.sessions.row import SignIn
from oauth_broker.sessions.sign_out import SignOut
from oauth_broker.sessions.verdict import has_ended

SESSION_LIMIT = "session_limit"
# A person's item keeps the sessions that are over as long as their rows: a person on call sees why each ended. Beyond
# so many sessions of an app, they leave the item.
_MOST_LISTED = 100
# Clocks differ. A session that expired longer ago than this is over for every worker.
_OVER_SECONDS = 120
# The app waits for its tokens meanwhile, and its row is active: if it gives up and repeats its code, that is reuse. A
# person far beyond the limit, after a smaller one was deployed, comes down to it over several sign-ins.
_MOST_ENDS = 3
# One row, its secret, the person's item, and a moment for the answer of the sign-in.
_ONE_SESSION_SECONDS = 3 * AWS_CALL_SECONDS + 1


class SessionLimit:
    """Keeps the number of a person's sessions with one app, after the sign-in that may have exceeded it."""

    def __init__(
        self,
        limit: int,
        items: PersonItems,
        rows: SessionRows,
        not_before: NotBefore,
        sign_out: SignOut,
        clock: Clock,
    ) -> None:
        self._limit = limit
        self._items = items
        self._rows = rows
        self._not_before = not_before
        self._sign_out = sign_out
        self._clock = clock

    def keep(self, row: SignIn, subject: str, item: PersonItem, client: Client, invocation: Invocation) -> None:
        """End the person's sessions beyond the limit, and take those whose row is gone out of the person's item.

        ``row`` is active, and its sign-in has succeeded: a failure here is logged and counted. The next sign-in tries
        again. Below the limit this calls nobody, because the redemption's own write has returned the item.
        """
        session_ids = item.sessions_of(client.client_id)
        if len(session_ids) <= self._limit:
            return
        try:
            self._keep(row, subject, session_ids - {row.session_id}, client, invocation)
        except BrokerError as failure:
            self._note_failure(failure.reason, row, invocation)
        finally:
            invocation.about_session(row.session_id, client.client_id)

    def _keep(self, row: SignIn, subject: str, others: frozenset[str], client: Client, invocation: Invocation) -> None:
        if invocation.remaining() < _ONE_SESSION_SECONDS + AWS_CALL_SECONDS:
            self._note_failure("too_little_time", row, invocation)
            return
        found, now = self._rows.of(others, invocation), self._clock.now()
        not_before = self._not_before.of(client.client_id)
        live = [
            other
            for other in found.rows.values()
            if other.client_id == client.client_id
            and is_of(other, subject)
            and not has_ended(other, client, now)
            and not other.is_before_mass_sign_out(not_before)
        ]
        surplus = len(live) + 1 - self._limit
        # A sign-in beside this one may have begun its session later. That one ends this session, and not this one it.
        older = [other for other in live if not _began_later(other, row)]
        try:
            for other in sorted(older, key=_last_use)[: min(max(0, surplus), _MOST_ENDS)]:
                if invocation.remaining() < _ONE_SESSION_SECONDS:
                    self._note_failure("too_little_time", row, invocation)
                    break
                ended = self._sign_out.end(other.session_id, SESSION_LIMIT, invocation.request_id, invocation)
                if ended.by_this:
                    invocation.count("SessionsOverLimit")
                    announce_end(ended, SESSION_LIMIT, self._clock.now(), invocation)
                invocation.about_session(other.session_id, other.client_id)
                self._sign_out.delete_secret(other.session_id, ended, invocation)
        finally:
            over = _over(found, now) if len(others) >= _MOST_LISTED else found.missing
            # Another sign-in takes them out if the time is too short now.
            if over and invocation.remaining() >= AWS_CALL_SECONDS + 1:
                self._items.leave(subject, client.client_id, over)

    def _note_failure(self, reason: str, row: SignIn, invocation: Invocation) -> None:
        invocation.about_session(row.session_id, row.client_id)
        invocation.count("SessionLimitNotKept")
        invocation.log("session_limit_not_kept", level="warning", reason=reason)


def _over(found: FoundRows, now: float) -> frozenset[str]:
    """Return the sessions that are over for good. A sign-in under way is not, whatever its age."""
    return found.missing.union(
        row.session_id
        for row in found.rows.values()
        if row.status in ("failed", "dead", "revoked")
        or (row.status == "active" and not row.is_live(now - _OVER_SECONDS))
    )


def _last_use(row: SignIn) -> tuple[float, str]:
    # The table has milliseconds. Two sign-ins at once must compare the same values, or they could end each other.
    return round(row.rotated_at, 3), row.session_id


def _began_later(other: SignIn, row: SignIn) -> bool:
    """Tell whether ``other`` was redeemed after ``row`` and has not refreshed since."""
    return other.generation == 1 and _last_use(other) > _last_use(row)
