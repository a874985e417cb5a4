"""The exact budget of each operation: its calls to DynamoDB, Secrets Manager and Aries, counted as they go out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from oauth_broker.operations.parts import Parts
from oauth_broker.runtime.invocation import Invocation
from oauth_broker.sessions.session_secret import SessionSecret
from tests.support.deployment import CLIENT_ID, GRACE
from tests.support.lambda_context import FUNCTION_SECONDS, Context
from tests.support.world import World, running_world


@contextmanager
def costing(world: World, *, dynamodb: int, secrets: int = 0, kms: int = 0, aries: int = 0) -> Iterator[None]:
    """Assert that the block makes exactly these calls, and none to any other service."""
    world.aws.made.clear()
    calls = world.aries.token_calls
    yield
    counted = {"dynamodb": dynamodb, "secrets-manager": secrets, "kms": kms}
    assert world.aws.counted() == {service: count for service, count in counted.items() if count}
    assert world.aries.token_calls - calls == aries


@pytest.fixture
def world(world: World) -> World:
    """A warm process. It has read the Aries client secret, a read due once in five minutes."""
    phone = world.signed_in()
    world.clock.time += GRACE + 1
    assert phone.refresh().status == 200
    return world


def test_a_whole_session_costs_what_the_budget_says(world: World) -> None:
    phone = world.phone()
    with costing(world, dynamodb=1, secrets=0, aries=0):
        authorized = phone.authorize()
    returning = phone.approve(authorized)
    with costing(world, dynamodb=2, secrets=1, aries=1):
        code = phone.callback(returning).query["code"]
    with costing(world, dynamodb=2, secrets=1, aries=0):
        assert phone.redeem(code).status == 200
    with costing(world, dynamodb=1, secrets=1, aries=0):
        assert phone.refresh().status == 200
    world.clock.time += GRACE + 1
    first = phone.refresh_token
    with costing(world, dynamodb=2, secrets=2, aries=1):
        assert phone.refresh().status == 200
    with costing(world, dynamodb=1, secrets=1, aries=0):
        assert phone.refresh(first).status == 200
    with costing(world, dynamodb=1, secrets=1, aries=0):
        assert phone.revoke().status == 200


def test_a_whole_session_in_the_row_costs_what_the_budget_says() -> None:
    with running_world(TOKEN_STORE="row") as world:
        warm = world.signed_in()
        world.clock.time += GRACE + 1
        assert warm.refresh().status == 200
        phone = world.phone()
        with costing(world, dynamodb=1):
            authorized = phone.authorize()
        returning = phone.approve(authorized)
        with costing(world, dynamodb=2, kms=1, aries=1):
            code = phone.callback(returning).query["code"]
        with costing(world, dynamodb=2, kms=1):
            assert phone.redeem(code).status == 200
        with costing(world, dynamodb=1, kms=1):
            assert phone.refresh().status == 200
        world.clock.time += GRACE + 1
        first = phone.refresh_token
        with costing(world, dynamodb=2, kms=2, aries=1):
            assert phone.refresh().status == 200
        with costing(world, dynamodb=1, kms=1):
            assert phone.refresh(first).status == 200
        with costing(world, dynamodb=1):
            assert phone.revoke().status == 200
        assert phone.refresh().json["error"] == "invalid_grant"


def test_a_late_retry_costs_no_more_than_a_refresh(world: World) -> None:
    phone = world.signed_in()
    first = phone.refresh_token
    world.clock.time += GRACE + 1
    phone.refresh()
    world.clock.time += GRACE + 1
    with costing(world, dynamodb=2, secrets=2, aries=1):
        assert phone.refresh(first).status == 200


@pytest.mark.parametrize(("store", "proof"), [("secrets", {"secrets": 1}), ("row", {"kms": 1})])
def test_a_renewal_costs_a_look_with_its_proof_and_a_refresh(store: str, proof: dict[str, int]) -> None:
    with running_world(TOKEN_STORE=store) as world:
        parts = Parts.from_environment(world.environment, world.clock)
        world.aws.function = "refresh"

        def renew(session_id: str, enough_seconds: int) -> SessionSecret:
            client = parts.settings.registry.find(CLIENT_ID)
            assert client is not None
            invocation = Invocation(Context(FUNCTION_SECONDS, now=world.clock.now), world.telemetry, "id", "")
            return parts.access(client, session_id, enough_seconds, lambda secret: True, invocation)

        warm, phone = world.signed_in(), world.signed_in()
        renew(warm.session_id, 3600)
        living = world.tokens(phone.session_id)
        with costing(world, dynamodb=1, **proof):
            assert renew(phone.session_id, 300) == living
        world.clock.time = living.access_expires_at - 299
        # The wait for the control item and the client secret, which one request in some minutes reads anew.
        renew(warm.session_id, 300)
        with costing(world, dynamodb=3, **{service: 3 * calls for service, calls in proof.items()}, aries=1):
            assert renew(phone.session_id, 300).access_expires_at > living.access_expires_at
        with costing(world, dynamodb=1, **proof):
            renew(phone.session_id, 300)


def test_the_refresh_endpoint_costs_the_same(world: World) -> None:
    phone = world.signed_in()
    world.clock.time += GRACE + 1
    phone.refresh(function="refresh")
    world.clock.time += GRACE + 1
    with costing(world, dynamodb=2, secrets=2, aries=1):
        assert phone.refresh(function="refresh").status == 200


def test_a_request_for_no_session_costs_one_conditional_update_at_most(world: World) -> None:
    phone = world.phone()
    unknown = "a" * 43 + ".1." + "b" * 43
    with costing(world, dynamodb=1, secrets=0, aries=0):
        phone.refresh(unknown)
    with costing(world, dynamodb=1, secrets=0, aries=0):
        phone.revoke(unknown)
    with costing(world, dynamodb=1, secrets=0, aries=0):
        phone.redeem("a" * 43 + "." + "b" * 43)
    with costing(world, dynamodb=0, secrets=0, aries=0):
        phone.refresh("garbage")
        phone.redeem("garbage")
        phone.revoke("garbage")
        phone.callback("state=garbage&code=x")
        phone.authorize(client_id="nobody")


def test_a_request_that_names_a_session_without_proof_reads_its_secret_at_most(world: World) -> None:
    victim = world.signed_in()
    forged = f"{victim.session_id}.1.{'b' * 43}"
    with costing(world, dynamodb=1, secrets=1, aries=0):
        assert world.phone().refresh(forged).status == 400
    with costing(world, dynamodb=1, secrets=1, aries=0):
        assert world.phone().revoke(forged).status == 200
    with costing(world, dynamodb=1, secrets=0, aries=0):
        assert world.phone().redeem(f"{victim.session_id}.{'b' * 43}").status == 400
    pending = world.phone()
    returning = pending.approve(pending.authorize())
    with costing(world, dynamodb=0, secrets=0, aries=0):
        assert world.phone().callback(returning).status == 400
    thief = world.phone(cookies=dict.fromkeys(pending.cookies, "c" * 43))
    with costing(world, dynamodb=1, secrets=0, aries=0):
        assert thief.callback(returning).status == 400
    with costing(world, dynamodb=2, secrets=1, aries=1):
        assert pending.callback(returning).status == 302


def test_a_refresh_without_a_secret_at_hand_reads_it_once(world: World) -> None:
    phone = world.signed_in()
    world.clock.time += 301
    with costing(world, dynamodb=2, secrets=3, aries=1):
        phone.refresh()
    world.clock.time += GRACE + 1
    with costing(world, dynamodb=2, secrets=2, aries=1):
        phone.refresh()
