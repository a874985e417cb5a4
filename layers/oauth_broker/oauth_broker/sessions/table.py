"""The sign-in table: every state change of a row is one conditional update here.

Every update's condition also compares ``expires_at`` with now, because DynamoDB's TTL deletes late, by up to days.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from oauth_broker.sessions.conditional_update import Rows
from oauth_broker.sessions.row import IN_ROW, NO_TOKENS, SignIn, Value, entry

# A dead or revoked row stays for so many seconds, for repeated sign-outs and for support.
ENDED_ROW_SECONDS = 24 * 60 * 60
# The time for a person at Aries, and again for the callback and the app after that.
SIGN_IN_SECONDS = 10 * 60


class EndedSession(NamedTuple):
    """The row alone knows this of a session that an update has just ended. ``subject`` is as in the row."""

    has_secret: bool
    subject: str


class SignIns(Rows):
    """The rows of the table and their state changes."""

    def save(self, row: SignIn) -> None:
        """Write the row of a new sign-in. Raises ConditionFailed if another browser's row is there."""
        self.insert(row, lambda found: found.browser_hash == row.browser_hash)

    def claim(self, session_id: str, browser_hash: str, lease_id: str, lease_until: float, now: float) -> SignIn:
        """Claim a pending sign-in for its own browser, before the exchange, so that a code is exchanged once."""
        return self.update_and_read(
            session_id,
            entry(now, "claimed"),
            "SET #status = :claimed, lease_id = :lease_id, lease_until = :lease_until, expires_at = :expires_at",
            "#status = :pending AND expires_at > :now AND browser_hash = :browser_hash",
            lambda found: found.status == "claimed" and found.lease_id == lease_id,
            claimed="claimed",
            pending="pending",
            browser_hash=browser_hash,
            lease_id=lease_id,
            lease_until=lease_until,
            # A person may take nearly all of the time, and must still get a code that lives.
            expires_at=int(now) + SIGN_IN_SECONDS,
            now=int(now),
        )

    def fail_pending(
        self, session_id: str, browser_hash: str, lease_id: str, error: str, reason: str, now: float
    ) -> SignIn:
        """Fail a pending sign-in for its own browser, because Aries sent an error and there is nothing to exchange."""
        return self.update_and_read(
            session_id,
            entry(now, "failed", reason),
            "SET #status = :failed, failed_error = :error, lease_id = :lease_id, token_store = :no_tokens"
            " REMOVE code_verifier",
            "#status = :pending AND expires_at > :now AND browser_hash = :browser_hash",
            lambda found: found.status == "failed" and found.lease_id == lease_id,
            failed="failed",
            no_tokens=NO_TOKENS,
            pending="pending",
            error=error,
            browser_hash=browser_hash,
            lease_id=lease_id,
            now=int(now),
        )

    def fail_claimed(
        self, session_id: str, lease_id: str, error: str, reason: str, now: float, *, may_have_a_secret: bool
    ) -> None:
        """Fail a sign-in that this worker claimed. A reload of the callback gets the same error.

        ``may_have_a_secret`` is False only if this worker never asked for a secret. A sign-in is claimed once, so no
        other worker ever will. Cleanup is not called for such a row.
        """
        no_secret: dict[str, Value] = {} if may_have_a_secret else {"no_tokens": NO_TOKENS}
        self.update(
            session_id,
            entry(now, "failed", reason),
            "SET #status = :failed, failed_error = :error"
            + ("" if may_have_a_secret else ", token_store = :no_tokens")
            + " REMOVE code_verifier, lease_until",
            "#status = :claimed AND lease_id = :lease_id AND expires_at > :now",
            **no_secret,
            failed="failed",
            claimed="claimed",
            error=error,
            lease_id=lease_id,
            now=int(now),
        )

    def issue(self, row: SignIn, now: float) -> None:
        """Move a sign-in that this worker claimed to ``issued``, with the code, times and tokens of ``row``."""
        in_row: dict[str, Value] = {}
        if row.token_store == IN_ROW:
            in_row = {"token_store": row.token_store, "sealed": row.sealed}
        self.update(
            row.session_id,
            entry(now, "issued"),
            "SET #status = :issued, code_hash = :code_hash, code_expires_at = :code_expires_at,"
            " secret_version = :secret_version, access_expires_at = :access_expires_at,"
            " access_seconds = :access_seconds, token_scope = :token_scope, fence = :zero, committed_fence = :zero"
            + (", token_store = :token_store, sealed = :sealed" if in_row else "")
            + " REMOVE code_verifier, lease_until"
            # Nobody else may have said where the tokens are: cleanup would leave the secret behind.
            + ("" if in_row else ", token_store, sealed"),
            "#status = :claimed AND lease_id = :lease_id AND expires_at > :now",
            # Whatever the state of the row is by now, only this worker gives it this code.
            lambda found: found.code_hash == row.code_hash,
            issued="issued",
            claimed="claimed",
            code_hash=row.code_hash,
            code_expires_at=row.code_expires_at,
            secret_version=row.secret_version,
            access_expires_at=row.access_expires_at,
            access_seconds=row.access_seconds,
            token_scope=row.token_scope,
            lease_id=row.lease_id,
            zero=0,
            now=int(now),
            **in_row,
        )

    def redeem(self, row: SignIn, lease_id: str, now: float) -> None:
        """Move an issued sign-in to ``active``: once per code, and if the checked values of ``row`` still hold.

        ``row`` has the new ``handle_hash``, ``ends_at``, ``expires_at`` and, if the person is known, ``subject``. The
        values that served the redirect to the app go, so that the row of a session stays within one unit of DynamoDB.
        """
        known: dict[str, Value] = {"subject": row.subject} if row.subject else {}
        self.update(
            row.session_id,
            entry(now, "redeemed"),
            "SET #status = :active, handle_hash = :handle_hash, generation = :one, rotated_at = :rotated_at,"
            " expires_at = :expires_at, ends_at = :ends_at, lease_id = :lease_id"
            + (", subject = :subject" if known else "")
            + " REMOVE code_expires_at, app_state, request_mac",
            "#status = :issued AND code_hash = :code_hash AND expires_at > :now"
            " AND client_id = :client_id AND redirect_uri = :redirect_uri AND app_code_challenge = :challenge",
            lambda found: found.lease_id == lease_id,
            active="active",
            issued="issued",
            handle_hash=row.handle_hash,
            one=1,
            rotated_at=now,
            expires_at=row.expires_at,
            ends_at=row.ends_at,
            lease_id=lease_id,
            code_hash=row.code_hash,
            client_id=row.client_id,
            redirect_uri=row.redirect_uri,
            challenge=row.app_code_challenge,
            now=int(now),
            **known,
        )

    def note_subject(self, session_id: str, signed_subject: str, now: float, *, unproven: str = "") -> None:
        """Note the subject of an active session that has none, or with '' that this try did not learn it.

        A subject never changes. A subject without its proof counts as none: the write replaces ``unproven``, such a
        subject in the row. The write touches nothing that a lease or a commit compares or writes.
        """
        seen: dict[str, Value] = {"seen": unproven} if unproven else {}
        noted = "subject_tried_at = :noted"
        if signed_subject:
            # The time of a try would make the row longer than one unit of DynamoDB.
            noted = "subject = :noted REMOVE subject_tried_at"
        self.update(
            session_id,
            "",
            f"SET {noted}",
            "#status = :active AND expires_at > :now AND "
            + ("subject = :seen" if unproven else "attribute_not_exists(subject)"),
            lambda found: found.subject not in ("", unproven),
            active="active",
            now=int(now),
            noted=signed_subject or int(now),
            **seen,
        )

    def end(
        self,
        session_id: str,
        status: Literal["dead", "revoked"],
        reason: str,
        now: float,
        *,
        condition: str = "",
        **values: Value,
    ) -> EndedSession:
        """End an active session: ``status`` is ``dead`` or ``revoked``. The row stays for a day."""
        ended = self.update_and_take(
            session_id,
            entry(now, status, reason),
            "SET #status = :ended, expires_at = :until REMOVE lease_id, lease_until, escrow, sealed",
            "#status = :active AND expires_at > :now" + (f" AND {condition}" if condition else ""),
            ended=status,
            until=int(now) + ENDED_ROW_SECONDS,
            active="active",
            now=int(now),
            **values,
        )
        return EndedSession("token_store" not in ended, ended.get("subject", {}).get("S", ""))

    def end_in_any_state(self, session_id: str, reason: str, by: str, now: float) -> SignIn:
        """End a sign-in or session that is not over yet, under any lease. The row stays for a day.

        ``by`` replaces the lease's id, so the worker with the lease can no longer write the row. A repetition with the
        same ``by`` recognises its own write. ``lease_until`` stays: that worker may be at work until then.
        """
        return self.update_and_read(
            session_id,
            entry(now, "revoked", reason),
            "SET #status = :ended, expires_at = :until, lease_id = :by REMOVE code_verifier, escrow, sealed",
            "(#status = :pending OR #status = :claimed OR #status = :issued OR #status = :active)"
            " AND expires_at > :now",
            lambda found: found.lease_id == by,
            ended="revoked",
            until=int(now) + ENDED_ROW_SECONDS,
            by=by,
            pending="pending",
            claimed="claimed",
            issued="issued",
            active="active",
            now=int(now),
        )
