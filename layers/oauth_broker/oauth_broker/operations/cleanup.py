"""The table's stream of removed rows: delete the secret of every one that may have one."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from oauth_broker.clock import Backoff, Clock
from oauth_broker.errors import NotAllowed, ServiceUnavailable, Throttled
from oauth_broker.runtime.aws import AWS_CALL_SECONDS
from oauth_broker.runtime.invocation import Invocation
from oauth_broker.sessions.row import may_have_a_secret
from oauth_broker.sessions.secret_store import SecretStore
from oauth_broker.sessions.session_end import note_not_allowed

# `batchItemFailures`: the items that failed. Lambda repeats the batch from the lowest of them on.
BatchResponse = dict[str, list[dict[str, str]]]

# What the last call and the answer may take, so that the function is not stopped before it has reported.
_RESERVED_SECONDS = AWS_CALL_SECONDS + 1
# A right that was just given may take some seconds to be in force.
_RIGHTS_SECONDS = 3.0
# Between tries that fail, at the most: with one call at a time that is far below the 50 calls a second that Secrets
# Manager allows, and a function's time has room for some dozens of them.
_LONGEST_PAUSE = 2.0


@dataclass(frozen=True, slots=True)
class Deletions:
    """``deleted`` counts secrets; the others hold sequence numbers.

    ``failed`` are the records that could not be done, ``denied`` those of which AWS refused the deletion for want of a
    right.
    """

    deleted: int
    failed: tuple[str, ...]
    denied: tuple[str, ...] = ()


@dataclass(slots=True)
class _Removal:
    """A removed row, and why its secret has not been deleted yet."""

    session_id: str
    sequence_number: str
    failure: str = "not_tried"


class Cleanup:
    """Deletes secrets whose row is gone. The secret's name follows from the row's key.

    Secrets Manager takes 50 deletions a second, and sign-outs need them. Anybody may begin sign-ins, so a removed row
    that cannot have a secret costs none: the template's filter leaves it out of the stream that is handed over here,
    and its old image is looked at once more. A record without an old image counts as one that may have a secret. To
    delete a secret that does not exist is a success, as is a repetition.

    The old image holds what the row held. Nothing of it is logged.

    Every failure may be Secrets Manager's as a whole or one secret's alone. So a failed deletion is tried again after
    all the others, and after pauses that grow: where all fail nobody hammers at a service that is throttled or down,
    and where one fails it holds up none. An outage lasts an invocation's whole time, so that the tries that Lambda has
    for a record are that far apart and not used up in a moment. What Secrets Manager refuses for good is not waited
    for.

    What it refuses for want of a right is tried once more and then counts as absent, with a metric: AWS does not
    document whether Secrets Manager answers so for a name that does not exist. Were it a failure, every sign-in that
    never had a secret would then hold up its shard for hours.
    """

    def __init__(self, secret_store: SecretStore, clock: Clock, random_bytes: Callable[[int], bytes]) -> None:
        self._secret_store = secret_store
        self._clock = clock
        self._backoff = Backoff(clock, random_bytes)

    def __call__(self, event: Mapping[str, Any], invocation: Invocation) -> BatchResponse:
        """Handle a batch of stream records; return every one that failed (``ReportBatchItemFailures``)."""
        failed = self.delete_secrets(event["Records"], invocation).failed
        return {"batchItemFailures": [{"itemIdentifier": number} for number in failed]}

    def delete_secrets(
        self, records: Iterable[object], invocation: Invocation, *, time_left: float = math.inf
    ) -> Deletions:
        """Delete the secret of every row that ``records``, as a DynamoDB stream has them, say was removed, if any.

        It goes on until the invocation is about to end or nothing has been deleted for ``time_left`` seconds. A record
        of a wrong shape fails like any other, since it may be a removal; where it has no sequence number, that is '',
        which Lambda takes for the failure of the whole batch, and so bisects it.
        """
        removals, malformed = _parsed(records)
        work = _Work(self._secret_store, self._clock, invocation, removals, time_left)
        for _ in self._backoff.tries(work.time_left, longest=_LONGEST_PAUSE):
            work.delete_until_one_fails()
            if not work.waiting:
                break
        work.try_denied_again()
        for removal in work.failed():
            _report(invocation, removal.session_id, removal.failure)
        for _ in malformed:
            _report(invocation, "", "malformed_record")
        failed = (*(removal.sequence_number for removal in work.failed()), *malformed)
        return Deletions(work.deleted, failed, tuple(removal.sequence_number for removal in work.denied))


class _Work:
    """One invocation's work: ``waiting`` are the removals still to be tried, ``deleted`` counts those done."""

    def __init__(
        self,
        secret_store: SecretStore,
        clock: Clock,
        invocation: Invocation,
        removals: list[_Removal],
        time_left: float,
    ) -> None:
        self.waiting = deque(removals)
        self.deleted = 0
        self.denied: list[_Removal] = []
        self._refused: list[_Removal] = []
        self._secret_store = secret_store
        self._clock = clock
        self._invocation = invocation
        self._patience = time_left
        self._gives_up_at = clock.now() + time_left

    def time_left(self) -> float:
        """Return the seconds in which one more call may begin."""
        return min(self._invocation.remaining() - _RESERVED_SECONDS, self._gives_up_at - self._clock.now())

    def failed(self) -> list[_Removal]:
        """Return what has not been deleted."""
        return [*self._refused, *self.waiting]

    def delete_until_one_fails(self) -> None:
        """Delete secrets until all are done, the time is over, or one fails that may be deleted later: the last now."""
        while self.waiting and self.time_left() > 0:
            removal = self.waiting.popleft()
            try:
                self._delete(removal)
            except NotAllowed:
                self.denied.append(removal)
            except ServiceUnavailable as error:
                removal.failure = error.reason
                if isinstance(error, Throttled):
                    self._invocation.count("AwsThrottled", aws_service=error.service)
                if error.retriable:
                    self.waiting.append(removal)
                    return
                self._refused.append(removal)

    def try_denied_again(self) -> None:
        """Delete, after a pause, what was refused for want of a right; where there is no time for it, that failed."""
        again, self.denied = self.denied, []
        if again:
            self._clock.sleep(min(_RIGHTS_SECONDS, max(0.0, self.time_left())))
        for removal in again:
            self._invocation.about_session(removal.session_id)
            try:
                if self.time_left() <= 0:
                    raise ServiceUnavailable("not_tried_again")
                self._delete(removal)
            except NotAllowed as refusal:
                self.denied.append(removal)
                note_not_allowed(refusal, self._invocation)
            except ServiceUnavailable as error:
                removal.failure = error.reason
                self._refused.append(removal)

    def _delete(self, removal: _Removal) -> None:
        self._secret_store.delete(removal.session_id)
        self.deleted += 1
        self._gives_up_at = self._clock.now() + self._patience
        self._invocation.count("SecretsDeleted")


def _report(invocation: Invocation, session_id: str, reason: str) -> None:
    invocation.about_session(session_id)
    invocation.count("SecretsNotDeleted")
    invocation.log("secret_not_deleted", level="warning", reason=reason)


def _parsed(records: Iterable[object]) -> tuple[list[_Removal], list[str]]:
    """Return the removals among ``records`` that may leave a secret, and the numbers of records that make no sense."""
    removals, malformed = [], []
    for record in records:
        match record:
            case {"eventName": "REMOVE", "dynamodb": {"OldImage": image}} if not may_have_a_secret(image):
                continue
            case {
                "eventName": "REMOVE",
                "dynamodb": {"Keys": {"session_id": {"S": str(session_id)}}, "SequenceNumber": str(number)},
            } if session_id and number:
                removals.append(_Removal(session_id, number))
            case {"eventName": "INSERT" | "MODIFY"}:
                continue
            case {"dynamodb": {"SequenceNumber": str(number)}}:
                malformed.append(number)
            case _:
                malformed.append("")
    return removals, malformed
