"""An attacker with the right to write rows, any row with any content, gets no token and no code."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from itertools import count
from typing import Any

import pytest

from oauth_broker.oauth import tokens
from oauth_broker.oauth.pkce import challenge_of
from oauth_broker.oauth.tokens import RefreshToken, secret_version
from oauth_broker.operations import redeem, resolution
from oauth_broker.operator.mass_sign_out import IN_EFFECT_SECONDS
from oauth_broker.secret import Secret, digest
from oauth_broker.sessions import renewers
from tests.support import stages
from tests.support.attacker import GUESS, Attacker
from tests.support.deployment import GRACE, OTHER_CLIENT_ID, TABLE
from tests.support.long import long_but
from tests.support.operator import EVERYONE, operate, reference
from tests.support.row_writer import Item, Right, RowWriter, forgeries, made_up_token
from tests.support.stages import is_active, is_escrowed, is_issued, is_leased, is_refreshed, is_signed_out
from tests.support.world import Phone, World

Stage = Callable[[World], Phone]


STAGES: tuple[Stage, ...] = (*stages.STAGES, is_refreshed, is_signed_out)
RIGHTS: tuple[tuple[Right, ...], ...] = (("PutItem",), ("UpdateItem",), ("PutItem", "UpdateItem"))
NAMES = list(forgeries("", 0))
# A forgery is tried on a session in every state, which takes a second or two.
QUICK_NAMES = ["token 1 is the current one", "a made-up code was issued"]


def by_name(stage: Any) -> str:
    return "+".join(stage) if isinstance(stage, tuple) else str(stage.__name__)


def item_of(world: World, phone: Phone) -> Item:
    (item,) = [row for row in world.rows() if row["session_id"]["S"] == phone.session_id]
    return item


def write(world: World, rights: tuple[Right, ...], victim: Phone, forgery: str, row: Item) -> RowWriter:
    """Forge the victim's row. The right to put whole rows starts from ``row``."""
    writer = RowWriter(world, rights)
    key = {"session_id": {"S": victim.session_id}}
    writer.write(row | key, forgeries(victim.session_id, world.clock.now())[forgery])
    return writer


@pytest.mark.parametrize("forgery", long_but(QUICK_NAMES, NAMES))
@pytest.mark.parametrize("rights", long_but([("UpdateItem",)], RIGHTS), ids=by_name)
def test_a_forged_row_opens_no_session_whatever_state_it_was_in(
    world: World, rights: tuple[Right, ...], forgery: str
) -> None:
    # A whole row starts from the thief's own, because it has every attribute of an active row.
    own = item_of(world, world.signed_in())
    for stage in STAGES:
        victim = stage(world)
        # If another worker still held a lease, then a request would wait for it.
        world.clock.time += GRACE + 1
        called = len(world.token_requests())
        # A thief who puts a whole row must guess the version of the victim's secret: the version follows from the key.
        guessed = {"secret_version": {"S": secret_version(victim.session_id, 0)}}
        writer = write(world, rights, victim, forgery, own | guessed)
        assert writer.loot(victim.session_id) == [], stage
        assert len(world.token_requests()) == called, stage


@pytest.mark.parametrize("forgery", NAMES)
@pytest.mark.parametrize("rights", long_but([("UpdateItem",)], RIGHTS), ids=by_name)
def test_without_the_check_of_the_token_or_of_the_holder_the_same_forgery_opens_the_session(
    world: World, rights: tuple[Right, ...], forgery: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The attack is real, and the check alone stops it."""
    victim = is_active(world)
    for module in (renewers, resolution):
        monkeypatch.setattr(module, "refuse_forged", lambda *_: None)
    true = tokens.app_digest(victim.client_id, victim.redirect_uri, challenge_of(Secret(victim.verifier)))
    monkeypatch.setattr(redeem, "app_digest", lambda *_: true)
    row = item_of(world, victim)
    world.clock.time += GRACE + 1
    assert write(world, rights, victim, forgery, row).loot(victim.session_id)


@pytest.mark.parametrize("forgery", long_but(QUICK_NAMES, NAMES))
def test_an_alarm_hears_of_a_forged_row_and_the_session_goes_on_once_the_row_is_put_right(
    world: World, forgery: str
) -> None:
    victim = is_refreshed(world)
    world.clock.time += GRACE + 1
    before = item_of(world, victim)
    writer = write(world, ("UpdateItem",), victim, forgery, before)
    assert writer.loot(victim.session_id) == []
    assert world.telemetry.counted("RowsAltered") >= 1
    world.dynamodb.put_item(TableName=TABLE, Item=before)
    assert victim.refresh().status == 200


def test_a_lease_that_a_forged_token_took_is_given_back_at_once(world: World) -> None:
    victim = is_refreshed(world)
    world.clock.time += GRACE + 1
    write(world, ("UpdateItem",), victim, "token 2 is the current one", {})
    assert victim.refresh(made_up_token(victim.session_id, 2)).status == 400
    assert "lease_until" not in victim.row()


QUICK_STAGES = [stage for stage in STAGES if stage not in (is_issued, is_active)]


@pytest.mark.parametrize("stage", long_but(QUICK_STAGES, STAGES), ids=by_name)
def test_a_stolen_backup_that_is_put_back_opens_nothing(world: World, stage: Stage) -> None:
    """A thief who has read the backup gains nothing either."""
    victim = stage(world)
    backup = world.rows()
    # To try every value of a row everywhere takes long. Another test does so for the other stages.
    thief = Attacker.with_all_in(world, backup) if stage in (is_issued, is_active) else None
    # If the victim has a session, then its life goes on.
    world.clock.time += GRACE + 1
    if victim.refresh_token and victim.row()["status"] == "active":
        for _ in range(2):
            victim.refresh()
            world.clock.time += GRACE + 1
    writer = RowWriter(world, ("PutItem",))
    called = len(world.token_requests())
    for item in backup:
        # The row as old as it is, and with a later end.
        for row in (item, item | {"expires_at": {"N": str(int(world.clock.now()) + 1000)}}):
            writer.put(row)
            assert thief is None or thief.loot() == []
            assert writer.loot(victim.session_id) == []
    assert len(world.token_requests()) == called


def test_a_session_that_was_signed_out_stays_so_when_its_row_is_put_back(world: World) -> None:
    """Its own app cannot use it either, because the secret is gone."""
    victim = is_refreshed(world)
    world.clock.time += GRACE + 1
    alive = item_of(world, victim)
    assert victim.revoke().status == 200
    RowWriter(world, ("PutItem",)).put(alive)
    assert victim.refresh().status == 503


ASKED: dict[str, Item] = {
    "another app": {"client_id": {"S": OTHER_CLIENT_ID}, "redirect_uri": {"S": "https://web.example.com/callback"}},
    "another app alone": {"client_id": {"S": OTHER_CLIENT_ID}},
    "another redirect URI of the app": {"redirect_uri": {"S": "com.example.trader:/callback"}},
    "another challenge": {"app_code_challenge": {"S": challenge_of(Secret(GUESS))}},
    "another state": {"app_state": {"S": "others-state"}},
    "more scopes": {"scope": {"S": "account:information market:information order:execution"}},
}


@pytest.mark.parametrize("changes", ASKED.values(), ids=ASKED)
@pytest.mark.parametrize("rights", RIGHTS[:2], ids=by_name)
@pytest.mark.parametrize("is_approved", [True, False], ids=["approved", "declined"])
def test_a_sign_in_that_was_altered_while_its_person_was_at_aries_sends_nothing_anywhere(
    world: World, rights: tuple[Right, ...], changes: Item, is_approved: bool
) -> None:
    victim = world.phone()
    query = victim.approve(victim.authorize())
    RowWriter(world, rights).write(item_of(world, victim), changes)
    page = victim.callback(query if is_approved else f"error=access_denied&state={victim.aries_state}")
    assert page.status == 400
    assert "location" not in page.headers
    assert world.token_requests() == []
    assert world.session_secrets() == []
    assert world.telemetry.counted("RowsAltered") == 1
    # The sign-in stays over even after a repair of the row. Aries' code was never used.
    assert victim.row()["status"] == "failed"


@pytest.mark.parametrize("changes", ASKED.values(), ids=ASKED)
def test_an_issued_sign_in_that_was_altered_sends_no_code_when_the_callback_is_loaded_again(
    world: World, changes: Item
) -> None:
    victim = world.phone()
    query = victim.approve(victim.authorize())
    assert victim.callback(query).status == 302
    RowWriter(world, ("UpdateItem",)).update(victim.session_id, changes)
    page = victim.callback(query)
    assert page.status == 400
    assert "location" not in page.headers


@pytest.mark.parametrize("name", ["another app", "another redirect URI of the app", "another challenge"])
def test_a_code_is_redeemed_by_the_app_that_began_alone_whatever_the_row_says_now(world: World, name: str) -> None:
    """The thief has the code from the redirect. Everything else is the thief's own."""
    victim = world.phone()
    code = victim.code()
    changes = ASKED[name]
    # The other app may have this one scope. A request for more would be refused for its scope.
    scope = {"scope": {"S": "account:information"}}
    RowWriter(world, ("UpdateItem",)).update(victim.session_id, changes | ASKED["another challenge"] | scope)
    thief = world.phone(
        client_id=changes.get("client_id", {"S": victim.client_id})["S"],
        redirect_uri=changes.get("redirect_uri", {"S": victim.redirect_uri})["S"],
        verifier=GUESS,
    )
    assert thief.redeem(code).status == 400
    assert world.telemetry.counted("RowsAltered") == 1
    assert victim.row()["status"] == "issued"


def test_the_redirect_uri_of_the_row_does_not_tell_the_holder_either(world: World) -> None:
    """OAuth 2.1 lets a token request omit the redirect URI."""
    victim = world.phone()
    code = victim.code()
    RowWriter(world, ("UpdateItem",)).update(victim.session_id, ASKED["another redirect URI of the app"])
    fields = {
        "grant_type": "authorization_code",
        "client_id": victim.client_id,
        "code": code,
        "code_verifier": victim.verifier,
    }
    assert world.form("token", fields).status == 400


@pytest.mark.parametrize("what", ["escrow", "secret_version"])
def test_tokens_of_one_session_do_not_open_by_the_row_of_another(world: World, what: str) -> None:
    """The thief's own session is a good one, of the same app."""
    victim = is_escrowed(world)
    thief = is_refreshed(world)
    world.clock.time += GRACE + 1
    stolen = {what: item_of(world, victim)[what], "committed_fence": item_of(world, victim)["committed_fence"]}
    called = len(world.token_requests())
    RowWriter(world, ("UpdateItem",)).update(thief.session_id, stolen)
    assert thief.refresh().status == 503
    assert len(world.token_requests()) == called


def test_an_answer_that_a_dead_worker_stored_is_committed_for_a_holder_alone(world: World) -> None:
    victim = is_leased(world)
    world.clock.time += GRACE + 1
    fence = int(victim.row()["fence"])
    stored = secret_version(victim.session_id, fence)
    forged = made_up_token(victim.session_id, 1)
    RowWriter(world, ("UpdateItem",)).update(victim.session_id, {"handle_hash": {"S": digest(forged)}})
    assert victim.refresh(forged).status == 400
    assert victim.row()["secret_version"] != stored
    assert world.telemetry.counted("RowsAltered") == 1


def test_the_row_alone_cannot_make_a_token_but_an_old_token_and_the_row_open_the_session(world: World) -> None:
    """The converse: an old but authentic token together with the right to write rows opens the session."""
    victim = is_refreshed(world)
    world.clock.time += GRACE + 1
    old = RefreshToken.parse(Secret(victim.refresh_token))
    assert old is not None
    assert victim.refresh().status == 200
    world.clock.time += GRACE + 1
    RowWriter(world, ("UpdateItem",)).update(victim.session_id, {"handle_hash": {"S": old.hash}})
    assert victim.refresh(old.text.reveal()).status == 200


# Even the beginning of a sign-in, which may write a few attributes only, may write any value of them.
OF_ANOTHER_FORM: dict[str, Item] = {
    "a text that is true": {"scope": {"BOOL": True}},
    "a text that is null": {"token_store": {"NULL": True}},
    "a text that is a number": {"redirect_uri": {"N": "5"}},
    "a list that is a number": {"sealed": {"N": "5"}},
    "a list that is null": {"escrow": {"NULL": True}},
    "a list of numbers": {"sealed": {"L": [{"N": "5"}]}},
    "a list of lists": {"escrow": {"L": [{"L": []}]}},
    "a list of bytes for texts": {"timeline": {"L": [{"B": b"x"}]}},
    "a list of texts for bytes": {"sealed": {"L": [{"S": "x"}]}},
    "a number that is a text": {"generation": {"S": "two"}},
    "a time that is a list": {"access_expires_at": {"L": []}},
    "a subject that is a number": {"subject": {"N": "5"}},
    "the time of a try that is a text": {"subject_tried_at": {"S": "never"}},
    "the time of a try with a fraction": {"subject_tried_at": {"N": "1.5"}},
}


@pytest.mark.parametrize("changes", OF_ANOTHER_FORM.values(), ids=OF_ANOTHER_FORM)
def test_a_row_of_another_form_ends_nothing_and_does_not_hold_up_a_mass_sign_out(world: World, changes: Item) -> None:
    victim, *others = [world.signed_in() for _ in range(3)]
    world.clock.time += GRACE + 1
    before, called = item_of(world, victim), len(world.token_requests())
    RowWriter(world, ("UpdateItem",)).update(victim.session_id, changes)
    assert victim.refresh().status == 503
    assert operate(world, action="session", session=reference(victim))["error"] == "temporary_failure"
    assert world.telemetry.counted("InternalErrors") == 0
    assert len(world.token_requests()) == called
    world.dynamodb.put_item(TableName=TABLE, Item=before)
    assert victim.refresh().status == 200
    RowWriter(world, ("UpdateItem",)).update(victim.session_id, changes)
    answer = operate(world, **EVERYONE)
    assert [phone.row()["status"] for phone in (victim, *others)] == ["revoked"] * 3
    assert answer["ended"] + answer["failed"] == 3
    if not answer["finished"]:
        # The end of the session removes a seal. Any other attribute is for a person to mend.
        assert "row:malformed" in answer["trouble"]
        world.dynamodb.put_item(TableName=TABLE, Item=before)
        answer = operate(world, **EVERYONE, **{"continue": True})
    assert (answer["failed"], answer["finished"]) == (0, True)
    assert world.session_secrets() == []


def write_a_timeline_that_is_a_text(world: World, session_id: str) -> None:
    RowWriter(world, ("UpdateItem",)).update(session_id, {"timeline": {"S": "started"}})


def fill_the_row(world: World, session_id: str) -> None:
    """Leave no room for another entry of the timeline."""
    for left in count(500, 20):
        with suppress(world.dynamodb.exceptions.ClientError):
            RowWriter(world, ("UpdateItem",)).update(session_id, {"app_state": {"S": "x" * (400 * 1024 - left)}})
            return


@pytest.mark.parametrize(
    "write", long_but([write_a_timeline_that_is_a_text], [write_a_timeline_that_is_a_text, fill_the_row])
)
def test_rows_that_dynamodb_cannot_update_do_not_look_like_an_outage_to_a_mass_sign_out(
    world: World, write: Callable[[World, str], None]
) -> None:
    phones = [world.signed_in() for _ in range(8)]
    world.clock.time += GRACE + 1
    order = [row["session_id"]["S"] for row in world.rows()]
    malformed, called = set(order[:5]), len(world.token_requests())
    for session_id in malformed:
        write(world, session_id)
    began = world.clock.time
    answer = operate(world, **EVERYONE)
    assert (answer["ended"], answer["failed"], answer["finished"]) == (3, 5, False)
    assert "row:malformed" in answer["trouble"]
    # No row was tried again and again: there is the wait for every process, and the pace.
    assert world.clock.time - began < IN_EFFECT_SECONDS + 5
    for phone in phones:
        assert phone.refresh().status in (400, 503)
    assert len(world.token_requests()) == called
    # Somebody deletes them by other means.
    for session_id in malformed:
        world.dynamodb.delete_item(TableName=TABLE, Key={"session_id": {"S": session_id}})
    assert operate(world, **EVERYONE, **{"continue": True})["finished"]


@pytest.mark.parametrize(
    "changes",
    [
        {"timeline": {"L": [{"S": "garbage"}, {"S": ""}]}},
        {"created_at": {"N": str(-(10**20))}},
        {"rotated_at": {"N": str(-(10**20))}},
    ],
    ids=["a timeline without times", "a beginning before all times", "a use before all times"],
)
def test_a_person_on_call_sees_and_ends_a_session_with_times_that_are_none(world: World, changes: Item) -> None:
    phone = world.signed_in()
    RowWriter(world, ("UpdateItem",)).update(phone.session_id, changes)
    assert operate(world, action="session", session=reference(phone))["status"] == "active"
    assert operate(world, action="revoke", session=reference(phone))["ended_now"]
    assert world.telemetry.counted("InternalErrors") == 0


def test_neighbours_of_another_form_do_not_look_like_an_outage_to_a_mass_sign_out(world: World) -> None:
    phones = [world.signed_in() for _ in range(8)]
    # More rows one after another than an outage would need, whatever their order in the table is.
    order = [row["session_id"]["S"] for row in world.rows()]
    malformed = set(order[:5])
    for session_id in malformed:
        RowWriter(world, ("UpdateItem",)).update(session_id, {"generation": {"S": "two"}})
    answer = operate(world, **EVERYONE)
    assert (answer["ended"], answer["failed"], answer["finished"]) == (3, 5, False)
    assert "row:malformed" in answer["trouble"]
    good = [phone for phone in phones if phone.session_id not in malformed]
    assert [phone.row()["status"] for phone in good] == ["revoked"] * 3
