"""Breadth-first search: every reachable state, and the shortest way to a breach."""

from __future__ import annotations

import gc
from collections import deque
from dataclasses import dataclass
from time import perf_counter
from typing import Literal

from tests.model.guarantees import Quiescence
from tests.model.moves import Moves, breaks
from tests.model.people import People
from tests.model.person import Person, Task
from tests.model.state import CURRENT, NEWEST, NO_TOKEN, OLDEST, Row, State, Step, canonical
from tests.model.variant import Scenario, Store, Variant
from tests.model.worker import Workers
from tests.model.world import World

AS_BUILT = Variant()
# A session of a store, or a person with several sessions.
Modelled = Store | Literal["person"]


@dataclass(frozen=True)
class Result:
    """The result of a search: `broken` and `trace` are empty if every guarantee holds in every state.

    `steps` are the steps that some worker reached, and `tasks` those of the person's jobs. `losses` are the moves that
    lost Aries' newest grant.
    """

    states: int
    seconds: float
    broken: str = ""
    trace: tuple[str, ...] = ()
    steps: frozenset[Step] = frozenset()
    tasks: frozenset[Task] = frozenset()
    losses: frozenset[str] = frozenset()
    modelled: Modelled = "secrets"

    def __str__(self) -> str:
        """Return the result as text, with one step a line."""
        text = f"{self.states} states, {self.seconds:.1f} s"
        return "\n  ".join([text + (f", BROKEN: {self.broken}" if self.broken else ""), *self.trace])


class Search:
    """The search through one scenario of one variant."""

    def __init__(self, scenario: Scenario, variant: Variant = AS_BUILT) -> None:
        self._scenario = scenario
        self._variant = variant
        self._people = People(variant, scenario)
        self._workers = Workers(variant, scenario, self._people)
        self._world = World(variant, scenario)
        self._quiescence = Quiescence(self._workers, variant, has_backends=scenario.backends > 0)
        self._came_from: dict[State, State | None] = {}
        self._losses: set[str] = set()

    def run(self, guarantee: str = "G", limit: int = 2_000_000) -> Result:
        """Visit every state; stop at the first breach of `guarantee`. "G" stands for every guarantee."""
        # The states form no cycles. The collector would spend much of the time on so many tuples.
        gc.disable()
        try:
            return self._run(guarantee, limit)
        finally:
            gc.enable()

    def _run(self, guarantee: str, limit: int) -> Result:
        began = perf_counter()
        last_put = NEWEST if self._variant.reads_the_current_version else OLDEST
        person = Person() if self._scenario.sign_outs else None
        begun = State(Row(), (), (), (), (CURRENT, NO_TOKEN), self._scenario.budget, last_put=last_put, person=person)
        start = canonical(begun)
        self._came_from = {start: None}
        waiting = deque([start])
        while waiting:
            state = waiting.popleft()
            broken = self._quiescence.broken(state, guarantee) if not state.workers else None
            if broken:
                return self._result(began, broken.broken, [*self._trace(state), broken.label])
            for move in self.moves(state):
                if breaks(move.broken, guarantee):
                    return self._result(began, move.broken, [*self._trace(state), move.label])
                if move.state.is_lost and not state.is_lost:
                    self._losses.add(move.label)
                after = canonical(move.state)
                if after not in self._came_from:
                    self._came_from[after] = state
                    waiting.append(after)
            assert len(self._came_from) < limit, f"more than {limit} states"
        return self._result(began)

    def moves(self, state: State) -> Moves:
        """Yield every possible next move. Identical workers move alike, so one of them moves for all."""
        for worker in dict.fromkeys(state.workers):
            yield from self._workers.moves(state, worker)
        yield from self._world.moves(state)
        yield from self._people.moves(state)

    def _result(self, began: float, broken: str = "", trace: list[str] | None = None) -> Result:
        steps = frozenset(worker.step for state in self._came_from for worker in state.workers)
        people = (state.person for state in self._came_from if state.person)
        tasks = frozenset(job.task for person in people for job in person.jobs)
        return Result(
            len(self._came_from),
            perf_counter() - began,
            broken,
            tuple(trace or ()),
            steps,
            tasks,
            frozenset(self._losses),
            "person" if self._scenario.sign_outs else self._scenario.store,
        )

    def _trace(self, state: State) -> list[str]:
        labels: list[str] = []
        while (before := self._came_from[state]) is not None:
            labels.append(next(move.label for move in self.moves(before) if canonical(move.state) == state))
            state = before
        return labels[::-1]
