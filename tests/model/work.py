"""The work under the lease: steps 2 to 6, and the return of the lease."""

from __future__ import annotations

from tests.model import aries, table
from tests.model.moves import Move, Moves, gives_up, plus, plus_late, spend
from tests.model.state import (
    AHEAD,
    CURRENT,
    NEWEST,
    NO_TOKEN,
    PREVIOUS,
    SEALED,
    Holder,
    Kind,
    Late,
    State,
    Status,
    Step,
    Version,
    Worker,
)
from tests.model.variant import Rotation, Variant

_GIVING_BACK = {
    Step.RELEASING: "gives the lease and its fence back",
    Step.PAUSING: "gives the lease and its fence back, for nobody to take it for a while",
    Step.KEEPING_LEASE: "gives the fence back, keeps the lease",
}


class Work:
    """Moves of a worker with the lease. `rest` is the state without the worker throughout.

    This class is the work for a session with a secret. `WorkInRow` is the work for a session in the row.
    """

    store = "Secrets Manager"

    def __init__(self, variant: Variant, rotation: Rotation) -> None:
        self._variant = variant
        self._rotation = rotation
        self.steps = {
            Step.LEASED: self._leased,
            Step.POSTING: self._posting,
            Step.IN_FLIGHT: self._in_flight,
            Step.ACCEPTED: self._accepted,
            Step.DENIED: self._denied,
            Step.LOOKING_AGAIN: self._looking_again,
            Step.ENDING: self._ending,
            Step.STORING: self._storing,
            Step.COMMITTING: self._committing,
            Step.RELEASING: self._giving_back,
            Step.PAUSING: self._giving_back,
            Step.KEEPING_LEASE: self._giving_back,
        }

    # Steps 2 and 3: roll forward, or read the committed secret.

    def _leased(self, rest: State, worker: Worker) -> Moves:
        versions = self._in_sight(rest, worker)
        yield Move(*self._looked(rest, worker, versions))
        if versions and (lagging := spend(rest, lags=1)):
            label, state = self._looked(lagging, worker, versions[:-1])
            yield Move(f"(the newest version cannot be read yet) {label}", state)
        yield from self._fails(rest, worker, Step.RELEASING, f"{self.store} fails")

    def _looked(self, rest: State, worker: Worker, versions: list[Version]) -> tuple[str, State]:
        if not versions and rest.row.seal:
            return "cannot open the seal", plus(rest, worker._replace(step=Step.RELEASING))
        if not versions:
            grant = rest.last_put if self._variant.reads_the_current_version else rest.row.grant
            return "finds nothing to roll forward", plus(rest, worker._replace(step=Step.POSTING, grant=grant))
        found = versions[-1]
        step = Step.POSTING if found.is_stale else Step.COMMITTING
        label = f"finds the answer of fence {found.fence}" + (", whose access token is over" if found.is_stale else "")
        return label, plus(rest, worker._replace(step=step, grant=found.grant, found=found.fence))

    def _in_sight(self, rest: State, worker: Worker) -> list[Version]:
        """Return the versions since the last commit under fences before the worker's, the newest last."""
        renews_blindly = self._variant.renewal_does_not_roll_forward and worker.holder is Holder.BACKEND
        if self._variant.no_roll_forward or renews_blindly:
            return []
        earliest = worker.fence - 1 if self._variant.looks_back_one_fence_only else 1
        return sorted(version for version in rest.secrets if earliest <= version.fence < worker.fence)

    @staticmethod
    def _fails(rest: State, worker: Worker, then: Step, why: str) -> Moves:
        if failed := spend(rest, errors=1):
            yield Move(why, plus(failed, worker._replace(step=then, grant=0, found=0)))

    # Step 4: Aries.

    def _posting(self, rest: State, worker: Worker) -> Moves:
        in_flight = (Step.IN_FLIGHT, Step.ACCEPTED, Step.DENIED)
        broken = ""
        if any(other.step in in_flight for other in rest.workers) or any(w.kind is Kind.POST for w in rest.late):
            broken = "G1: two refreshes are in flight at Aries"
        sent = plus(rest, worker._replace(step=Step.IN_FLIGHT))
        yield Move(f"sends an Aries token of age {worker.grant} to Aries", sent, broken)
        yield from self._fails(rest, worker, Step.PAUSING, "Aries declines (429, not reached, misconfigured)")

    def _in_flight(self, rest: State, worker: Worker) -> Moves:
        for accepted, after in aries.process(rest, worker.grant, self._rotation):
            if accepted:
                yield Move("Aries accepts", plus(after, worker._replace(step=Step.ACCEPTED, grant=NEWEST)))
            else:
                yield Move("Aries refuses the grant", plus(after, worker._replace(step=Step.DENIED)))
        late = Late(Kind.POST, worker.lease, grant=worker.grant)
        yield from self._ambiguous(rest, worker, "no answer; the request never reaches Aries")
        if failed := spend(rest, lates=1):
            yield Move("no answer; the request may land late", self._unknown(plus_late(failed, late), worker))

    def _ambiguous(self, rest: State, worker: Worker, label: str) -> Moves:
        if failed := spend(rest, errors=1):
            yield Move(label, self._unknown(failed, worker))

    def _unknown(self, rest: State, worker: Worker) -> State:
        release = self._variant.releases_after_an_ambiguous_outcome
        return plus(rest, worker._replace(step=Step.RELEASING if release else Step.KEEPING_LEASE, grant=0, found=0))

    def _accepted(self, rest: State, worker: Worker) -> Moves:
        step = Step.COMMITTING if self._variant.commits_without_storing else Step.STORING
        found = worker.fence if self._variant.commits_without_storing else 0
        yield Move("hears Aries' answer", plus(rest, worker._replace(step=step, found=found)))
        yield from self._ambiguous(aries.lose(rest), worker, "Aries' answer is lost")

    def _denied(self, rest: State, worker: Worker) -> Moves:
        yield Move("hears Aries' refusal", plus(rest, worker._replace(step=Step.LOOKING_AGAIN)))
        yield from self._ambiguous(rest, worker, "Aries' refusal is lost")

    def _looking_again(self, rest: State, worker: Worker) -> Moves:
        blind = self._variant.does_not_look_again_after_a_refusal
        versions = [] if blind else self._in_sight(rest, worker)
        if versions and versions[-1].fence != worker.found:
            newer = worker._replace(step=Step.COMMITTING, grant=versions[-1].grant, found=versions[-1].fence)
            yield Move(f"finds the answer of fence {versions[-1].fence} after all", plus(rest, newer))
        else:
            yield Move("finds nothing newer", plus(rest, worker._replace(step=Step.ENDING, grant=0, found=0)))
        yield from self._fails(rest, worker, Step.RELEASING, f"{self.store} fails")

    def _ending(self, rest: State, worker: Worker) -> Moves:
        if rest.row.status is not Status.ACTIVE:
            yield Move("the session has ended: 400", rest, answer="400 ended")
        elif not table.holds(rest, worker.fence, worker.lease):
            arrived = Worker(Step.ARRIVED, worker.holder, worker.token, worker.predates)
            yield Move("has lost its lease: is judged afresh", plus(rest, arrived))
        else:
            ended = table.end(rest, Status.DEAD)
            assert ended is not None
            broken = "" if rest.is_lost else "G4: the session ends though nothing was lost in the window"
            yield Move("ends the session: 400", ended, broken, "400 refused")
            if failed := spend(ended, errors=1):
                yield Move("ends the session, and does not learn of it: 503", failed, broken, "503 failed")
            yield from self._fails(rest, worker, Step.RELEASING, "cannot end the session")

    # Step 5: store.

    def _storing(self, rest: State, worker: Worker) -> Moves:
        by_version = worker._replace(step=Step.COMMITTING, found=worker.fence)
        sealed = self._sealed(worker)
        stored = table.put(rest, worker.fence, worker.grant, self._variant)
        late = Late(Kind.PUT, fence=worker.fence, grant=worker.grant)
        if stored is None:
            yield Move("the version exists with other content: seals the answer", plus(rest, sealed))
            return
        yield Move("stores the answer", plus(stored, by_version))
        outcomes = [
            ("Secrets Manager refuses", rest, 0),
            ("Secrets Manager stores the answer and does not say so", stored, 0),
        ]
        outcomes.append(("Secrets Manager may store the answer late", plus_late(rest, late), 1))
        for label, state, lates in outcomes:
            if failed := spend(state, errors=1 - lates, lates=lates):
                if not self._variant.no_escrow:
                    yield Move(f"{label}: seals the answer", plus(failed, sealed))
                yield from self._loses(failed, worker, label, errors=0 if self._variant.no_escrow else 1)

    def _sealed(self, worker: Worker) -> Worker:
        """Seal the answer for the commit of the worker's fence. A mutant takes fence 0, the one of the last commit."""
        fence = 0 if self._variant.seals_under_the_old_fence else worker.fence
        return worker._replace(step=Step.COMMITTING, found=SEALED, seal=fence - worker.fence)

    def _loses(self, rest: State, worker: Worker, why: str, *, errors: int) -> Moves:
        """Answer 503, because neither Secrets Manager nor KMS takes the answer.

        The fence stays, because a version may be stored.
        """
        if failed := spend(rest, errors=errors):
            # A failure of Secrets Manager alone must lose nothing, so it opens no window.
            failed = aries.lose(failed) if errors else failed
            if self._variant.gives_the_fence_back_after_an_unknown_put:
                yield Move(f"{why}, KMS fails", plus(failed, worker._replace(step=Step.KEEPING_LEASE, grant=0)))
            else:
                yield Move(f"{why}, KMS fails: 503", failed, answer="503 failed")

    # Step 6: commit.

    def _committing(self, rest: State, worker: Worker) -> Moves:
        if self._variant.answers_before_the_commit and worker.holder is not Holder.NOBODY:
            answering = self._finished(worker, AHEAD)
            yield Move("answers", plus(plus(rest, answering), worker._replace(holder=Holder.NOBODY)))
            return
        committed = table.commit(rest, worker, worker.holder, self._variant)
        if committed is None:
            yield from self._refused_commit(rest, worker)
            return
        broken = self._broken_by_commit(rest, committed, worker)
        answering = self._finished(worker, CURRENT)
        yield Move("commits", plus(committed, answering), broken)
        if failed := spend(committed, errors=1):
            yield from self._unknown_commit(failed, worker, broken)
        if failed := spend(rest, lates=1):
            late = Late(
                Kind.COMMIT,
                worker.lease,
                worker.fence,
                worker.token,
                worker.grant,
                worker.found,
                worker.seal,
                is_renewal=worker.holder is Holder.BACKEND,
            )
            yield Move("commits, which may land late", plus(plus_late(failed, late), worker))
        if failed := spend(rest, errors=1):
            if worker.found == SEALED:
                failed = aries.lose(failed)
            yield Move("cannot commit, to the end: 503", failed, answer="503 failed")

    def _unknown_commit(self, committed: State, worker: Worker, broken: str) -> Moves:
        if self._variant.commit_adds:
            row = committed.row._replace(is_skewed=True)
            again = plus(committed._replace(row=row), self._finished(worker, AHEAD))
            yield Move("commits; the SDK repeats it, and it is applied again", again, broken)
            return
        own = worker._replace(fence=0)
        if worker.holder is not Holder.BACKEND:
            own = own._replace(token=PREVIOUS, predates=True)
        yield Move("commits, and does not learn of it", plus(committed, own), broken)

    def _refused_commit(self, rest: State, worker: Worker) -> Moves:
        if table.is_own_commit(rest, worker):
            yield Move("commits again and finds its own", plus(rest, self._finished(worker, CURRENT)))
            yield from gives_up(rest, "DynamoDB fails to the end")
        else:
            arrived = Worker(Step.ARRIVED, worker.holder, worker.token, worker.predates)
            yield Move("may not commit: is judged afresh", plus(aries.lose(rest), arrived))

    def _broken_by_commit(self, rest: State, committed: State, worker: Worker) -> str:
        if worker.holder is Holder.BACKEND and committed.tokens != rest.tokens:
            return "G9: a renewal changes a token of the app's"
        if rest.row.status is Status.REVOKED:
            return "G3: a refresh commits after the sign-out"
        stored = any(version.fence == worker.found for version in rest.secrets)
        return "" if stored or worker.found == SEALED else "G2: the answer is not durable"

    @staticmethod
    def _finished(worker: Worker, answered: int) -> Worker:
        if worker.holder is Holder.BACKEND:
            return Worker(Step.ANSWERING, worker.holder, NO_TOKEN)
        return Worker(Step.ANSWERING, worker.holder, answered, predates=True)

    # Give back: `Leases.release`, `Leases.pause` and `Leases.give_back_fence`, each with one try.

    def _giving_back(self, rest: State, worker: Worker) -> Moves:
        what = _GIVING_BACK[worker.step]
        given = table.give_back(rest, worker.fence, worker.lease, worker.step)
        yield Move(f"{what}: 503", rest if given is None else given, answer="503 failed")
        if given is None:
            return
        if failed := spend(rest, errors=1):
            yield Move("cannot give the fence back: 503", failed, answer="503 failed")
        if failed := spend(rest, lates=1):
            late = Late(Kind.GIVE_BACK, worker.lease, worker.fence, giving_back=worker.step)
            yield Move(f"{what}, which may land late: 503", plus_late(failed, late), answer="503 failed")
        if worker.step is Step.PAUSING:
            yield from self._sitting_out(rest, given, worker)

    def _sitting_out(self, rest: State, given: State, worker: Worker) -> Moves:
        """Wait for the end of a short pause, and ask for a lease again, under another id."""
        lease = worker.lease if self._variant.sits_out_with_the_same_lease else 0
        again = Worker(Step.ARRIVED, worker.holder, worker.token, worker.predates, lease)
        late = Late(Kind.GIVE_BACK, worker.lease, worker.fence, giving_back=worker.step)
        yield Move("sits the pause out", plus(given, again))
        if failed := spend(rest, lates=1):
            yield Move("sits out a pause that is written late", plus(plus_late(failed, late), again))
        if repeated := spend(given, lates=1):
            yield Move("sits out a pause that is written once more, late", plus(plus_late(repeated, late), again))
