"""Attackers of sessions that keep their tokens sealed in the row.

A stolen table gives nothing, and the right to open seals gives nothing. A party with both has the sessions. A seal that
was moved opens nowhere, ends nothing, and the session goes on once its row is put right.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from unittest import mock

import pytest

from oauth_broker.oauth.pkce import challenge_of
from oauth_broker.oauth.tokens import RefreshToken, app_digest, secret_version
from oauth_broker.operations import redeem, resolution
from oauth_broker.secret import Secret, digest, session_digest
from oauth_broker.sessions import renewers
from oauth_broker.sessions import seal as seal_module
from oauth_broker.sessions.row import from_item
from oauth_broker.sessions.seal import Purpose
from oauth_broker.sessions.session_secret import SessionSecret
from tests.integration.test_cases_stolen import texts_in
from tests.support.attacker import Attacker
from tests.support.deployment import CLIENT_ID, GRACE, OTHER_CLIENT_ID, TABLE
from tests.support.leaks import WATCH
from tests.support.long import long_but
from tests.support.operator import EVERYONE, operate, reference
from tests.support.row_writer import Item, RowWriter, forgeries, made_up_token
from tests.support.stages import is_active, is_escrowed, is_failed, is_issued, is_pending, is_refreshed, is_signed_out
from tests.support.world import Phone, World, running_world

SECRETS, ROW = {"TOKEN_STORE": "secrets"}, {"TOKEN_STORE": "row"}


@pytest.fixture
def world() -> Iterator[World]:
    """A broker whose sessions keep their tokens in the row."""
    with running_world(TOKEN_STORE="row") as running:
        yield running


def item_of(world: World, phone: Phone) -> Item:
    item: Item = world.dynamodb.get_item(TableName=TABLE, Key={"session_id": {"S": phone.session_id}})["Item"]
    return item


def put(world: World, item: Item) -> None:
    world.dynamodb.put_item(TableName=TABLE, Item=item)


def choose_store(world: World, store: dict[str, str]) -> None:
    """Deploy with another TokenStore: every function starts anew."""
    world.environment |= store
    world._handlers.clear()


def with_secret(world: World) -> Phone:
    """A session with a secret, of a sign-in under the other TokenStore."""
    choose_store(world, SECRETS)
    phone = is_refreshed(world)
    choose_store(world, ROW)
    return phone


def opened(world: World, item: Item, purpose: Purpose = "row") -> SessionSecret:
    """Open a seal as a party with the table and kms:Decrypt does."""
    return world.seal.open(from_item(item), purpose)


def sealed_for(world: World, item: Item, secret: SessionSecret, purpose: Purpose) -> Item:
    """Seal for the row under its committed fence, as a party with kms:Encrypt does. Return the attribute's value."""
    row = from_item(item)
    sealing = world.seal.sealing(replace(row, fence=row.committed_fence), secret, purpose)
    return {"L": [{"B": part} for part in sealing.sealed()]}


def is_claimed(world: World) -> Phone:
    phone = world.phone()
    with world.aws.dying_at("Encrypt"):
        phone.callback(phone.approve(phone.authorize()))
    return phone


def is_leased(world: World) -> Phone:
    phone = is_refreshed(world)
    world.clock.time += GRACE + 1
    with world.aws.dying_at("Decrypt"):
        phone.refresh()
    assert "lease_until" in phone.row()
    return phone


Stage = Callable[[World], Phone]
STAGES: list[Stage] = [is_pending, is_claimed, is_issued, is_failed, is_active, is_leased, is_refreshed, is_signed_out]


def by_name(value: Any) -> str:
    return str(getattr(value, "__name__", value))


# A stolen table, a stolen right.


@pytest.mark.parametrize("stage", STAGES, ids=by_name)
def test_a_copy_of_the_table_holds_no_token_and_no_key(world: World, stage: Stage) -> None:
    phone = stage(world)
    secrets = {phone.access_token, phone.refresh_token, phone.aries_state, phone.verifier, *phone.cookies.values()}
    secrets |= {world.aries.core.current_refresh_token(family) or "" for family in world.aries.core.families()}
    item = item_of(world, phone)
    if "sealed" in item:
        secret = opened(world, item)
        secrets |= {
            secret.session_key.reveal(),
            secret.access_token.reveal(),
            (secret.refresh_token or Secret("")).reveal(),
        }
    stolen = "\n".join(texts_in(world.rows()))
    for text in secrets - {""}:
        assert text not in stolen
        assert text.encode().hex() not in stolen


@pytest.mark.parametrize("stage", long_but([is_issued], [is_issued, is_active, is_refreshed]), ids=by_name)
def test_a_stolen_table_opens_nothing_and_ends_nothing(world: World, stage: Stage) -> None:
    victim = stage(world)
    world.clock.time += GRACE + 1
    before = world.rows()
    assert Attacker.with_all_in(world, before).loot() == []
    assert world.rows() == before
    if victim.refresh_token:
        assert victim.refresh().status == 200


def contexts_of(world: World, act: Callable[[], object]) -> list[dict[str, str]]:
    """Return the encryption contexts of KMS' calls, as CloudTrail shows them."""
    found: list[dict[str, str]] = []
    before = world.aws.before

    def watch(event_name: str, params: dict[str, Any], **event: Any) -> None:
        before(event_name, params=params, **event)
        if event_name.endswith((".Encrypt", ".Decrypt")):
            found.append(json.loads(params["body"])["EncryptionContext"])

    with mock.patch.object(world.aws, "before", watch):
        act()
    return found


def test_the_right_to_open_seals_is_worth_nothing_without_the_table(world: World) -> None:
    """CloudTrail shows every context to its readers, and a context has no token, no key and no session id."""
    victim = is_active(world)
    world.clock.time += GRACE + 1
    contexts = contexts_of(world, victim.refresh)
    assert len(contexts) == 2
    for context in contexts:
        assert context.keys() == {"purpose", "session", "client_id", "fence", "part"}
        assert context["session"] == session_digest(victim.session_id)
    before = world.rows()
    thief = Attacker.with_all_in(world, [contexts, victim.session_id])
    assert thief.loot() == []
    # A log is no ciphertext: the key opens none of these values.
    for text in thief.values:
        with pytest.raises(world.kms.exceptions.ClientError):
            world.kms.decrypt(CiphertextBlob=text.encode(), EncryptionContext=contexts[-1])
    assert world.rows() == before


def test_a_party_with_both_the_table_and_the_right_has_the_session(world: World) -> None:
    """The converse: this is the price, and the two tests above would be worth little without it."""
    victim = is_refreshed(world)
    secret = opened(world, item_of(world, victim))
    assert secret.access_token.reveal() == victim.access_token
    row = from_item(item_of(world, victim))
    minted = RefreshToken.mint(row.session_id, row.generation, secret.session_key)
    assert minted.text.reveal() == victim.refresh_token


# A stolen backup, put back over the live rows.


@pytest.mark.long
def test_a_backup_put_back_gives_a_thief_nothing(world: World) -> None:
    victim = is_refreshed(world)
    backup = world.rows()
    thief = Attacker.with_all_in(world, backup)
    world.clock.time += GRACE + 1
    assert victim.revoke().status == 200
    for row in backup:
        put(world, row)
    called = len(world.token_requests())
    assert thief.loot() == []
    assert RowWriter(world, ("PutItem",)).loot(victim.session_id) == []
    assert len(world.token_requests()) == called


def signed_out_and_put_back(world: World) -> Phone:
    """A session that was signed out, with its row of before put back. The app still has its last token."""
    phone = is_refreshed(world)
    world.clock.time += GRACE + 1
    backup = item_of(world, phone)
    assert phone.revoke().status == 200
    assert "sealed" not in item_of(world, phone)
    assert phone.refresh().json["error"] == "invalid_grant"
    put(world, backup)
    return phone


def test_a_signed_out_session_comes_back_with_its_row_for_the_holder_of_its_token_alone(world: World) -> None:
    """A session with a secret stays over, because its secret is gone. A session in the row comes back.

    The holder of the token that was current in the backup gets tokens, and nobody else: not the holder of a token that
    the session superseded before. Aries ends no session at a sign-out, so it serves the old refresh token.
    """
    phone = is_active(world)
    superseded = phone.refresh_token
    for _ in range(2):
        world.clock.time += GRACE + 1
        assert phone.refresh().status == 200
    world.clock.time += GRACE + 1
    backup = item_of(world, phone)
    assert phone.revoke().status == 200
    put(world, backup)
    assert phone.refresh(made_up_token(phone.session_id, 3)).status == 400
    assert phone.refresh().status == 200
    put(world, backup)
    assert phone.refresh(superseded).status == 400
    assert item_of(world, phone)["status"] == {"S": "dead"}


def test_a_mass_sign_out_ends_a_session_that_came_back_and_no_later_copy_of_its_row_brings_it_back(
    world: World,
) -> None:
    phone = signed_out_and_put_back(world)
    backup = item_of(world, phone)
    answer = operate(world, **EVERYONE)
    assert (answer["ended"], answer["secrets_deleted"], answer["in_effect"], answer["finished"]) == (1, 0, True, True)
    called = len(world.token_requests())
    for function in ("token", "refresh"):
        assert phone.refresh(function=function).json["error"] == "invalid_grant"
    # The time of the mass sign-out stands in an item of its own.
    put(world, backup)
    for function in ("token", "refresh"):
        assert phone.refresh(function=function).json["error"] == "invalid_grant"
    assert len(world.token_requests()) == called


def test_a_mass_sign_out_is_in_effect_for_a_restored_table_before_its_rows_are_tidied_up(world: World) -> None:
    """A restored table has forgotten earlier mass sign-outs, so a person has to begin a new one."""
    phone = is_refreshed(world)
    world.clock.time += GRACE + 1
    backup = world.rows()
    assert operate(world, **EVERYONE)["finished"] is True
    for row in world.rows():
        world.dynamodb.delete_item(TableName=TABLE, Key={"session_id": row["session_id"]})
    for row in backup:
        put(world, row)
    world._handlers.clear()
    came_back = item_of(world, phone)
    assert phone.refresh().status == 200
    put(world, came_back)
    world.clock.time += GRACE + 1
    answer = operate(world, **EVERYONE, within=35)
    assert (answer["in_effect"], answer["ended"]) == (True, 0)
    assert phone.refresh().json["error"] == "invalid_grant"


def test_the_person_on_call_ends_one_session_that_came_back(world: World) -> None:
    phone = signed_out_and_put_back(world)
    assert operate(world, action="session", session=reference(phone))["signed_in"] is True
    assert operate(world, action="revoke", session=reference(phone))["signed_in"] is False
    assert phone.refresh().json["error"] == "invalid_grant"
    assert "sealed" not in item_of(world, phone)


def test_an_app_that_went_on_is_not_signed_out_by_an_older_row(world: World) -> None:
    """Its token is newer than the table's. An alarm hears of it."""
    phone = is_refreshed(world)
    backup = item_of(world, phone)
    for _ in range(2):
        world.clock.time += GRACE + 1
        assert phone.refresh().status == 200
    newest = item_of(world, phone)
    put(world, backup)
    called = len(world.token_requests())
    assert phone.refresh().status == 503
    assert world.telemetry.counted("RestoredFromBackup") == 1
    assert len(world.token_requests()) == called
    put(world, newest)
    world.clock.time += GRACE + 1
    assert phone.refresh().status == 200


# Seals that were moved.


def another_rows(world: World, victim: Item) -> Item:
    return victim | {"sealed": item_of(world, is_refreshed(world))["sealed"]}


def another_rows_with_its_fence(world: World, victim: Item) -> Item:
    other = item_of(world, is_active(world))
    return victim | {name: other[name] for name in ("sealed", "fence", "committed_fence")}


def another_apps(world: World, victim: Item) -> Item:
    other = world.signed_in(
        client_id=OTHER_CLIENT_ID, redirect_uri="https://web.example.com/callback", scope="account:information"
    )
    return victim | {"sealed": item_of(world, other)["sealed"]}


def under(change: int) -> Callable[[World, Item], Item]:
    def under_another_fence(world: World, victim: Item) -> Item:
        fence = int(victim["committed_fence"]["N"]) + change
        return victim | {"fence": {"N": str(max(fence, 0))}, "committed_fence": {"N": str(fence)}}

    return under_another_fence


def an_escrow(world: World, victim: Item) -> Item:
    """An escrow of the same session under the same fence: the purpose alone differs."""
    return victim | {"sealed": sealed_for(world, victim, opened(world, victim), "escrow")}


def as_an_escrow(world: World, victim: Item) -> Item:
    """The seal in the attribute of an escrow, in a row that seems to have a secret."""
    moved = victim | {"escrow": victim["sealed"]}
    return {name: value for name, value in moved.items() if name not in ("sealed", "token_store")}


def parts(change: Callable[[list[Any]], list[Any]]) -> Callable[[World, Item], Item]:
    def changed(world: World, victim: Item) -> Item:
        return victim | {"sealed": {"L": change(victim["sealed"]["L"])}}

    return changed


def spoilt(part: dict[str, bytes]) -> dict[str, bytes]:
    return {"B": part["B"][:-1] + bytes([part["B"][-1] ^ 1])}


MOVED: dict[str, Callable[[World, Item], Item]] = {
    "of another row": another_rows,
    "of another row, with its fence": another_rows_with_its_fence,
    "of another app": another_apps,
    "under an earlier fence": under(-1),
    "under a later fence": under(1),
    "an escrow in the row": an_escrow,
    "the seal as an escrow": as_an_escrow,
    "parts swapped": parts(lambda found: found[1::-1] + found[2:]),
    "a part left out": parts(lambda found: found[:-1]),
    "the first part left out": parts(lambda found: found[1:]),
    "a part twice": parts(lambda found: [*found, found[-1]]),
    "a part spoilt": parts(lambda found: [*found[:-1], spoilt(found[-1])]),
    "a part cut": parts(lambda found: [*found[:-1], {"B": found[-1]["B"][:20]}]),
    "an empty part": parts(lambda found: [*found[:-1], {"B": b""}]),
    "no part": parts(lambda found: []),
    "a part that is too long for KMS": parts(lambda found: [{"B": b"x" * 7000}]),
}


QUICK_MOVED = [
    "of another row, with its fence",
    "under an earlier fence",
    "an escrow in the row",
    "the seal as an escrow",
    "parts swapped",
    "no part",
]


@pytest.fixture
def victim(world: World, monkeypatch: pytest.MonkeyPatch) -> Phone:
    """A session with a seal of several parts, past its grace, in processes that have read Aries' client secret."""
    monkeypatch.setattr(seal_module, "_PART_BYTES", 256)
    phone = is_refreshed(world)
    assert len(item_of(world, phone)["sealed"]["L"]) >= 3
    world.clock.time += GRACE + 1
    return phone


@pytest.mark.parametrize("name", long_but(QUICK_MOVED, MOVED))
def test_a_seal_that_was_moved_or_changed_opens_nowhere_and_ends_nothing(
    world: World, victim: Phone, name: str
) -> None:
    before = item_of(world, victim)
    altered = MOVED[name](world, before)
    put(world, altered)
    current, called = victim.refresh_token, len(world.token_requests())
    answer = victim.refresh()
    assert answer.status == 503, answer
    assert world.telemetry.counted("SealsNotOpened") == 1
    # A replay and a sign-out with an older token open the seal, too.
    put(world, altered | {"rotated_at": {"N": str(world.clock.now())}})
    assert victim.refresh(current).status == 503
    older = RefreshToken.mint(victim.session_id, 1, opened(world, before).session_key).text.reveal()
    put(world, altered | {"previous_hash": {"S": digest("another")}})
    assert victim.revoke(older).status == 503
    assert world.telemetry.counted("SealsNotOpened") == 3
    assert len(world.token_requests()) == called
    assert item_of(world, victim)["status"] == {"S": "active"}
    assert world.telemetry.counted("SessionsEnded") == 0
    put(world, before)
    assert victim.refresh(current).status == 200


def test_a_row_that_says_another_app_gives_that_app_nothing(world: World) -> None:
    """The thief has the right to write rows, and the victim's refresh token, but is another app."""
    victim = world.signed_in(scope="account:information")
    world.clock.time += GRACE + 1
    before, called = item_of(world, victim), len(world.token_requests())
    put(world, before | {"client_id": {"S": OTHER_CLIENT_ID}})
    assert victim.refresh(client_id=OTHER_CLIENT_ID).status == 503
    assert world.telemetry.counted("SealsNotOpened") == 1
    assert len(world.token_requests()) == called
    put(world, before)
    assert victim.refresh().status == 200


def test_a_code_whose_seal_was_moved_can_be_redeemed_once_the_row_is_put_right(world: World) -> None:
    phone, thief = world.phone(), is_active(world)
    code = phone.code()
    before = item_of(world, phone)
    put(world, before | {"sealed": item_of(world, thief)["sealed"]})
    assert phone.redeem(code).status == 503
    assert world.telemetry.counted("SealsNotOpened") == 1
    assert item_of(world, phone)["status"] == {"S": "issued"}
    put(world, before)
    assert phone.redeem(code).status == 200


# Forged rows.


def forged_store(world: World, victim: Phone, thief: Phone) -> dict[str, Item]:
    """Return forged rows of the victim. The thief has a session of each kind, and knows every session id."""
    row, own = item_of(world, victim), item_of(world, thief)
    fence = {name: own[name] for name in ("fence", "committed_fence")}
    bare = {name: value for name, value in row.items() if name not in ("token_store", "sealed")}
    version = {"secret_version": {"S": secret_version(victim.session_id, 7)}}
    none = {"token_store": {"S": "none"}}
    seal = own.get("sealed", {"L": [{"B": b"none"}]})
    sealed = {"token_store": {"S": "row"}, "sealed": seal}
    return {
        "its store is removed": {name: value for name, value in row.items() if name != "token_store"},
        "its store and seal are removed": bare,
        "its store is removed, and it names another version": bare | version,
        "its store is none": row | none,
        "its store is none, and it has the thief's seal": bare
        | none
        | {"escrow": own.get("sealed", {"L": [{"B": b"sealed"}]})},
        "its store is another word": row | {"token_store": {"S": "elsewhere"}},
        "its store is the row, without a seal": bare | {"token_store": {"S": "row"}},
        "its store is the row, with the thief's seal": bare | sealed,
        "its store is the row, with the thief's seal and fence": bare | sealed | fence,
        "it has the thief's secret": bare | {"secret_version": own["secret_version"]},
    }


STORES = [
    "its store is removed",
    "its store and seal are removed",
    "its store is removed, and it names another version",
    "its store is none",
    "its store is none, and it has the thief's seal",
    "its store is another word",
    "its store is the row, without a seal",
    "its store is the row, with the thief's seal",
    "its store is the row, with the thief's seal and fence",
    "it has the thief's secret",
]
QUICK_STORES = ["its store is removed", "its store is the row, with the thief's seal and fence"]
KINDS: dict[str, Stage] = {"row": is_refreshed, "secrets": with_secret}
# These changes leave a session with a secret as it is: its tokens are in the secret, whatever else the row has.
HARMLESS = [
    "its store is removed",
    "its store and seal are removed",
    "its store is none",
    "its store is another word",
]
TRIED = ["token 2 is the current one", "token 2 was the previous one a moment ago", "a made-up code was issued"]


@pytest.mark.parametrize("name", long_but(QUICK_STORES, STORES))
@pytest.mark.parametrize("thiefs", long_but(["row"], KINDS))
@pytest.mark.parametrize("victims", KINDS)
def test_a_row_with_a_forged_store_opens_no_session_for_anybody(
    world: World, victims: str, thiefs: str, name: str
) -> None:
    victim, thief = KINDS[victims](world), KINDS[thiefs](world)
    world.clock.time += GRACE + 1
    before = item_of(world, victim)
    forged = forged_store(world, victim, thief)
    assert list(forged) == STORES
    put(world, forged[name])
    called = len(world.token_requests())
    writer = RowWriter(world, ("UpdateItem",))
    if victims == "row" or name not in HARMLESS:
        assert victim.refresh().status == 503
    changes = forgeries(victim.session_id, world.clock.now())
    for forgery in TRIED:
        put(world, forged[name])
        writer.update(victim.session_id, changes[forgery])
        assert writer.loot(victim.session_id) == []
    assert len(world.token_requests()) == called
    put(world, before)
    world.clock.time += GRACE + 1
    assert victim.refresh().status == 200


@pytest.mark.parametrize("forgery", long_but(["token 2 is the current one"], list(forgeries("", 0))))
def test_a_forged_row_opens_no_session_whatever_state_it_was_in(world: World, forgery: str) -> None:
    own = item_of(world, is_active(world))
    for stage in STAGES:
        victim = stage(world)
        world.clock.time += GRACE + 1
        called = len(world.token_requests())
        key = {"session_id": {"S": victim.session_id}}
        for row in (item_of(world, victim), own | key):
            writer = RowWriter(world, ("PutItem", "UpdateItem"))
            writer.write(row, forgeries(victim.session_id, world.clock.now())[forgery])
            assert writer.loot(victim.session_id) == [], stage
        assert len(world.token_requests()) == called, stage


@pytest.mark.parametrize("forgery", long_but(["token 2 is the current one"], list(forgeries("", 0))))
def test_without_the_check_of_the_key_or_of_the_holder_the_same_forgery_opens_the_session(
    world: World, forgery: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The attack is real, and the key and the holder in the seal alone stop it."""
    victim = is_active(world)
    for module in (renewers, resolution):
        monkeypatch.setattr(module, "refuse_forged", lambda *_: None)
    true = app_digest(victim.client_id, victim.redirect_uri, challenge_of(Secret(victim.verifier)))
    monkeypatch.setattr(redeem, "app_digest", lambda *_: true)
    row = item_of(world, victim)
    world.clock.time += GRACE + 1
    put(world, row | forgeries(victim.session_id, world.clock.now())[forgery])
    assert RowWriter(world, ()).loot(victim.session_id)


PLANTED = SessionSecret(
    Secret("k" * 43), "holder", Secret("access-planted"), Secret("refresh-planted"), 2_000_000_000, ""
)


def test_a_hostile_callback_that_seals_a_session_of_its_own_gets_what_it_planted_and_nothing_else(
    world: World,
) -> None:
    """The callback function may seal and may write rows. It may open no seal."""
    victim = is_refreshed(world)
    world.clock.time += GRACE + 1
    before = item_of(world, victim)
    row = from_item(before)
    minted = RefreshToken.mint(row.session_id, row.generation, PLANTED.session_key)
    planted = before | {"sealed": sealed_for(world, before, PLANTED, "row"), "handle_hash": {"S": minted.hash}}
    put(world, planted | {"rotated_at": {"N": str(world.clock.now())}})
    with WATCH.guessing():
        assert victim.refresh(minted.text.reveal()).json["access_token"] == "access-planted"
        put(world, planted)
        world.clock.time += GRACE + 1
        # Aries does not know the planted token.
        assert victim.refresh(minted.text.reveal()).status == 400
    asked = [request.get("refresh_token") for request in world.token_requests()]
    assert asked[-1] == "refresh-planted"
    put(world, before)
    victim.refresh_token = RefreshToken.mint(
        row.session_id, row.generation, opened(world, before).session_key
    ).text.reveal()
    assert victim.refresh().status == 200


def test_an_escrow_of_a_session_with_a_secret_does_not_open_as_a_session_in_the_row(world: World) -> None:
    choose_store(world, SECRETS)
    victim = is_escrowed(world)
    choose_store(world, ROW)
    world.clock.time += GRACE + 1
    before, called = item_of(world, victim), len(world.token_requests())
    put(world, before | {"token_store": {"S": "row"}, "sealed": before["escrow"]})
    assert victim.refresh().status == 503
    assert world.telemetry.counted("SealsNotOpened") == 1
    assert len(world.token_requests()) == called
    put(world, before)
    assert victim.refresh().status == 200
    assert victim.client_id == CLIENT_ID
