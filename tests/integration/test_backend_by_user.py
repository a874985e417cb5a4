"""A backend that names the person and not the session: it gets the person's session used last, and nobody else's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from oauth_broker.oauth.tokens import signed_subject, subject_of
from oauth_broker.people.person_items import PersonItems
from tests.local.aries.tokens import USERS
from tests.support.deployment import APPS, CLIENT_ID, GRACE, ORIGIN, TABLE
from tests.support.row_writer import RowWriter
from tests.support.world import Answer, Phone, World, running_world

ALERTS = "trader-alerts-by-user"
ALERTS_URI = "com.example.by-user:/callback"
PATH = f"/backend/{ALERTS}/token"
KNOWN = "account:information user:information"
APP = {
    "redirect_uris": [ALERTS_URI],
    "scopes": ["account:information", "order:execution", "user:information"],
    "backend": "by_user",
}
USER = USERS[0].id


@pytest.fixture(params=["secrets", "row"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    with running_world(TOKEN_STORE=request.param, APPS=json.dumps(APPS | {ALERTS: APP})) as world:
        yield world


def device(world: World, scope: str = KNOWN) -> Phone:
    return world.signed_in(client_id=ALERTS, redirect_uri=ALERTS_URI, scope=scope)


def ask(world: World, user: Any = USER, **members: Any) -> Answer:
    return world.backend({"user": user} | members, path=PATH)


def error(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.json["error"]


def test_the_session_that_was_used_last_serves(world: World) -> None:
    first = device(world)
    world.clock.time += GRACE + 1
    second = device(world)
    assert ask(world).json["access_token"] == second.access_token
    world.clock.time += GRACE + 1
    assert first.refresh().status == 200
    assert ask(world).json["access_token"] == first.access_token
    assert first.revoke().status == 200
    assert ask(world).json["access_token"] == second.access_token
    assert second.revoke().status == 200
    assert error(ask(world)) == (400, "sign_in_required")


def test_it_is_renewed_as_by_its_handle(world: World) -> None:
    phone = device(world)
    world.clock.time = world.tokens(phone.session_id).access_expires_at - 59
    renewed = ask(world)
    assert renewed.json["access_token"] != phone.access_token
    assert ask(world).json == renewed.json
    assert world.aries.refresh_calls == 1
    assert phone.refresh().status == 200


def test_a_session_without_the_asked_scope_is_passed_over(world: World) -> None:
    wide = device(world, "account:information order:execution user:information")
    world.clock.time += GRACE + 1
    device(world)
    assert ask(world, scope="order:execution").json["access_token"] == wide.access_token
    assert error(ask(world, scope="market:information")) == (400, "insufficient_scope")


def test_the_app_still_has_its_handle(world: World) -> None:
    phone = device(world)
    assert world.backend({"backend_handle": phone.backend_handle}, path=PATH).status == 200


@pytest.mark.parametrize("user", ["nobody", USERS[1].id, 7])
def test_a_person_without_a_session_gets_the_same_answer_as_a_session_that_ended(world: World, user: Any) -> None:
    phone = device(world)
    unknown = ask(world, user)
    assert phone.revoke().status == 200
    assert unknown.failure == ask(world).failure
    assert error(unknown) == (400, "sign_in_required")


def test_sessions_of_another_app_of_the_person_serve_nobody(world: World) -> None:
    world.signed_in(scope=KNOWN)
    assert error(ask(world)) == (400, "sign_in_required")


def test_only_an_app_that_is_registered_so_is_served_by_user(world: World) -> None:
    phone = world.with_backend()
    answer = world.backend({"user": USER})
    assert error(answer) == (403, "not_a_backend_app")
    assert phone.ask_as_backend().status == 200


@pytest.mark.parametrize("user", ["", "x" * 257, True, 1.5, [], {}])
def test_a_malformed_id_is_refused(world: World, user: Any) -> None:
    device(world)
    assert error(ask(world, user)) == (400, "invalid_request")


def test_exactly_one_of_handle_and_user_is_taken(world: World) -> None:
    phone = device(world)
    for members in ({}, {"user": USER, "backend_handle": phone.backend_handle}, {"user": None}):
        assert error(world.backend(members, path=PATH)) == (400, "invalid_request")
    assert world.backend({"user": USER, "backend_handle": None}, path=PATH).status == 200


def test_a_session_that_a_writer_of_rows_hung_on_a_person_serves_nobody(world: World) -> None:
    """The writer names their own subject in the victim's row, and asks as themselves."""
    mine = device(world)
    victim = world.signed_in(client_id=ALERTS, redirect_uri=ALERTS_URI, scope="account:information")
    subject = subject_of(mine.row()["subject"])
    forged = signed_subject(subject, victim.session_id, world.tokens(mine.session_id).session_key)
    writer = RowWriter(world, ("UpdateItem",))
    writer.update(victim.session_id, {"subject": {"S": forged}, "rotated_at": {"N": str(world.clock.time + 1)}})
    PersonItems(world.dynamodb, TABLE, world.clock).join(subject, ALERTS, victim.session_id)
    # The attacker gets their own session, which was used before.
    assert ask(world).json["access_token"] == mine.access_token
    assert mine.revoke().status == 200
    answer = ask(world)
    assert error(answer) == (400, "sign_in_required")
    assert victim.access_token not in answer.body
    assert victim.row()["status"] == "active"


def test_a_session_that_aries_has_ended_gives_way_to_the_next(world: World) -> None:
    first = device(world)
    world.clock.time += GRACE + 1
    second = device(world)
    secret = world.tokens(second.session_id)
    assert secret.refresh_token is not None
    family = world.aries.core.family_of(secret.refresh_token.reveal())
    assert family is not None
    world.aries.core.revoke_family(family)
    world.clock.time = secret.access_expires_at - 30
    answer = ask(world)
    assert answer.status == 200
    assert answer.json["access_token"] == world.tokens(first.session_id).access_token.reveal()
    assert second.row()["status"] == "dead"


def test_a_key_that_cannot_be_read_is_a_503_and_never_nobody(world: World) -> None:
    device(world)
    hidden = world.make_handler("backend", SUBJECT_KEY_ARN=world.environment["SUBJECT_KEY_ARN"] + "-of-another")
    answer = world.backend({"user": USER}, path=PATH, via=hidden)
    assert (answer.status, answer.json["error"]) == (503, "temporarily_unavailable")


def test_a_deployment_that_asks_nobody_serves_nobody_by_user(world: World) -> None:
    device(world)
    answer = world.backend({"user": USER}, path=PATH, via=world.make_handler("backend", ARIES_USER_URL=""))
    assert error(answer) == (403, "not_a_backend_app")


def test_a_page_gets_no_handle_and_its_backend_is_served_by_user(world: World) -> None:
    page = APPS | {ALERTS: APP | {"origins": [ORIGIN]}}
    token = world.make_handler("token", APPS=json.dumps(page))
    phone = world.phone(client_id=ALERTS, redirect_uri=ALERTS_URI, scope=KNOWN)
    answer = phone.redeem(phone.code(), via=token)
    assert "backend_handle" not in answer.json
    backend = world.make_handler("backend", APPS=json.dumps(page))
    assert world.backend({"user": USER}, path=PATH, via=backend).json["access_token"] == phone.access_token


def test_the_id_is_in_no_line_and_the_calls_are_these(world: World) -> None:
    device(world)
    ask(world)
    world.aws.made.clear()
    assert ask(world).status == 200
    assert USER not in json.dumps(world.telemetry.lines, default=str)
    store = "kms:Decrypt" if world.environment["TOKEN_STORE"] == "row" else "secrets-manager:GetSecretValue"
    # The key of the subjects and the control item are known. The person's item, their rows, the row and its tokens.
    assert world.aws.made == ["dynamodb:GetItem", "dynamodb:BatchGetItem", "dynamodb:GetItem", store]
    assert CLIENT_ID not in world.telemetry.lines[-1][2].values()
