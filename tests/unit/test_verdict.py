"""The verdict on the holder of a refresh token: every branch, and the order of the branches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Literal, cast

import pytest

from oauth_broker.config.clients import Client
from oauth_broker.oauth.requests import RefreshTokenGrant
from oauth_broker.oauth.tokens import RefreshToken
from oauth_broker.secret import Secret
from oauth_broker.sessions.renewers import SessionRenewer
from oauth_broker.sessions.row import SignIn
from oauth_broker.sessions.verdict import Terms, Verdict, end_reason, judge
from tests.support.clock import NOW

SESSION = "S" * 43
KEY = Secret("key")
GRACE = 60
CURRENT, PREVIOUS, OLDER = (RefreshToken.mint(SESSION, generation, KEY) for generation in (9, 8, 7))
CLIENT = Client("app", ("https://app.example.com/callback",), frozenset({"a", "b"}))
ROW = SignIn(
    session_id=SESSION,
    status="active",
    expires_at=int(NOW) + 1000,
    client_id="app",
    scope="a b",
    generation=9,
    handle_hash=CURRENT.hash,
    previous_hash=PREVIOUS.hash,
    rotated_at=NOW - 1000,
)
GRANT = RefreshTokenGrant(CLIENT, CURRENT, None)
TERMS = Terms(replay_after=NOW - GRACE, late_retry=True, not_before=0)

Presented = Literal["current", "previous", "neither"]


@dataclass(frozen=True)
class Case:
    """One combination of conditions, in words. The row, the grant and the terms follow from it."""

    row: bool
    status: str
    live: bool
    own_client: bool
    not_before: bool
    presented: Presented
    first_generation: bool
    scope: str | None
    in_grace: bool
    leased: bool
    held: bool
    late_retry: bool
    allowed: bool

    @property
    def found(self) -> SignIn | None:
        if not self.row:
            return None
        # Each number is at its boundary or a moment before it.
        return replace(
            ROW,
            # The status may be any text, even one that the code never writes.
            status=cast(Any, self.status),
            expires_at=int(NOW) + self.live,
            client_id="app" if self.own_client else "other",
            created_at=int(NOW) - 500,
            previous_hash="" if self.first_generation else PREVIOUS.hash,
            rotated_at=NOW - GRACE + 0.001 * self.in_grace,
            lease_id="lease" if self.held else "",
            lease_until=NOW + 0.001 * self.leased,
        )

    @property
    def grant(self) -> RefreshTokenGrant:
        tokens = {"current": CURRENT, "previous": PREVIOUS, "neither": OLDER}
        client = CLIENT if self.allowed else replace(CLIENT, scopes=frozenset({"a"}))
        return RefreshTokenGrant(client, tokens[self.presented], self.scope)

    @property
    def verdict(self) -> Verdict:
        terms = Terms(NOW - GRACE, self.late_retry, int(NOW) - 501 + self.not_before)
        return judge(self.found, self.grant, terms, NOW)


def every_case() -> Iterator[Case]:
    statuses = ("pending", "claimed", "issued", "active", "failed", "dead", "revoked", "", "Active")
    presented: tuple[Presented, ...] = ("current", "previous", "neither")
    both = (False, True)
    scopes: tuple[str | None, ...] = (None, "a b", "a", "a b c")
    for row, status, live, own_client, not_before in product(both, statuses, both, both, both):
        for rest in product(presented, both, scopes, both, both, both, both, both):
            yield Case(row, status, live, own_client, not_before, *rest)


def expected(case: Case) -> set[Verdict]:
    """Return the expected verdicts. Each has one statement of its own, independent of the order of the others."""
    session = case.row and case.status == "active" and case.live
    client = session and case.own_client
    own = client and not case.not_before
    holds_previous = case.presented == "previous" and not case.first_generation
    holder = own and (case.presented == "current" or holds_previous)
    registered = holder and case.allowed
    served = registered and case.scope in (None, "a b", "a")
    outside = served and not case.in_grace
    admitted = outside and (not holds_previous or case.late_retry)
    return {
        verdict
        for verdict, holds in (
            (Verdict.ENDED, not session),
            (Verdict.FOREIGN, session and not client),
            (Verdict.BEFORE_MASS_SIGN_OUT, client and case.not_before),
            (Verdict.UNKNOWN_TOKEN, own and not holder),
            (Verdict.DISALLOWED, holder and not registered),
            (Verdict.WIDER, registered and not served),
            (Verdict.REPLAY, served and case.in_grace),
            (Verdict.SUPERSEDED, outside and not admitted),
            (Verdict.WAIT, admitted and case.leased and case.held),
            (Verdict.PAUSED, admitted and case.leased and not case.held),
            (Verdict.READY, admitted and not case.leased),
        )
        if holds
    }


def test_every_combination_of_conditions_is_judged_as_it_should_be() -> None:
    seen = set()
    for case in every_case():
        assert {case.verdict} == expected(case), case
        seen.add(case.verdict)
    # The verdict on a caller without a token has one more.
    assert seen == set(Verdict) - {Verdict.SERVED}


@pytest.mark.long
def test_only_a_holder_of_one_of_the_two_tokens_learns_of_a_lease_of_a_rotation_or_of_a_scope() -> None:
    told: dict[tuple[object, ...], set[Verdict]] = {}
    for case in every_case():
        known = (
            case.row,
            case.status,
            case.live,
            case.own_client,
            case.not_before,
            case.presented,
            case.first_generation,
        )
        told.setdefault(known, set()).add(case.verdict)
    refused = {Verdict.ENDED, Verdict.FOREIGN, Verdict.BEFORE_MASS_SIGN_OUT, Verdict.UNKNOWN_TOKEN}
    outsiders = [verdicts for verdicts in told.values() if verdicts & refused]
    assert len(outsiders) > 100
    assert all(len(verdicts) == 1 for verdicts in outsiders)


@pytest.mark.long
def test_a_lease_never_keeps_a_replay_or_a_refusal_waiting() -> None:
    for case in every_case():
        if not case.leased and case.verdict is not Verdict.READY:
            assert replace(case, leased=True).verdict is case.verdict


def test_no_token_is_superseded_if_late_retries_are_allowed() -> None:
    assert all(case.verdict is not Verdict.SUPERSEDED for case in every_case() if case.late_retry)


@pytest.mark.parametrize(
    ("rotated_before", "verdict"),
    [(0, Verdict.REPLAY), (59.999, Verdict.REPLAY), (60, Verdict.READY), (60.001, Verdict.READY)],
)
def test_the_grace_is_over_exactly_when_its_seconds_have_passed(rotated_before: float, verdict: Verdict) -> None:
    assert judge(replace(ROW, rotated_at=NOW - rotated_before), GRANT, TERMS, NOW) is verdict


def test_a_refresh_by_a_clock_that_runs_ahead_is_replayed() -> None:
    assert judge(replace(ROW, rotated_at=NOW + 5), GRANT, TERMS, NOW) is Verdict.REPLAY


@pytest.mark.parametrize(
    ("left", "verdict"), [(-0.001, Verdict.READY), (0, Verdict.READY), (0.001, Verdict.WAIT), (39, Verdict.WAIT)]
)
def test_a_lease_is_waited_for_exactly_until_it_has_lapsed(left: float, verdict: Verdict) -> None:
    assert judge(replace(ROW, lease_id="x", lease_until=NOW + left), GRANT, TERMS, NOW) is verdict


@pytest.mark.parametrize(("left", "verdict"), [(-1, Verdict.ENDED), (0, Verdict.ENDED), (1, Verdict.READY)])
def test_a_row_that_has_expired_and_is_not_deleted_yet_has_ended(left: int, verdict: Verdict) -> None:
    assert judge(replace(ROW, expires_at=int(NOW) + left), GRANT, TERMS, NOW) is verdict


@pytest.mark.parametrize(
    ("scope", "verdict"),
    [
        (None, Verdict.READY),
        ("a b", Verdict.READY),
        ("a", Verdict.READY),
        ("b", Verdict.READY),
        ("a b c", Verdict.WIDER),
        ("c", Verdict.WIDER),
        ("ab", Verdict.WIDER),
        ("a b c d", Verdict.WIDER),
    ],
)
def test_a_scope_no_wider_than_the_granted_one_is_accepted_and_any_other_is_refused(
    scope: str | None, verdict: Verdict
) -> None:
    assert judge(ROW, replace(GRANT, scope=scope), TERMS, NOW) is verdict


def test_the_scope_of_the_newest_token_does_not_narrow_what_was_granted() -> None:
    row = replace(ROW, token_scope="a")
    assert judge(row, replace(GRANT, scope="a b"), TERMS, NOW) is Verdict.READY


def test_a_longer_grace_makes_a_replay_of_what_was_a_refresh() -> None:
    row = replace(ROW, rotated_at=NOW - 100)
    assert judge(row, GRANT, replace(TERMS, replay_after=NOW - 100), NOW) is Verdict.READY
    assert judge(row, GRANT, replace(TERMS, replay_after=NOW - 101), NOW) is Verdict.REPLAY


def test_a_row_without_a_creation_time_is_refused_after_any_mass_sign_out_and_not_without_one() -> None:
    row = replace(ROW, created_at=0)
    assert judge(row, GRANT, TERMS, NOW) is Verdict.READY
    assert judge(row, GRANT, replace(TERMS, not_before=1), NOW) is Verdict.BEFORE_MASS_SIGN_OUT


def test_a_request_that_came_within_the_grace_stays_within_it_however_long_it_waits() -> None:
    row = replace(ROW, rotated_at=NOW - 50)
    assert judge(row, GRANT, TERMS, NOW + 20) is Verdict.REPLAY
    assert judge(row, GRANT, replace(TERMS, replay_after=NOW + 20 - GRACE), NOW + 20) is not Verdict.REPLAY


# Sessions that idle.

IDLE = 24 * 60 * 60
IDLING = replace(CLIENT, idle_seconds=IDLE)


@pytest.mark.parametrize(
    ("used", "left", "ended"),
    [
        (IDLE - 1, 1_000, False),
        (IDLE, 1_000, True),
        (IDLE + 1, 1_000, True),
        # The session is over before it idles.
        (1, 0, True),
        (1, 1, False),
    ],
)
def test_a_session_ends_when_it_was_unused_for_as_long_as_its_app_says(used: int, left: int, *, ended: bool) -> None:
    row = replace(ROW, rotated_at=NOW - used, ends_at=int(NOW) + left)
    row = replace(row, expires_at=row.expiry(IDLE))
    assert (judge(row, replace(GRANT, client=IDLING), TERMS, NOW) is Verdict.ENDED) is ended
    # A registration of today that knows no idle sessions lets it go on, until its row expires.
    assert (judge(row, GRANT, TERMS, NOW) is Verdict.ENDED) is not row.is_live(NOW)


def test_an_unused_row_expires_two_minutes_after_its_session_ended() -> None:
    row = replace(ROW, rotated_at=NOW, ends_at=int(NOW) + 10 * IDLE, expires_at=int(NOW) + 10 * IDLE)
    assert row.ends_by(IDLE) == int(NOW) + IDLE
    assert row.expiry(IDLE) == int(NOW) + IDLE + 120
    assert (row.ends_by(0), row.expiry(0)) == (row.ends_at, row.ends_at)
    soon = replace(row, ends_at=int(NOW) + IDLE + 60)
    assert (soon.ends_by(IDLE), soon.expiry(IDLE)) == (int(NOW) + IDLE, soon.ends_at)


def test_a_row_of_a_release_that_knew_no_idle_sessions_counts_its_last_rotation_as_its_use() -> None:
    row = replace(ROW, rotated_at=NOW - IDLE + 1, expires_at=int(NOW) + 10 * IDLE)
    assert row.ends_by(IDLE) == int(NOW) + 1
    assert row.ends_by(0) == row.expires_at


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (None, "session_ended"),
        (replace(ROW, status="dead"), "session_ended"),
        (replace(ROW, status="revoked", ends_at=int(NOW) + 9), "session_ended"),
        (replace(ROW, ends_at=int(NOW), expires_at=int(NOW)), "session_ended"),
        (replace(ROW, ends_at=int(NOW) + 9, expires_at=int(NOW) - 9), "session_idle"),
        (replace(ROW, rotated_at=NOW - IDLE, ends_at=int(NOW) + 9), "session_idle"),
    ],
)
def test_the_log_tells_a_session_that_idled_from_one_that_ended(row: SignIn | None, reason: str) -> None:
    assert end_reason(row, IDLING, NOW) == reason


# A caller that holds no token.


@dataclass(frozen=True)
class Asked:
    """One combination of conditions for a caller without a token."""

    row: bool
    active: bool
    idle: bool
    own_client: bool
    not_before: bool
    allowed: bool
    committed_since: bool
    left: int
    leased: bool
    held: bool

    @property
    def verdict(self) -> Verdict:
        row = replace(
            ROW,
            status="active" if self.active else "dead",
            client_id="app" if self.own_client else "other",
            created_at=int(NOW) - 500,
            rotated_at=NOW - IDLE + (0 if self.idle else 1),
            ends_at=int(NOW) + 1_000,
            # Half of the whole life is 300 seconds.
            access_seconds=600,
            access_expires_at=int(NOW) + self.left,
            committed_fence=5 if self.committed_since else 4,
            lease_id="lease" if self.held else "",
            lease_until=NOW + 0.001 * self.leased,
        )
        client = IDLING if self.allowed else replace(IDLING, scopes=frozenset({"a"}))
        renewer = SessionRenewer(client, SESSION, 4, 200, int(NOW) - 501 + self.not_before, lambda secret: True)
        return renewer.judge(row if self.row else None, NOW)

    @property
    def expected(self) -> Verdict:
        """The first of these that holds."""
        ordered = (
            (Verdict.ENDED, not self.row or not self.active or self.idle),
            (Verdict.FOREIGN, not self.own_client),
            (Verdict.BEFORE_MASS_SIGN_OUT, self.not_before),
            (Verdict.DISALLOWED, not self.allowed),
            (Verdict.SERVED, self.committed_since or self.left >= 200),
            (Verdict.PAUSED, self.leased and not self.held),
            (Verdict.WAIT, self.leased),
        )
        return next((verdict for verdict, holds in ordered if holds), Verdict.READY)


def test_every_combination_for_a_caller_without_a_token_is_judged_as_it_should_be() -> None:
    seen = set()
    both = (False, True)
    for combination in product(both, both, both, both, both, both, both, (199, 200), both, both):
        asked = Asked(*combination)
        assert asked.verdict is asked.expected, asked
        seen.add(asked.verdict)
    of_tokens = {Verdict.UNKNOWN_TOKEN, Verdict.WIDER, Verdict.REPLAY, Verdict.SUPERSEDED}
    assert seen == set(Verdict) - of_tokens


@pytest.mark.parametrize(
    ("life", "enough", "least"),
    # A release that did not note the life wrote the last one.
    [(3600, 300, 300), (600, 300, 300), (500, 300, 250), (60, 300, 30), (1, 60, 0.5), (0, 300, 300)],
)
def test_a_token_is_renewed_when_too_little_is_left_and_never_before_half_of_its_life(
    life: int, enough: int, least: float
) -> None:
    renewer = SessionRenewer(CLIENT, SESSION, 0, enough, 0, lambda secret: True)
    for left, verdict in ((least, Verdict.SERVED), (least - 0.5, Verdict.READY)):
        # However late the tokens were committed.
        row = replace(ROW, access_seconds=life, rotated_at=NOW, access_expires_at=int(NOW), expires_at=int(NOW * 2))
        assert renewer.judge(row, NOW - left) is verdict
