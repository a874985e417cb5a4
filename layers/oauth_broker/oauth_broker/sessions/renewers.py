"""The callers for whom a session's tokens are renewed at Aries: what the lease and the commit ask of each, and change.

There are two kinds of commit. Both store new tokens of Aries under a lease and a fence:

* The **app** proves its right by one of its two refresh tokens. Its commit **rotates**: the app gets a new one.
* **Another caller** proves its right to the session itself. Its commit rotates nothing: generation and hashes stay, so
  the app's tokens are as good as before, and its grace neither begins nor ends.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol, Self

from oauth_broker.config.clients import Client
from oauth_broker.errors import ForgedToken
from oauth_broker.oauth.requests import RefreshTokenGrant
from oauth_broker.oauth.tokens import RefreshToken
from oauth_broker.runtime.invocation import Invocation
from oauth_broker.sessions.row import SignIn, Value, entry, extended
from oauth_broker.sessions.session_secret import SessionSecret
from oauth_broker.sessions.verdict import Terms, Verdict, has_ended, judge

# Part of an update's text, with the values that it names.
Clause = tuple[str, dict[str, Value]]


class Renewer(Protocol):
    """A caller for whom a session's tokens are renewed."""

    @property
    def session_id(self) -> str:
        """The session."""
        ...

    @property
    def client(self) -> Client:
        """The app of the caller, as it is registered today."""
        ...

    @property
    def not_before(self) -> int:
        """Sessions of the app that began up to this second were signed out; 0 if none was."""
        ...

    def judge(self, row: SignIn | None, now: float) -> Verdict:
        """Judge the caller's right by a row."""
        ...

    def judged(self) -> Self:
        """Return the caller without what a verdict has found in order, and what no lease can compare."""
        ...

    def lease_condition(self) -> Clause:
        """Return what the lease asks of the row beyond what it asks for every caller."""
        ...

    def least_seconds(self, stored: SessionSecret, grace_seconds: int) -> float:
        """Return how many seconds a stored answer of Aries must have left to serve the caller."""
        ...

    def refuse_forged(self, secret: SessionSecret, invocation: Invocation) -> None:
        """Raise ForgedToken if the session's key did not make the caller's proof."""
        ...

    def renewed(self, row: SignIn, secret: SessionSecret, now: float) -> SignIn:
        """Return the row after the commit: ``row`` has everything already that both kinds of commit change."""
        ...

    def commit_clauses(self, row: SignIn, now: float) -> tuple[Clause, Clause]:
        """Return what the commit sets, and what it asks of the row, beyond what every commit does."""
        ...


def refuse_forged(token: RefreshToken, secret: SessionSecret, invocation: Invocation) -> None:
    """Raise ForgedToken if the row has the token's hash, but the secret's key did not make the token.

    Somebody has written the row in that case.
    """
    if not token.is_authentic(secret.session_key):
        invocation.count("RowsAltered")
        raise ForgedToken


@dataclass(frozen=True, slots=True)
class AppRenewer:
    """The app, with one of its two refresh tokens. Its commit rotates them."""

    grant: RefreshTokenGrant
    terms: Terms

    @property
    def session_id(self) -> str:
        """The session of the token."""
        return self.grant.token.session_id

    @property
    def client(self) -> Client:
        """The app of the request."""
        return self.grant.client

    @property
    def not_before(self) -> int:
        """The time of a mass sign-out, or 0."""
        return self.terms.not_before

    def judge(self, row: SignIn | None, now: float) -> Verdict:
        """Judge the token."""
        return judge(row, self.grant, self.terms, now)

    def judged(self) -> Self:
        """Return the caller without the scope that it names.

        The verdict found the scope granted, and a session's scope never changes. The lease's condition can only compare
        whole texts.
        """
        return replace(self, grant=replace(self.grant, scope=None))

    def lease_condition(self) -> Clause:
        """Return the conditions for the holder of the token.

        If the grant names a scope, this is exactly the granted scope. `verdict.judge` decides about any other.
        """
        values: dict[str, Value] = {"replay_after": self.terms.replay_after, "hash": self.grant.token.hash}
        text = "rotated_at <= :replay_after AND " + (
            "(handle_hash = :hash OR previous_hash = :hash)" if self.terms.late_retry else "handle_hash = :hash"
        )
        if self.grant.scope is not None:
            text += " AND #scope = :scope"
            values["scope"] = self.grant.scope
        return text, values

    def least_seconds(self, stored: SessionSecret, grace_seconds: int) -> float:
        """Return the grace, because a replay at its end must still find a token that lives."""
        return grace_seconds

    def refuse_forged(self, secret: SessionSecret, invocation: Invocation) -> None:
        """Raise ForgedToken if the secret's key did not make the token."""
        refuse_forged(self.grant.token, secret, invocation)

    def renewed(self, row: SignIn, secret: SessionSecret, now: float) -> SignIn:
        """Return the row with the next generation. This is a use of the session, and its grace begins."""
        generation = row.generation + 1
        how = "late_retry" if self.grant.token.has_hash(row.previous_hash) else ""
        return replace(
            row,
            generation=generation,
            handle_hash=RefreshToken.mint(row.session_id, generation, secret.session_key).hash,
            rotated_at=now,
            timeline=extended(row.timeline, entry(now, "refreshed", how)),
        )

    def commit_clauses(self, row: SignIn, now: float) -> tuple[Clause, Clause]:
        """Return the change from the presented token to the next one, for the generation that the lease found."""
        changes: dict[str, Value] = {
            "next": row.generation,
            "presented": self.grant.token.hash,
            "handle_hash": row.handle_hash,
            "rotated_at": now,
        }
        sets = "generation = :next, previous_hash = :presented, handle_hash = :handle_hash, rotated_at = :rotated_at"
        return (sets, changes), ("generation = :generation", {"generation": row.generation - 1})


@dataclass(frozen=True, slots=True)
class SessionRenewer:
    """A caller that holds no refresh token of the session. Its commit rotates nothing.

    ``seen`` is the committed fence of the row that the caller first read. The lease asks for it, so that any number of
    callers that read the same tokens renew them once. ``enough_seconds`` is the least life of an access token for the
    caller. ``is_proof_of`` tells whether the session's secret confirms the caller's right.
    """

    client: Client
    session_id: str
    seen: int
    enough_seconds: int
    not_before: int
    is_proof_of: Callable[[SessionSecret], bool]

    def judge(self, row: SignIn | None, now: float) -> Verdict:
        """Judge the caller by the row. The order is that of the app's verdict."""
        if row is None or has_ended(row, self.client, now):
            return Verdict.ENDED
        if row.client_id != self.client.client_id:
            return Verdict.FOREIGN
        if row.is_before_mass_sign_out(self.not_before):
            return Verdict.BEFORE_MASS_SIGN_OUT
        if not self.client.allows_scope(row.scope):
            return Verdict.DISALLOWED
        if row.committed_fence != self.seen or row.access_expires_at - now >= self._enough(row.access_seconds):
            return Verdict.SERVED
        if row.is_paused(now):
            return Verdict.PAUSED
        return Verdict.WAIT if row.is_leased(now) else Verdict.READY

    def least_seconds(self, stored: SessionSecret, grace_seconds: int) -> float:
        """Return what is enough for the caller, whatever the grace: its commit begins none."""
        return self._enough(stored.access_seconds)

    def _enough(self, access_seconds: int) -> float:
        """Return how many seconds an access token must have left to serve the caller.

        This is at most half of the token's whole life. Otherwise an Aries that grants little would be asked each time.
        """
        return min(self.enough_seconds, access_seconds / 2) if access_seconds else self.enough_seconds

    def judged(self) -> Self:
        """Return the caller as it is."""
        return self

    def lease_condition(self) -> Clause:
        """Return the condition that nobody has committed since the caller's first look."""
        return "committed_fence = :seen", {"seen": self.seen}

    def refuse_forged(self, secret: SessionSecret, invocation: Invocation) -> None:
        """Raise ForgedToken if the session's secret does not confirm the caller's right."""
        if not self.is_proof_of(secret):
            raise ForgedToken

    def renewed(self, row: SignIn, secret: SessionSecret, now: float) -> SignIn:
        """Return the row with one more entry in its timeline. A renewal is no use of the session."""
        return replace(row, renewed_at=int(now), timeline=extended(row.timeline, entry(now, "renewed")))

    def commit_clauses(self, row: SignIn, now: float) -> tuple[Clause, Clause]:
        """Return the time of the renewal. A rotation needs none, because its ``rotated_at`` is that time."""
        return ("renewed_at = :renewed_at", {"renewed_at": row.renewed_at}), ("", {})
