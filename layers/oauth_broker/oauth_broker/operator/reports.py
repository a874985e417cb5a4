"""What an operator is told about a session: its state, and no secret."""

from __future__ import annotations

from typing import Any

from oauth_broker.clock import Clock
from oauth_broker.config.clients import Registry
from oauth_broker.operator.utc import utc
from oauth_broker.sessions.row import IN_ROW, SignIn, timeline_entries


class SessionReports:
    """Makes the reports. ``not_before`` is the time of the last mass sign-out of the session's app, or 0."""

    def __init__(self, registry: Registry, clock: Clock) -> None:
        self._registry = registry
        self._clock = clock

    def is_signed_in(self, row: SignIn, not_before: int) -> bool:
        """Tell whether the session is live: a refresh of it would be served."""
        now = self._clock.now()
        is_running = row.status == "active" and row.is_live(now) and self._ends_by(row) > now
        return is_running and not row.is_before_mass_sign_out(not_before)

    def short(self, row: SignIn, not_before: int) -> dict[str, Any]:
        """Return the session's name in log lines, its state and its times."""
        return {
            "session": row.reference,
            "client_id": row.client_id,
            "status": row.status,
            "signed_in": self.is_signed_in(row, not_before),
            "created_at": utc(row.created_at),
            "last_used_at": utc(row.rotated_at),
            "ends_at": utc(row.ends_at or row.expires_at),
            "ends_if_unused_at": utc(self._ends_by(row)) if row.status == "active" else None,
        }

    def whole(self, row: SignIn, not_before: int) -> dict[str, Any]:
        """Return the same with all that a row says about its session, and its timeline."""
        now = self._clock.now()
        is_signed_out = row.is_before_mass_sign_out(not_before)
        return self.short(row, not_before) | {
            "signed_out_by_mass_sign_out_of": utc(not_before) if is_signed_out else None,
            "expires_at": utc(row.expires_at),
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

    def _ends_by(self, row: SignIn) -> int:
        client = self._registry.find(row.client_id)
        # A session of an app that is not registered any more is refused. It ends as if the app had no idle sessions.
        return row.ends_by(client.idle_seconds if client else 0)
