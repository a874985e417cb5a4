"""Learns whose session it is: before its redemption, or later where Aries did not say it then."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

from oauth_broker.aries.user import USER_CALL_SECONDS, AriesUser
from oauth_broker.clock import Clock
from oauth_broker.config.clients import Client
from oauth_broker.errors import InvalidGrant, ServiceUnavailable
from oauth_broker.oauth.scope import scope_values
from oauth_broker.oauth.tokens import signed_subject
from oauth_broker.people.news import announce_end
from oauth_broker.people.person_items import MOST_SESSIONS, SIGNED_OUT_BY_ANOTHER, PersonItem, PersonItems
from oauth_broker.people.session_limit import SessionLimit
from oauth_broker.people.subjects import Subjects, proven_subject
from oauth_broker.runtime.aws import AWS_CALL_SECONDS
from oauth_broker.runtime.invocation import Invocation
from oauth_broker.sessions.conditional_update import ConditionFailed
from oauth_broker.sessions.row import SignIn
from oauth_broker.sessions.session_secret import SessionSecret
from oauth_broker.sessions.sign_out import SignOut
from oauth_broker.sessions.table import SignIns

# Aries says who the person is only to an access token with this scope.
USER_SCOPE = "user:information"
# After the sign-in, Aries is asked once a day.
_BETWEEN_TRIES_SECONDS = 24 * 60 * 60
# The question itself, the key, the person's item, the row, and a moment for the answer.
_TRY_SECONDS = USER_CALL_SECONDS + 3 * AWS_CALL_SECONDS + 1


@dataclass(frozen=True, slots=True)
class Identified:
    """Whose session it is: the subject, with its proof for the row, and the person's item.

    If the item does not take the session, then ``signed`` is '': the row must not name a person whose item lacks it.
    """

    subject: str
    signed: str
    item: PersonItem


class Identification:
    """Learns whose session it is, and adds the session to the person's item."""

    def __init__(
        self,
        user: AriesUser,
        subjects: Subjects,
        items: PersonItems,
        sign_ins: SignIns,
        sign_out: SignOut,
        session_limit: SessionLimit,
        clock: Clock,
    ) -> None:
        self._user = user
        self._subjects = subjects
        self._items = items
        self._sign_ins = sign_ins
        self._sign_out = sign_out
        self._session_limit = session_limit
        self._clock = clock

    def before_redemption(self, row: SignIn, secret: SessionSecret, invocation: Invocation) -> Identified | None:
        """Return whose session it will be, or None if its scope does not say it or Aries does not.

        This comes after the last check of the caller and before the row becomes active. A repeated redemption is
        harmless then, and would end the session later. Raises InvalidGrant if the person signed the session out
        meanwhile, from another one. Raises ServiceUnavailable if the broker's own stores fail: the person's other
        sessions could otherwise never sign this one out.
        """
        if not _says_who(secret):
            return None
        if invocation.remaining() < _TRY_SECONDS:
            invocation.count("SubjectsNotFound", reason="too_little_time")
            return None
        identified = self._identified(row, secret, invocation)
        if identified and identified.item.is_cut_off(row.client_id, row.created_at):
            raise InvalidGrant(SIGNED_OUT_BY_ANOTHER)
        return identified

    def after_redemption(self, row: SignIn, known: Identified, client: Client, invocation: Invocation) -> None:
        """Keep the limit of the person's sessions, by the item that came with ``known``. Never fails the sign-in."""
        self._session_limit.keep(row, known.subject, known.item, client, invocation)

    def after_refresh(self, row: SignIn, secret: SessionSecret, invocation: Invocation) -> None:
        """Try once a day to learn whose session it is, if nobody knows yet, after the commit of a refresh.

        If the session's key does not prove the subject in the row, then somebody has written it, for example so that
        the person cannot find the session. It counts as none. A failure changes nothing: the refresh has its answer.
        Raises InvalidGrant if the person signed out all other sessions before this one was known to be theirs; it has
        ended then.
        """
        now = self._clock.now()
        is_known = bool(proven_subject(row, secret, invocation))
        is_due = not is_known and row.subject_tried_at <= now - _BETWEEN_TRIES_SECONDS and _says_who(secret)
        # If nobody is asked now, the next refresh tries: the day's try is not used up.
        if not is_due or invocation.remaining() < _TRY_SECONDS or self._user.is_silent():
            return
        try:
            identified = self._identified(row, secret, invocation)
            if identified and identified.item.is_cut_off(row.client_id, row.created_at):
                self._end(row, identified.subject, invocation)
            signed = identified.signed if identified else ""
            self._sign_ins.note_subject(row.session_id, signed, now, unproven=row.subject)
        except (ServiceUnavailable, ConditionFailed) as failure:
            invocation.log("subject_not_noted", level="warning", reason=failure.reason)

    def _end(self, row: SignIn, subject: str, invocation: Invocation) -> NoReturn:
        ended = self._sign_out.end(row.session_id, SIGNED_OUT_BY_ANOTHER, invocation.request_id, invocation)
        announce_end(ended, SIGNED_OUT_BY_ANOTHER, self._clock.now(), invocation, subject)
        try:
            self._sign_out.delete_secret(row.session_id, ended, invocation)
        except ServiceUnavailable as failure:
            # Cleanup deletes it a day later. The session is over all the same.
            invocation.log("secret_not_deleted", level="warning", reason=failure.reason)
        raise InvalidGrant(SIGNED_OUT_BY_ANOTHER)

    def _identified(self, row: SignIn, secret: SessionSecret, invocation: Invocation) -> Identified | None:
        user_id = self._user.id(secret.access_token, invocation)
        if user_id is None:
            return None
        subject = self._subjects.of(user_id)
        item = self._items.join(subject, row.client_id, row.session_id)
        listed = item.sessions_of(row.client_id)
        if row.session_id in listed:
            return Identified(subject, signed_subject(subject, row.session_id, secret.session_key), item)
        if len(listed) >= MOST_SESSIONS:
            invocation.count("SubjectsNotFound", reason="item_full")
            invocation.log("subject_not_found", level="warning", reason="item_full")
        else:
            invocation.count("RowsAltered")
            invocation.log("person_item_altered", level="error")
        return Identified(subject, "", item)


def _says_who(secret: SessionSecret) -> bool:
    return USER_SCOPE in scope_values(secret.scope)
