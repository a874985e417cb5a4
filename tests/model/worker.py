"""The protocol as built: the steps of a worker, and the failures of each call.

A read changes nothing, so it forms one step with the write or the request after it: a worker that dies between the two
leaves the same as a worker that died before both. Every write, and every request to Aries, is a step. It may be
applied, fail unapplied, fail applied, or land late. The worker may die before it and after it.
"""

from __future__ import annotations

from tests.model import aries, table
from tests.model.moves import Move, Moves, gives_up, plus, plus_late, spend, without
from tests.model.people import People
from tests.model.state import (
    AHEAD,
    CURRENT,
    NO_TOKEN,
    PREVIOUS,
    SEALED,
    SUPERSEDED,
    Holder,
    Kind,
    Late,
    State,
    Status,
    Step,
    Worker,
)
from tests.model.variant import Scenario, Store, Variant
from tests.model.work import Work
from tests.model.work_in_row import WorkInRow

_WORK: dict[Store, type[Work]] = {"secrets": Work, "row": WorkInRow}
TOKENS = ("the current", "the previous", "a superseded", "an unknown")


class Workers:
    """Moves of one worker: its arrival, its answer, its death. `rest` is the state without the worker throughout."""

    def __init__(self, variant: Variant, scenario: Scenario, people: People) -> None:
        self._variant = variant
        work = _WORK[scenario.store](variant, scenario.rotation)
        self._store = work.store
        self._steps = {
            **work.steps,
            **people.steps,
            Step.ARRIVED: self._arrived,
            Step.ANSWERING: self._answering,
            Step.REPLAYING: self._replaying,
            Step.REUSING: self._reusing,
            Step.WAITING_BLINDLY: self._waiting_blindly,
        }

    def moves(self, state: State, worker: Worker) -> Moves:
        """Yield every possible next move of this worker."""
        rest = without(state, worker)
        yield from self._steps[worker.step](rest, worker)
        if worker.has_lease and (crashed := spend(rest, crashes=1)):
            in_memory = worker.step in (Step.ACCEPTED, Step.STORING) or worker.found == SEALED
            yield Move(f"the worker dies while {worker.step.name}", aries.lose(crashed) if in_memory else crashed)

    # Step 1: the lease, or the verdict on the row (`sessions/verdict.py`).

    def _arrived(self, rest: State, worker: Worker) -> Moves:
        row = rest.row
        if row.status is not Status.ACTIVE:
            yield Move("the session has ended: 400", rest, answer="400 ended")
        elif worker.holder is Holder.BACKEND:
            yield from self._arrived_without_a_token(rest, worker)
        elif worker.lease and worker.lease == row.lease:
            yield Move("asks for the lease again and finds its own", self._with_lease(rest, worker))
            yield from gives_up(rest, "DynamoDB fails to the end")
        elif self._variant.waits_before_classifying and row.is_leased:
            yield Move("waits, not yet judged", plus(rest, worker._replace(step=Step.WAITING_BLINDLY)))
        elif worker.token == AHEAD:
            yield Move("a generation that the row never committed: 503", rest, answer="503 restored_from_backup")
        elif worker.token == SUPERSEDED:
            yield Move("presents a superseded token", plus(rest, worker._replace(step=Step.REUSING, lease=0)))
        elif row.is_fresh:
            answered = AHEAD if row.is_skewed else CURRENT
            replay = worker._replace(step=Step.REPLAYING, token=answered, lease=0)
            is_late = row.is_old and worker.token == PREVIOUS
            broken = "G8: a previous token is answered again after the grace of its rotation" if is_late else ""
            yield Move("within the grace: is to be answered again", plus(self._prolonged(rest, worker), replay), broken)
        elif row.is_leased:
            yield Move("waits in vain for the holder of the lease: 503", rest, answer="503 lease_held")
        else:
            yield from self._takes(rest, worker)

    def _arrived_without_a_token(self, rest: State, worker: Worker) -> Moves:
        """Renew for a caller that holds no token. Its tokens are too old to serve it, or it would ask for nothing."""
        if worker.lease and worker.lease == rest.row.lease:
            yield Move("BACKEND asks for the lease again and finds its own", self._with_lease(rest, worker))
            yield from gives_up(rest, "DynamoDB fails to the end")
            return
        lease = worker.lease or 1 + max(self._known_leases(rest))
        taken = table.take_to_renew(rest, lease, self._variant)
        if taken is None:
            yield Move("BACKEND waits in vain for the holder of the lease: 503", rest, answer="503 lease_held")
            return
        asking = worker._replace(lease=lease)
        what = f"BACKEND takes the lease (fence {taken.row.fence})"
        yield Move(what, self._with_lease(taken, asking))
        if failed := spend(taken, errors=1):
            yield Move(f"{what}, and does not learn of it", plus(failed, asking))
        if failed := spend(rest, lates=1):
            late = Late(Kind.TAKE, lease, token=NO_TOKEN, is_renewal=True)
            yield Move("BACKEND asks for the lease, which may land late", plus(plus_late(failed, late), asking))

    @staticmethod
    def _known_leases(rest: State) -> list[int]:
        return [rest.row.lease, *(other.lease for other in rest.workers), *(late.lease for late in rest.late)]

    def _prolonged(self, rest: State, worker: Worker) -> State:
        """Start the grace anew at a replay for the previous token: no earlier request outlasts it. Not built."""
        if not (self._variant.replay_prolongs_the_grace and worker.token == PREVIOUS):
            return rest
        return rest._replace(workers=tuple(other._replace(predates=True) for other in rest.workers))

    def _takes(self, rest: State, worker: Worker) -> Moves:
        lease = worker.lease or 1 + max(self._known_leases(rest))
        taken = table.take(rest, worker.token, lease)
        assert taken is not None
        asking = worker._replace(lease=lease)
        what = f"takes the lease (fence {taken.row.fence}) with {TOKENS[worker.token]} token"
        yield Move(what, self._with_lease(taken, asking))
        if failed := spend(taken, errors=1):
            yield Move(f"{what}, and does not learn of it", plus(failed, asking))
        if failed := spend(rest, lates=1):
            late = Late(Kind.TAKE, lease, token=worker.token)
            yield Move("asks for the lease, which may land late", plus(plus_late(failed, late), asking))

    @staticmethod
    def _with_lease(rest: State, worker: Worker) -> State:
        return plus(rest, worker._replace(step=Step.LEASED, fence=rest.row.fence))

    def _waiting_blindly(self, rest: State, worker: Worker) -> Moves:
        if not rest.row.is_leased:
            replay = worker._replace(step=Step.REPLAYING, token=CURRENT, lease=0)
            broken = "G7: a superseded token is answered" if worker.token == SUPERSEDED else ""
            yield Move("is answered like the holder of the lease", plus(rest, replay), broken)

    # Step 7: answer. Any answer may be lost, at no cost.

    def _answering(self, rest: State, worker: Worker) -> Moves:
        if worker.holder is Holder.BACKEND:
            yield Move("200: BACKEND gets an access token", rest, answer="200")
            return
        yield Move("its answer is lost", rest)
        if worker.holder is not Holder.NOBODY:
            yield self._delivered(rest, worker, turn=worker.holder)

    def _replaying(self, rest: State, worker: Worker) -> Moves:
        yield Move("its answer is lost", rest)
        yield from gives_up(rest, f"{self._store} fails")
        if rest.row.seal:
            yield Move("cannot open the seal: 503", rest, answer="503 failed")
        elif worker.holder is not Holder.NOBODY:
            # If another holder's request made the commit, the two are within each other's grace.
            turn = rest.turn if rest.committer is worker.holder else Holder.NOBODY
            yield self._delivered(rest, worker, turn=turn)

    @staticmethod
    def _delivered(rest: State, worker: Worker, turn: Holder) -> Move:
        tokens = list(rest.tokens)
        tokens[worker.holder] = worker.token
        changed = turn is not Holder.NOBODY and rest.turn is not Holder.NOBODY and turn is not rest.turn
        changes = 0 if turn is Holder.NOBODY else min(rest.changes + changed, 3)
        state = rest._replace(tokens=(tokens[0], tokens[1]), turn=turn, changes=changes)
        broken = "G7: a third change of hands goes unnoticed" if changes == 3 else ""
        if worker.token == AHEAD:
            broken = "G2: tokens are answered that no row has committed"
        return Move(f"200: {worker.holder.name} gets {TOKENS[worker.token]} token", state, broken, "200")

    def _reusing(self, rest: State, worker: Worker) -> Moves:
        ended = table.end(rest, Status.DEAD) or rest
        honest = rest.tokens[Holder.THIEF] == NO_TOKEN and rest.row.status is Status.ACTIVE
        broken = "G6: an app alone with its token is signed out" if honest else ""
        yield Move("ends the session, with an alarm: 400", ended, broken, "400 reused")
        yield from gives_up(rest, "cannot end the session")
