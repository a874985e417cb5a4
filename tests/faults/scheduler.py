"""A deterministic scheduler: workers take turns at every call, in every possible order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from greenlet import greenlet

from tests.faults.broker import Broker, Violation

MOST_TURNS = 200


@dataclass
class _Worker:
    run: greenlet
    # The end of its sleep, and the number of writes when it went to sleep.
    wakes_at: float = 0.0
    seen: int = -1


@dataclass
class Scheduler:
    """Runs workers to their ends, and chooses the next worker at every call: first as ``given``, then always 0.

    A sleeping worker may wake because time passes. This is a choice only if another worker has written since the
    sleep began, or if no other worker can go on: another look at unchanged data leads to nothing new.

    If several workers wake at the same time, the first of them goes on. With ``any_of_equals``, this is a choice too.

    ``misfit_after`` is the number of choices made before the planned fault turned out not to fit its call. Every
    schedule with this beginning has no fault.
    """

    broker: Broker
    given: tuple[int, ...] = ()
    choices: list[tuple[int, int]] = field(default_factory=list)
    misfit_after: int | None = None
    any_of_equals: bool = False

    def __post_init__(self) -> None:
        self._hub = greenlet.getcurrent()
        self._workers: list[_Worker] = []
        self._current: _Worker | None = None
        self.calls: list[str] = []
        self.broker.seam.switch = self._switch
        self.broker.seam.misfit = self._misfit
        self.broker.clock.sleep = self._sleep  # type: ignore[method-assign]

    def run(self, *operations: Callable[[], Any]) -> list[Any]:
        """Run the operations side by side; returns their results in order."""
        results: list[Any] = [None] * len(operations)

        def start(index: int, operation: Callable[[], Any]) -> None:
            results[index] = operation()

        for index, operation in enumerate(operations):
            self._workers.append(_Worker(greenlet(lambda i=index, o=operation: start(i, o))))
        while ready := self._ready():
            if len(self.choices) > MOST_TURNS:
                raise Violation("G5: two workers keep each other from ever ending")
            number = len(self.choices)
            choice = self.given[number] if number < len(self.given) else 0
            self.choices.append((choice, len(ready)))
            worker = ready[choice]
            self.broker.clock.time = max(self.broker.clock.time, worker.wakes_at)
            worker.wakes_at, worker.seen = 0.0, -1
            self._current = worker
            self.broker.dynamodb.worker = self._workers.index(worker)
            worker.run.switch()
        self._current = None
        self.calls = list(self.broker.seam.calls)
        return results

    def _ready(self) -> list[_Worker]:
        alive = [worker for worker in self._workers if not worker.run.dead]
        writes = self.broker.dynamodb.writes
        awake = [worker for worker in alive if not worker.wakes_at or worker.seen < writes]
        if awake or not alive:
            return awake
        first = min(worker.wakes_at for worker in alive)
        equals = [worker for worker in alive if worker.wakes_at == first]
        return equals if self.any_of_equals else equals[:1]

    def _switch(self) -> None:
        if self._current is not None:
            self._hub.switch()

    def _misfit(self) -> None:
        self.misfit_after = len(self.choices)

    def _sleep(self, seconds: float) -> None:
        clock = self.broker.clock
        if self._current is None:
            clock.time += seconds
            return
        self._current.wakes_at = clock.time + seconds
        self._current.seen = self.broker.dynamodb.writes
        self._hub.switch()


def every_schedule(run: Callable[[tuple[int, ...]], Scheduler], *, first_begins: bool = False) -> Iterator[Scheduler]:
    """Yield the scheduler of every run with different choices, depth first. Each run begins at the start.

    If a fault did not fit, the other schedules with the same beginning are left out: they have no fault either. If
    ``first_begins``, so are the schedules in which another worker than the first one begins.
    """
    given: tuple[int, ...] | None = ()
    while given is not None and not (first_begins and given[:1] > (0,)):
        scheduler = run(given)
        yield scheduler
        given = _next(scheduler.choices[: scheduler.misfit_after])


def _next(choices: list[tuple[int, int]]) -> tuple[int, ...] | None:
    for position in range(len(choices) - 1, -1, -1):
        choice, count = choices[position]
        if choice + 1 < count:
            return (*(chosen for chosen, _ in choices[:position]), choice + 1)
    return None
