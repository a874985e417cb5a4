"""Refreshing a session (RFC 6749 section 6, Aries step 5) without ever losing it.

What is promised, and the order of steps that gives it:

1. **Lease.** One conditional update takes the row for this worker under a new fence. Whoever does not get it is judged
   by the row as found: refused, answered again (replay), made to wait, or let in once the lease has lapsed.
2. **Roll forward.** A worker that died may have stored Aries' answer under an earlier fence. Each one since the last
   commit is looked for; the old Aries token is not sent before they all count as missing.
3. **Read** the committed secret, by the version that the row names. The token must be authentic under its key: the row
   says which token is current, but whoever may write rows could say so of any.
4. **Post** to Aries, once under this lease (`provider`). After an outcome that is not known the lease is kept until it
   lapses, since the first request may still be under way. If Aries refuses to serve, the session leaves it alone for as
   long as it asks, and after several refusals in a row every session does (`pause`).
5. **Store** the answer, idempotently, under the version of this fence; where Secrets Manager refuses to the end, sealed
   in the row.
6. **Commit** in one conditional update: the only point at which the session changes.
7. **Answer** from what was committed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from oauth_broker.aries.client import ARIES_CALL_SECONDS, STORE_SECONDS, Provider, ProviderFailure
from oauth_broker.clock import Backoff, Clock
from oauth_broker.config.dialect import Outcome
from oauth_broker.config.settings import Settings
from oauth_broker.errors import (
    BrokerError,
    ForgedToken,
    InvalidGrant,
    InvalidScope,
    OAuthError,
    Paused,
    ServiceUnavailable,
    UnsupportedGrantType,
)
from oauth_broker.oauth.requests import RefreshTokenGrant, canonical_scope
from oauth_broker.oauth.tokens import RefreshToken
from oauth_broker.operations.endpoint import TokenResponse
from oauth_broker.operations.pause import Pause, paused
from oauth_broker.operations.rate_limits import MINUTE, RateLimits
from oauth_broker.runtime.aws import AWS_CALL_SECONDS
from oauth_broker.runtime.invocation import Invocation
from oauth_broker.secret import base64url
from oauth_broker.sessions.control_item import ControlItem
from oauth_broker.sessions.leases import LEASE_MARGIN_SECONDS, Lease, Leases
from oauth_broker.sessions.not_before import NotBefore
from oauth_broker.sessions.row import SignIn, entry, extended, was_refused
from oauth_broker.sessions.session_end import SessionEnd
from oauth_broker.sessions.session_secret import SessionSecret
from oauth_broker.sessions.table import ConditionFailed, SignIns
from oauth_broker.sessions.token_store import READ_LAG_SECONDS, StoredTokens, TokenStore
from oauth_broker.sessions.verdict import Terms, Verdict, judge

# What a refresh may take from the lease on: looking for earlier answers, Aries, storing.
_WORK_SECONDS = ARIES_CALL_SECONDS + STORE_SECONDS + READ_LAG_SECONDS
_WAIT_SECONDS = 6.0
# Left for the last try to commit and for the answer.
_COMMIT_SECONDS = 1.0


class Refresh:
    """The ``refresh_token`` grant, for the token endpoint and for the refresh endpoint."""

    def __init__(
        self,
        settings: Settings,
        sign_ins: SignIns,
        control: ControlItem,
        store: TokenStore,
        provider: Provider,
        session_end: SessionEnd,
        clock: Clock,
        random_bytes: Callable[[int], bytes],
    ) -> None:
        self._is_offered = settings.can_refresh
        self._grace = settings.refresh_grace_seconds
        self._late_retry = settings.late_retry
        self._sign_ins = sign_ins
        self._leases = Leases(sign_ins)
        self.not_before_times = NotBefore(control, clock)
        self._pause = Pause(control, clock)
        self.store = store
        self._provider = provider
        self.session_end = session_end
        self._clock = clock
        self._random_bytes = random_bytes
        self._backoff = Backoff(clock, random_bytes)
        self._limits = RateLimits(settings.source_limit, MINUTE, clock)

    def __call__(self, grant: RefreshTokenGrant, invocation: Invocation) -> TokenResponse:
        """Refresh the session of ``grant.token``, or answer again what the last refresh answered.

        Raises InvalidGrant where the session has ended or ends here, InvalidScope, and ServiceUnavailable, after
        which the session is intact and the same request may be repeated.
        """
        if not self._is_offered:
            raise UnsupportedGrantType("This server does not refresh.")
        invocation.about_session(grant.token.session_id, grant.client.client_id)
        try:
            return self._refresh(grant, invocation)
        except ServiceUnavailable as unavailable:
            invocation.count("RefreshesFailed", reason=unavailable.reason)
            raise
        except OAuthError as error:
            invocation.count("RefreshesRejected", reason=error.reason)
            self._limits.count(grant.client.client_id, invocation.source)
            raise

    def _refresh(self, grant: RefreshTokenGrant, invocation: Invocation) -> TokenResponse:
        arrived = self._clock.now()

        def time_left() -> float:
            return min(arrived + _WAIT_SECONDS - self._clock.now(), invocation.remaining() - _WORK_SECONDS)

        not_before = self._backoff.until_done(lambda: self.not_before_times.of(grant.client.client_id), time_left)
        terms = Terms(arrived - self._grace, self._late_retry, not_before)

        is_paused = self._pause.left() > 0
        if is_paused or self._limits.is_exceeded(grant.client.client_id, invocation.source):
            # Somebody there tries tokens: nothing more is written for bad ones, and a good one is served as ever. Or
            # Aries is left alone: what needs no call of it is answered.
            found = self._sign_ins.find(grant.token.session_id)
            answer = self._answer_as_found(found, grant, terms, invocation, time_left)
            if answer is not None:
                return answer
            if is_paused:
                self._sit_out(paused(self._pause.left()), time_left)
        while time_left() > 0:
            try:
                return self._work(self._take_lease(grant, terms, invocation, time_left), grant, invocation)
            except Paused as refusal:
                self._sit_out(refusal, time_left)
                continue
            except ConditionFailed as refused:
                answer = self._answer_as_found(refused.found, grant, terms, invocation, time_left)
            if answer is not None:
                return answer
            # The scope that the app names was found granted. The lease's condition can only compare whole texts, and
            # what a session was granted never changes.
            grant = replace(grant, scope=None)
        raise ServiceUnavailable("too_little_time")

    def _take_lease(
        self, grant: RefreshTokenGrant, terms: Terms, invocation: Invocation, time_left: Callable[[], float]
    ) -> SignIn:
        """Take the lease (step 1); raises ConditionFailed with the row as found.

        Repeated where its outcome is not known: a lease that was taken and is not known to be would have nobody work
        under it until it lapses.
        """
        until = self._clock.now() + invocation.remaining() + LEASE_MARGIN_SECONDS
        lease = Lease(base64url(self._random_bytes(16)), until)
        return self._backoff.until_done(lambda: self._leases.take(grant, lease, terms, self._clock.now()), time_left)

    def _answer_as_found(
        self,
        found: SignIn | None,
        grant: RefreshTokenGrant,
        terms: Terms,
        invocation: Invocation,
        time_left: Callable[[], float],
    ) -> TokenResponse | None:
        """Answer without the lease, or wait until it may be taken, and return None then.

        Every look at the row judges afresh: the winner's answer never goes to anyone but a holder of one of the two
        tokens.
        """
        row = found
        for attempt in self._backoff.tries(time_left):
            if attempt:
                row = self._sign_ins.find(grant.token.session_id)
            standing = judge(row, grant, terms, self._clock.now())
            if row is None or standing is Verdict.ENDED:
                raise InvalidGrant("session_ended")
            if standing is Verdict.READY:
                return None
            if standing is Verdict.PAUSED:
                self._sit_out(paused(row.lease_until - self._clock.now()), time_left)
                continue
            if standing is not Verdict.WAIT:
                return self._resolve(standing, row, grant, invocation)
            invocation.count("LeaseWaits")
        raise ServiceUnavailable("lease_held", self._until_lapsed(row) if row else 1)

    def _sit_out(self, refusal: Paused, time_left: Callable[[], float]) -> None:
        """Wait for the end of a short pause, since not every app can bear a 503; raises ``refusal`` if it is long."""
        if refusal.retry_after >= time_left():
            raise refusal
        self._clock.sleep(refusal.retry_after)

    def _until_lapsed(self, row: SignIn) -> float:
        """Return after how many seconds an app may come back to a session that another worker holds.

        The holder may still commit.
        """
        return self._within_grace(row.lease_until - self._clock.now())

    def _within_grace(self, seconds: float) -> float:
        """Return after how many seconds an app may come back, where a commit may follow in which it has no part.

        Where late retries end the session, the app has to be back within the grace after that commit.
        """
        return seconds if self._late_retry else min(seconds, self._grace)

    def _resolve(
        self, standing: Verdict, row: SignIn, grant: RefreshTokenGrant, invocation: Invocation
    ) -> TokenResponse:
        match standing:
            case Verdict.REPLAY:
                return self._replay(row, grant, invocation)
            case Verdict.WIDER:
                raise InvalidScope("The scope must be no wider than the one that was granted.")
            case Verdict.FOREIGN:
                raise InvalidGrant("foreign_client")
            case Verdict.BEFORE_MASS_SIGN_OUT:
                raise InvalidGrant("mass_sign_out")
            case Verdict.DISALLOWED:
                raise self._end_disallowed(row, invocation)
            case Verdict.SUPERSEDED:
                self.session_end.end_reused(row.session_id, "token_reused", invocation)
                raise InvalidGrant("token_reused")
            case _:
                raise self._judge_stranger(row, grant, invocation)

    def _end_disallowed(self, row: SignIn, invocation: Invocation) -> BrokerError:
        """End a session whose scope the app was registered for when it began, and is no longer."""
        self.session_end.end_disallowed(row.session_id, invocation)
        return InvalidGrant("scope_removed")

    def _judge_stranger(self, row: SignIn, grant: RefreshTokenGrant, invocation: Invocation) -> BrokerError:
        """Tell a superseded token, which two parties must be holding, from a forged one, which says nothing."""
        if not grant.token.is_authentic(self.store.committed(row).session_key):
            return ForgedToken()
        if grant.token.generation < row.generation:
            self.session_end.end_reused(row.session_id, "token_reused", invocation)
            return InvalidGrant("token_reused")
        # The app is ahead of the table, which must have been restored from a backup.
        invocation.count("RestoredFromBackup")
        return ServiceUnavailable("restored_from_backup", retry_after=60)

    def _replay(self, row: SignIn, grant: RefreshTokenGrant, invocation: Invocation) -> TokenResponse:
        secret = self.store.committed(row)
        _refuse_forged(secret, grant, invocation)
        now = self._clock.now()
        if secret.access_expires_at <= now:
            # An access token of less life than the grace: a dead one is no answer, and the next refresh is near.
            raise ServiceUnavailable("replay_expired", row.rotated_at + self._grace - now)
        invocation.count("RefreshesReplayed")
        invocation.log("refresh_replayed")
        return self._answer(row, secret)

    def _work(self, row: SignIn, grant: RefreshTokenGrant, invocation: Invocation) -> TokenResponse:
        """Refresh under the lease in ``row`` (steps 2 to 7); raises ConditionFailed where the lease was lost."""
        if not grant.client.allows_scope(row.scope):
            raise self._end_disallowed(row, invocation)
        with self._given_back(row, invocation):
            earlier = self._roll_forward(row, invocation)
            current = earlier.secret if earlier else self.store.committed(row)
            _refuse_forged(current, grant, invocation)
        # What was stored so long ago that its access token is over is no answer; its refresh token is Aries' newest.
        kept = earlier if earlier and not self._is_over(earlier) else self._renew(row, current, earlier, invocation)
        committed = self._commit(row, kept, grant, invocation)
        if kept is not earlier:
            self._note(self._pause.served, invocation)
        invocation.count("RefreshesSucceeded")
        invocation.log("refresh_succeeded")
        return self._answer(committed, kept.secret)

    def _is_over(self, kept: StoredTokens) -> bool:
        return kept.secret.access_expires_at <= self._clock.now() + self._grace

    def _roll_forward(self, row: SignIn, invocation: Invocation) -> StoredTokens | None:
        kept = self.store.earlier(row)
        if kept is not None:
            invocation.count("RollForwards")
            invocation.log("rolled_forward")
        return kept

    def _renew(
        self, row: SignIn, current: SessionSecret, earlier: StoredTokens | None, invocation: Invocation
    ) -> StoredTokens:
        """Post and store (steps 4 and 5)."""
        try:
            with self._given_back(row, invocation):
                if current.refresh_token is None:
                    raise InvalidGrant("not_refreshable")
                self._pause.admit(was_refused=was_refused(row.timeline))
                tokens = self._provider.refresh(current.refresh_token, row.provider_redirect_uri, invocation)
        except ProviderFailure as failure:
            return self._after_failure(row, earlier, failure, invocation)
        secret = replace(
            current,
            access_token=tokens.access_token,
            refresh_token=tokens.refresh_token or current.refresh_token,
            access_expires_at=tokens.expires_at,
            scope=canonical_scope(tokens.scope or current.scope),
        )
        return self.store.store(row, secret, invocation)

    def _after_failure(
        self, row: SignIn, earlier: StoredTokens | None, failure: ProviderFailure, invocation: Invocation
    ) -> StoredTokens:
        match failure.outcome:
            case Outcome.DEAD:
                # Aries serves, if not this session.
                self._note(self._pause.served, invocation)
                with self._given_back(row, invocation):
                    return self._newer_than(earlier, row, invocation)
            case Outcome.MISCONFIGURED | Outcome.REFUSED:
                if failure.outcome is Outcome.MISCONFIGURED:
                    invocation.count("ProviderMisconfigured")
                until = self._clock.now() + failure.retry_after
                self._note(lambda: self._leases.pause(row, failure.reason, self._clock.now(), until), invocation)
                if failure.answered:
                    self._note(lambda: self._pause.refused(row.reference), invocation)
                raise Paused(failure.reason, failure.retry_after) from failure
            case Outcome.UNKNOWN_ERROR | Outcome.AMBIGUOUS:
                # The lease is kept until it lapses: the request may still be under way, and a second one that meets it
                # would look to Aries like the reuse of a stolen token.
                self._note(lambda: self._leases.give_back_fence(row, failure.reason, self._clock.now()), invocation)
                # Another worker may commit once the lease lapses.
                wait = max(row.lease_until - self._clock.now(), self._within_grace(failure.retry_after))
                raise ServiceUnavailable(failure.reason, wait) from failure

    def _newer_than(self, refused: StoredTokens | None, row: SignIn, invocation: Invocation) -> StoredTokens:
        """Look once more for what an earlier worker stored, now that Aries has refused; end the session otherwise."""
        kept = self._roll_forward(row, invocation)
        if kept is None or (refused is not None and kept.version == refused.version):
            self.session_end.end_refused(row, invocation)
            raise InvalidGrant("provider_refused")
        if self._is_over(kept):
            # The next try finds it at once, and renews it.
            raise ServiceUnavailable("stored_answer_is_over")
        return kept

    def _commit(self, row: SignIn, kept: StoredTokens, grant: RefreshTokenGrant, invocation: Invocation) -> SignIn:
        """Commit (step 6), repeatedly while the outcome is not known.

        Raises ConditionFailed where the lease was lost.
        """
        generation, now = row.generation + 1, self._clock.now()
        how = "late_retry" if grant.token.has_hash(row.previous_hash) else ""
        renewed = replace(
            row,
            generation=generation,
            handle_hash=RefreshToken.mint(row.session_id, generation, kept.secret.session_key).hash,
            secret_version=kept.version,
            access_expires_at=kept.secret.access_expires_at,
            token_scope=kept.secret.scope,
            escrow=kept.escrow,
            timeline=extended(row.timeline, entry(now, "refreshed", how)),
        )
        self._backoff.until_done(
            lambda: self._leases.commit(renewed, grant.token.hash, self._clock.now()),
            lambda: invocation.remaining() - _COMMIT_SECONDS,
        )
        return renewed

    def _answer(self, row: SignIn, secret: SessionSecret) -> TokenResponse:
        return TokenResponse(secret, RefreshToken.mint(row.session_id, row.generation, secret.session_key).text)

    @contextmanager
    def _given_back(self, row: SignIn, invocation: Invocation) -> Iterator[None]:
        """Give the lease back where a step fails while nothing is under way at Aries and nothing was stored."""
        try:
            yield
        except (ServiceUnavailable, ForgedToken) as failure:
            self._release(row, failure, invocation)
            raise

    def _release(self, row: SignIn, failure: BrokerError, invocation: Invocation) -> None:
        self._note(lambda: self._leases.release(row, failure.reason, self._clock.now()), invocation)

    def _note(self, write: Callable[[], object], invocation: Invocation) -> None:
        """Write what only saves time or calls: a lease lapses by itself, and Aries asks anew for a pause.

        The answer goes first: the write is left out where it might take the time that is left.
        """
        if invocation.remaining() < AWS_CALL_SECONDS + _COMMIT_SECONDS:
            invocation.log("not_noted", reason="too_little_time")
            return
        try:
            write()
        except (ServiceUnavailable, ConditionFailed) as error:
            invocation.log("not_noted", reason=error.reason)


def _refuse_forged(secret: SessionSecret, grant: RefreshTokenGrant, invocation: Invocation) -> None:
    """Raise ForgedToken if the token, which the row says is the session's, is not: somebody has written the row."""
    if not grant.token.is_authentic(secret.session_key):
        invocation.count("RowsAltered")
        raise ForgedToken
