"""The end of a person's sessions from one of them: ``POST /oauth2/sessions/revoke``.

One stolen refresh token must not end the person's other sessions. Ending another session therefore needs a session that
began a moment ago: its person has just signed in at Aries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from oauth_broker.clock import Clock
from oauth_broker.config.clients import Registry
from oauth_broker.errors import ServiceUnavailable, SignInAgain
from oauth_broker.oauth.requests import RevocationRequest
from oauth_broker.operations.rate_limits import MINUTE, RateLimits
from oauth_broker.people.callers import Caller, Callers
from oauth_broker.people.news import announce_end
from oauth_broker.people.person_items import SIGNED_OUT_BY_ANOTHER, PersonItem, PersonItems
from oauth_broker.people.session_list import apps_of
from oauth_broker.people.session_request import EndRequest
from oauth_broker.runtime.aws import AWS_CALL_SECONDS
from oauth_broker.runtime.invocation import Invocation
from oauth_broker.secret import session_reference
from oauth_broker.sessions.sign_out import SignOut

# The person has signed in at Aries within so many seconds.
SIGN_IN_AGAIN_SECONDS = 15 * 60
_ENDS_A_MINUTE = 1
# The row, the secret, the person's item, and a moment for the answer.
_ONE_SESSION_SECONDS = 3 * AWS_CALL_SECONDS + 1


@dataclass(frozen=True, slots=True)
class EndedSessions:
    """The number of sessions that this request has ended. ``is_complete`` is False if one may live on."""

    ended: int
    is_complete: bool

    def to_json(self) -> dict[str, Any]:
        """Return the answer."""
        return {"ended": self.ended, "complete": self.is_complete}


class OtherSessions:
    """Ends one session of a person, or all but the caller's own.

    ``revoke`` is the revocation endpoint's operation.
    """

    def __init__(
        self,
        registry: Registry,
        callers: Callers,
        items: PersonItems,
        sign_out: SignOut,
        revoke: Callable[[RevocationRequest, Invocation], None],
        clock: Clock,
    ) -> None:
        self._registry = registry
        self._callers = callers
        self._items = items
        self._sign_out = sign_out
        self._revoke = revoke
        self._clock = clock
        self._limits = RateLimits(_ENDS_A_MINUTE, MINUTE, clock)

    def __call__(self, request: EndRequest, invocation: Invocation) -> EndedSessions:
        """End the sessions. A repetition goes on where a failed request stopped.

        Raises InvalidGrant, SignInAgain and TooManyRequests. Raises ServiceUnavailable if a store fails or the time is
        short: some sessions may have ended by then, and the same request ends the others.
        """
        caller = self._callers.of(request.client, request.token, invocation)
        if request.reference == session_reference(caller.session_id):
            self._revoke(RevocationRequest(request.client, request.token), invocation)
            return EndedSessions(1, is_complete=True)
        if caller.row.created_at <= self._clock.now() - SIGN_IN_AGAIN_SECONDS:
            raise SignInAgain
        caller.refuse_beyond(self._limits, "too_many_endings", MINUTE / _ENDS_A_MINUTE)
        if not caller.subject:
            return EndedSessions(0, is_complete=False)
        # The lines of the ended sessions have the same request id. This line tells from which session they were ended.
        invocation.log("end_of_sessions_asked")
        if request.reference is None:
            ended = self._end_others(caller, invocation)
        else:
            ended = self._end_one(caller, request.reference, invocation)
        # A failed request does not count, because it must be repeated.
        caller.count_for(self._limits)
        return ended

    def _end_one(self, caller: Caller, reference: str, invocation: Invocation) -> EndedSessions:
        """End the session with this reference. If the person has none, it has ended before."""
        item = self._items.find(caller.subject)
        work = _Work(self._sign_out, self._items, caller, self._clock, invocation)
        for app in apps_of(caller, item):
            work.end(app, [known for known in item.sessions_of(app) if session_reference(known) == reference])
        return work.done()

    def _end_others(self, caller: Caller, invocation: Invocation) -> EndedSessions:
        """Set the cut-offs and end all sessions but the caller's own.

        The cut-off and the set of sessions come of one write, app by app. A redemption beside this one is therefore in
        the set, or it meets the cut-off. An app that may sign out other apps' sessions sets the cut-off of every
        registered app, in which the person may have their first sign-in under way, and of every app in the item.
        """
        second = int(self._clock.now())
        work = _Work(self._sign_out, self._items, caller, self._clock, invocation)
        due = {caller.client.client_id}
        if caller.client.shows_all_apps:
            due |= {client.client_id for client in self._registry.clients}
        done: set[str] = set()
        found: list[tuple[str, PersonItem]] = []
        # The cut-offs come first, so that no sign-in slips through while the sessions end.
        while due - done:
            app = min(due - done)
            item = self._items.sign_out(caller.subject, app, second)
            found.append((app, item))
            done.add(app)
            due |= set(apps_of(caller, item))
        for app, item in found:
            work.end(app, item.sessions_of(app))
        return work.done()


class _Work:
    """The endings of one request."""

    def __init__(
        self, sign_out: SignOut, items: PersonItems, caller: Caller, clock: Clock, invocation: Invocation
    ) -> None:
        self._sign_out = sign_out
        self._clock = clock
        self._items = items
        self._caller = caller
        self._invocation = invocation
        self._ended = 0
        self._has_failed = False

    def end(self, client_id: str, session_ids: Iterable[str]) -> None:
        """End these sessions of one app, but never the caller's own, and take those without a row out of the item.

        Raises ServiceUnavailable at the first failure that passes. A failure that does not pass holds up no other
        session.
        """
        gone: list[str] = []
        try:
            for session_id in sorted(session_ids):
                if session_id != self._caller.session_id and self._is_gone(session_id):
                    gone.append(session_id)
        finally:
            self._invocation.about_session(self._caller.session_id, self._caller.client.client_id)
        if gone:
            self._items.leave(self._caller.subject, client_id, gone)

    def done(self) -> EndedSessions:
        """Return the outcome."""
        return EndedSessions(self._ended, is_complete=not self._has_failed)

    def _is_gone(self, session_id: str) -> bool:
        """End one session and delete its secret. Tell whether it has not even a row.

        The item keeps an ended session as long as its row, so that a person on call sees why it ended.
        """
        if self._invocation.remaining() < _ONE_SESSION_SECONDS:
            raise ServiceUnavailable("too_little_time")
        try:
            ended = self._sign_out.end(session_id, SIGNED_OUT_BY_ANOTHER, self._invocation.request_id, self._invocation)
            if ended.by_this:
                self._ended += 1
                self._invocation.count("SessionsEndedByPeople")
                self._invocation.log("other_session_ended", reason=SIGNED_OUT_BY_ANOTHER)
                announce_end(ended, SIGNED_OUT_BY_ANOTHER, self._clock.now(), self._invocation)
            self._sign_out.delete_secret(session_id, ended, self._invocation)
        except ServiceUnavailable as failure:
            if failure.retriable:
                raise
            self._has_failed = True
            self._invocation.log("other_session_not_ended", level="error", reason=failure.reason)
            return False
        return ended.row is None
