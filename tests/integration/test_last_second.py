"""A session or a sign-in expires during a request for it: every request gets its defined answer.

Each test repeats its request. The row expires at the request's first look at the clock, then at the second, and so on.
A request learns the time in no other way.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from oauth_broker.oauth.tokens import RefreshToken
from tests.local.aries import Fault
from tests.support.clock import VirtualClock
from tests.support.deployment import APPS, CLIENT_ID, GRACE
from tests.support.long import long_but
from tests.support.operator import operate, reference
from tests.support.world import Answer, Phone, World, running_world

_MOST_LOOKS = 60
INVALID_GRANT = (400, "invalid_grant")
TOKENS = (200, "")


class ExpiringClock(VirtualClock):
    """A clock that jumps to ``second`` at a given look."""

    def __init__(self) -> None:
        super().__init__()
        self.second = 0.0
        self.looks_left = -1

    def expire(self, second: float, after: int) -> None:
        self.second, self.looks_left = second, after

    def now(self) -> float:
        if self.looks_left == 0:
            self.time = max(self.time, self.second)
        self.looks_left -= 1
        return super().now()


@pytest.fixture
def clock() -> ExpiringClock:
    return ExpiringClock()


@pytest.fixture(params=long_but(["secrets"], ["secrets", "row"]))
def world(clock: ExpiringClock, request: pytest.FixtureRequest) -> Iterator[World]:
    with running_world(clock=clock, SESSION_DAYS="1", TOKEN_STORE=request.param) as running:
        yield running


def answers_as_it_expires(
    world: World,
    clock: ExpiringClock,
    start: Callable[[], Phone],
    request: Callable[[Phone], tuple[int, str]],
    *,
    prepare: Callable[[Phone], object] = lambda phone: None,
    expiry: str = "expires_at",
) -> list[tuple[int, str]]:
    """Return the answers to ``request``. Each row of ``start`` expires one look at the clock later than the row before.

    ``prepare`` runs two seconds before. The last request finishes before its row expires.
    """
    answers = []
    for after in range(_MOST_LOOKS):
        phone = start()
        second = int(phone.row()[expiry])
        clock.time = second - 2
        prepare(phone)
        clock.expire(second, after)
        answers.append(request(phone))
        assert world.telemetry.counted("InternalErrors") == 0, (after, world.telemetry.lines[-1])
        if clock.looks_left >= 0:
            clock.looks_left = -1
            return answers
    raise AssertionError("the request looks at the clock without end")


def told(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.json.get("error", "")


def older_token(world: World, phone: Phone) -> str:
    """Return the session's own token of the first generation, made with its key."""
    return RefreshToken.mint(phone.session_id, 1, world.tokens(phone.session_id).session_key).text.reveal()


def refreshed_twice(world: World) -> Phone:
    phone = world.refreshable()
    for _ in range(2):
        assert phone.refresh().status == 200
        world.clock.time += GRACE + 1
    return phone


@pytest.mark.parametrize("function", ["token", "refresh"])
@pytest.mark.long
def test_a_superseded_token_of_a_session_that_expires_is_refused(
    world: World, clock: ExpiringClock, function: str
) -> None:
    def reuse(phone: Phone) -> tuple[int, str]:
        return told(phone.refresh(older_token(world, phone), function=function))

    answers = answers_as_it_expires(world, clock, lambda: refreshed_twice(world), reuse)
    assert set(answers) == {INVALID_GRANT}
    assert len(answers) > 3


def test_a_code_that_comes_again_for_a_session_that_expires_is_refused(world: World, clock: ExpiringClock) -> None:
    codes: list[str] = []

    def redeemed() -> Phone:
        phone = world.phone()
        codes.append(phone.code())
        assert phone.redeem(codes[-1]).status == 200
        return phone

    answers = answers_as_it_expires(world, clock, redeemed, lambda phone: told(phone.redeem(codes[-1])))
    assert set(answers) == {INVALID_GRANT}
    assert len(answers) > 2


@pytest.mark.long
def test_if_late_retries_end_the_session_a_lost_token_of_an_expiring_session_is_refused(
    clock: ExpiringClock,
) -> None:
    tokens: list[str] = []
    with running_world(clock=clock, SESSION_DAYS="1", LATE_RETRY="revoke") as world:

        def refreshed() -> Phone:
            phone = world.refreshable()
            tokens.append(phone.refresh_token)
            assert phone.refresh().status == 200
            return phone

        answers = answers_as_it_expires(world, clock, refreshed, lambda phone: told(phone.refresh(tokens[-1])))
    assert set(answers) == {INVALID_GRANT}


def test_a_session_that_expires_as_its_scope_is_taken_away_is_refused(world: World, clock: ExpiringClock) -> None:
    scopes = [scope for scope in APPS[CLIENT_ID]["scopes"] if scope != "order:execution"]
    apps = APPS | {CLIENT_ID: APPS[CLIENT_ID] | {"scopes": scopes}}
    handler = world.make_handler("token", APPS=json.dumps(apps))
    answers = answers_as_it_expires(world, clock, world.refreshable, lambda phone: told(phone.refresh(via=handler)))
    assert set(answers) == {INVALID_GRANT}


@pytest.mark.long
def test_a_source_that_is_out_of_tries_gets_the_same_answer_as_a_session_expires(clock: ExpiringClock) -> None:
    with running_world(clock=clock, SESSION_DAYS="1", SOURCE_LIMIT="1") as world:

        def spend(phone: Phone) -> None:
            for _ in range(3):
                phone.refresh(f"{phone.session_id}.1.{'A' * 43}")

        def reuse(phone: Phone) -> tuple[int, str]:
            return told(phone.refresh(older_token(world, phone)))

        answers = answers_as_it_expires(world, clock, lambda: refreshed_twice(world), reuse, prepare=spend)
    assert set(answers) == {INVALID_GRANT}


@pytest.mark.long
def test_a_refresh_of_a_session_that_expires_is_answered_or_refused(world: World, clock: ExpiringClock) -> None:
    answers = answers_as_it_expires(world, clock, world.refreshable, lambda phone: told(phone.refresh()))
    assert set(answers) == {TOKENS, INVALID_GRANT}
    assert answers[0] == INVALID_GRANT
    assert answers[-1] == TOKENS


@pytest.mark.long
def test_a_session_that_expires_as_aries_refuses_it_is_refused(world: World, clock: ExpiringClock) -> None:
    def refuse(phone: Phone) -> tuple[int, str]:
        world.aries.faults.append(Fault("invalid_grant"))
        answer = told(phone.refresh())
        world.aries.faults.clear()
        return answer

    answers = answers_as_it_expires(world, clock, world.refreshable, refuse)
    assert set(answers) == {INVALID_GRANT}


@pytest.mark.long
def test_a_sign_out_of_a_session_that_expires_is_confirmed_and_leaves_no_secret(
    world: World, clock: ExpiringClock
) -> None:
    answers = answers_as_it_expires(world, clock, world.refreshable, lambda phone: told(phone.revoke()))
    assert set(answers) == {TOKENS}

    def with_older(phone: Phone) -> tuple[int, str]:
        return told(phone.revoke(older_token(world, phone)))

    assert set(answers_as_it_expires(world, clock, lambda: refreshed_twice(world), with_older)) == {TOKENS}
    assert world.session_secrets() == []


def test_an_operator_who_ends_a_session_that_expires_is_told_that_it_is_over(
    world: World, clock: ExpiringClock
) -> None:
    def end(phone: Phone) -> tuple[int, str]:
        answer = operate(world, action="revoke", session=reference(phone))
        return answer["signed_in"], answer.get("error", "")

    assert set(answers_as_it_expires(world, clock, world.refreshable, end)) == {(False, "")}
    assert world.session_secrets() == []


def test_a_sign_in_that_expires_ends_in_a_code_an_error_or_a_page(world: World, clock: ExpiringClock) -> None:
    returning: list[str] = []
    authorized: list[Answer] = []

    def begun() -> Phone:
        phone = world.phone()
        authorized.append(phone.authorize())
        return phone

    def approve(phone: Phone) -> None:
        returning.append(phone.approve(authorized[-1]))

    def come_back(phone: Phone) -> tuple[int, str]:
        answer = phone.callback(returning[-1])
        return answer.status, answer.query.get("error", "") if answer.status == 302 else ""

    answers = answers_as_it_expires(world, clock, begun, come_back, prepare=approve)
    assert set(answers) == {(302, ""), (400, "")}
    assert (answers[0], answers[-1]) == ((400, ""), (302, ""))


def test_a_code_that_expires_is_redeemed_or_refused(world: World, clock: ExpiringClock) -> None:
    codes: list[str] = []

    def issued() -> Phone:
        phone = world.phone()
        codes.append(phone.code())
        return phone

    def redeem(phone: Phone) -> tuple[int, str]:
        return told(phone.redeem(codes[-1]))

    answers = answers_as_it_expires(world, clock, issued, redeem, expiry="code_expires_at")
    assert set(answers) == {TOKENS, INVALID_GRANT}
    assert (answers[0], answers[-1]) == (INVALID_GRANT, TOKENS)


def test_a_reused_code_of_a_session_that_has_expired_reads_no_secret(world: World, clock: ExpiringClock) -> None:
    phone = world.phone()
    code = phone.code()
    phone.redeem(code)
    clock.time = int(phone.row()["expires_at"])
    world.aws.made.clear()
    assert told(phone.redeem(code)) == INVALID_GRANT
    assert world.aws.made == ["dynamodb:GetItem"]


@pytest.mark.parametrize("world", ["secrets"], indirect=True)
def test_a_refresh_of_a_session_whose_secret_goes_as_it_expires_is_refused_and_not_put_off(
    world: World, clock: ExpiringClock
) -> None:
    phone = refreshed_twice(world)
    second = int(phone.row()["expires_at"])
    clock.time = second - 2
    token = older_token(world, phone)

    def sign_out_at_the_second() -> None:
        clock.time = second
        assert phone.revoke().status == 200

    with world.aws.visited("GetSecretValue", sign_out_at_the_second):
        assert told(phone.refresh(token)) == INVALID_GRANT
