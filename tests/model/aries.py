"""Aries' token endpoint, of three kinds."""

from __future__ import annotations

from collections.abc import Iterator

from tests.model.state import NEWEST, OLDEST, Kind, State, Step
from tests.model.variant import Rotation


def process(state: State, grant: int, rotation: Rotation) -> Iterator[tuple[bool, State]]:
    """Process a refresh with the token of age `grant`; yield every possible (accepted, state after).

    Aries answers an accepted refresh with the newest token. Aries may have a grace of its own, and it may be over.
    Within it, the token before the newest gets the newest too, and rotates nothing.
    """
    if not state.family_lives:
        yield False, state
    elif grant == NEWEST:
        yield True, _rotated(state)
    else:
        if rotation == "grace" and grant == NEWEST + 1:
            yield True, state
        yield False, state._replace(family_lives=rotation != "family")


def lose(state: State) -> State:
    """Lose Aries' newest answer with its receiver: the one window of G4, unless the answer is durable elsewhere."""
    return state if newest_is_durable(state) else state._replace(is_lost=True)


def find_again(state: State) -> State:
    """Find a lost answer after all: it landed late, and its absence has done no harm at Aries yet."""
    return state._replace(is_lost=False) if state.family_lives and newest_is_durable(state) else state


def newest_is_durable(state: State) -> bool:
    """Tell whether Aries' newest grant is committed, or stored in sight of the next worker."""
    return state.row.grant == NEWEST or any(version.grant == NEWEST for version in state.secrets)


def _rotated(state: State) -> State:
    """Make every token in anybody's hands one older."""

    def older(grant: int) -> int:
        return min(grant + 1, OLDEST)

    return state._replace(
        row=state.row._replace(grant=older(state.row.grant)),
        workers=tuple(
            worker._replace(grant=older(worker.grant)) if Step.LEASED < worker.step <= Step.COMMITTING else worker
            for worker in state.workers
        ),
        secrets=tuple(version._replace(grant=older(version.grant)) for version in state.secrets),
        late=tuple(
            late._replace(grant=older(late.grant)) if late.kind in (Kind.POST, Kind.PUT, Kind.COMMIT) else late
            for late in state.late
        ),
        last_put=older(state.last_put),
        is_lost=False,
    )
