"""The guarantees, precisely, and the check of their parts about the time after the faults.

Every move is checked (`broken` in `moves.Move`):

* **G1**: a worker sends to Aries only if no other worker's request is at Aries, no answer is under way, and no request
  that was given up may yet land.
* **G2**: every commit names a version in Secrets Manager, or carries the answer itself. The app gets committed tokens
  only.
* **G3**: no commit applies to a row after the app's sign-out. (A replay of a row that was read earlier may still be
  answered.)
* **G4**, first half: a worker ends a session after Aries' refusal only if the newest grant was *lost in the window*. A
  grant is lost there if, before it was durable, Aries' reply was lost, or Aries processed the request late, after its
  worker gave it up, or the worker died, or neither Secrets Manager nor KMS nor the table took the answer to the end. A
  grant that becomes durable by a late landing, before the next worker looks, is not lost. A session in the row has one
  durable write, the commit, so KMS alone can lose a grant, if it fails to the end. One failure of it loses nothing.
* **G6**, first half: no session ends for reuse while the app alone has ever had its tokens.
* **G7**: a *turn* is a committed refresh of one holder, with its answer delivered. If one holder gets the answer to the
  other's commit, the two are within each other's grace, and the count starts anew. The third change of hands among the
  turns never happens: before it, a holder has presented a superseded token. A superseded token never gets tokens. (The
  bound is tight: two changes of hands can happen.)
* **G8**: a previous token is answered again only within the grace of its own rotation, however often others renew.
* **G9**: a renewal by another caller changes no token of the app's.

Every move of the person's sign-ins and sign-outs is checked too (`people.broken_by`). A session is *named* if its row
names the person:

* **G10**: after the answer of a sign-out of the others, no named session that began at its cut-off or before is active
  or becomes active, other than the caller's own.
* **G11**: a sign-out of the others never ends the caller's own session, while the app alone has its tokens.
* **G12**: a cut-off never moves back.
* **G13**: every named active session is in the person's item. (The item may have more.)

Every state without a worker is checked, for every way in which the faults may stop there (`Quiescence`). Requests under
way are dropped (their landing is another state), the lease lapses, and the app retries without a fault. In a
scenario with backends, this is tried without a renewal before it, and after one:

* **G5**: there is an answer, 200 or 400, never 503. (While faults last, no lease is taken that was asked for before a
  commit: it would have no worker.)
* **G6**, second half: within the grace the answer is 200 with the committed token. Later it is not the 400 of reuse
  (while the app alone has the tokens).
* **G4**, second half: if nothing was lost in the window, the retry after the grace and the next refresh after it both
  get 200.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.model.moves import Move, breaks, plus
from tests.model.state import CURRENT, NO_TOKEN, SUPERSEDED, Budget, Holder, State, Status, Step, Worker, canonical
from tests.model.variant import Variant
from tests.model.worker import Workers

Outcome = tuple[str, State]


class Quiescence:
    """The fate of the app after the faults stop."""

    def __init__(self, workers: Workers, variant: Variant, *, has_backends: bool) -> None:
        self._workers = workers
        self._has_backends = has_backends
        self._lease_lapses = not variant.lease_never_lapses
        self._known: dict[State, tuple[str, ...]] = {}

    def broken(self, state: State, guarantee: str) -> Move | None:
        """Return the breach of the guarantee `guarantee` in a state without a worker, or None.

        "G" stands for every guarantee.
        """
        if state.row.status is not Status.ACTIVE:
            return None
        calm = _calm(state, lapses=self._lease_lapses)
        if calm not in self._known:
            self._known[calm] = tuple(self._all_broken(calm))
        for broken in self._known[calm]:
            if breaks(broken, guarantee):
                return Move("the faults stop, the lease lapses, the app retries", state, broken)
        return None

    def _all_broken(self, calm: State) -> Iterator[str]:
        alone = calm.tokens[Holder.THIEF] == NO_TOKEN
        if calm.row.is_fresh and alone:
            for answer, after in self._retry(calm):
                if answer != "200" or after.tokens[Holder.APP] != CURRENT:
                    yield f"G6: within the grace a retry is answered {answer}"
        for answer, after in self._renewals(calm):
            yield from self._judge(answer, calm, alone=alone)
            if after.row.status is Status.ACTIVE:
                for next_answer, _ in self._retry(_later(after)):
                    yield from self._judge(next_answer, calm, alone=alone)
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

    def _renewals(self, calm: State) -> Iterator[Outcome]:
        if self._has_backends:
            yield from self._run(plus(calm, Worker(Step.ARRIVED, Holder.BACKEND, NO_TOKEN)))

    def _retry(self, calm: State) -> Iterator[Outcome]:
        """Send the app's token without a fault; yield every possible answer, and the state after."""
        yield from self._run(plus(calm, Worker(Step.ARRIVED, Holder.APP, calm.tokens[Holder.APP])))

    def _run(self, begun: State) -> Iterator[Outcome]:
        """Let the one worker go on to its answer."""
        waiting = [begun]
        while waiting:
            state = waiting.pop()
            for move in self._workers.moves(state, state.workers[0]):
                if move.answer:
                    yield move.answer, move.state
                elif move.state.workers:
                    waiting.append(move.state)


def _calm(state: State, *, lapses: bool) -> State:
    """Return the state without faults to come, requests under way or a live lease."""
    row = state.row._replace(is_leased=state.row.is_leased and not lapses)
    return canonical(state._replace(row=row, late=(), budget=Budget(), turn=Holder.NOBODY, changes=0, person=None))


def _later(state: State) -> State:
    return state._replace(row=state.row._replace(is_fresh=False, is_old=True))
