"""Refreshing a session (RFC 6749 section 6, Aries step 5) without ever losing it.

What is promised, and the order of steps that gives it:

1. **Lease.** One conditional update takes the row for this worker under a new fence. Whoever does not get it is judged
   by the row as found: refused, answered again (replay), made to wait, or let in once the lease has lapsed.
2. **Roll forward.** A worker that died may have stored Aries' answer under an earlier fence. Each one since the last
   commit is looked for; the old Aries token is not sent before they all count as missing.
3. **Read** the committed secret, by the version that the row names.
4. **Post** to Aries, once under this lease (`provider`). After an outcome that is not known the lease is kept until it
   lapses, since the first request may still be under way.
5. **Store** the answer, idempotently, under the version of this fence; where Secrets Manager refuses to the end, sealed
   in the row.
6. **Commit** in one conditional update: the only point at which the session changes.
7. **Answer** from what was committed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import NoReturn

from oauth_broker.answers import TokenAnswer
from oauth_broker.backoff import pauses
from oauth_broker.clock import Clock
from oauth_broker.dialect import Outcome
from oauth_broker.ending import Endings
from oauth_broker.errors import BrokerError, Busy, InvalidGrant, InvalidScope, UnsupportedGrantType
from oauth_broker.handles import RefreshToken
from oauth_broker.invocation import Invocation
from oauth_broker.leases import Lease, Leases
from oauth_broker.pkce import base64url
from oauth_broker.provider import CALL_SECONDS, KEEP_SECONDS, Provider, ProviderFailure
from oauth_broker.requests import RefreshTokenGrant
from oauth_broker.session_secret import SessionSecret
from oauth_broker.session_store import Kept, SessionStore
from oauth_broker.settings import Settings
from oauth_broker.sign_in import SignIn
from oauth_broker.sign_ins import Refused, SignIns
from oauth_broker.standing import Policy, Standing, stand

# A lease outlives its worker by this much, so that one which has lapsed has a dead holder: clocks differ, and Aries may
# take a moment longer over a request that was given up.
LEASE_MARGIN_SECONDS = 10
# What a refresh may take from the lease on: looking for earlier answers, Aries, storing.
_WORK_SECONDS = CALL_SECONDS + KEEP_SECONDS + 3
_WAIT_SECONDS = 8.0
# Left for the last try to commit and for the answer.
_COMMIT_SECONDS = 1.0


class Refresh:
    """The ``refresh_token`` grant, for the token endpoint and for the refresh endpoint."""

    def __init__(
        self,
        settings: Settings,
        sign_ins: SignIns,
        store: SessionStore,
        provider: Provider,
        endings: Endings,
        clock: Clock,
        token_bytes: Callable[[int], bytes],
    ) -> None:
        self._is_offered = settings.can_refresh
        self._sign_ins = sign_ins
        self._leases = Leases(sign_ins, late_retry=settings.late_retry)
        self._policy = Policy(settings.refresh_grace_seconds, settings.late_retry)
        self.store = store
        self._provider = provider
        self.endings = endings
        self._clock = clock
        self._token_bytes = token_bytes

    def __call__(self, grant: RefreshTokenGrant, invocation: Invocation) -> TokenAnswer:
        """Refresh the session of ``grant.token``, or answer again what the last refresh answered.

        Raises InvalidGrant where the session has ended or ends here, InvalidScope, and Busy, after which the session is
        intact and the same request may be repeated.
        """
        if not self._is_offered:
            raise UnsupportedGrantType("This server does not refresh.")
        give_up_at = self._clock.now() + _WAIT_SECONDS
        while True:
            try:
                return self._work(self._take_lease(grant, invocation), grant, invocation)
            except Refused as refused:
                answer = self._answer_as_found(refused.found, grant, invocation, give_up_at)
            if answer is not None:
                return answer

    def _take_lease(self, grant: RefreshTokenGrant, invocation: Invocation) -> SignIn:
        """Take the lease (step 1); raises Refused with the row as found."""
        remaining, now = invocation.remaining(), self._clock.now()
        if remaining < _WORK_SECONDS:
            raise Busy("too_little_time")
        lease = Lease(base64url(self._token_bytes(16)), now + remaining + LEASE_MARGIN_SECONDS)
        try:
            return self._leases.take(grant, lease, now, settled=now - self._policy.grace)
        except Refused as refused:
            found = refused.found
            if found is not None and found.lease_id == lease.lease_id:
                return found  # The SDK's retry met its own write.
            raise

    def _answer_as_found(
        self, found: SignIn | None, grant: RefreshTokenGrant, invocation: Invocation, give_up_at: float
    ) -> TokenAnswer | None:
        """Answer without the lease, or wait until it may be taken, and return None then.

        Every look at the row judges afresh: the winner's answer never goes to anyone but a holder of one of the two
        tokens.
        """
        backoff = pauses(self._token_bytes)
        while True:
            now, pause = self._clock.now(), next(backoff)
            standing = stand(found, grant, self._policy, now)
            if found is None or standing is Standing.ENDED:
                raise InvalidGrant("session_ended")
            if standing is Standing.READY:
                return None
            if standing is not Standing.WAIT:
                return self._resolve(standing, found, grant, invocation)
            if now + pause > give_up_at or invocation.remaining() - pause < _WORK_SECONDS:
                raise Busy("lease_held", found.lease_until - now)
            invocation.count("LeaseWaits")
            self._clock.sleep(pause)
            found = self._sign_ins.find(found.session_id)

    def _resolve(
        self, standing: Standing, row: SignIn, grant: RefreshTokenGrant, invocation: Invocation
    ) -> TokenAnswer:
        match standing:
            case Standing.REPLAY:
                return self._replay(row, invocation)
            case Standing.WIDER:
                raise InvalidScope("The scope must be the one that was granted.")
            case Standing.FOREIGN:
                raise InvalidGrant("foreign_client")
            case Standing.SUPERSEDED:
                self.endings.kill_if_active(row.session_id, "token_reused", invocation)
                raise InvalidGrant("token_reused")
            case _:
                raise self._judge_stranger(row, grant, invocation)

    def _judge_stranger(self, row: SignIn, grant: RefreshTokenGrant, invocation: Invocation) -> BrokerError:
        """Tell a superseded token, which two parties must be holding, from a forged one, which says nothing."""
        if not grant.token.is_authentic(self._committed(row).session_key):
            return InvalidGrant("forged_token")
        if grant.token.generation < row.generation:
            self.endings.kill_if_active(row.session_id, "token_reused", invocation)
            return InvalidGrant("token_reused")
        # The app is ahead of the table, which must have been restored from a backup.
        invocation.count("RestoredFromBackup")
        return Busy("restored_from_backup", retry_after=60)

    def _replay(self, row: SignIn, invocation: Invocation) -> TokenAnswer:
        secret = self._committed(row)
        now = self._clock.now()
        if secret.access_expires_at <= now:
            # An access token of less life than the grace: a dead one is no answer, and the next refresh is near.
            raise Busy("replay_expired", row.rotated_at + self._policy.grace - now)
        invocation.count("RefreshesReplayed")
        invocation.log("refresh_replayed", session_id=row.session_id, client_id=row.client_id)
        return self._answer(row, secret)

    def _committed(self, row: SignIn) -> SessionSecret:
        secret = self.store.committed(row)
        if secret is not None:
            return secret
        again = self._sign_ins.find(row.session_id)
        if again is None or again.status != "active":
            raise InvalidGrant("session_ended")
        raise Busy("vault:version_not_found")

    def _work(self, row: SignIn, grant: RefreshTokenGrant, invocation: Invocation) -> TokenAnswer:
        """Refresh under the lease in ``row`` (steps 2 to 7); raises Refused where the lease was lost."""
        with self._given_back_if_busy(row, invocation):
            kept = self._roll_forward(row, invocation)
        kept = kept or self._renew(row, invocation)
        committed = self._commit(row, kept, grant, invocation)
        invocation.count("RefreshesSucceeded")
        invocation.log("refresh_succeeded", session_id=row.session_id, client_id=row.client_id)
        return self._answer(committed, kept.secret)

    def _roll_forward(self, row: SignIn, invocation: Invocation) -> Kept | None:
        kept = self.store.earlier(row)
        if kept is not None:
            invocation.count("RollForwards")
            invocation.log("rolled_forward", session_id=row.session_id)
        return kept

    def _renew(self, row: SignIn, invocation: Invocation) -> Kept:
        """Read, post and store (steps 3 to 5)."""
        try:
            with self._given_back_if_busy(row, invocation):
                current = self._committed(row)
                if current.refresh_token is None:
                    raise InvalidGrant("not_refreshable")
                if invocation.remaining() < CALL_SECONDS + KEEP_SECONDS:
                    raise Busy("too_little_time")
                tokens = self._provider.refresh(current.refresh_token, row.provider_redirect_uri, invocation)
        except ProviderFailure as failure:
            return self._after_failure(row, failure, invocation)
        secret = replace(
            current,
            access_token=tokens.access_token,
            refresh_token=tokens.refresh_token or current.refresh_token,
            access_expires_at=tokens.expires_at,
            scope=tokens.scope or current.scope,
        )
        return self.store.keep(row, secret, invocation)

    def _after_failure(self, row: SignIn, failure: ProviderFailure, invocation: Invocation) -> Kept:
        match failure.outcome:
            case Outcome.DEAD:
                with self._given_back_if_busy(row, invocation):
                    return self._roll_forward(row, invocation) or self._kill(row, invocation)
            case Outcome.MISCONFIGURED:
                invocation.count("ProviderMisconfigured")
                self._give_back(row, invocation)
                raise Busy(failure.reason, retry_after=10) from failure
            case Outcome.REFUSED:
                self._give_back(row, invocation)
                raise Busy(failure.reason, retry_after=2) from failure
            case Outcome.UNKNOWN_ERROR | Outcome.AMBIGUOUS:
                # The lease is kept until it lapses: the request may still be under way, and a second one that meets it
                # would look to Aries like the reuse of a stolen token.
                self._note(lambda: self._leases.settle(row), row, invocation)
                raise Busy(failure.reason, row.lease_until - self._clock.now()) from failure

    def _kill(self, row: SignIn, invocation: Invocation) -> NoReturn:
        condition = "fence = :fence AND lease_id = :lease_id"
        self.endings.kill(
            row.session_id,
            "provider_refused",
            invocation,
            condition=condition,
            fence=row.fence,
            lease_id=row.lease_id,
        )
        raise InvalidGrant("provider_refused")

    def _commit(self, row: SignIn, kept: Kept, grant: RefreshTokenGrant, invocation: Invocation) -> SignIn:
        """Commit (step 6), repeatedly while the outcome is not known; raises Refused where the lease was lost."""
        generation = row.generation + 1
        renewed = replace(
            row,
            generation=generation,
            handle_hash=RefreshToken.mint(row.session_id, generation, kept.secret.session_key).hash,
            secret_version=kept.version,
            access_expires_at=kept.secret.access_expires_at,
            token_scope=kept.secret.scope,
            escrow=kept.escrow,
        )
        backoff = pauses(self._token_bytes)
        while True:
            pause = next(backoff)
            try:
                return self._leases.commit(renewed, grant.token.hash, self._clock.now())
            except Refused as refused:
                found = refused.found
                if found is not None and found.status == "active" and found.committed_fence == row.fence:
                    return found  # Our own write, whose answer was lost.
                raise
            except Busy:
                if invocation.remaining() - pause < _COMMIT_SECONDS:
                    raise
            self._clock.sleep(pause)

    def _answer(self, row: SignIn, secret: SessionSecret) -> TokenAnswer:
        return TokenAnswer(secret, RefreshToken.mint(row.session_id, row.generation, secret.session_key).text)

    @contextmanager
    def _given_back_if_busy(self, row: SignIn, invocation: Invocation) -> Iterator[None]:
        """Give the lease back where a step fails while nothing is under way at Aries."""
        try:
            yield
        except Busy:
            self._give_back(row, invocation)
            raise

    def _give_back(self, row: SignIn, invocation: Invocation) -> None:
        self._note(lambda: self._leases.release(row), row, invocation)

    def _note(self, write: Callable[[], object], row: SignIn, invocation: Invocation) -> None:
        """Write what only saves the next worker time; the lease lapses by itself."""
        try:
            write()
        except (Busy, Refused) as error:
            invocation.log("lease_not_updated", session_id=row.session_id, reason=error.reason)
