"""Apps whose users the broker learns, and the people's items in the table."""

from __future__ import annotations

import json
from typing import Any
from unittest import mock

from oauth_broker.people.subjects import Subjects
from tests.local.aries.tokens import USERS
from tests.support.deployment import APPS, OTHER_CLIENT_ID
from tests.support.world import Phone, World

SCOPE = "account:information user:information"
USER, OTHER_USER = (user.id for user in USERS)
# Both apps of the deployment may ask for the user.
BOTH_APPS = json.dumps(APPS | {OTHER_CLIENT_ID: APPS[OTHER_CLIENT_ID] | {"scopes": SCOPE.split()}})


def phone_of_a_person(world: World, **options: Any) -> Phone:
    return world.phone(scope=SCOPE, **options)


def signed_in(world: World, **options: Any) -> Phone:
    """Return an app just after a sign-in whose user the broker learned."""
    phone = phone_of_a_person(world, **options)
    phone.sign_in()
    assert "subject" in phone.row()
    return phone


def of_the_other_app(world: World) -> Phone:
    return signed_in(world, client_id=OTHER_CLIENT_ID, redirect_uri="https://web.example.com/callback")


def of_another_person(world: World) -> Phone:
    approve = world.aries.core.approve
    with mock.patch.object(world.aries.core, "approve", lambda request: approve(request, USERS[1])):
        return signed_in(world)


def of_nobody_known(world: World) -> Phone:
    """Return an app whose scope does not let the broker ask Aries for the user."""
    phone = world.signed_in()
    assert "subject" not in phone.row()
    return phone


def subject_of(world: World, user: str = USER) -> str:
    arn = world.environment["SUBJECT_KEY_ARN"]
    return Subjects(world.secretsmanager, arn, world.environment["ARIES_USER_URL"]).of(user)


def item_of(world: World, user: str = USER) -> dict[str, Any] | None:
    """Return the person's item in the table, or None."""
    return world.row(f"person#{subject_of(world, user)}")
