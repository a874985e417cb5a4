"""The table's stream of removed rows: for each row, delete its secret if it may have one."""

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

# `batchItemFailures`: the failed items. Lambda repeats the batch from the lowest of them on.
BatchResponse = dict[str, list[dict[str, str]]]

# Reserved for the last call and the answer: Lambda must not stop the function before it has reported.
_REPORT_SECONDS = AWS_CALL_SECONDS + 1
# A new right may take some seconds to be in force.
_RIGHTS_SECONDS = 3.0
# The longest pause between failing tries. One call at a time at this pace is far below the 50 calls a second of Secrets
# Manager, and the time of the function is enough for some dozens of tries.
_LONGEST_RETRY_PAUSE = 2.0


@dataclass(frozen=True, slots=True)
class Deletions:
    """``deleted`` counts secrets. The others hold the sequence numbers of records.

    ``failed`` are the records without success. For the ``denied`` records, AWS denied access.
    """

    deleted: int
    failed: tuple[str, ...]
    denied: tuple[str, ...] = ()


@dataclass(slots=True)
class _Removal:
    """A removed row. ``failure`` tells why its secret is not deleted yet."""

    session_id: str
    sequence_number: str
    failure: str = "not_tried"


class Cleanup:
    """Deletes the secrets of removed rows. The name of a secret follows from the row's key.

    Secrets Manager takes 50 deletions a second, and sign-outs need them. Anybody may begin sign-ins, so a removed row
    costs no deletion if it cannot have a secret. The template's filter leaves such a row out of the stream, and this
    class looks at its old image once more. A record without an old image counts as one that may have a secret. Deleting
    an absent secret is a success, and so is a repetition.

    The old image holds all values of the row. The log holds none of them.
    """

    def __init__(self, secret_store: SecretStore, clock: Clock, random_bytes: Callable[[int], bytes]) -> None:
        self._secret_store = secret_store
        self._clock = clock
        self._backoff = Backoff(clock, random_bytes)

    def __call__(self, event: Mapping[str, Any], invocation: Invocation) -> BatchResponse:
        """Handle a batch of stream records, and return the failed ones (``ReportBatchItemFailures``)."""
        failed = self.delete_secrets(event["Records"], invocation).failed
        return {"batchItemFailures": [{"itemIdentifier": number} for number in failed]}

    def delete_secrets(
        self, records: Iterable[object], invocation: Invocation, *, time_left: float = math.inf
    ) -> Deletions:
        """Delete the secrets of the removed rows in ``records`` of a DynamoDB stream.

        The work ends shortly before the invocation, or after ``time_left`` seconds without a deletion. A malformed
        record fails like any other, because it may be a removal. If it has no sequence number, '' takes its place.
        Lambda takes '' for the failure of the whole batch, and bisects the batch.
        """
        removals, malformed = _parsed(records)
        work = _Work(self._secret_store, self._clock, invocation, removals, time_left)
        for _ in self._backoff.tries(work.time_left, longest=_LONGEST_RETRY_PAUSE):
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
    """The work of one invocation: ``waiting`` are the removals still to be tried, ``deleted`` counts secrets.

    A failure may be Secrets Manager's as a whole or one secret's alone. The retry of a failed deletion therefore comes
    after all the others, and after growing pauses. If all deletions fail, the pauses spare a service that is throttled
    or down. If one deletion fails, it holds up no other. In an outage an invocation uses its whole time. Lambda's tries
    for a record are then far apart, and not used up in a moment. The invocation does not try again after a final
    refusal.

    If AWS denies access, there is one more try. The secret then counts as absent, with a metric: AWS does not document
    whether Secrets Manager answers so for an absent name. Otherwise every sign-in without a secret could hold up its
    shard for hours.
    """

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
        self._longest_without_deletion = time_left
        self._gives_up_at = clock.now() + time_left

    def time_left(self) -> float:
        """Return for how many seconds one more call may still begin."""
        return min(self._invocation.remaining() - _REPORT_SECONDS, self._gives_up_at - self._clock.now())

    def failed(self) -> list[_Removal]:
        """Return the removals that failed or were not tried."""
        return [*self._refused, *self.waiting]

    def delete_until_one_fails(self) -> None:
        """Delete secrets until all are done, the time is over, or one fails for now. The failed one goes to the end."""
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
        """After a pause, try again the deletions that AWS denied. If there is no time left, they fail."""
        again, self.denied = self.denied, []
        if again:
            self._clock.sleep(min(_RIGHTS_SECONDS, max(0.0, self.time_left())))
        for removal in again:
            self._invocation.about_session(removal.session_id)
            try:
                if self.time_left() <= 0:
                    raise ServiceUnavailable("not_tried_again")
                self._delete(removal)
            except NotAllowed as failure:
                self.denied.append(removal)
                note_not_allowed(failure, self._invocation)
            except ServiceUnavailable as error:
                removal.failure = error.reason
                self._refused.append(removal)

    def _delete(self, removal: _Removal) -> None:
        self._secret_store.delete(removal.session_id)
        self.deleted += 1
        self._gives_up_at = self._clock.now() + self._longest_without_deletion
        self._invocation.count("SecretsDeleted")


def _report(invocation: Invocation, session_id: str, reason: str) -> None:
    invocation.about_session(session_id)
    invocation.count("SecretsNotDeleted")
    invocation.log("secret_not_deleted", level="warning", reason=reason)


def _parsed(records: Iterable[object]) -> tuple[list[_Removal], list[str]]:
    """Return the removals that may leave a secret, and the sequence numbers of malformed records."""
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
