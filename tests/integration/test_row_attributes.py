"""A role limited to some attributes of rows lets its function do all of its work, and nothing more."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.local.aries import Fault
from tests.support.deployment import GRACE, TABLE
from tests.support.people import device, ended, listed, reference
from tests.support.row_attributes import WRITTEN, named_in
from tests.support.world import World


def begin(world: World) -> None:
    world.phone().authorize()


def finish(world: World) -> None:
    """Succeed, be declined, and fail after the claim. Load each callback twice."""
    for fault, declined in ((None, False), (None, True), (Fault("server_error"), False)):
        phone = world.phone()
        query = phone.approve(phone.authorize())
        if fault is not None:
            world.aries.faults.append(fault)
        query = f"error=access_denied&state={phone.aries_state}" if declined else query
        for _ in range(2):
            phone.callback(query)


def end(world: World) -> None:
    """Sign out with the current token, the previous one and an older one."""
    for refreshes in range(3):
        phone = world.signed_in()
        first = phone.refresh_token
        for _ in range(refreshes):
            world.clock.time += GRACE + 1
            assert phone.refresh().status == 200
        assert phone.revoke(first).status == 200
        assert phone.row()["status"] == "revoked"


def end_others(world: World) -> None:
    """End the others, the own one, and a session by the reuse of its token. Take a session without a row out."""
    for refreshes in range(2):
        device(world)
        mine = device(world)
        assert ended(mine, others="true").json["ended"] == 1
        world.clock.time += GRACE + 1
        first = mine.refresh_token
        for _ in range(refreshes):
            assert mine.refresh().status == 200
        assert ended(mine, session=reference(mine), token=first).status == 200
    mine = device(world)
    first = mine.refresh_token
    for _ in range(2):
        world.clock.time += GRACE + 1
        assert mine.refresh().status == 200
    assert listed(mine, token=first).status == 400
    world.clock.time += 61
    gone, mine = device(world), device(world)
    world.dynamodb.delete_item(TableName=TABLE, Key={"session_id": {"S": gone.session_id}})
    assert ended(mine, others="true").json == {"ended": 0, "complete": True}
    assert ended(mine, session=reference(mine)).status == 200
    # The cut-off refuses the sign-ins of its own second.
    world.clock.time += 1


@pytest.mark.parametrize(
    ("function", "work"),
    [("Authorize", begin), ("Callback", finish), ("Revoke", end), ("Sessions", end_others)],
    ids=["authorize", "callback", "revoke", "sessions"],
)
def test_a_function_names_exactly_the_attributes_in_its_writes_that_its_role_allows(
    world: World, function: str, work: Callable[[World], None]
) -> None:
    for token_store in ("secrets", "row"):
        world.environment["TOKEN_STORE"] = token_store
        world._handlers.clear()
        work(world)
    named = [named_in(body) for writer, body in world.aws.writes if writer == function.lower()]
    # The attributes of a person's item end with the id of the app.
    found = {f"{name.split(' ')[0]} *" if " " in name else name for name in set().union(*named)}
    assert sorted(found) == WRITTEN[function]
