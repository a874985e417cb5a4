"""The writes to the row and to Secrets Manager, each at its landing, in time or late.

Every write returns the state after, or None if its condition does not hold.
"""

from __future__ import annotations

from tests.model.state import (
    AHEAD,
    CURRENT,
    NEWEST,
    NO_TOKEN,
    PREVIOUS,
    SUPERSEDED,
    Holder,
    Kind,
    Late,
    State,
    Status,
    Step,
    Version,
    Worker,
)
from tests.model.variant import Variant


def take(state: State, token: int, lease: int) -> State | None:
    """Take the lease under a new fence. The grace must be over, no lease live, and the token one of the row's two."""
    row = state.row
    if row.status is not Status.ACTIVE or row.is_fresh or row.is_leased or token not in (CURRENT, PREVIOUS):
        return None
    return state._replace(row=row._replace(fence=row.fence + 1, lease=lease, is_leased=True))


def take_to_renew(state: State, lease: int, variant: Variant) -> State | None:
    """Take the lease for a caller without a token. The grace of a rotation is no hindrance."""
    row = state.row
    if row.status is not Status.ACTIVE or (row.is_leased and not variant.renewal_ignores_the_lease):
        return None
    return state._replace(row=row._replace(fence=row.fence + 1, lease=lease, is_leased=True))


def give_back(state: State, fence: int, lease: int, how: Step) -> State | None:
    """Give the fence back, and the lease unless `how` is `KEEPING_LEASE`. `PAUSING` then blocks it for a while."""
    row = state.row
    if row.status is not Status.ACTIVE or row.fence != fence or row.lease != lease:
        return None
    row = row._replace(fence=fence - 1)
    if how is Step.KEEPING_LEASE:
        return state._replace(row=row)
    return state._replace(row=row._replace(lease=0, is_leased=how is Step.PAUSING))


def end(state: State, status: Status) -> State | None:
    """End the session under any lease, and delete its secret."""
    if state.row.status is not Status.ACTIVE:
        return None
    return state._replace(row=state.row._replace(status=status, lease=0, is_leased=False), secrets=())


def holds(state: State, fence: int, lease: int) -> bool:
    """Tell whether the row is active and under this lease."""
    row = state.row
    return row.status is Status.ACTIVE and row.fence == fence and row.lease == lease


def commit(state: State, write: Late | Worker, holder: Holder, variant: Variant) -> State | None:
    """Commit the answer of `write`: `grant`, found as `found`, for the holder of `token`.

    The commit changes all numbers relative to the last commit.
    """
    if not _may_commit(state, write, variant):
        return None
    renews = write.is_renewal if isinstance(write, Late) else write.holder is Holder.BACKEND
    keeps_tokens = variant.late_retry_does_not_supersede and write.token == PREVIOUS
    if renews:
        state = _with_new_tokens(state, CURRENT) if variant.renewal_moves_a_hash else state
    else:
        state = state if keeps_tokens else _with_new_tokens(state, write.token)
    begins_grace = not renews or variant.renewal_begins_a_grace
    fence = write.fence
    row = state.row._replace(
        grant=write.grant,
        fence=state.row.fence - fence,
        lease=0,
        is_leased=False,
        is_fresh=begins_grace or state.row.is_fresh,
        is_old=renews and state.row.is_old,
        is_skewed=False,
        seal=write.seal,
    )
    return state._replace(
        row=row,
        secrets=tuple(_from(version, fence) for version in state.secrets if version.fence > fence),
        late=tuple(
            _late_from(late, fence)
            for late in state.late
            if _may_matter(late, fence, variant, begins_grace=begins_grace)
        ),
        workers=tuple(
            worker._replace(
                # A lease that is lost is lost, however many commits ago.
                fence=max(worker.fence - fence, -1) if worker.has_lease else 0,
                predates=worker.predates or (begins_grace and worker.holder is not Holder.BACKEND),
            )
            for worker in state.workers
        ),
        is_lost=state.is_lost and not (write.grant == NEWEST and state.family_lives),
        committer=state.committer if renews else holder,
    )


def _may_commit(state: State, write: Late | Worker, variant: Variant) -> bool:
    if variant.commits_without_the_status and state.row.status is Status.REVOKED:
        return True
    if variant.commits_without_the_fence:
        return state.row.status is Status.ACTIVE
    # The generation cannot change under one lease, so its condition adds nothing.
    return holds(state, write.fence, write.lease)


def _with_new_tokens(state: State, presented: int) -> State:
    """Make the new token current, the presented one previous, and every other one superseded."""
    known = {CURRENT: SUPERSEDED, PREVIOUS: SUPERSEDED, SUPERSEDED: SUPERSEDED, AHEAD: SUPERSEDED, NO_TOKEN: NO_TOKEN}
    if presented in (CURRENT, PREVIOUS):
        known[presented] = PREVIOUS
    app, thief = state.tokens
    return state._replace(
        tokens=(known[app], known[thief]),
        workers=tuple(worker._replace(token=known[worker.token]) for worker in state.workers),
        late=tuple(
            late._replace(token=known[late.token]) if late.kind in (Kind.TAKE, Kind.COMMIT) else late
            for late in state.late
        ),
    )


def _from(version: Version, fence: int) -> Version:
    return version._replace(fence=version.fence - fence)


def _late_from(late: Late, fence: int) -> Late:
    if late.kind is Kind.TAKE:
        return late._replace(is_stale=late.is_renewal)
    return late if late.kind is Kind.POST else late._replace(fence=late.fence - fence)


def _may_matter(late: Late, fence: int, variant: Variant, *, begins_grace: bool) -> bool:
    """Leave out requests without an effect after the commit under `fence`.

    Three kinds have none: a request for a lease from before the commit, an update under an old fence, and a version out
    of sight of every worker. An app's request for a lease is bound to `rotated_at`, which a rotation alone moves. A
    backend's is bound to the commit that it saw.
    """
    match late.kind:
        case Kind.POST:
            return True
        case Kind.TAKE:
            return variant.renewals_lease_is_not_bound if late.is_renewal else not begins_grace
        case Kind.PUT:
            return late.fence > fence or variant.reads_the_current_version
        case _:
            return late.fence > fence or variant.commits_without_the_fence


def is_own_commit(state: State, worker: Worker) -> bool:
    """Tell whether the last commit was under this worker's fence. The row says so at every repetition."""
    return state.row.status is Status.ACTIVE and worker.fence == 0


def put(state: State, fence: int, grant: int, variant: Variant) -> State | None:
    """Put a version into Secrets Manager. Its fence names it; a second content under one name is refused."""
    version = Version(fence, grant)
    if any(other.fence == fence and other.grant != grant for other in state.secrets):
        return None
    known = any(other.fence == fence for other in state.secrets)
    last_put = grant if variant.reads_the_current_version else state.last_put
    return state._replace(
        secrets=state.secrets if known else tuple(sorted((*state.secrets, version))), last_put=last_put
    )
