"""A state of the model, and the equality of two states.

A state does not grow with the number of refreshes: its numbers are relative to the last commit. The model therefore
explores sessions of *unlimited* length, and counts the faults alone.

* Refresh tokens of the broker have a relation to the row: `CURRENT`, `PREVIOUS`, `SUPERSEDED`, or `AHEAD` (of a
  generation that the row never committed).
* Refresh tokens of Aries have an age: 0 is Aries' newest grant, 1 the one before, 2 any older one.
* Fences count from the last commit: a row has committed no version of fence 1 or more.
* The model only compares identities of leases, and numbers them anew in every state.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from tests.model import person as persons
from tests.model.person import Person

CURRENT, PREVIOUS, SUPERSEDED, AHEAD = range(4)
NO_TOKEN = -1
NEWEST, OLDEST = 0, 2
# Takes the place of a version's fence: the answer is sealed, and the commit itself carries it.
SEALED = -1


class Status(IntEnum):
    """The status of the row. `DEAD`: the broker ended the session; `REVOKED`: the app did."""

    ACTIVE = 0
    DEAD = 1
    REVOKED = 2


class Holder(IntEnum):
    """The party that waits for an answer.

    `NOBODY`: the app gave up, but its request goes on. `BACKEND` holds no token: it renews, and its commit rotates
    nothing. `PERSON`: the app asks to sign out the person's other sessions, beside its refreshes.
    """

    APP = 0
    THIEF = 1
    NOBODY = 2
    BACKEND = 3
    PERSON = 4


class Step(IntEnum):
    """The next action of a worker. A worker between `LEASED` and `KEEPING_LEASE` has the lease."""

    ARRIVED = 0  # take the lease, or get a verdict by the row
    LEASED = 1  # look for answers of earlier workers; read the committed secret
    POSTING = 2  # send to Aries
    IN_FLIGHT = 3  # wait for Aries to process the request
    ACCEPTED = 4  # Aries has rotated; its answer is under way
    DENIED = 5  # Aries has refused the grant; its answer is under way
    LOOKING_AGAIN = 6  # after the refusal: look once more for answers of earlier workers
    ENDING = 7  # nothing found: end the session
    STORING = 8  # put Aries' answer into Secrets Manager, or seal it for the commit to carry
    COMMITTING = 9
    RELEASING = 10  # give the lease and its fence back
    PAUSING = 11  # give both back, and block the lease for a while
    KEEPING_LEASE = 12  # give the fence back and keep the lease
    ANSWERING = 13  # after the commit
    REPLAYING = 14  # repeat the committed answer within the grace
    REUSING = 15  # a superseded token was presented: end the session
    WAITING_BLINDLY = 16  # a mutant's: wait for the winner without a verdict
    SIGNING_OUT_OTHERS = 17  # get a verdict by the row; the work after it is a job of `Person`


class Row(NamedTuple):
    """The row in DynamoDB. `grant` is the age of its committed Aries token."""

    status: Status = Status.ACTIVE
    is_fresh: bool = False  # within the grace of the last rotation, as the row tells it
    fence: int = 0
    lease: int = 0
    is_leased: bool = False  # the lease has not lapsed; with lease 0, a pause
    grant: int = NEWEST
    is_skewed: bool = False  # the generation is ahead of the hash, by a mutant only
    seal: int = 0  # the fence that the seal in the row is bound to, less the committed one: a seal opens only with 0
    is_old: bool = True  # the grace of the last rotation is over in truth


class Worker(NamedTuple):
    """One invocation. Identical workers are interchangeable, so they are sorted."""

    step: Step
    holder: Holder
    token: int  # the presented token; in ANSWERING and REPLAYING, the token of the answer
    predates: bool = False  # it began before the last commit
    lease: int = 0
    fence: int = 0
    grant: int = 0  # the Aries token in hand
    found: int = 0  # fence of its version, 0 for the committed one, or SEALED
    seal: int = 0  # the fence that its seal is bound to, less its own fence

    @property
    def has_lease(self) -> bool:
        """Whether it works under a lease, current or lost."""
        return Step.LEASED <= self.step <= Step.KEEPING_LEASE


class Version(NamedTuple):
    """An answer of Aries in Secrets Manager, not committed by a row. `is_stale`: its access token is over."""

    fence: int
    grant: int
    is_stale: bool = False


class Kind(IntEnum):
    """A request that may land after its sender stopped waiting."""

    POST = 0
    PUT = 1
    TAKE = 2
    COMMIT = 3
    GIVE_BACK = 4


class Late(NamedTuple):
    """A request that its sender gave up, and that may land yet."""

    kind: Kind
    lease: int = 0
    fence: int = 0
    token: int = 0
    grant: int = 0
    found: int = 0
    seal: int = 0
    giving_back: Step = Step.RELEASING
    is_renewal: bool = False
    is_stale: bool = False  # a backend's request for a lease, from before a commit: by a mutant only


class Budget(NamedTuple):
    """Faults to come. Any answer to the app may be lost, at no cost.

    `crashes`: a worker dies, at any step. `lates`: a request to Aries, Secrets Manager or the table lands after its
    sender stopped waiting. `errors`: a call fails, applied or not. `lags`: a look-up in Secrets Manager misses its
    newest version.
    """

    crashes: int = 0
    lates: int = 0
    errors: int = 0
    lags: int = 0


class State(NamedTuple):
    """The table, the workers, Secrets Manager, Aries, the holders, requests under way, and faults to come."""

    row: Row
    workers: tuple[Worker, ...]
    secrets: tuple[Version, ...]
    late: tuple[Late, ...]
    tokens: tuple[int, int]  # the app's and the thief's
    budget: Budget
    family_lives: bool = True  # Aries has not killed the token family
    is_lost: bool = False  # lost before the newest grant was durable: G4's window
    last_put: int = OLDEST  # the grant in Secrets Manager's AWSCURRENT, for one mutant
    committer: Holder = Holder.NOBODY  # of the current token
    turn: Holder = Holder.NOBODY  # the holder that last got tokens of its own commit
    changes: int = 0  # number of changes of `turn`
    person: Person | None = None  # the person's other sessions, in some scenarios


def canonical(state: State) -> State:
    """Return one representative for all states with the same content under other names or in another order."""
    row = state.row
    if state.person is not None:
        state = state._replace(person=persons.canonical(state.person))
    if state.tokens[Holder.THIEF] == NO_TOKEN:
        state = state._replace(committer=Holder.NOBODY, turn=Holder.NOBODY, changes=0)
    if row.status is not Status.ACTIVE:
        # The person's other sessions go on, and so do their faults.
        budget = Budget() if state.person is None else state.budget
        workers = tuple(sorted(map(_forgetful, state.workers)))
        return State(Row(row.status), workers, (), (), state.tokens, budget, person=state.person)
    referred = {worker.lease for worker in state.workers} | {late.lease for late in state.late}
    if row.lease and not row.is_leased and row.lease not in referred:
        row = row._replace(lease=0)
    names = {lease: name for name, lease in enumerate(sorted((referred | {row.lease}) - {0}), 1)}
    names[0] = 0
    if any(lease != name for lease, name in names.items()):
        return state._replace(
            row=row._replace(lease=names[row.lease]),
            workers=tuple(sorted(worker._replace(lease=names[worker.lease]) for worker in state.workers)),
            late=tuple(sorted(late._replace(lease=names[late.lease]) for late in state.late)),
        )
    return state._replace(row=row, workers=tuple(sorted(state.workers)), late=tuple(sorted(state.late)))


def _forgetful(worker: Worker) -> Worker:
    # After the end of a session, only the answers under way matter.
    return worker._replace(predates=False, lease=0, fence=0, grant=0, found=0, seal=0)
