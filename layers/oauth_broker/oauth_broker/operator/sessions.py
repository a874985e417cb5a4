"""Shows or ends one session, for support."""

from __future__ import annotations

from typing import Any

from oauth_broker.clock import Clock
from oauth_broker.config.clients import Registry
from oauth_broker.operator.admin_sign_out import AdminSignOut
from oauth_broker.operator.errors import NothingFound
from oauth_broker.operator.search import SessionSearch
from oauth_broker.operator.utc import utc
from oauth_broker.runtime.invocation import Invocation
from oauth_broker.sessions.not_before import NotBefore
from oauth_broker.sessions.row import IN_ROW, SignIn, timeline_entries
from oauth_broker.sessions.table import SignIns

_REASON = "operator"


class SessionActions:
    """Shows and ends the session with a reference, as log lines have it.

    Raises NothingFound if there is no such session, and ServiceUnavailable if AWS fails.
    """

    def __init__(
        self,
        search: SessionSearch,
        sign_ins: SignIns,
        not_before: NotBefore,
        sign_out: AdminSignOut,
        registry: Registry,
        clock: Clock,
    ) -> None:
        self._search = search
        self._sign_ins = sign_ins
        self._not_before = not_before
        self._sign_out = sign_out
        self._registry = registry
        self._clock = clock

    def show(self, reference: str) -> dict[str, Any]:
        """Return the state and the timeline of the session, and no secret."""
        row = self._found(reference)
        return self._report(row, self._not_before.of(row.client_id))

    def revoke(self, reference: str, invocation: Invocation) -> dict[str, Any]:
        """End the session in any state and delete its secret. A repetition changes nothing.

        Returns the state found, the work done, and the answer of ``show`` after that.
        """
        found = self._found(reference)
        ended = self._sign_out.end(found.session_id, _REASON, invocation.request_id, invocation)
        deleted = self._sign_out.delete_secret(found.session_id, ended, invocation)
        done = {"found": found.status, "ended_now": ended.by_this, "secret_deleted": deleted}
        return done | self._report(ended.row or found, 0)

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

    def _report(self, row: SignIn, not_before: int) -> dict[str, Any]:
        now = self._clock.now()
        is_signed_out = row.is_before_mass_sign_out(not_before)
        client = self._registry.find(row.client_id)
        # A session of an app that is not registered any more is refused. It ends as if the app had no idle sessions.
        ends_by = row.ends_by(client.idle_seconds if client else 0)
        return {
            "session": row.reference,
            "client_id": row.client_id,
            "status": row.status,
            "signed_in": row.status == "active" and row.is_live(now) and ends_by > now and not is_signed_out,
            "signed_out_by_mass_sign_out_of": utc(not_before) if is_signed_out else None,
            "created_at": utc(row.created_at),
            "expires_at": utc(row.expires_at),
            "ends_at": utc(row.ends_at or row.expires_at),
            "ends_if_unused_at": utc(ends_by) if row.status == "active" else None,
            "last_used_at": utc(row.rotated_at),
            "generation": row.generation,
            # The first generation came from the sign-in.
            "last_refreshed_at": utc(row.rotated_at) if row.generation > 1 else None,
            "last_renewed_at": utc(row.renewed_at),
            "lease_held": row.is_leased(now),
            "paused_by_aries_until": utc(row.lease_until) if row.is_paused(now) else None,
            "secret_in_escrow": bool(row.escrow),
            "tokens_in_row": row.token_store == IN_ROW,
            "timeline": [
                {"at": utc(entry.at), "event": entry.event, "reason": entry.reason or None}
                for entry in timeline_entries(row.timeline)
            ],
        }
