"""The exact budget of each operation: its calls to AWS and to both endpoints of Aries, counted as they go out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from oauth_broker.operations.parts import Parts
from oauth_broker.people.other_sessions import SIGN_IN_AGAIN_SECONDS
from oauth_broker.runtime.invocation import Invocation
from oauth_broker.sessions.session_secret import SessionSecret
from tests.bench.budget import BEYOND_THE_LIMIT, BUDGETS, LATER_TRY, Store
from tests.support.deployment import CLIENT_ID, GRACE
from tests.support.lambda_context import FUNCTION_SECONDS, Context
from tests.support.people import PERSON_SCOPE, code_of, device, ended, listed, reference
from tests.support.world import World, running_world

# A store of tokens, and the call that reads a session's tokens there: the proof of every right to the session.
STORES = [("secrets", {"secrets": 1}), ("row", {"kms": 1})]


@contextmanager
def costing(
    world: World, *, dynamodb: int, secrets: int = 0, kms: int = 0, aries: int = 0, user: int = 0, events: int = 0
) -> Iterator[None]:
    """Assert that the block makes exactly these calls, and none to any other service.

    ``aries`` counts the requests to Aries' token endpoint, ``user`` those to its user endpoint.
    """
    world.aws.made.clear()
    calls, questions = world.aries.token_calls, _questions(world)
    yield
    counted = {"dynamodb": dynamodb, "secrets-manager": secrets, "kms": kms, "eventbridge": events}
    assert world.aws.counted() == {service: count for service, count in counted.items() if count}
    assert world.aries.token_calls - calls == aries
    assert _questions(world) - questions == user


def _named(made: list[str]) -> list[str]:
    return [call.replace("secrets-manager:", "secretsmanager:") for call in made]


def _questions(world: World) -> int:
    return len([request for request in world.aries.requests if request.endpoint == "users/me"])


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


def test_with_an_event_bus_the_beginning_and_the_end_of_a_session_cost_one_call_more_and_nothing_else_does() -> None:
    with running_world(EVENT_BUS="sessions") as world:
        warm = world.signed_in()
        world.clock.time += GRACE + 1
        assert warm.refresh().status == 200
        phone = world.phone()
        with costing(world, dynamodb=1):
            authorized = phone.authorize()
        returning = phone.approve(authorized)
        with costing(world, dynamodb=2, secrets=1, aries=1):
            code = phone.callback(returning).query["code"]
        with costing(world, dynamodb=2, secrets=1, events=1):
            assert phone.redeem(code).status == 200
        with costing(world, dynamodb=1, secrets=1):
            assert phone.refresh().status == 200
        first = phone.refresh_token
        for _ in range(2):
            world.clock.time += GRACE + 1
            with costing(world, dynamodb=2, secrets=2, aries=1):
                assert phone.refresh().status == 200
        with costing(world, dynamodb=2, secrets=2, events=1):
            assert phone.refresh(first).status == 400
        with costing(world, dynamodb=1):
            assert phone.refresh().status == 400
        with costing(world, dynamodb=1, secrets=1, events=1):
            assert warm.revoke().status == 200


def test_a_late_retry_costs_no_more_than_a_refresh(world: World) -> None:
    phone = world.signed_in()
    first = phone.refresh_token
    world.clock.time += GRACE + 1
    phone.refresh()
    world.clock.time += GRACE + 1
    with costing(world, dynamodb=2, secrets=2, aries=1):
        assert phone.refresh(first).status == 200


@pytest.mark.parametrize(("store", "proof"), STORES)
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


@pytest.mark.parametrize(("store", "proof"), STORES)
def test_a_backends_token_costs_a_read_and_its_proof_and_a_renewal_three_of_each(
    store: Store, proof: dict[str, int]
) -> None:
    with running_world(TOKEN_STORE=store) as world:
        warm, phone = world.with_backend(), world.with_backend()
        with costing(world, dynamodb=1, **proof):
            assert warm.ask_as_backend().status == 200
        assert Counter(_named(world.aws.made)) == BUDGETS[store]["backend"].to_aws()
        # The process reads the control item once in five seconds, whatever the number of requests.
        routine = len(world.aws.routine)
        with costing(world, dynamodb=1, **proof):
            assert phone.ask_as_backend().status == 200
        world.clock.time = world.tokens(phone.session_id).access_expires_at - 59
        assert warm.ask_as_backend().status == 200
        with costing(world, dynamodb=3, **{service: 3 * calls for service, calls in proof.items()}, aries=1):
            assert phone.ask_as_backend().status == 200
        with costing(world, dynamodb=1, **proof):
            assert phone.ask_as_backend().status == 200
        assert world.aws.routine[routine:] == ["dynamodb:GetItem"]


def test_a_backends_request_that_is_refused_costs_a_read_and_its_proof_at_most(world: World) -> None:
    phone = world.with_backend()
    assert phone.ask_as_backend().status == 200
    unknown, forged = f"{'a' * 43}.{'b' * 43}", f"{phone.session_id}.{'b' * 43}"
    with costing(world, dynamodb=0):
        assert world.backend({"backend_handle": "garbage"}).status == 400
        assert world.backend({"backend_handle": phone.backend_handle}, caller="").status == 403
        assert world.backend({"backend_handle": phone.backend_handle}, path="/backend/nobody/token").status == 403
    with costing(world, dynamodb=1):
        assert world.backend({"backend_handle": unknown}).status == 400
    with costing(world, dynamodb=1, secrets=1):
        assert world.backend({"backend_handle": forged}).status == 400
    with costing(world, dynamodb=1, secrets=1):
        assert phone.ask_as_backend(scope="user:information").status == 400


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


@pytest.mark.parametrize(("store", "proof"), STORES)
def test_a_sign_in_with_its_person_costs_one_write_and_one_call_of_aries_more(
    store: Store, proof: dict[str, int]
) -> None:
    with running_world(TOKEN_STORE=store) as world:
        first, phone = world.phone(scope=PERSON_SCOPE), world.phone(scope=PERSON_SCOPE)
        code = code_of(first)
        # The first person of a process needs the key of the subjects. The process keeps it.
        key = {"secrets": proof.get("secrets", 0) + 1}
        with costing(world, dynamodb=3, **proof | key, user=1):
            assert first.redeem(code).status == 200
        code = code_of(phone)
        with costing(world, dynamodb=3, **proof, user=1):
            assert phone.redeem(code).status == 200


@pytest.mark.parametrize(("store", "proof"), STORES)
def test_a_sign_in_without_a_person_costs_no_more_than_before(store: Store, proof: dict[str, int]) -> None:
    """Aries is asked for a person only if the scope says so, and if a URL says where."""
    with running_world(TOKEN_STORE=store) as world:
        phone = world.phone(scope="account:information")
        code = phone.code()
        with costing(world, dynamodb=2, **proof):
            assert phone.redeem(code).status == 200
    with running_world(TOKEN_STORE=store, ARIES_USER_URL="") as world:
        phone = world.phone(scope=PERSON_SCOPE)
        code = phone.code()
        with costing(world, dynamodb=2, **proof):
            assert phone.redeem(code).status == 200


def test_a_person_whom_aries_does_not_name_costs_one_question_a_day_more_until_it_does(world: World) -> None:
    silent = world.make_handler("token", ARIES_USER_URL=world.aries.profile_url + "/nobody")
    warm, phone = world.phone(scope=PERSON_SCOPE), world.phone(scope=PERSON_SCOPE)
    code = phone.code()
    with costing(world, dynamodb=2, secrets=1):
        assert phone.redeem(code, via=silent).status == 200
    assert warm.redeem(code_of(warm)).status == 200
    later(world)
    assert warm.refresh(via=silent).status == 200
    unnamed = world.telemetry.counted("SubjectsNotFound")
    # The row notes the day of the try.
    with costing(world, dynamodb=3, secrets=2, aries=1):
        assert phone.refresh(via=silent).status == 200
    later(world)
    with costing(world, dynamodb=2, secrets=2, aries=1):
        assert phone.refresh(via=silent).status == 200
    assert world.telemetry.counted("SubjectsNotFound") == unnamed + 1
    later(world, 24 * 60 * 60)
    # The process that has learned a person already reads the client secret.
    assert warm.refresh().status == 200
    with costing(world, dynamodb=4, secrets=2, aries=1, user=1):
        assert phone.refresh().status == 200
    beyond = Counter(_named(world.aws.made)) - Counter(BUDGETS["secrets"]["refresh"].to_aws())
    assert beyond == LATER_TRY.to_aws()
    later(world, 24 * 60 * 60)
    warm.refresh()
    with costing(world, dynamodb=2, secrets=2, aries=1):
        assert phone.refresh().status == 200


def later(world: World, seconds: float = GRACE + 1) -> None:
    """Let the grace pass, or more."""
    world.clock.time += seconds


@pytest.mark.parametrize(("store", "proof", "deletions"), [("secrets", "secrets", 1), ("row", "kms", 0)])
def test_a_sign_in_beyond_the_limit_reads_the_others_at_once_and_ends_one(
    store: Store, proof: str, deletions: int
) -> None:
    with running_world(TOKEN_STORE=store, SESSION_LIMIT="2") as world:
        device(world)
        second, third = world.phone(scope=PERSON_SCOPE), world.phone(scope=PERSON_SCOPE)
        code = code_of(second)
        with costing(world, dynamodb=3, **{proof: 1}, user=1):
            assert second.redeem(code).status == 200
        # Of two redemptions in one millisecond, the session ids decide which one is the earlier.
        world.clock.time += 1
        code = code_of(third)
        with costing(world, dynamodb=3 + 2, **{proof: 1 + deletions}, user=1):
            assert third.redeem(code).status == 200
        beyond = Counter(_named(world.aws.made)) - Counter(BUDGETS[store]["redeem with its person"].to_aws())
        assert beyond == BEYOND_THE_LIMIT[store].to_aws()


@pytest.mark.parametrize(("store", "proof"), STORES)
def test_a_list_reads_its_row_its_proof_the_person_and_the_others_at_once(store: str, proof: dict[str, int]) -> None:
    with running_world(TOKEN_STORE=store) as world:
        phones = [device(world) for _ in range(5)]
        assert listed(phones[0]).status == 200
        with costing(world, dynamodb=3, **proof):
            assert len(listed(phones[0]).json["sessions"]) == 5


@pytest.mark.parametrize(("store", "proof", "deletions"), [("secrets", "secrets", 3), ("row", "kms", 0)])
def test_an_end_of_the_others_costs_one_write_for_each_one_for_the_person_and_a_read(
    store: str, proof: str, deletions: int
) -> None:
    with running_world(TOKEN_STORE=store) as world:
        *_, mine = [device(world) for _ in range(4)]
        assert listed(mine).status == 200
        with costing(world, dynamodb=1 + 1 + 1 + 3, **{proof: 1 + deletions}):
            assert ended(mine, others="true").json["ended"] == 3


def test_an_end_of_one_other_session_costs_as_much_as_one_of_all_others(world: World) -> None:
    other, mine = device(world), device(world)
    assert listed(mine).status == 200
    # The caller's row, the person's item, the other row, and its end.
    with costing(world, dynamodb=4, secrets=2):
        assert ended(mine, session=reference(other)).json["ended"] == 1
    world.clock.time += 61
    # Its secret may be left of a failed try.
    with costing(world, dynamodb=3, secrets=2):
        assert ended(mine, session=reference(other)).json["ended"] == 0


def test_a_sign_out_by_the_list_costs_a_look_and_a_sign_out(world: World) -> None:
    mine = device(world)
    assert listed(mine).status == 200
    with costing(world, dynamodb=2, secrets=2):
        assert ended(mine, session=reference(mine)).json["ended"] == 1


def test_a_persons_request_that_is_refused_costs_a_look_and_its_proof_at_most(world: World) -> None:
    mine, unknown = device(world), world.signed_in()
    assert listed(mine).status == 200
    with costing(world, dynamodb=0):
        assert listed(mine, token="garbage").status == 400
        assert ended(mine, session="garbage").status == 400
    with costing(world, dynamodb=1):
        assert listed(mine, token="a" * 43 + ".1." + "b" * 43).status == 400
    with costing(world, dynamodb=1, secrets=1):
        assert listed(mine, token=f"{mine.session_id}.1.{'b' * 43}").status == 400
    with costing(world, dynamodb=1, secrets=1):
        assert listed(unknown).json["complete"] is False
    with costing(world, dynamodb=1, secrets=1):
        assert ended(unknown, others="true").json == {"ended": 0, "complete": False}
    world.clock.time += SIGN_IN_AGAIN_SECONDS
    with costing(world, dynamodb=1, secrets=1):
        assert ended(mine, others="true").status == 403
    for _ in range(9):
        assert listed(mine).status == 200
    assert listed(mine).status == 200
    with costing(world, dynamodb=1, secrets=1):
        assert listed(mine).status == 429
