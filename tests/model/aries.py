"""Aries' token endpoint, of three kinds."""

from __future__ import annotations

from collections.abc import Iterator

from tests.model.state import NEWEST, OLDEST, Kind, State, Step
from tests.model.variant import Rotation


def process(state: State, grant: int, rotation: Rotation) -> Iterator[tuple[bool, State]]:
    """Process a refresh with the token of age `grant`; yield every (accepted, state after) that may be.

    What is accepted is answered with the newest token. Within a grace that is Aries' own, and that may be over, the
    token before the newest is answered with the newest too, and rotates nothing.
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
    """Aries' newest answer is gone with whom it was for: the one window of G4, unless it is durable by other ways."""
    return state if newest_is_durable(state) else state._replace(is_lost=True)


def find_again(state: State) -> State:
    """What was given up for lost has landed after all, before it did harm that Aries had not heard of it."""
    return state._replace(is_lost=False) if state.family_lives and newest_is_durable(state) else state


def newest_is_durable(state: State) -> bool:
    """Tell whether Aries' newest grant is committed, or stored where the next worker looks."""
    return state.row.grant == NEWEST or any(version.grant == NEWEST for version in state.vault)


def _rotated(state: State) -> State:
    """Every token that anybody has in hand is one older."""

    def older(grant: int) -> int:
        return min(grant + 1, OLDEST)

    return state._replace(
        row=state.row._replace(grant=older(state.row.grant)),
        workers=tuple(
            worker._replace(grant=older(worker.grant)) if Step.LEASED < worker.step <= Step.COMMITTING else worker
            for worker in state.workers
        ),
        vault=tuple(version._replace(grant=older(version.grant)) for version in state.vault),
        late=tuple(
            late._replace(grant=older(late.grant)) if late.kind in (Kind.POST, Kind.PUT, Kind.COMMIT) else late
            for late in state.late
        ),
        last_put=older(state.last_put),
        is_lost=False,
    )
