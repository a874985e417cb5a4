"""The end of many sessions in one request: first all rows, then their secrets.

A row that has ended lets nobody in any more. No failure of Secrets Manager may therefore keep a later row from ending.
If the time is short, the next request goes on where this one stopped.
"""

from __future__ import annotations

from dataclasses import dataclass

from oauth_broker.clock import Clock
from oauth_broker.errors import ServiceUnavailable
from oauth_broker.people.news import announce_end
from oauth_broker.people.person_items import PersonItems
from oauth_broker.runtime.aws import AWS_CALL_SECONDS
from oauth_broker.runtime.invocation import Invocation
from oauth_broker.sessions.row import SignIn
from oauth_broker.sessions.session_end import ENDED_STATES
from oauth_broker.sessions.sign_out import Ended, SignOut


@dataclass(slots=True)
class Ending:
    """One session to end. ``ended`` is its row afterwards, or None if the row could not be ended.

    ``is_over`` tells whether nothing of the session is left to do. ``is_denied`` tells whether a right to delete its
    secret is missing. ``failure`` tells why something is left to do, if not for lack of time.
    """

    client_id: str
    session_id: str
    ended: Ended | None = None
    is_over: bool = False
    is_denied: bool = False
    failure: ServiceUnavailable | None = None


class Endings:
    """Ends sessions for ``reason``. ``reserve_seconds`` is the time that the rest of the request needs.

    A failure holds up no other session. ``failure`` is the first one that passes, and a repeated request goes on.
    """

    def __init__(
        self, sign_out: SignOut, reason: str, reserve_seconds: float, clock: Clock, invocation: Invocation
    ) -> None:
        self._sign_out = sign_out
        self._reason = reason
        self._reserve_seconds = reserve_seconds
        self._clock = clock
        self._invocation = invocation
        self.all: list[Ending] = []
        self.failure: ServiceUnavailable | None = None

    @property
    def is_whole(self) -> bool:
        """Tell whether nothing is left to do."""
        return all(ending.is_over for ending in self.all)

    def end_row(self, client_id: str, session_id: str, seen: SignIn | None) -> Ending:
        """End the row of a session, and announce its end. ``seen`` is the row as read before, or None.

        If the row was over by then, nothing is written, so that a repeated request soon comes to the sessions that are
        left. Its secret may be left.
        """
        ending = Ending(client_id, session_id)
        self.all.append(ending)
        if seen is not None and seen.status in ENDED_STATES:
            ending.ended = Ended(seen, by_this=False)
            return ending
        if not self._has_time():
            return ending
        try:
            ending.ended = self._sign_out.end(session_id, self._reason, self._invocation.request_id, self._invocation)
        except ServiceUnavailable as failure:
            self._note(failure, ending)
            return ending
        announce_end(ending.ended, self._reason, self._clock.now(), self._invocation)
        return ending

    def delete_secrets(self) -> None:
        """Delete the secrets of all rows that are over."""
        for ending in self.all:
            if ending.ended is None or not self._has_time():
                continue
            self._invocation.about_session(ending.session_id, ending.client_id)
            try:
                is_deleted = self._sign_out.delete_secret(ending.session_id, ending.ended, self._invocation)
            except ServiceUnavailable as failure:
                self._note(failure, ending)
                continue
            ending.is_over, ending.is_denied = True, not is_deleted

    def leave(self, items: PersonItems, subject: str) -> None:
        """Take sessions out of the person's item, if it can be written: those without a row.

        If this request must be repeated, then all others of which nothing is left go too. Otherwise each repetition
        would do the same first ones again, and never come to the last.
        """
        over: dict[str, list[str]] = {}
        for ending in self.all:
            if ending.is_over and ending.ended and (self.failure or ending.ended.row is None):
                over.setdefault(ending.client_id, []).append(ending.session_id)
        try:
            for client_id, session_ids in over.items():
                if self._invocation.remaining() < AWS_CALL_SECONDS + 1:
                    break
                items.leave(subject, client_id, session_ids)
        except ServiceUnavailable as failure:
            self._invocation.log("sessions_not_left", level="warning", reason=failure.reason)

    def _has_time(self) -> bool:
        """Tell whether there is time for one more call. If not, that is a failure that passes."""
        if self._invocation.remaining() > self._reserve_seconds:
            return True
        self.failure = self.failure or ServiceUnavailable("too_little_time")
        return False

    def _note(self, failure: ServiceUnavailable, ending: Ending) -> None:
        self._invocation.about_session(ending.session_id, ending.client_id)
        self._invocation.log("session_not_ended", level="warning", reason=failure.reason)
        ending.failure = failure
        if failure.retriable:
            self.failure = self.failure or failure
