"""The news that a session has ended for its person's sake: by their hand, or because they began another one."""

from __future__ import annotations

from oauth_broker.oauth.tokens import subject_of
from oauth_broker.people.person_items import SIGNED_OUT_BY_ANOTHER
from oauth_broker.runtime.invocation import Event, Invocation
from oauth_broker.sessions.sign_out import Ended


def announce_end(ended: Ended, reason: str, now: float, invocation: Invocation, subject: str = "") -> None:
    """Announce the end of a row by this request, if the row was a session.

    The beginning of a sign-in that nobody had redeemed was not announced, and neither is its end. ``subject`` is the
    person of a session whose row does not name them yet.
    """
    row = ended.row
    if not ended.by_this or row is None or not row.handle_hash:
        return
    subject = subject or subject_of(row.subject)
    if reason == SIGNED_OUT_BY_ANOTHER:
        invocation.announce(Event.signed_out_by_another(row.session_id, row.client_id, now, subject))
    else:
        invocation.announce(Event.ended(row.session_id, row.client_id, now, reason, subject))
