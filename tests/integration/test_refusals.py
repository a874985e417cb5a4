"""Aries refuses to serve: what each app is told, and what is served all the same."""

from __future__ import annotations

from email.utils import formatdate
from typing import Any

import pytest

from tests.local.aries import Fault
from tests.support.world import GRACE, Phone, World


@pytest.fixture
def phone(world: World) -> Phone:
    """An app whose next refresh reaches Aries."""
    phone = world.signed_in()
    world.clock.time += GRACE + 1
    return phone


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
    """Not every library can bear a 503."""
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


def test_an_outage_that_says_how_long_it_takes_is_passed_on_where_that_is_longer_than_the_lease(
    world: World, phone: Phone
) -> None:
    world.aries.faults.append(Fault("server_error", retry_after=formatdate(world.clock.now() + 120, usegmt=True)))
    assert phone.refresh().headers["retry-after"] == "120"


def test_what_needs_no_call_of_aries_is_served_while_everybody_leaves_it_alone(world: World) -> None:
    refused = [world.signed_in() for _ in range(5)]
    other = world.signed_in()
    world.clock.time += GRACE + 1
    superseded = other.refresh_token
    assert other.refresh().status == 200
    world.aries.faults.append(too_many(60, grant_type="refresh_token"))
    for phone in refused:
        assert phone.refresh().headers["retry-after"] == "60"
    called = world.aries.refresh_calls
    # Within the grace of its refresh.
    assert other.refresh(superseded).json["refresh_token"] == other.refresh_token
    assert other.refresh(f"{other.session_id}.2.{'A' * 43}").status == 400
    assert other.revoke().status == 200
    assert other.refresh().status == 400
    assert world.signed_in().access_token
    assert world.aries.refresh_calls == called


def test_the_sixth_session_is_told_to_wait_and_costs_one_read_and_no_call_of_aries(world: World) -> None:
    phones = [world.signed_in() for _ in range(6)]
    world.clock.time += GRACE + 1
    world.aries.faults.append(too_many(60, grant_type="refresh_token"))
    for phone in phones[:5]:
        phone.refresh()
    world.aws.made.clear()
    answer = phones[5].refresh()
    assert (answer.status, answer.headers["retry-after"]) == (503, "10")
    assert world.aws.made == ["dynamodb:GetItem"]
    assert world.aries.refresh_calls == 5


def test_the_first_success_ends_the_pause_for_all(world: World) -> None:
    phones = [world.signed_in() for _ in range(7)]
    world.clock.time += GRACE + 1
    world.aries.faults.append(too_many(5, grant_type="refresh_token"))
    for phone in phones[:5]:
        phone.refresh(seconds=24)
    world.aries.faults.clear()
    world.clock.time += 10
    for phone in phones[5:]:
        assert phone.refresh().status == 200
    item = world.row("cut-offs") or {}
    assert not item.keys() & {"aries_paused_until", "aries_refusals"}
