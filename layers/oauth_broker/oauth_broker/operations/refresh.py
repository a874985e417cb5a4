"""The ``refresh_token`` grant (RFC 6749 section 6, Aries step 5), without ever losing the session.

A refresh has seven steps. Their order keeps the session safe if any of them fails:

1. **Lease.** One conditional update takes the row for this worker under a new fence. If another worker holds the lease,
   the row decides: refuse, replay, wait, or take over once the lease expires (`sessions.verdict`).
2. **Roll forward.** A worker that died may have stored Aries' answer under an earlier fence. This worker looks under
   each fence since the last commit. It sends the old Aries token only if it finds no answer there.
3. **Read** the committed secret, by the version that the row names. The token must be authentic under the key in that
   secret. The row also names the current token, but anybody with write access to the table could change the row.
4. **Post** to Aries, once under this lease (`aries.client`). If the outcome is not known, the worker keeps the lease
   until it expires, because the request may still be under way. If Aries refuses to serve, the session leaves Aries
   alone for as long as Aries asks. After several refusals in a row every session does (`pause`).
5. **Store** the answer, idempotently, under the version of this fence. If Secrets Manager refuses to the end, KMS seals
   the answer in the row (`sessions.seal`).
6. **Commit** in one conditional update. The session changes at this point and at no other.
7. **Answer** with the committed tokens.

If a session keeps its tokens in the row, step 2 finds nothing and asks nobody, step 3 opens the seal in the row, and
step 5 seals the answer. Step 6 then stores and commits in one write.

This module has step 1, and the wait for a lease. `renewal` has steps 2 to 7, and `resolution` has every answer without
a lease.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from oauth_broker.clock import Backoff, Clock
from oauth_broker.config.settings import Settings
from oauth_broker.errors import InvalidGrant, OAuthError, Paused, ServiceUnavailable, UnsupportedGrantType
from oauth_broker.oauth.requests import RefreshTokenGrant
from oauth_broker.operations.pause import Pause, paused
from oauth_broker.operations.rate_limits import MINUTE, RateLimits
from oauth_broker.operations.renewal import RENEWAL_SECONDS, Renewal
from oauth_broker.operations.resolution import Resolution
from oauth_broker.operations.token_response import TokenResponse
from oauth_broker.runtime.invocation import Invocation
from oauth_broker.secret import base64url
from oauth_broker.sessions.conditional_update import ConditionFailed
from oauth_broker.sessions.leases import Lease, Leases
from oauth_broker.sessions.not_before import NotBefore
from oauth_broker.sessions.row import LEASE_MARGIN_SECONDS, SignIn
from oauth_broker.sessions.verdict import Terms, Verdict, judge

# The longest wait for another worker's answer or for the end of a pause.
_LEASE_WAIT_SECONDS = 6.0


class _Request(NamedTuple):
    """A refresh request, with the terms for each verdict on it.

    ``time_left`` returns the seconds that the request may still wait. It is a named tuple for a quicker start, as
    ``Write`` is.
    """

    grant: RefreshTokenGrant
    invocation: Invocation
    terms: Terms
    time_left: Callable[[], float]


class Refresh:
    """The ``refresh_token`` grant, for the token endpoint and for the refresh endpoint."""

    def __init__(
        self,
        settings: Settings,
        leases: Leases,
        not_before: NotBefore,
        pause: Pause,
        renewal: Renewal,
        resolution: Resolution,
        clock: Clock,
        random_bytes: Callable[[int], bytes],
    ) -> None:
        self._settings = settings
        self._leases = leases
        self._not_before = not_before
        self._pause = pause
        self._renewal = renewal
        self._resolution = resolution
        self._clock = clock
        self._random_bytes = random_bytes
        self._backoff = Backoff(clock, random_bytes)
        self._limits = RateLimits(settings.source_limit, MINUTE, clock)

    def __call__(self, grant: RefreshTokenGrant, invocation: Invocation) -> TokenResponse:
        """Refresh the session of ``grant.token``, or repeat the answer of the last refresh.

        Raises InvalidGrant if the session has ended or ends here, and InvalidScope. Raises ServiceUnavailable if the
        session is intact and the app may send the same request again.
        """
        if not self._settings.can_refresh:
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
        request = self._request(grant, invocation)
        is_paused = self._pause.left() > 0
        if is_paused or self._limits.is_exceeded(grant.client.client_id, invocation.source):
            # Above the limit somebody tries tokens: a read comes first, so that a bad token writes nothing. A good
            # token is served as usual. In a pause, a read comes first because some answers need no call to Aries.
            answer = self._answer_without_lease(self._leases.find(grant.token.session_id), request)
            if answer is not None:
                return answer
            if is_paused:
                self._sit_out(paused(self._pause.left()), request)
        while request.time_left() > 0:
            try:
                return self._renewal(self._take_lease(request), request.grant, invocation)
            except Paused as refusal:
                self._sit_out(refusal, request)
                continue
            except ConditionFailed as failure:
                answer = self._answer_without_lease(failure.found, request)
            if answer is not None:
                return answer
            # The verdict found the named scope granted, and a session's scope never changes. The lease's condition can
            # only compare whole texts, so the next try leaves the scope out.
            request = request._replace(grant=replace(request.grant, scope=None))
        raise ServiceUnavailable("too_little_time")

    def _request(self, grant: RefreshTokenGrant, invocation: Invocation) -> _Request:
        arrived = self._clock.now()

        def time_left() -> float:
            return min(arrived + _LEASE_WAIT_SECONDS - self._clock.now(), invocation.remaining() - RENEWAL_SECONDS)

        not_before = self._backoff.until_done(lambda: self._not_before.of(grant.client.client_id), time_left)
        terms = Terms(arrived - self._settings.refresh_grace_seconds, self._settings.late_retry, not_before)
        return _Request(grant, invocation, terms, time_left)

    def _take_lease(self, request: _Request) -> SignIn:
        """Take the lease (step 1). Raises ConditionFailed with the row as found.

        If the outcome is not known, the worker asks again. Otherwise the lease could stand without a worker, and the
        session would stand still until the lease expires.
        """
        until = self._clock.now() + request.invocation.remaining() + LEASE_MARGIN_SECONDS
        lease = Lease(base64url(self._random_bytes(16)), until)
        return self._backoff.until_done(
            lambda: self._leases.take(request.grant, lease, request.terms, self._clock.now()), request.time_left
        )

    def _answer_without_lease(self, found: SignIn | None, request: _Request) -> TokenResponse | None:
        """Answer from the row ``found``, or wait until the lease may be taken and return None.

        Each look at the row judges the token afresh, because the worker with the lease may change the row meanwhile.
        """
        row, grant = found, request.grant
        for attempt in self._backoff.tries(request.time_left):
            if attempt:
                row = self._leases.find(grant.token.session_id)
            verdict = judge(row, grant, request.terms, self._clock.now())
            if row is None or verdict is Verdict.ENDED:
                raise InvalidGrant("session_ended")
            match verdict:
                case Verdict.READY:
                    return None
                case Verdict.PAUSED:
                    self._sit_out(paused(row.lease_until - self._clock.now()), request)
                case Verdict.WAIT:
                    request.invocation.count("LeaseWaits")
                case _:
                    return self._resolution(verdict, row, grant, request.invocation)
        raise ServiceUnavailable("lease_held", self._seconds_until_free(row) if row else 1)

    def _sit_out(self, refusal: Paused, request: _Request) -> None:
        """Wait for the end of a short pause, because some apps cannot bear a 503. Raises ``refusal`` if it is long."""
        if refusal.retry_after >= request.time_left():
            raise refusal
        self._clock.sleep(refusal.retry_after)

    def _seconds_until_free(self, row: SignIn) -> float:
        """Return in how many seconds the app may come back to a session under another worker's lease."""
        return self._settings.within_grace(row.lease_until - self._clock.now())
