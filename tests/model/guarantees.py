"""The guarantees, precisely, and the check of those that speak of what happens once faults have stopped.

Checked at every move (`broken` in `moves.Move`):

* **G1**: no worker sends to Aries while another worker's request is at Aries or its answer under way, or while a
  request that was given up may yet land.
* **G2**: every commit names a version that is in the vault, or carries the answer itself; only what is committed is
  answered.
* **G3**: no commit is applied to a row that the app has signed out. (A replay of a row that was read before may still
  be answered after.)
* **G4**, first half: no worker ends a session because Aries refuses it unless the newest grant was *lost in the
  window*: its reply was lost, its request was given up and processed late, or its worker died, or found neither the
  vault nor KMS nor the table to take it to the end, before it was durable; and it did not become durable, by landing
  late, before the next worker looked.
* **G6**, first half: no session ends for reuse while the app alone has ever had its tokens.
* **G7**: a *turn* is a refresh of one holder that was committed and whose answer that holder got. Among the turns
  since one holder was last answered what the other's request had committed (so that they were within each other's
  grace), the third change of hands is never one: who would make it has presented a superseded token by then. Nor is
  whoever presents a superseded token ever answered tokens. (The bound is tight: two changes of hands can happen.)

Checked in every state without a worker, for every way in which the faults may stop there: what is under way is dropped
(that it lands is another state), the lease lapses, and the app retries without a fault (`Quiescence`):

* **G5**: the answer is 200 or 400, never 503, and there is one.
* **G6**, second half: within the grace the answer is 200 with the token that was committed, and later it is not the
  400 of reuse (while the app alone has the tokens).
* **G4**, second half: where nothing was lost in the window, the retry after the grace, and the next refresh after
  that, are both answered 200.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.model.moves import Move, plus
from tests.model.state import CURRENT, NO_TOKEN, SUPERSEDED, Budget, Holder, State, Status, Step, Worker, canonical
from tests.model.variant import Variant
from tests.model.worker import Workers

Outcome = tuple[str, State]


class Quiescence:
    """What becomes of the app once faults stop."""

    def __init__(self, workers: Workers, variant: Variant) -> None:
        self._workers = workers
        self._lease_lapses = not variant.lease_never_lapses
        self._known: dict[State, tuple[str, ...]] = {}

    def broken(self, state: State, guarantee: str) -> Move | None:
        """Return what breaks a guarantee whose name begins with `guarantee`, in a state without a worker."""
        if state.row.status is not Status.ACTIVE:
            return None
        calm = _calm(state, lapses=self._lease_lapses)
        if calm not in self._known:
            self._known[calm] = tuple(self._all_broken(calm))
        for broken in self._known[calm]:
            if broken.startswith(guarantee):
                return Move("the faults stop, the lease lapses, the app retries", state, broken)
        return None

    def _all_broken(self, calm: State) -> Iterator[str]:
        alone = calm.tokens[Holder.THIEF] == NO_TOKEN
        if calm.row.is_fresh and alone:
            for answer, after in self._retry(calm):
                if answer != "200" or after.tokens[Holder.APP] != CURRENT:
                    yield f"G6: within the grace a retry is answered {answer}"
        for answer, after in self._retry(_later(calm)):
            yield from self._judge(answer, calm, alone=alone)
            if answer == "200" and calm.tokens[Holder.APP] != SUPERSEDED:
                for next_answer, _ in self._retry(_later(after)):
                    yield from self._judge(next_answer, calm, alone=alone)

    @staticmethod
    def _judge(answer: str, calm: State, *, alone: bool) -> Iterator[str]:
        if answer == "400 reused" and alone:
            yield "G6: an app alone with its token is signed out"
        elif answer == "400 refused" and not calm.is_lost:
            yield "G4: Aries refuses though nothing was lost in the window"
        elif not answer.startswith(("200", "400")):
            yield f"G5: a retry is answered {answer}"

    def _retry(self, calm: State) -> Iterator[Outcome]:
        """Send the app's token without a fault; yield every answer there may be, and the state after."""
        waiting = [plus(calm, Worker(Step.ARRIVED, Holder.APP, calm.tokens[Holder.APP]))]
        while waiting:
            state = waiting.pop()
            for move in self._workers.moves(state, state.workers[0]):
                if move.answer:
                    yield move.answer, move.state
                elif move.state.workers:
                    waiting.append(move.state)


def _calm(state: State, *, lapses: bool) -> State:
    """Return the state with no faults to come, nothing under way and no live lease."""
    row = state.row._replace(is_leased=state.row.is_leased and not lapses)
    return canonical(state._replace(row=row, late=(), budget=Budget(), turn=Holder.NOBODY, changes=0))


def _later(state: State) -> State:
    return state._replace(row=state.row._replace(is_fresh=False))
