"""The list of a person's sessions: ``POST /oauth2/sessions``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from oauth_broker.clock import Clock
from oauth_broker.config.clients import Registry
from oauth_broker.operations.rate_limits import MINUTE, RateLimits
from oauth_broker.people.callers import Caller, Callers
from oauth_broker.people.person_items import PersonItem, PersonItems
from oauth_broker.people.session_request import ListRequest
from oauth_broker.people.session_rows import SessionRows
from oauth_broker.people.subjects import is_of
from oauth_broker.runtime.invocation import Invocation
from oauth_broker.secret import session_reference
from oauth_broker.sessions.not_before import NotBefore
from oauth_broker.sessions.row import SignIn
from oauth_broker.sessions.verdict import has_ended

_LISTS_A_MINUTE = 10


@dataclass(frozen=True, slots=True)
class ListedSessions:
    """The live sessions, the caller's own first and then the last used. ``is_complete`` is False if some may lack."""

    own: SignIn
    others: tuple[SignIn, ...]
    is_complete: bool

    def to_json(self) -> dict[str, Any]:
        """Return the answer. Times are in seconds since 1970."""
        sessions = [
            {
                "session": session_reference(row.session_id),
                "client_id": row.client_id,
                "created_at": row.created_at,
                "last_used_at": int(row.rotated_at),
                "current": row is self.own,
            }
            for row in (self.own, *self.others)
        ]
        return {"sessions": sessions, "complete": self.is_complete}


class SessionList:
    """Lists the person's sessions with one app, or with all apps if the app's registration says so."""

    def __init__(
        self,
        registry: Registry,
        callers: Callers,
        items: PersonItems,
        rows: SessionRows,
        not_before: NotBefore,
        clock: Clock,
    ) -> None:
        self._registry = registry
        self._callers = callers
        self._items = items
        self._rows = rows
        self._not_before = not_before
        self._clock = clock
        self._limits = RateLimits(_LISTS_A_MINUTE, MINUTE, clock)

    def __call__(self, request: ListRequest, invocation: Invocation) -> ListedSessions:
        """Return the person's live sessions, by rows that are read now.

        If nobody knows whose session it is, the list has this session alone and is not complete. Raises InvalidGrant,
        TooManyRequests, and ServiceUnavailable if a store fails.
        """
        caller = self._callers.of(request.client, request.token, invocation)
        caller.refuse_beyond(self._limits, "too_many_lists", MINUTE / _LISTS_A_MINUTE)
        caller.count_for(self._limits)
        if not caller.subject:
            return ListedSessions(caller.row, (), is_complete=False)
        item = self._items.find(caller.subject)
        apps = apps_of(caller, item)
        app_of = {session_id: app for app in apps for session_id in item.sessions_of(app)}
        app_of.pop(caller.session_id, None)
        found = self._rows.of(app_of, invocation)
        others = [row for row in found.rows.values() if self._is_listed(row, app_of[row.session_id], caller)]
        invocation.log("sessions_listed")
        return ListedSessions(caller.row, _last_used_first(others), is_complete=not found.has_malformed)

    def _is_listed(self, row: SignIn, client_id: str, caller: Caller) -> bool:
        client = self._registry.find(client_id)
        return (
            client is not None
            and row.client_id == client_id
            and is_of(row, caller.subject)
            and not has_ended(row, client, self._clock.now())
            and not row.is_before_mass_sign_out(self._not_before.of(client_id))
        )


def apps_of(caller: Caller, item: PersonItem) -> list[str]:
    """Return the apps whose sessions the caller may see and end: its own, or all of the person's."""
    own = caller.client.client_id
    return sorted({own, *item.sessions}) if caller.client.shows_all_apps else [own]


def _last_used_first(rows: Iterable[SignIn]) -> tuple[SignIn, ...]:
    return tuple(sorted(rows, key=lambda row: (-row.rotated_at, row.session_id)))
