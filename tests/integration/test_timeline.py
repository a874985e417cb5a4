"""A row records every turn of a sign-in and its session."""

from __future__ import annotations

from urllib.parse import urlencode

from oauth_broker.sessions.row import timeline_entries
from tests.local.aries import Fault
from tests.support.deployment import GRACE, OTHER_CLIENT_ID
from tests.support.world import Phone, World


def events(phone: Phone) -> list[str]:
    """Return the timeline without its times. The times must not run backwards."""
    row = phone.row()
    found = timeline_entries(tuple(text["S"] for text in row["timeline"]))
    times = [transition.at for transition in found]
    assert times == sorted(times)
    assert times[0] == int(row["created_at"])
    return [f"{transition.event} {transition.reason}".rstrip() for transition in found]


SIGNED_IN = ["started", "claimed", "issued", "redeemed"]


def test_a_session_tells_of_its_sign_in_its_last_refresh_and_its_end(world: World) -> None:
    phone = world.phone()
    authorized = phone.authorize()
    assert events(phone) == ["started"]
    code = phone.callback(phone.approve(authorized)).query["code"]
    assert events(phone) == ["started", "claimed", "issued"]
    phone.redeem(code)
    assert events(phone) == SIGNED_IN
    for _ in range(3):
        world.clock.time += GRACE + 1
        phone.refresh()
    assert events(phone) == [*SIGNED_IN, "refreshed"]
    assert phone.row()["timeline"][-1]["S"].startswith(f"{int(world.clock.time)} ")
    phone.revoke()
    phone.revoke()
    assert events(phone) == [*SIGNED_IN, "refreshed", "revoked signed_out"]


def test_a_late_retry_is_told(world: World) -> None:
    phone = world.signed_in()
    first = phone.refresh_token
    world.clock.time += GRACE + 1
    phone.refresh()
    world.clock.time += GRACE + 1
    phone.refresh(first)
    assert events(phone) == [*SIGNED_IN, "refreshed", "refreshed late_retry"]


def test_a_superseded_token_is_told(world: World) -> None:
    phone = world.signed_in()
    first = phone.refresh_token
    for _ in range(2):
        world.clock.time += GRACE + 1
        phone.refresh()
    assert phone.refresh(first).status == 400
    assert events(phone) == [*SIGNED_IN, "refreshed", "dead token_reused"]


def test_a_code_that_comes_again_is_told(world: World) -> None:
    phone = world.phone()
    code = phone.code()
    phone.redeem(code)
    phone.redeem(code)
    assert events(phone) == [*SIGNED_IN, "dead code_reused"]


def test_what_aries_answered_is_told_and_an_outage_takes_one_entry(world: World) -> None:
    phone = world.signed_in()
    world.clock.time += GRACE + 1
    for _ in range(5):
        world.aries.faults.append(Fault("too_many_requests", seconds=20))
        assert phone.refresh().status == 503
        world.clock.time += 20
    reason = "refresh_failed provider:status_429:other"
    assert events(phone) == [*SIGNED_IN, reason]
    assert phone.refresh().status == 200
    assert events(phone) == [*SIGNED_IN, reason, "refreshed"]


def test_a_refusal_of_aries_is_told(world: World) -> None:
    phone = world.signed_in()
    world.clock.time += GRACE + 1
    for family in world.aries.core.families():
        world.aries.core.revoke_family(family)
    assert phone.refresh().status == 400
    assert events(phone) == [*SIGNED_IN, "dead provider_refused"]


def test_a_person_who_declined_is_told(world: World) -> None:
    phone = world.phone()
    state = phone.authorize().query["state"]
    phone.callback(urlencode({"error": "access_denied", "state": state}))
    assert events(phone) == ["started", "failed declined_by_provider"]


def test_a_failed_exchange_is_told(world: World) -> None:
    phone = world.phone()
    state = phone.authorize().query["state"]
    phone.callback(urlencode({"code": "never-issued", "state": state}))
    assert events(phone) == ["started", "claimed", "failed provider:status_400:invalid_grant"]


def test_the_sdk_repeating_a_write_tells_nothing_twice(world: World) -> None:
    phone = world.phone()
    returning = phone.approve(phone.authorize())
    with world.aws.answer_lost_once("UpdateItem"):
        code = phone.callback(returning).query["code"]
    with world.aws.answer_lost_once("UpdateItem"):
        phone.redeem(code)
    world.clock.time += GRACE + 1
    with world.aws.answer_lost_once("UpdateItem", skip=1):
        phone.refresh()
    with world.aws.answer_lost_once("UpdateItem"):
        phone.revoke()
    assert events(phone) == [*SIGNED_IN, "refreshed", "revoked signed_out"]


def test_another_apps_or_a_forged_token_leaves_no_trace(world: World) -> None:
    phone = world.signed_in()
    world.clock.time += GRACE + 1
    phone.refresh(client_id=OTHER_CLIENT_ID)
    forged = phone.refresh_token[:-1] + ("A" if phone.refresh_token[-1] != "A" else "B")
    phone.refresh(forged)
    assert events(phone) == SIGNED_IN
