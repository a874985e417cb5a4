"""Sequences of requests that might lose or show a session in the row, and what a person on call does with one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.local.aries import Fault
from tests.support.deployment import APPS, CLIENT_ID, GRACE, TABLE
from tests.support.long import long_but
from tests.support.long_tokens import long_token
from tests.support.operator import EVERYONE, assert_none_is_seen, operate, reference, secrets_of
from tests.support.world import Phone, World, running_world

STORES = ("secrets", "row")
# DynamoDB's limit for an item.
ITEM_BYTES = 400 * 1024


@pytest.fixture
def world() -> Iterator[World]:
    with running_world(TOKEN_STORE="row") as running:
        yield running


def past_grace(world: World) -> None:
    world.clock.time += GRACE + 1


def item_of(world: World, phone: Phone) -> dict[str, Any]:
    item: dict[str, Any] = world.dynamodb.get_item(TableName=TABLE, Key={"session_id": {"S": phone.session_id}})["Item"]
    return item


def choose_store(world: World, store: str) -> None:
    """Deploy with another TokenStore: every function starts anew."""
    world.environment["TOKEN_STORE"] = store
    world._handlers.clear()


# The store changes while a sign-in is under way.


@pytest.mark.parametrize("at_callback", STORES)
@pytest.mark.parametrize("at_begin", long_but(["secrets"], STORES))
@pytest.mark.parametrize("later", STORES)
def test_the_callback_chooses_the_store_and_no_later_deployment_changes_it(
    world: World, at_begin: str, at_callback: str, later: str
) -> None:
    choose_store(world, at_begin)
    phone = world.phone()
    returning = phone.approve(phone.authorize())
    choose_store(world, at_callback)
    code = phone.callback(returning).query["code"]
    choose_store(world, later)
    # The browser loads the callback again, and gets the same code.
    assert phone.callback(returning).query["code"] == code
    assert phone.redeem(code).status == 200
    for store in (at_callback, later, at_callback):
        choose_store(world, store)
        past_grace(world)
        token = phone.refresh_token
        first = phone.refresh(token)
        assert (first.status, phone.refresh(token)) == (200, first)
    assert ("sealed" in item_of(world, phone)) is (at_callback == "row")
    assert len(world.session_secrets()) == (at_callback == "secrets")
    choose_store(world, later)
    assert phone.revoke().status == 200
    assert "sealed" not in item_of(world, phone)
    assert world.session_secrets() == []


def test_a_claim_whose_worker_died_is_over_under_either_store(world: World) -> None:
    phone = world.phone()
    returning = phone.approve(phone.authorize())
    with world.aws.dying_after("Encrypt"):
        phone.callback(returning)
    choose_store(world, "secrets")
    world.clock.time += 60
    assert phone.callback(returning).query["error"] == "server_error"
    assert len(world.token_requests()) == 1
    assert world.session_secrets() == []


# Refreshes.


def test_a_late_retry_goes_on_from_the_seal_of_the_lost_answer(world: World) -> None:
    phone = world.signed_in()
    past_grace(world)
    lost = phone.refresh_token
    assert phone.refresh().status == 200
    newest = phone.refresh_token
    past_grace(world)
    assert phone.refresh(lost).status == 200
    past_grace(world)
    # The lost answer's token is superseded now. Both parties cannot be the app.
    assert phone.refresh(newest).json["error"] == "invalid_grant"
    assert "sealed" not in item_of(world, phone)


def test_an_access_token_that_is_over_within_the_grace_is_not_repeated_and_the_session_goes_on(world: World) -> None:
    phone = world.signed_in()
    past_grace(world)
    world.aries.faults.append(Fault("members", members={"expires_in": 5}))
    token = phone.refresh_token
    assert phone.refresh().status == 200
    world.clock.time += 10
    assert phone.refresh(token).status == 503
    past_grace(world)
    assert phone.refresh().status == 200


def test_a_narrower_scope_of_aries_is_sealed_and_repeated_and_the_granted_one_stays(world: World) -> None:
    phone = world.signed_in()
    past_grace(world)
    world.aries.faults.append(Fault("members", members={"scope": "account:information"}))
    token = phone.refresh_token
    first = phone.refresh()
    assert first.json["scope"] == "account:information"
    assert phone.refresh(token).json == first.json
    past_grace(world)
    assert phone.refresh(scope="account:information").status == 200
    past_grace(world)
    assert phone.refresh(scope=phone.scope).status == 200


def test_a_session_whose_app_was_removed_is_left_alone_and_goes_on_with_the_app(world: World) -> None:
    phone = world.signed_in()
    past_grace(world)
    before = item_of(world, phone)
    without = {name: app for name, app in APPS.items() if name != CLIENT_ID}
    assert phone.refresh(via=world.make_handler("token", APPS=json.dumps(without))).json["error"] == "invalid_client"
    assert item_of(world, phone) == before
    assert phone.refresh().status == 200


@pytest.mark.parametrize("operation", long_but(["Encrypt"], ["Decrypt", "Encrypt"]))
@pytest.mark.parametrize("ends", ["the app", "the person on call", "a mass sign-out"])
def test_a_sign_out_during_a_refresh_wins_and_leaves_no_seal(world: World, operation: str, ends: str) -> None:
    phone = world.signed_in()
    past_grace(world)
    acts: dict[str, Callable[[], object]] = {
        "the app": phone.revoke,
        "the person on call": lambda: operate(world, action="revoke", session=reference(phone)),
        "a mass sign-out": lambda: operate(world, **EVERYONE),
    }
    with world.aws.visited(operation, acts[ends]):
        answer = phone.refresh()
    assert answer.status in (400, 503)
    assert phone.refresh().json["error"] == "invalid_grant"
    row = item_of(world, phone)
    assert row["status"] == {"S": "revoked"}
    assert "sealed" not in row
    assert world.session_secrets() == []


@pytest.mark.parametrize("ends", ["the person on call", "a mass sign-out"])
def test_a_sign_out_during_a_callback_wins_and_leaves_no_seal(world: World, ends: str) -> None:
    phone = world.phone()
    returning = phone.approve(phone.authorize())
    acts: dict[str, Callable[[], object]] = {
        "the person on call": lambda: operate(world, action="revoke", session=reference(phone)),
        "a mass sign-out": lambda: operate(world, **EVERYONE),
    }
    with world.aws.visited("Encrypt", acts[ends]):
        answer = phone.callback(returning)
    assert "code" not in answer.query
    row = item_of(world, phone)
    assert row["status"] == {"S": "revoked"}
    assert "sealed" not in row
    assert len(world.token_requests()) == 1
    assert "location" not in phone.callback(returning).headers


# The longest tokens.


def test_the_longest_answers_of_aries_fit_into_a_row_and_come_back(
    monkeypatch: pytest.MonkeyPatch, numbers: Callable[[str], None]
) -> None:
    """The client of Aries reads at most 24 KB of an answer. A later answer may leave a long refresh token in use."""
    monkeypatch.setattr("tests.local.aries.tokens.new_refresh_token", lambda: long_token(21_000))
    with running_world(rotation="none", TOKEN_STORE="row") as world:
        phone = world.signed_in()
        past_grace(world)
        longest = long_token(23_000)
        world.aries.faults.append(Fault("members", members={"access_token": longest}))
        token = phone.refresh_token
        assert phone.refresh(token).json["access_token"] == longest
        assert phone.refresh(token).json["access_token"] == longest
        row = item_of(world, phone)
        parts = [part["B"] for part in row["sealed"]["L"]]
        size = sum(map(len, parts))
        assert max(map(len, parts)) <= 6144
        assert len(parts) > 8
        assert size < ITEM_BYTES / 8
        numbers(f"the longest tokens of Aries: {len(parts)} calls of KMS, {size} bytes in the row")
        past_grace(world)
        assert phone.refresh().status == 200
        assert phone.revoke().status == 200


@pytest.mark.parametrize(
    "token", ["a" * 23_000, '"' * 10_000, "\\" * 10_000, "!~" * 9_000], ids=lambda token: token[:2]
)
def test_tokens_that_compress_to_nothing_or_need_escapes_come_back_as_they_were(world: World, token: str) -> None:
    phone = world.signed_in()
    past_grace(world)
    world.aries.faults.append(Fault("members", members={"access_token": token}))
    assert phone.refresh().json["access_token"] == token
    past_grace(world)
    assert phone.refresh().status == 200


def test_a_token_that_is_no_token_is_not_sealed_and_the_session_goes_on(world: World) -> None:
    phone = world.signed_in()
    past_grace(world)
    before = item_of(world, phone)["sealed"]
    world.aries.faults.append(Fault("members", members={"access_token": "t\u00f6ken\u2028"}))
    assert phone.refresh().status == 503
    assert item_of(world, phone)["sealed"] == before


# The person on call.


def test_the_person_on_call_sees_and_ends_a_session_in_the_row_without_a_secret_of_it(world: World) -> None:
    phones = [world.signed_in() for _ in range(2)]
    past_grace(world)
    assert phones[0].refresh().status == 200
    sealed = [part["B"] for phone in phones for part in item_of(world, phone)["sealed"]["L"]]
    secrets = secrets_of(world, phones)
    world.aws.made.clear()
    shown = operate(world, action="session", session=reference(phones[0]))
    assert (shown["signed_in"], shown["generation"], shown["secret_in_escrow"]) == (True, 2, False)
    assert shown["tokens_in_row"] is True
    ended = operate(world, action="revoke", session=reference(phones[0]))
    assert (ended["ended_now"], ended["secret_deleted"], ended["status"]) == (True, True, "revoked")
    again = operate(world, action="revoke", session=reference(phones[0]))
    assert (again["ended_now"], again["secret_deleted"]) == (False, True)
    everyone = operate(world, **EVERYONE)
    assert (everyone["ended"], everyone["finished"]) == (1, True)
    assert "secrets-manager" not in world.aws.counted()
    assert "kms" not in world.aws.counted()
    assert_none_is_seen(world, secrets, shown, ended, again, everyone)
    seen = str([world.telemetry, shown, ended, again, everyone])
    assert [part for part in sealed if repr(part)[2:-1] in seen] == []
