"""One step of anybody."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tests.model.state import Budget, Late, State, Worker


class Move(NamedTuple):
    """What happens, the state after, the guarantee that it breaks, and the answer that the app gets by it, if any.

    `broken` begins with the guarantee's name. `answer` is the status and what led to it: "200", "503", "400 refused".
    """

    label: str
    state: State
    broken: str = ""
    answer: str = ""


Moves = Iterator[Move]


def spend(state: State, *, crashes: int = 0, lates: int = 0, errors: int = 0, lags: int = 0) -> State | None:
    """Take faults from the budget; None where it does not allow them."""
    budget = state.budget
    left = Budget(budget.crashes - crashes, budget.lates - lates, budget.errors - errors, budget.lags - lags)
    return None if min(left) < 0 else state._replace(budget=left)


def without(state: State, worker: Worker) -> State:
    """Return the state with one such worker gone."""
    workers = list(state.workers)
    workers.remove(worker)
    return state._replace(workers=tuple(workers))


def plus(state: State, worker: Worker) -> State:
    """Return the state with this worker more."""
    return state._replace(workers=(*state.workers, worker))


def plus_late(state: State, late: Late) -> State:
    """Return the state with this request more under way."""
    return state._replace(late=(*state.late, late))


def gives_up(rest: State, why: str) -> Moves:
    """Answer 503; the lease, if there is one, is left to lapse."""
    if failed := spend(rest, errors=1):
        yield Move(f"{why}: 503", failed, answer="503 failed")
