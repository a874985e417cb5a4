"""Everything but the broker: the app, the thief, time, and requests that land late.

The world keeps to the premises of the broker:

* A lease lapses after its worker is done, and after Aries has processed or dropped the worker's request (G1).
* A worker lives shorter than the grace: the grace of a commit ends after every worker from before it is gone.
* The app gives up a request only to send a newer one. The request lands within the grace *of the commit before it*
  (G6). `Scenario.grace_may_end_early` takes G6 at its word instead: such a request lands within the grace, counted from
  its *sending*. That may be later than the end of the commit's grace.
* The app asks to sign out the person's other sessions with the newest token that it has got, while no refresh that it
  waits for is under way, and this request lands within that grace too (G11). `Scenario.asks_beside_a_refresh` drops the
  first half. The app may refresh before the request is answered.
* Access tokens live longer than the grace.
"""

from __future__ import annotations

from tests.model import aries, table
from tests.model.moves import Move, Moves, plus
from tests.model.state import NO_TOKEN, Holder, Kind, Late, State, Status, Step, Worker
from tests.model.variant import Scenario, Variant


class World:
    """Moves of the app, the thief and time."""

    def __init__(self, variant: Variant, scenario: Scenario) -> None:
        self._variant = variant
        self._scenario = scenario

    def moves(self, state: State) -> Moves:
        """Yield every possible next move."""
        if state.row.status is not Status.ACTIVE:
            return
        yield from self._time(state)
        yield from self._holders(state)
        for late in dict.fromkeys(state.late):
            yield from self._lands(state, late)

    def _time(self, state: State) -> Moves:
        row = state.row
        if row.is_leased and self._may_lapse(state):
            yield Move("time: the lease lapses", state._replace(row=row._replace(is_leased=False)))
        if row.is_fresh and self._grace_may_end(state):
            yield Move("time: the grace is over", state._replace(row=row._replace(is_fresh=False, is_old=True)))
        if self._scenario.access_tokens_expire and any(not version.is_stale for version in state.secrets):
            stale = tuple(version._replace(is_stale=True) for version in state.secrets)
            yield Move("time: the access tokens in Secrets Manager expire", state._replace(secrets=stale))

    def _may_lapse(self, state: State) -> bool:
        if self._variant.lease_shorter_than_the_work:
            return True
        if self._variant.lease_never_lapses:
            return False
        lease = state.row.lease
        if not lease:
            return True
        return not any(worker.lease == lease for worker in state.workers) and not any(
            late.kind is Kind.POST and late.lease == lease for late in state.late
        )

    def _grace_may_end(self, state: State) -> bool:
        for worker in state.workers:
            if worker.predates:
                return False
            given_up = worker.holder is Holder.NOBODY and worker.step is Step.ARRIVED
            if (given_up or worker.holder is Holder.PERSON) and not self._scenario.grace_may_end_early:
                return False
        return True

    def _holders(self, state: State) -> Moves:
        backends = sum(worker.holder is Holder.BACKEND for worker in state.workers)
        if backends < self._scenario.backends:
            yield Move("BACKEND asks for an access token", plus(state, Worker(Step.ARRIVED, Holder.BACKEND, NO_TOKEN)))
        beside = backends + sum(worker.holder is Holder.PERSON for worker in state.workers)
        has_room = len(state.workers) - beside < self._scenario.workers
        for holder in (Holder.APP, Holder.THIEF):
            waiting = [worker for worker in state.workers if worker.holder is holder]
            if state.tokens[holder] == NO_TOKEN or not has_room:
                continue
            if not waiting:
                sent = plus(state, Worker(Step.ARRIVED, holder, state.tokens[holder]))
                yield Move(f"{holder.name} sends its token", sent)
            elif holder is Holder.APP:
                workers = tuple(w._replace(holder=Holder.NOBODY) if w is waiting[0] else w for w in state.workers)
                again = Worker(Step.ARRIVED, holder, state.tokens[holder])
                given_up = state._replace(workers=workers)
                yield Move("APP gives up waiting and sends its token again", plus(given_up, again))
        if self._scenario.thief and state.tokens[Holder.THIEF] == NO_TOKEN:
            yield Move("THIEF copies the app's token", state._replace(tokens=(state.tokens[0], state.tokens[0])))
        if self._scenario.revoke and (ended := table.end(state, Status.REVOKED)):
            yield Move("APP signs out", ended)

    def _lands(self, state: State, late: Late) -> Moves:
        waiting = list(state.late)
        waiting.remove(late)
        rest = state._replace(late=tuple(waiting))
        match late.kind:
            case Kind.POST:
                yield Move("late: the request to Aries is dropped", rest)
                for accepted, after in aries.process(rest, late.grant, self._scenario.rotation):
                    # The answer has no receiver.
                    landed = aries.lose(after) if accepted else after
                    yield Move(f"late: Aries {'accepts' if accepted else 'refuses'} the request", landed)
            case Kind.PUT:
                yield Move(f"late: the version of fence {late.fence} is stored", self._stored(rest, late))
            case Kind.TAKE:
                if late.is_renewal:
                    taken = table.take_to_renew(rest, late.lease, self._variant)
                else:
                    taken = table.take(rest, late.token, late.lease)
                if taken:
                    broken = "G5: a lease of before a commit has no worker" if late.is_stale else ""
                    yield Move(f"late: the lease is taken (fence {taken.row.fence})", taken, broken)
            case Kind.COMMIT:
                if committed := table.commit(rest, late, Holder.NOBODY, self._variant):
                    yield Move("late: the commit is applied", committed)
            case Kind.GIVE_BACK:
                if given := table.give_back(rest, late.fence, late.lease, late.giving_back):
                    yield Move("late: the fence is given back", given)

    def _stored(self, rest: State, late: Late) -> State:
        stored = table.put(rest, late.fence, late.grant, self._variant) or rest
        looked = any(worker.has_lease and worker.step is not Step.LEASED for worker in stored.workers)
        looked = looked or any(other.kind is Kind.POST for other in stored.late)
        # An answer that lands after the next worker's look is as good as lost.
        return stored if looked else aries.find_again(stored)
