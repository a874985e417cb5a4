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

`turn` has step 1, and the wait for a lease. `renewal` has steps 2 to 6, and `resolution` has every answer without a
lease.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from oauth_broker.clock import Backoff, Clock
from oauth_broker.config.settings import Settings
from oauth_broker.errors import OAuthError, ServiceUnavailable, UnauthorizedClient, UnsupportedGrantType
from oauth_broker.oauth.requests import RefreshTokenGrant
from oauth_broker.operations.rate_limits import MINUTE, RateLimits
from oauth_broker.operations.resolution import Resolution
from oauth_broker.operations.token_response import TokenResponse
from oauth_broker.operations.turn import Turns
from oauth_broker.people.identification import Identification
from oauth_broker.runtime.invocation import Invocation
from oauth_broker.sessions.leases import Leases
from oauth_broker.sessions.not_before import NotBefore
from oauth_broker.sessions.renewers import AppRenewer
from oauth_broker.sessions.row import SignIn
from oauth_broker.sessions.session_secret import SessionSecret
from oauth_broker.sessions.verdict import Terms, Verdict


class Refresh:
    """The ``refresh_token`` grant, for the token endpoint and for the refresh endpoint."""

    def __init__(
        self,
        settings: Settings,
        leases: Leases,
        not_before: NotBefore,
        turns: Turns,
        resolution: Resolution,
        clock: Clock,
        random_bytes: Callable[[int], bytes],
        identification: Identification | None,
    ) -> None:
        self._settings = settings
        self._leases = leases
        self._not_before = not_before
        self._turns = turns
        self._resolution = resolution
        self._clock = clock
        self._backoff = Backoff(clock, random_bytes)
        self._limits = RateLimits(settings.source_limit, MINUTE, clock)
        self._identification = identification

    def __call__(self, grant: RefreshTokenGrant, invocation: Invocation) -> TokenResponse:
        """Refresh the session of ``grant.token``, or repeat the answer of the last refresh.

        Raises InvalidGrant if the session has ended or ends here, and InvalidScope. Raises ServiceUnavailable if the
        session is intact and the app may send the same request again.
        """
        if not self._settings.can_refresh:
            raise UnsupportedGrantType("This server does not refresh.")
        if not grant.client.may_refresh:
            raise UnauthorizedClient("This app may not refresh.")
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
        # The arrival decides what is within the grace, and the turn's time counts from it.
        replay_after = self._clock.now() - self._settings.refresh_grace_seconds
        time_left = self._turns.time_left(invocation)
        not_before = self._backoff.until_done(lambda: self._not_before.of(grant.client.client_id), time_left)
        renewer = AppRenewer(grant, Terms(replay_after, self._settings.late_retry, not_before))
        answers = _Answers(self._resolution, self._identification, grant, invocation)
        turn = self._turns.of(renewer, answers, invocation, time_left)
        if self._turns.pause.left() > 0 or self._limits.is_exceeded(grant.client.client_id, invocation.source):
            # Above the limit somebody tries tokens: a read comes first, so that a bad token writes nothing. A good
            # token is served as usual.
            return turn.after_look(self._leases.find(grant.token.session_id))
        return turn()


@dataclass(frozen=True, slots=True)
class _Answers:
    """The answers to one refresh."""

    resolution: Resolution
    identification: Identification | None
    grant: RefreshTokenGrant
    invocation: Invocation

    def renewed(self, row: SignIn, secret: SessionSecret) -> TokenResponse:
        """Answer with the next refresh token (step 7)."""
        self.invocation.count("RefreshesSucceeded")
        self.invocation.log("refresh_succeeded")
        if self.identification:
            self.identification.after_refresh(row, secret, self.invocation)
        return TokenResponse.of(row, secret, self.grant.client)

    def resolved(self, verdict: Verdict, row: SignIn) -> TokenResponse:
        """Repeat the last answer, or refuse."""
        return self.resolution(verdict, row, self.grant, self.invocation)
