"""Shows or ends all sessions of a person, for support. The person's id at Aries is in no answer and no log line.

The broker knows whose session it is from its redemption on, or from a later refresh. A session whose person it never
learned is in no person's item, and is not found here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from oauth_broker.clock import Clock
from oauth_broker.config.clients import Registry
from oauth_broker.errors import ServiceUnavailable
from oauth_broker.operator.errors import NotConfigured, TemporaryFailure
from oauth_broker.operator.mass_sign_out import SECRETS_DENIED
from oauth_broker.operator.reports import SessionReports
from oauth_broker.operator.sessions import REASON
from oauth_broker.operator.utc import utc
from oauth_broker.people.endings import Ending, Endings
from oauth_broker.people.person_items import PersonItem, PersonItems
from oauth_broker.people.session_rows import FoundRows, SessionRows
from oauth_broker.people.subjects import Subjects, is_of
from oauth_broker.runtime.invocation import Invocation
from oauth_broker.secret import Secret, session_reference
from oauth_broker.sessions.not_before import NotBefore
from oauth_broker.sessions.row import MALFORMED_ROW, SignIn
from oauth_broker.sessions.sign_out import RESERVED_SECONDS, SignOut

_NO_SESSION = (
    "No session of this user is known. Compare the id with Aries' own. A session whose user the broker never learned "
    "is not found here: its scope lacks user:information, or Aries did not answer. Find it by its reference."
)
_REPEAT = "Repeat the same command until it is finished. A repetition also ends the sessions that began meanwhile."
# States of a listed session beside those of a row. Nobody but a writer of the table makes the last two.
_GONE = "gone"
_MALFORMED = "malformed"
_FOREIGN = "foreign"


@dataclass(frozen=True, slots=True)
class _Found:
    """One session of a person's item, with its row or the state that it has without a readable row of this person."""

    session_id: str
    client_id: str
    row: SignIn | None
    state: str


@dataclass(slots=True)
class _SignedOut:
    """The results of a sign-out of a person. ``item`` is the person's item after its cut-offs."""

    second: int
    item: PersonItem
    endings: Endings
    # What was found of each session, and its ending if there is a row to end.
    sessions: list[tuple[_Found, Ending | None]]

    @property
    def failure(self) -> ServiceUnavailable | None:
        """Return the first failure that a repetition may get over, but for lack of time."""
        failures = [ending.failure for ending in self.endings.all if ending.failure]
        return next((failure for failure in failures if failure.reason != MALFORMED_ROW), None)

    @property
    def is_finished(self) -> bool:
        return self.failure is None and self.endings.failure is None

    def told(self) -> list[dict[str, Any]]:
        """Return what is told of each session."""
        return [self._told(found, ending) for found, ending in self.sessions]

    def _told(self, found: _Found, ending: Ending | None) -> dict[str, Any]:
        named = _named(found)
        if ending is None or (ending.failure and ending.failure.reason == MALFORMED_ROW):
            return named | {"found": found.state if ending is None else _MALFORMED, "ended_now": False}
        ended_now = ending.ended is not None and ending.ended.by_this
        is_deleted = ending.is_over and not ending.is_denied
        return named | {"found": found.state, "ended_now": ended_now, "secret_deleted": is_deleted}


class PersonActions:
    """Shows and ends the sessions of a person. ``subjects`` is None if the deployment asks nobody whose session it is.

    Every method raises NotConfigured then, TemporaryFailure if the key of the subjects cannot be read or a session
    cannot be ended, and ServiceUnavailable if DynamoDB fails before the first session ends. The cut-offs may be set by
    then, and the same command goes on.
    """

    def __init__(
        self,
        subjects: Subjects | None,
        items: PersonItems,
        rows: SessionRows,
        not_before: NotBefore,
        sign_out: SignOut,
        reports: SessionReports,
        registry: Registry,
        clock: Clock,
    ) -> None:
        self._subjects = subjects
        self._items = items
        self._rows = rows
        self._not_before = not_before
        self._sign_out = sign_out
        self._reports = reports
        self._registry = registry
        self._clock = clock

    def show(self, user: Secret, invocation: Invocation) -> dict[str, Any]:
        """Return all known sessions of the person, the newest first, and the person's sign-outs by app."""
        subject = self._subject(user)
        item = self._items.find(subject)
        told = [self._told(found) for found in self._found(subject, item, invocation)]
        told.sort(key=lambda session: session.get("created_at") or "", reverse=True)
        answer: dict[str, Any] = {
            "live": sum(session["signed_in"] for session in told),
            "sessions": told,
            "cut_offs": {client_id: utc(second) for client_id, second in sorted(item.not_before.items())},
        }
        return answer if told else answer | {"warning": _NO_SESSION}

    def revoke(self, user: Secret, invocation: Invocation) -> dict[str, Any]:
        """End all sessions of the person in any state, and delete their secrets.

        The cut-off of every app comes first, so that a sign-in under way is refused. A repetition continues.
        """
        done = self._signed_out(self._subject(user), invocation)
        return _report(done, is_finished=done.is_finished)

    def forget(self, user: Secret, invocation: Invocation) -> dict[str, Any]:
        """Do as ``revoke``, and delete the person's item after the last session has ended."""
        subject = self._subject(user)
        done = self._signed_out(subject, invocation)
        is_forgotten = done.is_finished and self._items.forget(subject, done.item)
        return {"forgotten": is_forgotten} | _report(done, is_finished=is_forgotten)

    def _subject(self, user: Secret) -> str:
        if self._subjects is None:
            raise NotConfigured(
                "AriesUserUrl is empty: this deployment asks nobody whose session it is, and finds no session by its "
                "user. Find a session by its reference.",
                "nobody_is_asked",
            )
        try:
            return self._subjects.of(user.reveal())
        except ServiceUnavailable as unavailable:
            raise TemporaryFailure(
                f"The key of the subjects cannot be read ({unavailable.reason}). Without it nobody can tell which "
                "sessions are this user's. Nothing was done. Repeat the same command in a moment. If it fails again, "
                'the action "check" says more.',
                unavailable.reason,
            ) from unavailable

    def _found(self, subject: str, item: PersonItem, invocation: Invocation) -> list[_Found]:
        """Look at the row of each session of the item."""
        apps = {session_id: client_id for client_id, ids in sorted(item.sessions.items()) for session_id in sorted(ids)}
        rows = self._rows.of(apps, invocation)
        return [self._look(subject, client_id, session_id, rows, invocation) for session_id, client_id in apps.items()]

    def _look(self, subject: str, client_id: str, session_id: str, rows: FoundRows, invocation: Invocation) -> _Found:
        row = rows.rows.get(session_id)
        if row is None:
            state = _GONE if session_id in rows.missing else _MALFORMED
            return _Found(session_id, client_id, None, state)
        # A redemption adds its session to the item first, and writes the subject into the row after that.
        if not is_of(row, subject):
            # Somebody wrote the item or the row. This sign-out must not end the session of another person.
            invocation.about_session(session_id, row.client_id)
            invocation.count("RowsAltered")
            invocation.log("subject_not_proven", level="error")
            return _Found(session_id, client_id, None, _FOREIGN)
        return _Found(session_id, client_id, row, row.status)

    def _told(self, found: _Found) -> dict[str, Any]:
        if found.row is not None:
            return self._reports.short(found.row, self._not_before.of(found.row.client_id))
        return _named(found) | {"status": found.state, "signed_in": False}

    def _signed_out(self, subject: str, invocation: Invocation) -> _SignedOut:
        """Set the person's cut-offs, then end every row of the item, and then delete the secrets."""
        second = int(self._clock.now())
        item = self._cut_off(subject, second)
        endings = Endings(self._sign_out, REASON, RESERVED_SECONDS, self._clock, invocation)
        done = _SignedOut(second, item, endings, [])
        for found in self._found(subject, item, invocation):
            ending = endings.end_row(found.client_id, found.session_id, found.row) if found.row else None
            done.sessions.append((found, ending))
        endings.delete_secrets()
        endings.leave(self._items, subject)
        return done

    def _cut_off(self, subject: str, second: int) -> PersonItem:
        """Set the cut-off of every registered app, and of every app in the item. Return the item after that."""
        item, done = self._items.find(subject), set[str]()
        registered = {client.client_id for client in self._registry.clients}
        while left := (registered | item.sessions.keys()) - done:
            client_id = min(left)
            item = self._items.sign_out(subject, client_id, second)
            if not item.is_cut_off(client_id, second):
                # Somebody wrote a cut-off of another form into the item.
                raise ServiceUnavailable("person:malformed", retriable=False)
            done.add(client_id)
        return item


def _named(found: _Found) -> dict[str, Any]:
    return {"session": session_reference(found.session_id), "client_id": found.client_id}


def _report(done: _SignedOut, *, is_finished: bool) -> dict[str, Any]:
    """Return the results. Raises TemporaryFailure if a session could not be ended."""
    sessions = done.told()
    ended = sum(session["ended_now"] for session in sessions)
    if done.failure is not None:
        raise TemporaryFailure(
            f"A sign-in of this user that began up to {utc(done.second)} and is still under way will be refused. "
            f"Sessions ended now: {ended}. But AWS failed ({done.failure.reason}), and not all sessions are over. "
            f"{_REPEAT}",
            done.failure.reason,
        ) from done.failure
    denied = sum(ending.is_denied for ending in done.endings.all)
    report: dict[str, Any] = {
        "cut_off": utc(done.second),
        "ended": ended,
        "secrets_denied": denied,
        "finished": is_finished,
        "sessions": sessions,
    }
    if not is_finished:
        report["next"] = _REPEAT
    elif denied:
        report["warning"] = SECRETS_DENIED
    elif not sessions:
        report["warning"] = _NO_SESSION
    return report
