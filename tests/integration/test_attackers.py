"""A thief with one stolen thing tries it everywhere, and gets no token and no code, and signs nobody out."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import parse_qsl

import pytest

from tests.support.attacker import Attacker
from tests.support.deployment import GRACE, OTHER_CLIENT_ID
from tests.support.long import long_but
from tests.support.pkce import VERIFIER
from tests.support.world import Phone, World


def other_app(world: World) -> Phone:
    """The attacker's own app and browser."""
    return world.phone(
        client_id=OTHER_CLIENT_ID,
        redirect_uri="https://web.example.com/callback",
        scope="account:information",
        verifier="attackers-verifier-" + "x" * 30,
    )


def the_cookie(victim: Phone) -> list[str]:
    return [text for name, value in victim.cookies.items() for text in (value, f"{name}={value}")]


# Loot while the code is on its way to the app. The lambdas take the victim and the code.
STOLEN_ON_THE_WAY: dict[str, Callable[[Phone, str], object]] = {
    "the whole table": lambda victim, code: victim.world.rows(),
    "the cookie": lambda victim, code: the_cookie(victim),
    "the one-time code": lambda victim, code: [code],
    "the code and the cookie": lambda victim, code: [code, *the_cookie(victim)],
    "the code, the cookie and the table": lambda victim, code: [code, *the_cookie(victim), victim.world.rows()],
    "the verifier": lambda victim, code: [victim.verifier],
    "the verifier and the session id": lambda victim, code: [victim.verifier, victim.session_id],
    "the app's state": lambda victim, code: [victim.state],
    "the state that Aries sent back": lambda victim, code: [victim.aries_state],
    "the session id": lambda victim, code: [victim.session_id],
    "the log and the metrics": lambda victim, code: [vars(victim.world.telemetry)],
}
# Further loot from a signed-in victim, after the code was redeemed.
STOLEN_OF_A_SESSION = STOLEN_ON_THE_WAY | {
    "Aries' access token": lambda victim, code: [victim.access_token],
    "the names of the secrets": lambda victim, code: [victim.world.session_secrets(), victim.session_id],
}


# The quick run tries the most loot of a sign-in, and little loot of a session, because the attacker's search is long.
@pytest.mark.parametrize("stolen", long_but(["the code, the cookie and the table"], STOLEN_ON_THE_WAY))
def test_loot_while_the_code_is_under_way_gives_nothing_and_the_app_still_redeems_it(world: World, stolen: str) -> None:
    victim = world.phone()
    code = victim.code()
    attacker = Attacker.with_all_in(world, STOLEN_ON_THE_WAY[stolen](victim, code))
    before = world.rows()
    assert attacker.loot() == []
    assert world.rows() == before
    assert len(world.token_requests()) == 1
    assert victim.redeem(code).status == 200


@pytest.mark.parametrize("stolen", long_but(["the code and the cookie"], STOLEN_OF_A_SESSION))
def test_loot_of_a_session_without_its_refresh_token_gives_nothing_and_ends_nothing(world: World, stolen: str) -> None:
    victim = world.phone()
    code = victim.code()
    assert victim.redeem(code).status == 200
    attacker = Attacker.with_all_in(world, STOLEN_OF_A_SESSION[stolen](victim, code))
    world.clock.time += GRACE + 1
    before = world.rows()
    assert attacker.loot() == []
    assert world.rows() == before
    assert victim.refresh().status == 200


@pytest.mark.long
def test_an_old_copy_of_the_table_gives_nothing_of_the_sessions_that_came_of_it(world: World) -> None:
    victim = world.phone()
    code = victim.code()
    attacker = Attacker.with_all_in(world, world.rows())
    victim.redeem(code)
    world.clock.time += GRACE + 1
    victim.refresh()
    before = world.rows()
    assert attacker.loot() == []
    assert world.rows() == before


def test_the_callback_of_aries_intercepted_gives_nothing_and_the_rightful_browser_still_finishes(world: World) -> None:
    victim = world.phone()
    query = victim.approve(victim.authorize())
    attacker = Attacker.with_all_in(world, [value for _, value in parse_qsl(query)])
    before = world.rows()
    assert attacker.loot() == []
    assert world.rows() == before
    assert world.token_requests() == []
    assert victim.redeem(victim.callback(query).query["code"]).status == 200


def test_a_callback_of_the_attackers_own_sign_in_is_refused_in_the_browser_of_somebody_else(world: World) -> None:
    victim, attacker = world.phone(), other_app(world)
    rightful = victim.approve(victim.authorize())
    forged = attacker.approve(attacker.authorize())
    answer = victim.callback(forged)
    assert answer.status == 400
    assert "location" not in answer.headers
    assert victim.redeem(victim.callback(rightful).query["code"]).status == 200


def test_a_session_of_the_attackers_own_opens_no_other_session(world: World) -> None:
    victim, attacker = world.signed_in(), other_app(world)
    attacker.sign_in()
    world.clock.time += GRACE + 1
    mac = attacker.refresh_token.rpartition(".")[2]
    thief = Attacker(world, [mac, victim.session_id], (victim.session_id,))
    before = world.rows()
    assert thief.loot() == []
    assert victim.refresh(attacker.refresh_token).status == 400
    assert world.rows() == before
    assert victim.refresh().status == 200
    assert attacker.refresh().status == 200


@pytest.mark.parametrize("path", ["token", "refresh"])
def test_a_refresh_token_under_another_apps_name_gives_nothing_and_ends_nothing(world: World, path: str) -> None:
    victim = world.signed_in()
    world.clock.time += GRACE + 1
    before = world.rows()
    thief = world.phone(client_id=OTHER_CLIENT_ID)
    assert thief.refresh(victim.refresh_token, function=path).status == 400
    assert thief.revoke(victim.refresh_token).status == 200
    assert world.rows() == before
    assert victim.refresh().status == 200


def test_a_code_without_its_verifier_is_worth_nothing_and_with_it_everything(world: World) -> None:
    victim = world.phone()
    code = victim.code()
    assert Attacker.with_all_in(world, [code]).loot() == []
    # The attacker's search finds real loot, so the empty result above means something.
    assert len(Attacker.with_all_in(world, [code, VERIFIER]).loot()) == 1


def test_a_stolen_refresh_token_works_until_both_have_used_it_and_then_the_session_ends(world: World) -> None:
    victim = world.signed_in()
    thief = world.phone()
    world.clock.time += GRACE + 1
    assert thief.refresh(victim.refresh_token).status == 200
    # The token changes hands three times at most, each time outside the other's grace (G7).
    statuses = []
    for holder in (victim, thief, victim):
        world.clock.time += GRACE + 1
        statuses.append(holder.refresh().status)
    assert 400 in statuses
    assert victim.row()["status"] == "dead"
    assert world.telemetry.counted("ReuseDetected") == 1
    assert world.session_secrets() == []
