"""A single step of a worker or of the world."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tests.model.state import Budget, Late, State, Worker


class Move(NamedTuple):
    """An event, the state after it, and, if there are any, the guarantee it breaks and the app's answer.

    `broken` begins with the guarantee's name. `answer` is the status and its cause: "200", "503", "400 refused".
    """

    label: str
    state: State
    broken: str = ""
    answer: str = ""


Moves = Iterator[Move]


def breaks(broken: str, guarantee: str) -> bool:
    """Tell whether `broken` is a breach of this guarantee. "G" stands for every guarantee."""
    return broken.startswith("G" if guarantee == "G" else f"{guarantee}:")


def spend(state: State, *, crashes: int = 0, lates: int = 0, errors: int = 0, lags: int = 0) -> State | None:
    """Take faults from the budget; return None if the budget does not allow them."""
    budget = state.budget
    left = Budget(budget.crashes - crashes, budget.lates - lates, budget.errors - errors, budget.lags - lags)
    return None if min(left) < 0 else state._replace(budget=left)


def without(state: State, worker: Worker) -> State:
    """Return the state without one such worker."""
    workers = list(state.workers)
    workers.remove(worker)
    return state._replace(workers=tuple(workers))


def plus(state: State, worker: Worker) -> State:
    """Return the state with this worker added."""
    return state._replace(workers=(*state.workers, worker))


def plus_late(state: State, late: Late) -> State:
    """Return the state with this request added to those under way."""
    return state._replace(late=(*state.late, late))


def gives_up(rest: State, why: str) -> Moves:
    """Answer 503; a lease stays until it lapses."""
    if failed := spend(rest, errors=1):
        yield Move(f"{why}: 503", failed, answer="503 failed")
