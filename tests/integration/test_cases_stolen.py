"""A copy of the table, or a used state, gives a thief nothing (cases 13, 14 and 46)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.stages import STAGES
from tests.support.world import Phone, World


def texts_in(value: Any) -> Iterator[str]:
    """Yield every text, number and run of bytes in a row as DynamoDB returns it."""
    match value:
        case dict():
            for member in value.values():
                yield from texts_in(member)
        case list():
            for member in value:
                yield from texts_in(member)
        case bytes():
            yield value.hex()
        case _:
            yield str(value)


def secrets_of(world: World, phone: Phone) -> set[str]:
    """Return every secret: tokens of both sides, the session's key, the browser's secret and Aries' state."""
    secrets = {phone.access_token, phone.refresh_token, phone.aries_state, phone.verifier, *phone.cookies.values()}
    for name in world.session_secrets():
        stored = json.loads(world.secretsmanager.get_secret_value(SecretId=name)["SecretString"])
        secrets |= {text for text in texts_in(stored) if len(text) >= 40}
    for family in world.aries.core.families():
        secrets.add(world.aries.core.current_refresh_token(family) or "")
    return secrets - {""}


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.__name__)
def test_a_copy_of_the_table_holds_no_token_key_or_state(world: World, stage: Callable[[World], Phone]) -> None:
    secrets = secrets_of(world, stage(world))
    stolen = "\n".join(texts_in(world.rows()))
    assert len(secrets) >= 3
    assert [secret for secret in secrets if secret in stolen or secret.encode().hex() in stolen] == []


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.__name__)
def test_a_copy_of_the_table_redeems_nothing(world: World, stage: Callable[[World], Phone]) -> None:
    """The app's verifier, absent from the table, does not help the thief either."""
    phone = stage(world)
    status, calls = phone.row()["status"], world.aries.token_calls
    thief = world.phone()
    cookie = f"__Host-signin-{phone.session_id[:16]}"
    # Texts in the log are no secrets: the app, the session's reference for support, an error.
    logged = str(world.telemetry)
    texts = sorted(text for text in set(texts_in(world.rows())) if text not in logged)
    assert len(texts) >= 8
    for text in texts:
        for code in (text, f"{phone.session_id}.{text}"):
            assert thief.redeem(code).status == 400
        for token in (text, f"{phone.session_id}.1.{text}", f"{phone.session_id}.2.{text}"):
            assert thief.refresh(token).status == 400
            assert thief.revoke(token).status == 200
        thief.cookies = {cookie: text}
        for state in (text, phone.session_id):
            assert "location" not in thief.callback(f"code=x&state={state}").headers
    assert phone.row()["status"] == status
    assert world.aries.token_calls == calls


@pytest.mark.parametrize("stage", STAGES[1:], ids=lambda stage: stage.__name__)
def test_a_used_state_is_worth_nothing_in_another_browser(world: World, stage: Callable[[World], Phone]) -> None:
    phone = stage(world)
    row, calls = phone.row(), world.aries.token_calls
    for answer in ("code=x", "error=access_denied"):
        page = world.phone().callback(f"{answer}&state={phone.aries_state}")
        assert page.status == 400
        assert "location" not in page.headers
    assert phone.row() == row
    assert world.aries.token_calls == calls
