"""The modelled protocol, as built or with a single mistake, and its surroundings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tests.model.state import Budget

Rotation = Literal["strict", "grace", "family"]
Store = Literal["secrets", "row"]


@dataclass(frozen=True)
class Variant:
    """The protocol as built, with every switch off. Every switch but the last one breaks it.

    `replay_prolongs_the_grace` is not built: it mends the breach under `Scenario.grace_may_end_early`.
    """

    lease_shorter_than_the_work: bool = False
    no_roll_forward: bool = False
    looks_back_one_fence_only: bool = False
    does_not_look_again_after_a_refusal: bool = False
    reads_the_current_version: bool = False
    commits_without_storing: bool = False
    commits_without_the_fence: bool = False
    commits_without_the_status: bool = False
    commit_adds: bool = False
    late_retry_does_not_supersede: bool = False
    waits_before_classifying: bool = False
    releases_after_an_ambiguous_outcome: bool = False
    gives_the_fence_back_after_an_unknown_put: bool = False
    no_escrow: bool = False
    seals_under_the_old_fence: bool = False
    seals_once: bool = False
    stores_anew_at_a_refresh: bool = False
    answers_before_the_commit: bool = False
    sits_out_with_the_same_lease: bool = False
    renewal_begins_a_grace: bool = False
    renewal_moves_a_hash: bool = False
    renewal_does_not_roll_forward: bool = False
    renewal_ignores_the_lease: bool = False
    renewals_lease_is_not_bound: bool = False
    row_before_item: bool = False
    reads_the_item_before_the_cut_off: bool = False
    cut_off_moves_back: bool = False
    redemption_ignores_the_cut_off: bool = False
    later_try_ignores_the_cut_off: bool = False
    ends_active_sessions_only: bool = False
    sign_out_ends_its_own_session: bool = False
    sign_out_knows_no_previous_token: bool = False
    lease_never_lapses: bool = False
    replay_prolongs_the_grace: bool = False


@dataclass(frozen=True)
class Scenario:
    """The surroundings of the protocol.

    `rotation` is Aries' reaction to a refresh token older than its newest: `strict` refuses it; `grace` may answer the
    token before the newest with the newest; `family` ends the whole token family. `workers` is the number of requests
    at once: the app (or the thief) waits for one and gave up the others. `access_tokens_expire` lets the access tokens
    of stored, uncommitted answers expire. `grace_may_end_early` drops a premise of G6 and G11: see `world`. `store` has
    the session's tokens: `secrets` is Secrets Manager, `row` is the row itself, with its tokens sealed by KMS.
    `backends` is the number of callers without a token that renew at once, beside the workers.

    `sign_outs` is the number of requests at once to sign out the person's other sessions. Without any, there is no
    person. `sign_ins` is the number of other sessions at once, from the beginning of their sign-ins on, and of
    redemptions and later tries at once. `asks_beside_a_refresh` drops a premise of G11: see `world`.
    """

    rotation: Rotation
    workers: int
    budget: Budget
    revoke: bool = False
    thief: bool = False
    access_tokens_expire: bool = False
    grace_may_end_early: bool = False
    store: Store = "secrets"
    backends: int = 0
    sign_outs: int = 0
    sign_ins: int = 0
    asks_beside_a_refresh: bool = False
