"""The sign-out of a person's other sessions, beside redemptions and beside refreshes of the session that signs out.

The item comes first and the row after. A redemption adds its id to the person's item and reads the cut-off in one
write, and then activates its row. A sign-out of the others sets the cut-off and reads the ids in one write, and then
ends each session in any state. A write may be applied, be applied unknown to its job, or land late, and once more. The
process may die before it and after it. A job that fails with 503 leaves what a death leaves.

The item is of one person and one app. The model leaves out a code that comes twice, the limit of a person's sessions,
the clean-up of the item, what a person on call does, and clocks that differ.
"""

from __future__ import annotations

from tests.model import person as persons
from tests.model import table
from tests.model.moves import Move, Moves, gives_up, plus, spend
from tests.model.person import Job, Person, Session, Task
from tests.model.state import AHEAD, NO_TOKEN, PREVIOUS, SUPERSEDED, Holder, State, Status, Step, Worker
from tests.model.variant import Scenario, Variant

_WHAT = {
    Task.JOINING: "a redemption adds its id to the person's item",
    Task.ACTIVATING: "a redemption activates its row",
    Task.TRYING: "a later try adds its id to the person's item",
    Task.NOTING: "a later try lets the row name the person",
    Task.LEAVING: "a later try ends its session, which was signed out",
    Task.CUTTING_OFF: "a sign-out of the others sets the cut-off and reads the person's item",
    Task.ENDING: "a sign-out of the others ends a session",
}
# A repetition of any other write finds the same, so it makes no difference whether the job learns of the first one.
_READS_THE_ITEM = (Task.JOINING, Task.TRYING, Task.CUTTING_OFF)


class People:
    """Moves of the person's sign-ins, and of the app that signs out the person's other sessions."""

    def __init__(self, variant: Variant, scenario: Scenario) -> None:
        self._variant = variant
        self._scenario = scenario
        self.steps = {Step.SIGNING_OUT_OTHERS: self._judged}

    def moves(self, state: State) -> Moves:
        """Yield every possible next move. Each is checked for the guarantees of the person's item."""
        if state.person is None:
            return
        for move in self._moves(state, state.person):
            yield move._replace(broken=broken_by(state, move.state))

    def _moves(self, state: State, person: Person) -> Moves:
        yield Move("time: a second passes", _with(state, person._replace(now=person.now + 1)))
        yield from self._begins(state, person)
        for job in dict.fromkeys(person.jobs):
            rest = _with(state, person._replace(jobs=_less(person.jobs, job)))
            yield from self._works(rest, job)
            if crashed := spend(rest, crashes=1):
                yield Move(f"the process dies while {job.task.name}", crashed)
        for write in dict.fromkeys(person.late):
            rest = _with(state, person._replace(late=_less(person.late, write)))
            yield Move(f"late: {_WHAT[write.task]}", self._landed(rest, write))

    # The world: sign-ins and requests begin.

    def _begins(self, state: State, person: Person) -> Moves:
        if len(person.sessions) < self._scenario.sign_ins:
            signing_in = person._replace(sessions=(*person.sessions, Session(person.now)))
            yield Move("a sign-in begins", _with(state, signing_in))
        if sum(not job.signs_out_others for job in person.jobs) < self._scenario.sign_ins:
            for index, session in enumerate(person.sessions):
                yield from self._asks_whose(state, index, session)
        asking = sum(job.signs_out_others for job in person.jobs)
        asking += sum(worker.holder is Holder.PERSON for worker in state.workers)
        if asking < self._scenario.sign_outs and self._may_ask(state):
            request = Worker(Step.SIGNING_OUT_OTHERS, Holder.PERSON, state.tokens[Holder.APP])
            yield Move("APP asks to sign out the person's other sessions", plus(state, request))

    def _may_ask(self, state: State) -> bool:
        is_refreshing = any(worker.holder is Holder.APP for worker in state.workers)
        return state.row.status is Status.ACTIVE and (not is_refreshing or self._scenario.asks_beside_a_refresh)

    def _asks_whose(self, state: State, index: int, session: Session) -> Moves:
        """Ask Aries whose session it is: in a redemption, or after a refresh of a session that nobody knows."""
        if session.is_active:
            if not session.is_known:
                yield Move("a later try learns the person", _plus(state, Job(Task.TRYING, index)))
            return
        first = Task.ACTIVATING if self._variant.row_before_item else Task.JOINING
        yield Move("a redemption learns the person", _plus(state, Job(first, index, is_known=True)))
        if failed := spend(state, errors=1):
            unknown = _plus(failed, Job(Task.ACTIVATING, index))
            yield Move("a redemption does not learn the person, because Aries does not answer", unknown)

    # The verdict on the token of a sign-out of the others (`people/callers.py`).

    def _judged(self, rest: State, worker: Worker) -> Moves:
        assert rest.person is not None
        row = rest.row
        is_previous = worker.token == PREVIOUS
        is_reuse = worker.token == SUPERSEDED or (is_previous and self._variant.sign_out_knows_no_previous_token)
        if row.status is not Status.ACTIVE:
            yield Move("its session has ended: 400", rest, answer="400 ended")
        elif worker.token == AHEAD:
            yield Move("a generation that the row never committed: 503", rest, answer="503 restored_from_backup")
        elif is_reuse:
            ended = table.end(rest, Status.DEAD)
            assert ended is not None
            yield Move("asks with a superseded token: 400", ended, broken_by(rest, ended), "400 reused")
            yield from gives_up(rest, "cannot end the session")
        elif is_previous and not row.is_fresh:
            yield Move("asks with a token that may be a late retry's: 400", rest, answer="400 previous_token")
        else:
            first = Task.LISTING if self._variant.reads_the_item_before_the_cut_off else Task.CUTTING_OFF
            yield Move("may sign out the others", _plus(rest, Job(first, second=rest.person.now)))

    # The writes of a job.

    def _works(self, rest: State, job: Job) -> Moves:
        person = rest.person
        assert person is not None
        if job.task is Task.LISTING:
            cutting = job._replace(task=Task.CUTTING_OFF, left=persons.listed(person))
            yield Move("a sign-out of the others reads the person's item", _plus(rest, cutting))
            return
        if job.task is Task.ENDING:
            if not job.left:
                yield Move("200: the others are signed out", self._confirmed(rest, job), answer="200")
                return
            if self._variant.ends_active_sessions_only and not person.sessions[job.left[0]].is_active:
                yield Move("passes a sign-in over", _plus(rest, job._replace(left=job.left[1:])))
                return
        what = _WHAT[job.task]
        write = Job(job.task, job.left[0]) if job.task is Task.ENDING else job
        landed = self._landed(_plus(rest, job), write)
        yield Move(what, self._learns(landed, job))
        if job.task in _READS_THE_ITEM and (failed := spend(landed, errors=1)):
            yield Move(f"{what}, and does not learn of it", failed)
        if failed := spend(_plus(rest, job), lates=1):
            assert failed.person is not None
            late = failed.person._replace(late=(*failed.person.late, write))
            yield Move(f"{what}, which may land late", _with(failed, late))

    def _landed(self, state: State, write: Job) -> State:
        """Return the state after a write, in time or late. If its condition does not hold, it changes nothing."""
        person = state.person
        assert person is not None
        if write.task is Task.CUTTING_OFF:
            is_later = write.second >= person.cut_off or self._variant.cut_off_moves_back
            return _with(state, person._replace(cut_off=write.second)) if is_later else state
        session = person.sessions[write.session]
        match write.task:
            case Task.ENDING | Task.LEAVING:
                return _with(state, persons.without(person, write.session))
            case Task.JOINING | Task.TRYING:
                session = session._replace(is_listed=True)
            case Task.ACTIVATING if not session.is_active:
                session = session._replace(is_active=True, is_known=write.is_known)
            case Task.NOTING if session.is_active:
                session = session._replace(is_known=True)
        return _with(state, persons.changed(person, write.session, session))

    def _learns(self, landed: State, job: Job) -> State:
        """Let the job learn that its write has landed, and go on."""
        person = landed.person
        assert person is not None
        match job.task:
            case Task.ENDING | Task.LEAVING:
                # The jobs of a session that is over are gone with it, and a sign-out goes on with the next one.
                return landed
            case Task.CUTTING_OFF if self._variant.reads_the_item_before_the_cut_off:
                following: Job | None = job._replace(task=Task.ENDING)
            case Task.CUTTING_OFF:
                following = job._replace(task=Task.ENDING, left=persons.listed(person))
            case _:
                task = self._task_after(job, person)
                following = None if task is None else job._replace(task=task)
        jobs = _less(person.jobs, job)
        return _with(landed, person._replace(jobs=(*jobs, following) if following else jobs))

    def _task_after(self, job: Job, person: Person) -> Task | None:
        """Return the next task of a redemption or a later try. A redemption that is cut off is answered 400."""
        variant = self._variant
        is_cut_off = person.sessions[job.session].began <= person.cut_off
        match job.task:
            case Task.JOINING if not variant.row_before_item:
                is_refused = is_cut_off and not variant.redemption_ignores_the_cut_off
                return None if is_refused else Task.ACTIVATING
            case Task.TRYING:
                is_refused = is_cut_off and not variant.later_try_ignores_the_cut_off
                return Task.LEAVING if is_refused else Task.NOTING
            case Task.ACTIVATING if variant.row_before_item and job.is_known:
                return Task.JOINING
        return None

    def _confirmed(self, rest: State, job: Job) -> State:
        """Confirm the sign-out. The caller's own session is in the item too, and was passed over."""
        assert rest.person is not None
        state = _with(rest, rest.person._replace(promised=max(rest.person.promised, job.second)))
        return (table.end(state, Status.REVOKED) or state) if self._variant.sign_out_ends_its_own_session else state


def broken_by(before: State, after: State) -> str:
    """Return the breach of a guarantee of the person's item by one move, or ''."""
    was, person = before.person, after.person
    assert was is not None
    assert person is not None
    named = [session for session in person.sessions if session.is_active and session.is_known]
    if any(session.began <= person.promised for session in named):
        return "G10: a session is active that a confirmed sign-out of the others has cut off"
    is_alone = before.tokens[Holder.THIEF] == NO_TOKEN
    if before.row.status is Status.ACTIVE and after.row.status is not Status.ACTIVE and is_alone:
        return "G11: a sign-out of the others ends its own session"
    if person.cut_off < was.cut_off:
        return "G12: the cut-off moves back"
    if any(not session.is_listed for session in named):
        return "G13: an active session names its person and is not in the person's item"
    return ""


def _with(state: State, person: Person) -> State:
    return state._replace(person=person)


def _plus(state: State, job: Job) -> State:
    assert state.person is not None
    return _with(state, state.person._replace(jobs=(*state.person.jobs, job)))


def _less(jobs: tuple[Job, ...], job: Job) -> tuple[Job, ...]:
    rest = list(jobs)
    rest.remove(job)
    return tuple(rest)
