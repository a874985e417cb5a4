"""Steps 2 to 6 of a refresh, and of any other renewal: the work of the one worker that holds the lease.

`refresh` describes all steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from oauth_broker.aries.client import ARIES_CALL_SECONDS, STORE_SECONDS, Provider, ProviderFailure
from oauth_broker.clock import Backoff, Clock
from oauth_broker.config.dialect import Outcome
from oauth_broker.config.settings import Settings
from oauth_broker.errors import ForgedToken, NotRefreshable, Paused, ServiceUnavailable
from oauth_broker.oauth.scope import canonical_scope
from oauth_broker.operations.pause import Pause
from oauth_broker.runtime.aws import AWS_CALL_SECONDS
from oauth_broker.runtime.invocation import Invocation
from oauth_broker.sessions.conditional_update import ConditionFailed
from oauth_broker.sessions.leases import Leases
from oauth_broker.sessions.renewers import Renewer
from oauth_broker.sessions.row import SignIn, was_refused
from oauth_broker.sessions.session_end import SessionEnd
from oauth_broker.sessions.session_secret import SessionSecret
from oauth_broker.sessions.token_store import READ_LAG_SECONDS, StoredTokens, TokenStore

# The longest time from the lease on: look for earlier answers, call Aries, store.
RENEWAL_SECONDS = ARIES_CALL_SECONDS + STORE_SECONDS + READ_LAG_SECONDS
# Reserved for the last try to commit and for the answer.
_COMMIT_SECONDS = 1.0


class Renewal:
    """Renews the tokens of a leased session."""

    def __init__(
        self,
        settings: Settings,
        leases: Leases,
        token_store: TokenStore,
        provider: Provider,
        pause: Pause,
        session_end: SessionEnd,
        clock: Clock,
        random_bytes: Callable[[int], bytes],
    ) -> None:
        self._settings = settings
        self._leases = leases
        self._token_store = token_store
        self._provider = provider
        self._pause = pause
        self._session_end = session_end
        self._clock = clock
        self._backoff = Backoff(clock, random_bytes)

    def __call__(self, row: SignIn, renewer: Renewer, invocation: Invocation) -> tuple[SignIn, SessionSecret]:
        """Renew under the lease in ``row`` (steps 2 to 6). Return the committed row and tokens.

        Raises ConditionFailed if this worker has lost the lease, and otherwise like Refresh.
        """
        if not renewer.client.allows_scope(row.scope):
            raise self._session_end.end_disallowed(row, invocation)
        with self._given_back(row, invocation):
            earlier = self._roll_forward(row, invocation)
            current = earlier.secret if earlier else self._token_store.committed(row)
            renewer.refuse_forged(current, invocation)
        # If the access token of an earlier answer lives too short, Aries is asked, with the refresh token of that
        # answer: it is Aries' newest.
        if earlier and self._lives_enough(earlier, renewer):
            stored = earlier
        else:
            stored = self._renew(row, current, earlier, renewer, invocation)
        committed = self._commit(row, stored, renewer, invocation)
        if stored is not earlier:
            self._note(self._pause.served, invocation)
        return committed, stored.secret

    def _lives_enough(self, stored: StoredTokens, renewer: Renewer) -> bool:
        least = renewer.least_seconds(stored.secret, self._settings.refresh_grace_seconds)
        return stored.secret.access_expires_at > self._clock.now() + least

    def _roll_forward(self, row: SignIn, invocation: Invocation) -> StoredTokens | None:
        """Return the newest answer that an earlier worker stored and did not commit (step 2)."""
        stored = self._token_store.earlier(row)
        if stored is not None:
            invocation.count("RollForwards")
            invocation.log("rolled_forward")
        return stored

    def _renew(
        self,
        row: SignIn,
        current: SessionSecret,
        earlier: StoredTokens | None,
        renewer: Renewer,
        invocation: Invocation,
    ) -> StoredTokens:
        """Post and store (steps 4 and 5)."""
        try:
            with self._given_back(row, invocation):
                if current.refresh_token is None:
                    raise NotRefreshable
                self._token_store.refuse_unless_it_can_seal(row, current)
                self._pause.admit(was_refused=was_refused(row.timeline))
                tokens = self._provider.refresh(current.refresh_token, row.provider_redirect_uri, invocation)
        except ProviderFailure as failure:
            return self._after_failure(row, earlier, failure, renewer, invocation)
        secret = replace(
            current,
            access_token=tokens.access_token,
            refresh_token=tokens.refresh_token or current.refresh_token,
            access_expires_at=tokens.expires_at,
            access_seconds=tokens.expires_in,
            scope=canonical_scope(tokens.scope or current.scope),
        )
        return self._token_store.store(row, secret, invocation)

    def _after_failure(
        self,
        row: SignIn,
        earlier: StoredTokens | None,
        failure: ProviderFailure,
        renewer: Renewer,
        invocation: Invocation,
    ) -> StoredTokens:
        match failure.outcome:
            case Outcome.DEAD:
                # Aries serves others, so this counts as a success for the pause.
                self._note(self._pause.served, invocation)
                with self._given_back(row, invocation):
                    return self._newer_than(earlier, row, renewer, invocation)
            case Outcome.MISCONFIGURED | Outcome.REFUSED:
                if failure.outcome is Outcome.MISCONFIGURED:
                    invocation.count("ProviderMisconfigured")
                until = self._clock.now() + failure.retry_after
                self._note(lambda: self._leases.pause(row, failure.reason, self._clock.now(), until), invocation)
                if failure.answered:
                    self._note(lambda: self._pause.refused(row.reference), invocation)
                raise Paused(failure.reason, failure.retry_after) from failure
            case Outcome.UNKNOWN_ERROR | Outcome.AMBIGUOUS:
                # The worker keeps the lease until it expires, because the request may still be under way. A second
                # request beside it would look to Aries like the reuse of a stolen token.
                self._note(
                    lambda: self._leases.give_back_fence(row, failure.reason, self._clock.now()),
                    invocation,
                )
                # Once the lease expires, another worker may commit. The app must be back within the grace after that.
                wait = max(row.lease_until - self._clock.now(), self._settings.within_grace(failure.retry_after))
                raise ServiceUnavailable(failure.reason, wait) from failure

    def _newer_than(
        self, refused: StoredTokens | None, row: SignIn, renewer: Renewer, invocation: Invocation
    ) -> StoredTokens:
        """Look for an earlier worker's answer once more, now that Aries has refused. If there is none, end the session.

        ``refused`` is the earlier answer whose refresh token Aries has just refused, if there was one.
        """
        stored = self._roll_forward(row, invocation)
        if stored is None or (refused is not None and stored.version == refused.version):
            raise self._session_end.end_refused(row, invocation)
        if not self._lives_enough(stored, renewer):
            # The next try finds this answer at once, and renews it.
            raise ServiceUnavailable("stored_answer_is_over")
        return stored

    def _commit(self, row: SignIn, stored: StoredTokens, renewer: Renewer, invocation: Invocation) -> SignIn:
        """Commit (step 6), and again while the outcome is not known. Raises ConditionFailed if the lease was lost."""
        now = self._clock.now()
        renewed = renewer.renewed(
            replace(
                row,
                secret_version=stored.version,
                access_expires_at=stored.secret.access_expires_at,
                access_seconds=stored.secret.access_seconds,
                token_scope=stored.secret.scope,
                escrow=stored.escrow,
                sealed=stored.sealed,
                # A session of a release that knew no idle sessions ends when its row expires.
                ends_at=row.ends_at or row.expires_at,
            ),
            stored.secret,
            now,
        )
        renewed = replace(renewed, expires_at=renewed.expiry(renewer.client.idle_seconds))
        self._backoff.until_done(
            lambda: self._leases.commit(renewed, renewer, self._clock.now()),
            lambda: invocation.remaining() - _COMMIT_SECONDS,
        )
        return renewed

    @contextmanager
    def _given_back(self, row: SignIn, invocation: Invocation) -> Iterator[None]:
        """Give the lease back if a step fails while no request is under way at Aries and no answer was stored."""
        try:
            yield
        except (ServiceUnavailable, ForgedToken, NotRefreshable) as failure:
            reason = failure.reason
            self._note(lambda: self._leases.release(row, reason, self._clock.now()), invocation)
            raise

    def _note(self, write: Callable[[], object], invocation: Invocation) -> None:
        """Do a write that only saves time or calls: a lease expires by itself, and Aries can ask for a pause again.

        The answer comes first. This method leaves out the write if it could use up the time left.
        """
        if invocation.remaining() < AWS_CALL_SECONDS + _COMMIT_SECONDS:
            invocation.log("not_noted", reason="too_little_time")
            return
        try:
            write()
        except (ServiceUnavailable, ConditionFailed) as error:
            invocation.log("not_noted", reason=error.reason)
