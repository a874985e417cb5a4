"""What a state of the model is, and when two states are the same.

Nothing in a state grows with the number of refreshes: numbers are kept relative to the last commit, so that the model
explores sessions of *unlimited* length, and only the faults are counted.

* Refresh tokens of the broker are known by their relation to the row: `CURRENT`, `PREVIOUS`, `SUPERSEDED`, or `AHEAD`
  (of a generation that the row never committed).
* Refresh tokens of Aries are known by their age: 0 is the newest that Aries granted, 1 the one before, 2 any older one.
* Fences count from the last commit: a stored version of fence 1 or more is one that no row has committed.
* Identities of leases are only ever compared, so they are numbered anew in every state.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

CURRENT, PREVIOUS, SUPERSEDED, AHEAD = range(4)
NO_TOKEN = -1
NEWEST, OLDEST = 0, 2
# In place of the fence of a version: the answer is sealed into the row by the commit itself.
ESCROW = -1


class Status(IntEnum):
    """Of the row. `DEAD`: ended by the broker; `REVOKED`: by the app."""

    ACTIVE = 0
    DEAD = 1
    REVOKED = 2


class Holder(IntEnum):
    """Who waits for an answer. `NOBODY`: the app has given up, though its request goes on."""

    APP = 0
    THIEF = 1
    NOBODY = 2


class Step(IntEnum):
    """What a worker does next. From `LEASED` to `SETTLING` it has the lease."""

    ARRIVED = 0  # take the lease, or be judged by the row as found
    LEASED = 1  # look for what earlier workers stored; read the committed secret
    POSTING = 2  # send to Aries
    IN_FLIGHT = 3  # wait for Aries to process the request
    ACCEPTED = 4  # Aries has rotated; its answer is under way
    DENIED = 5  # Aries has refused the grant; its answer is under way
    LOOKING_AGAIN = 6  # after the refusal: look once more for what earlier workers stored
    ENDING = 7  # nothing found: end the session
    STORING = 8  # put Aries' answer into the vault, or seal it for the commit to carry
    COMMITTING = 9
    RELEASING = 10  # give the lease and its fence back
    PAUSING = 11  # give both back, and let nobody take the lease for a while
    SETTLING = 12  # give the fence back and keep the lease
    ANSWERING = 13  # after the commit
    REPLAYING = 14  # answer again what was committed within the grace
    REUSING = 15  # a superseded token was presented: end the session
    WAITING_BLINDLY = 16  # a mutant's: wait for the winner without having been judged


class Row(NamedTuple):
    """The row in DynamoDB. `grant` is the age of the Aries token that it committed."""

    status: Status = Status.ACTIVE
    is_fresh: bool = False  # within the grace of the last commit
    fence: int = 0
    lease: int = 0
    is_leased: bool = False  # the lease has not lapsed; without a lease, Aries wants to be left alone
    grant: int = NEWEST
    is_skewed: bool = False  # the generation has run ahead of the hash: by a mutant only


class Worker(NamedTuple):
    """One invocation. Identical workers are interchangeable, which sorting them makes use of."""

    step: Step
    holder: Holder
    token: int  # that was presented; from ANSWERING and REPLAYING on, that is answered
    predates: bool = False  # it began before the last commit
    lease: int = 0
    fence: int = 0
    grant: int = 0  # the Aries token in hand
    found: int = 0  # fence of the version that it came from, 0 for the committed one, or ESCROW

    @property
    def has_lease(self) -> bool:
        """Whether it works under a lease, its own or one that it has lost."""
        return Step.LEASED <= self.step <= Step.SETTLING


class Version(NamedTuple):
    """An answer of Aries in the vault that no row has committed. `is_stale`: its access token is over."""

    fence: int
    grant: int
    is_stale: bool = False


class Kind(IntEnum):
    """A request that outlives its sender's patience."""

    POST = 0
    PUT = 1
    TAKE = 2
    COMMIT = 3
    GIVE_BACK = 4


class Late(NamedTuple):
    """A request whose sender knows nothing of it any more, and which may land yet."""

    kind: Kind
    lease: int = 0
    fence: int = 0
    token: int = 0
    grant: int = 0
    found: int = 0
    giving_back: Step = Step.RELEASING


class Budget(NamedTuple):
    """Faults to come. Lost answers to the app are not counted: each one may be lost.

    `crashes`: a worker dies, at any step. `lates`: a request to Aries, the vault or the table lands later than its
    sender waits. `errors`: a call fails, applied or not. `lags`: a look-up in the vault misses its newest version.
    """

    crashes: int = 0
    lates: int = 0
    errors: int = 0
    lags: int = 0


class State(NamedTuple):
    """Everything: the table, the workers, the vault, Aries, the holders, what is under way, and what may go wrong."""

    row: Row
    workers: tuple[Worker, ...]
    vault: tuple[Version, ...]
    late: tuple[Late, ...]
    tokens: tuple[int, int]  # the app's and the thief's
    budget: Budget
    family_lives: bool = True  # Aries has not killed the token family
    is_lost: bool = False  # the newest grant was lost before it was durable: G4's window
    last_put: int = OLDEST  # the grant in the vault's AWSCURRENT: kept for the mutant that reads it
    committer: Holder = Holder.NOBODY  # of the current token
    turn: Holder = Holder.NOBODY  # who was last answered with tokens that its own request committed
    changes: int = 0  # how often that changed hands


def canonical(state: State) -> State:
    """Return the representative of all states that differ only in names and order."""
    row = state.row
    if state.tokens[Holder.THIEF] == NO_TOKEN:
        state = state._replace(committer=Holder.NOBODY, turn=Holder.NOBODY, changes=0)
    if row.status is not Status.ACTIVE:
        return State(Row(row.status), tuple(sorted(map(_forgetful, state.workers))), (), (), state.tokens, Budget())
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
    # Of a session that has ended, only who is yet answered matters.
    return worker._replace(predates=False, lease=0, fence=0, grant=0, found=0)
