"""The session of a person that a backend means if it names the person and not the session."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from oauth_broker.clock import Clock
from oauth_broker.config.clients import Client
from oauth_broker.errors import InsufficientScope, InvalidGrant
from oauth_broker.oauth.scope import scope_values
from oauth_broker.oauth.tokens import is_subject_proven, subject_of
from oauth_broker.people.person_items import PersonItems
from oauth_broker.people.session_rows import SessionRows
from oauth_broker.people.subjects import Subjects
from oauth_broker.runtime.invocation import Invocation
from oauth_broker.secret import Secret
from oauth_broker.sessions.not_before import NotBefore
from oauth_broker.sessions.row import SignIn
from oauth_broker.sessions.session_secret import SessionSecret
from oauth_broker.sessions.verdict import has_ended


class ByUser:
    """Finds a person's session by the person's id at Aries."""

    def __init__(
        self, subjects: Subjects, items: PersonItems, rows: SessionRows, not_before: NotBefore, clock: Clock
    ) -> None:
        self._subjects = subjects
        self._items = items
        self._rows = rows
        self._not_before = not_before
        self._clock = clock

    def sessions(
        self, client: Client, user: Secret, scope: str, invocation: Invocation
    ) -> list[tuple[SignIn, Callable[[SessionSecret], bool]]]:
        """Return the person's live sessions of the app that have the scope, each with its proof, the last used first.

        A row names the person, and its session's own key must confirm that: otherwise whoever may write rows could
        have a backend fetch the tokens of somebody else. Raises InvalidGrant if the person has no live session, and
        InsufficientScope if none has the scope. Raises ServiceUnavailable if a store fails: without the key of the
        subjects nobody knows whether the person has a session.
        """
        subject = self._subjects.of(user.reveal())
        not_before, now = self._not_before.of(client.client_id), self._clock.now()
        found = self._rows.of(self._items.find(subject).sessions_of(client.client_id), invocation)
        live = [
            row
            for row in found.rows.values()
            if row.client_id == client.client_id
            and subject_of(row.subject) == subject
            and not has_ended(row, client, now)
            and not row.is_before_mass_sign_out(not_before)
        ]
        if not live:
            raise InvalidGrant("no_session_of_user")
        fitting = [row for row in live if scope_values(scope) <= scope_values(row.token_scope or row.scope)]
        if not fitting:
            raise InsufficientScope
        fitting.sort(key=lambda row: (row.rotated_at, row.session_id), reverse=True)
        return [(row, partial(_confirms, row)) for row in fitting]


def _confirms(row: SignIn, secret: SessionSecret) -> bool:
    return is_subject_proven(row.subject, row.session_id, secret.session_key)
