"""Aries refuses to serve: the answers to each app, and the requests served all the same."""

from __future__ import annotations

from email.utils import formatdate
from typing import Any

import pytest

from oauth_broker.operator.utc import utc
from oauth_broker.secret import session_reference
from oauth_broker.sessions.control_item import CACHE_SECONDS
from tests.local.aries import Fault
from tests.support.deployment import GRACE
from tests.support.leases import LEASE_SECONDS
from tests.support.long import long_but
from tests.support.operator import operate, reference
from tests.support.row_writer import RowWriter
from tests.support.world import Phone, World, running_world


@pytest.fixture
def phone(world: World) -> Phone:
    """An app with a next refresh that reaches Aries."""
    return world.refreshable()


def too_many(seconds: float, **more: Any) -> Fault:
    return Fault("too_many_requests", times=None, seconds=seconds, **more)


def test_an_app_is_told_for_how_long_aries_wants_to_be_left_alone_and_aries_is_not_asked_before(
    world: World, phone: Phone
) -> None:
    world.aries.faults.append(too_many(30))
    answer = phone.refresh()
    assert (answer.status, answer.headers["retry-after"]) == (503, "30")
    for left in (29, 20, 10):
        world.clock.time += int(answer.headers["retry-after"]) - left
        answer = phone.refresh()
        assert (answer.status, answer.headers["retry-after"]) == (503, str(left))
    assert world.aries.refresh_calls == 1
    world.clock.time += 10
    world.aries.faults.clear()
    assert phone.refresh().status == 200


def test_a_short_pause_is_sat_out_for_the_app(world: World, phone: Phone) -> None:
    """Some libraries cannot handle a 503."""
    world.aries.faults.append(Fault("too_many_requests", seconds=3))
    began = world.clock.now()
    assert phone.refresh().status == 200
    assert world.clock.now() - began >= 3
    assert world.aries.refresh_calls == 2


def test_a_pause_that_another_request_met_is_sat_out_as_well(world: World, phone: Phone) -> None:
    world.aries.faults.append(Fault("too_many_requests", seconds=8))
    assert phone.refresh().status == 503
    world.clock.time += 4
    assert phone.refresh().status == 200
    assert world.aries.refresh_calls == 2


@pytest.mark.parametrize(("status", "told"), [(401, 10), (400, 10)])
def test_while_aries_refuses_our_client_a_session_asks_every_ten_seconds(
    world: World, phone: Phone, status: int, told: int
) -> None:
    world.aries.faults.append(Fault("invalid_client", times=None, status=status))
    for _ in range(3):
        assert phone.refresh().headers["retry-after"] == str(told)
    assert world.aries.refresh_calls == 1


def test_no_pause_is_longer_than_ten_minutes(world: World, phone: Phone) -> None:
    world.aries.faults.append(too_many(86_400))
    assert phone.refresh().headers["retry-after"] == "600"


def test_the_announced_length_of_an_outage_is_passed_on_if_it_is_longer_than_the_lease(
    world: World, phone: Phone
) -> None:
    world.aries.faults.append(Fault("server_error", retry_after=formatdate(world.clock.now() + 120, usegmt=True)))
    assert phone.refresh().headers["retry-after"] == "120"


def refused_sessions(world: World, ready: int) -> list[Phone]:
    """Return further sessions, after Aries has refused enough sessions to make all of them pause."""
    phones: list[Phone] = []
    places: set[str] = set()
    # Each of the first five sessions takes a place of its own in the control item.
    while len(places) < 5:
        phone = world.signed_in()
        place = session_reference(phone.session_id)[0]
        if place not in places:
            places.add(place)
            phones.append(phone)
    phones += [world.signed_in() for _ in range(ready)]
    world.clock.time += GRACE + 1
    world.aries.faults.append(too_many(60, grant_type="refresh_token"))
    for phone in phones[:5]:
        assert phone.refresh().headers["retry-after"] == "60"
    world.clock.time += CACHE_SECONDS
    return phones[5:]


def test_requests_without_a_call_of_aries_are_served_in_a_pause(world: World) -> None:
    other = world.signed_in()
    world.clock.time += GRACE + 1
    superseded = other.refresh_token
    assert other.refresh().status == 200
    (prober,) = refused_sessions(world, 1)
    assert prober.refresh().headers["retry-after"] == "60"
    called = world.aries.refresh_calls
    newest = other.refresh_token
    world.clock.time += 2
    assert other.refresh(superseded).status == 503
    assert other.refresh(f"{other.session_id}.2.{'A' * 43}").status == 400
    assert other.revoke(newest).status == 200
    assert other.refresh(newest).status == 400
    fresh = world.signed_in()
    # The grace of this session's sign-in is not over.
    assert fresh.refresh(fresh.refresh_token).json["refresh_token"] == fresh.refresh_token
    assert world.aries.refresh_calls == called


def test_in_a_pause_one_session_asks_and_the_next_is_told_to_wait_and_costs_one_read(world: World) -> None:
    prober, other = refused_sessions(world, 2)
    called = world.aries.refresh_calls
    assert prober.refresh().headers["retry-after"] == "60"
    world.aws.made.clear()
    answer = other.refresh()
    assert (answer.status, answer.headers["retry-after"]) == (503, "10")
    assert world.aws.made == ["dynamodb:GetItem"]
    assert world.aries.refresh_calls == called + 1


@pytest.mark.parametrize("answers", ["tokens", "invalid_grant"])
def test_the_first_answer_that_is_no_refusal_ends_the_pause_for_all(world: World, answers: str) -> None:
    first, second = refused_sessions(world, 2)
    world.aries.faults.clear()
    if answers == "invalid_grant":
        # This app's user took the grant back at Aries.
        world.aries.faults.append(Fault("invalid_grant", grant_type="refresh_token"))
    assert first.refresh().status == (200 if answers == "tokens" else 400)
    assert second.refresh().status == 200
    assert set(world.row("cut-offs") or {}) <= {"session_id"}


WRONG_VALUES: list[dict[str, Any]] = [{"S": "x"}, {"N": "9" * 30}, {"N": "-1"}, {"NULL": True}]


@pytest.mark.parametrize("value", long_but([{"N": "9" * 30}], WRONG_VALUES), ids=str)
@pytest.mark.parametrize("name", ["aries_paused_until", "aries_refused_0"])
def test_what_somebody_wrote_in_the_place_of_a_pause_shuts_nobody_out(
    world: World, name: str, value: dict[str, Any]
) -> None:
    (phone,) = refused_sessions(world, 1)
    world.aries.faults.clear()
    RowWriter(world, ("UpdateItem",)).update("cut-offs", {name: value})
    world.clock.time += CACHE_SECONDS
    assert phone.refresh().status == 200
    assert world.telemetry.counted("InternalErrors") == 0


def test_the_operator_is_told_until_when_a_session_leaves_aries_alone(world: World, phone: Phone) -> None:
    world.aries.faults.append(too_many(60))
    phone.refresh()
    answer = operate(world, action="session", session=reference(phone))
    assert answer["paused_by_aries_until"] == utc(world.clock.now() + 60)
    assert answer["lease_held"] is False
    RowWriter(world, ("UpdateItem",)).update(phone.session_id, {"lease_until": {"N": "1e30"}})
    assert operate(world, action="session", session=reference(phone))["paused_by_aries_until"][:4] == "9999"


@pytest.mark.parametrize("said", ["600", "20"])
def test_if_late_retries_end_the_session_an_outage_sends_no_app_away_for_longer_than_the_grace(said: str) -> None:
    """Another process of the app may refresh meanwhile, so an obedient process must not look like a thief."""
    with running_world(rotation="same", LATE_RETRY="revoke") as world:
        phone = world.signed_in()
        world.clock.time += GRACE + 1
        token = phone.refresh_token
        world.aries.faults.append(Fault("server_error", retry_after=said))
        told = int(phone.refresh(token).headers["retry-after"])
        assert told <= GRACE
        world.clock.time += LEASE_SECONDS
        assert phone.refresh(token).status == 200
        world.clock.time += told - LEASE_SECONDS
        assert phone.refresh(token).status == 200
        assert phone.row()["status"] == "active"
