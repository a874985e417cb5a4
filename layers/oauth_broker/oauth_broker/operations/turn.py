"""A request's turn at a session: it takes the lease and renews the tokens, or is answered without the lease.

This is step 1 of a refresh and of any other renewal, with the wait for another worker's lease (`refresh`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from oauth_broker.clock import Backoff, Clock
from oauth_broker.config.settings import Settings
from oauth_broker.errors import InvalidGrant, Paused, ServiceUnavailable
from oauth_broker.operations.pause import Pause, paused
from oauth_broker.operations.renewal import RENEWAL_SECONDS, Renewal
from oauth_broker.runtime.invocation import Invocation
from oauth_broker.secret import base64url
from oauth_broker.sessions.conditional_update import ConditionFailed
from oauth_broker.sessions.leases import Lease, Leases
from oauth_broker.sessions.renewers import Renewer
from oauth_broker.sessions.row import LEASE_MARGIN_SECONDS, SignIn
from oauth_broker.sessions.session_secret import SessionSecret
from oauth_broker.sessions.verdict import Verdict, end_reason

Answer = TypeVar("Answer")
Answer_co = TypeVar("Answer_co", covariant=True)

# The longest wait for another worker's answer or for the end of a pause.
_LEASE_WAIT_SECONDS = 6.0


class Answers(Protocol[Answer_co]):
    """The answers to one kind of request."""

    def renewed(self, row: SignIn, secret: SessionSecret) -> Answer_co:
        """Answer with the tokens that this request has committed."""
        ...

    def resolved(self, verdict: Verdict, row: SignIn) -> Answer_co:
        """Answer, or refuse, by a verdict that asks for no wait and no lease."""
        ...


class Turns:
    """The parts of every turn."""

    def __init__(
        self,
        settings: Settings,
        leases: Leases,
        pause: Pause,
        renewal: Renewal,
        clock: Clock,
        random_bytes: Callable[[int], bytes],
    ) -> None:
        self.settings = settings
        self.leases = leases
        self.pause = pause
        self.renewal = renewal
        self.clock = clock
        self.random_bytes = random_bytes
        self.backoff = Backoff(clock, random_bytes)

    def time_left(self, invocation: Invocation) -> Callable[[], float]:
        """Return a function that returns the seconds left to wait for a turn. They count from now."""
        arrived = self.clock.now()

        def time_left() -> float:
            return min(arrived + _LEASE_WAIT_SECONDS - self.clock.now(), invocation.remaining() - RENEWAL_SECONDS)

        return time_left

    def of(
        self, renewer: Renewer, answers: Answers[Answer], invocation: Invocation, time_left: Callable[[], float]
    ) -> Turn[Answer]:
        """Return the turn of a request."""
        return Turn(self, renewer, answers, invocation, time_left)


class Turn(Generic[Answer]):
    """The turn of one request."""

    def __init__(
        self,
        turns: Turns,
        renewer: Renewer,
        answers: Answers[Answer],
        invocation: Invocation,
        time_left: Callable[[], float],
    ) -> None:
        self._turns = turns
        self._renewer = renewer
        self._answers = answers
        self._invocation = invocation
        self._time_left = time_left
        # The tries for one lease have one id: if an earlier try lands late, the request recognises its own lease.
        self._lease_id = self._new_lease_id()

    def after_look(self, row: SignIn | None) -> Answer:
        """Answer a request that has read the row before it asks for the lease.

        In a pause the read comes first, because some answers need no call to Aries.
        """
        answer = self._without_lease(row)
        if answer is not None:
            return answer
        if (pause := self._turns.pause.left()) > 0:
            self._sit_out(paused(pause))
        return self()

    def __call__(self) -> Answer:
        """Take the lease and renew, or answer without it.

        Raises InvalidGrant if the session has ended or ends here. Raises ServiceUnavailable if the session is intact
        and the caller may send the same request again.
        """
        while self._time_left() > 0:
            try:
                row, secret = self._turns.renewal(self._take_lease(), self._renewer, self._invocation)
                return self._answers.renewed(row, secret)
            except Paused as refusal:
                self._sit_out(refusal)
                continue
            except ConditionFailed as failure:
                answer = self._without_lease(failure.found)
            if answer is not None:
                return answer
            self._renewer = self._renewer.judged()
        raise ServiceUnavailable("too_little_time")

    def _take_lease(self) -> SignIn:
        """Take the lease. Raises ConditionFailed with the row as found.

        If the outcome is not known, the worker asks again. Otherwise the lease could stand without a worker, and the
        session would stand still until the lease expires.
        """
        clock = self._turns.clock
        lease = Lease(self._lease_id, clock.now() + self._invocation.remaining() + LEASE_MARGIN_SECONDS)
        return self._turns.backoff.until_done(
            lambda: self._turns.leases.take(self._renewer, lease, clock.now()), self._time_left
        )

    def _without_lease(self, found: SignIn | None) -> Answer | None:
        """Answer from the row ``found``, or wait until the lease may be taken and return None.

        Each look at the row judges the request afresh, because the worker with the lease may change the row meanwhile.
        """
        row, now = found, self._turns.clock.now
        for attempt in self._turns.backoff.tries(self._time_left):
            if attempt:
                row = self._turns.leases.find(self._renewer.session_id)
            verdict = self._renewer.judge(row, now())
            if row is None or verdict is Verdict.ENDED:
                raise InvalidGrant(end_reason(row, self._renewer.client, now()))
            match verdict:
                case Verdict.READY:
                    return None
                case Verdict.PAUSED:
                    self._sit_out(paused(row.lease_until - now()))
                case Verdict.WAIT:
                    self._invocation.count("LeaseWaits")
                case _:
                    return self._answers.resolved(verdict, row)
        raise ServiceUnavailable("lease_held", self._seconds_until_free(row) if row else 1)

    def _sit_out(self, refusal: Paused) -> None:
        """Wait for the end of a short pause, because some apps cannot bear a 503. Raises ``refusal`` if it is long."""
        if refusal.retry_after >= self._time_left():
            raise refusal
        self._turns.clock.sleep(refusal.retry_after)
        # The request may have given a lease and its fence back, and that write may land once more. It must not take
        # away the next lease, which has the same fence: Aries could be at work under it.
        self._lease_id = self._new_lease_id()

    def _new_lease_id(self) -> str:
        return base64url(self._turns.random_bytes(16))

    def _seconds_until_free(self, row: SignIn) -> float:
        """Return in how many seconds the caller may come back to a session under another worker's lease."""
        return self._turns.settings.within_grace(row.lease_until - self._turns.clock.now())
