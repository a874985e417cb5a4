"""Attackers of what people and backends may do with sessions.

One may write every row and every item of a person, and uses the apps as an honest person too. One has a copy of the
table. One has the copy and the key of the subjects. None of them gets a token of somebody else.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from hashlib import sha256
from itertools import count, product
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest

from oauth_broker.backends import by_user
from oauth_broker.oauth.tokens import BackendHandle
from oauth_broker.operations import access
from oauth_broker.people import callers, other_sessions, session_list, subjects
from oauth_broker.people.session_rows import SessionRows
from oauth_broker.secret import base64url, digest, session_reference
from oauth_broker.sessions import seal as seal_module
from oauth_broker.web import http
from tests.integration.test_cases_stolen import texts_in
from tests.support.attacker import Attacker
from tests.support.deployment import GRACE, SUBJECT_KEY, TABLE
from tests.support.leaks import WATCH
from tests.support.long import long_but
from tests.support.operator import EVERYONE, operate
from tests.support.people import PERSON_SCOPE, code_of, device, ended, listed, reference, references
from tests.support.people_writer import (
    ITEMS,
    OF_APPS,
    OF_THIEF,
    OF_VICTIM,
    ONE,
    REGISTERED,
    THIEF,
    TWO,
    URIS,
    VICTIM,
    Item,
    Stage,
)
from tests.support.row_writer import RowWriter, made_up_handle, made_up_token
from tests.support.world import Phone, World, running_world

STORES = ["secrets", "row"]
PATH = f"/backend/{ONE}/token"
Patch = pytest.MonkeyPatch


@pytest.fixture(autouse=True)
def _an_attacker_with_time(monkeypatch: Patch) -> None:
    """Take away the limits by person and address, because they only slow an attacker down."""
    monkeypatch.setattr(session_list, "_LISTS_A_MINUTE", 10**6)
    monkeypatch.setattr(other_sessions, "_ENDS_A_MINUTE", 10**6)


@pytest.fixture(params=STORES)
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    with running_world(TOKEN_STORE=request.param, APPS=REGISTERED, SOURCE_LIMIT="0") as world:
        yield world


AS_THEY_ARE = OF_APPS[0]

# The right to write every row and every item.

# A list can tell no session of the thief's from one that its row names so: only the session itself has the proof.
PASS_FOR_THIEFS = ["nobody", "the thief", "the thief, with the victim's proof", "the thief, guessed"]


def listed_too(stage: Stage, of_victim: str, of_thief: str, of_apps: str, items: str) -> set[str]:
    """Return the references of the victim's sessions that the thief's own list has, after this writing."""
    is_in_list = items in (ITEMS[1], ITEMS[3]) and of_victim in PASS_FOR_THIEFS
    # The seal of the thief's own session does not open for another app.
    is_opened = of_apps == AS_THEY_ARE or stage.world.environment["TOKEN_STORE"] == "secrets"
    if not (is_in_list and is_opened and of_thief == OF_THIEF[0]):
        return set()
    return {session_reference(phone.session_id) for phone in stage.victim.values()}


QUICK_WRITINGS = [("the thief, with the victim's proof", "as it is")]


@pytest.mark.parametrize("writing", long_but(QUICK_WRITINGS, product(OF_VICTIM, OF_THIEF)), ids="; ".join)
@pytest.mark.parametrize("world", long_but(["secrets"], STORES), indirect=True)
def test_no_writing_of_rows_and_items_gives_a_token_or_a_session_of_somebody_else(
    world: World, writing: tuple[str, str]
) -> None:
    stage = Stage.of(world)
    called = len(world.token_requests())
    for rest in product(OF_APPS, ITEMS):
        stage.write(*writing, *rest)
        written = world.rows()
        # A list may have the victim's sessions, with their times. It has no token.
        assert stage.loot() == listed_too(stage, *writing, *rest), rest
        assert world.rows() == written
    assert len(world.token_requests()) == called
    assert world.telemetry.counted("SessionsEnded") == 0
    stage.restore()
    for phone in stage.phones:
        assert phone.refresh().status == 200
        assert stage.ask(phone).status == 200


@pytest.mark.parametrize("of_victim", long_but(["the thief"], OF_VICTIM))
@pytest.mark.parametrize("world", long_but(["row"], STORES), indirect=True)
def test_nobody_else_is_asked_for_at_aries_when_tokens_are_near_their_end(world: World, of_victim: str) -> None:
    """A renewal takes a lease and calls Aries, so the proof must come before it."""
    stage = Stage.of(world)
    secrets = [world.tokens(phone.session_id) for phone in stage.victim.values()]
    theirs = {secret.refresh_token.reveal() for secret in secrets if secret.refresh_token}
    assert len(theirs) == 2
    world.clock.time = secrets[0].access_expires_at - 59
    stage.write(of_victim, OF_THIEF[0], AS_THEY_ARE, ITEMS[3])
    written = [phone.row() for phone in stage.victim.values()]
    assert stage.loot() == listed_too(stage, of_victim, OF_THIEF[0], AS_THEY_ARE, ITEMS[3])
    assert [phone.row() for phone in stage.victim.values()] == written
    asked = [request.get("refresh_token") for request in world.token_requests()]
    assert theirs.isdisjoint(asked)
    # The thief's own were renewed.
    assert len([token for token in asked if token]) == 2


@pytest.mark.parametrize("how", long_but(["others"], ["others", "one"]))
@pytest.mark.parametrize("of_thief", long_but(OF_THIEF[:1], OF_THIEF))
@pytest.mark.parametrize("world", ["row"], indirect=True)
def test_a_writer_ends_exactly_the_sessions_that_they_wrote_into_their_own_item(
    world: World, of_thief: str, how: str
) -> None:
    """The writer could end these sessions by their rows, too. A subject without its proof ends none."""
    stage = Stage.of(world)
    for of_victim, items in product(OF_VICTIM, ITEMS):
        stage.write(of_victim, of_thief, AS_THEY_ARE, items)
        for phone in stage.victim.values() if how == "one" else [None]:
            fields = {"session": reference(phone)} if phone else {"others": "true"}
            assert ended(stage.thief[ONE], **fields).status == 200
        over = {phone.session_id for phone in stage.phones if phone.row()["status"] != "active"}
        is_own = of_thief == OF_THIEF[0]
        expected = {phone.session_id for phone in stage.victim.values()} if items in (ITEMS[1], ITEMS[3]) else set()
        if how == "others":
            # That is what the request is for.
            expected = expected | {stage.thief[TWO].session_id}
        assert over == (expected if is_own else set()), (of_victim, items)


# The harm that is left, as docs/security.md tells it.


def update(stage: Stage, phone: Phone, changes: Item) -> None:
    RowWriter(stage.world, ("UpdateItem",)).update(phone.session_id, changes)


@pytest.mark.parametrize("world", ["row"], indirect=True)
def test_a_writer_can_show_a_person_a_session_too_many_and_the_person_can_end_it(world: World) -> None:
    stage = Stage.of(world)
    stage.write("as it is", "as it is", AS_THEY_ARE, ITEMS[2])
    victims = {reference(phone) for phone in stage.victim.values()}
    assert set(references(listed(stage.victim[ONE]))) == victims
    stage.write("as it is", "nobody", AS_THEY_ARE, ITEMS[2])
    thiefs = {reference(phone) for phone in stage.thief.values()}
    assert set(references(listed(stage.victim[ONE]))) == victims | thiefs
    assert ended(stage.victim[ONE], others="true").json == {"ended": 3, "complete": True}
    assert [phone.row()["status"] for phone in stage.thief.values()] == ["revoked"] * 2


@pytest.mark.parametrize("how", ["out of the item", "another person in the row"])
@pytest.mark.parametrize("world", ["row"], indirect=True)
def test_a_writer_can_hide_a_session_from_its_person_and_from_a_backend_that_names_the_person(
    world: World, how: str
) -> None:
    stage = Stage.of(world)
    hidden, own = stage.victim[ONE], stage.victim[TWO]
    if how == "out of the item":
        written(stage, {f"sessions {ONE}": {"SS": [own.session_id]}})
    else:
        update(stage, hidden, {"subject": stage.before[stage.thief[ONE].session_id]["subject"]})
    assert references(listed(own)) == [reference(own)]
    assert ask_by_user(world, VICTIM.id) == 400
    # A sign-out of all others ends each session of the item. It does not look whom a row names.
    assert ended(own, others="true").json["ended"] == (0 if how == "out of the item" else 1)


@pytest.mark.parametrize("world", ["secrets"], indirect=True)
def test_a_writer_can_keep_a_session_from_learning_its_person(world: World) -> None:
    silent = world.make_handler("token", ARIES_USER_URL=world.aries.url + "/nothing-here")
    phones = [world.phone(scope=PERSON_SCOPE, client_id=ONE, redirect_uri=URIS[ONE]) for _ in range(3)]
    for phone in phones:
        assert phone.redeem(code_of(phone, VICTIM), via=silent).status == 200
    stage = Stage.of(world)
    update(stage, phones[0], {"subject": stage.before[stage.thief[ONE].session_id]["subject"]})
    update(stage, phones[1], {"subject_tried_at": {"N": str(int(world.clock.now()) + 10**9)}})
    world.clock.time += GRACE + 1
    for phone in phones:
        assert phone.refresh().status == 200
    # A subject without its proof is none, and the refresh has learned the person.
    known = references(listed(phones[2]))
    assert [reference(phone) in known for phone in phones] == [True, False, True]
    assert [listed(phone).json["complete"] for phone in phones] == [True, False, True]


@pytest.mark.parametrize("world", ["row"], indirect=True)
def test_a_writer_can_keep_a_backend_that_names_a_person_from_its_tokens(world: World) -> None:
    stage = Stage.of(world)
    foreign = [device(world, THIEF, client_id=ONE, redirect_uri=URIS[ONE]) for _ in range(2)]
    assert ask_by_user(world, VICTIM.id) == 200
    later = {"N": str(world.clock.now() + 1)}
    for phone in foreign:
        update(stage, phone, {"subject": stage.before[stage.victim[ONE].session_id]["subject"], "rotated_at": later})
    ids = [phone.session_id for phone in (stage.victim[ONE], *foreign)]
    written(stage, {f"sessions {ONE}": {"SS": sorted(ids)}})
    assert ask_by_user(world, VICTIM.id) == 400
    # The handle of the session is as good as before.
    assert stage.ask(stage.victim[ONE]).status == 200


@pytest.mark.parametrize("world", ["row"], indirect=True)
def test_a_writer_with_a_stolen_token_ends_the_persons_other_sessions_without_a_fresh_sign_in(world: World) -> None:
    stage = Stage.of(world)
    world.clock.time += other_sessions.SIGN_IN_AGAIN_SECONDS
    stolen_from = stage.victim[ONE]
    assert ended(stolen_from, others="true").status == 403
    update(stage, stolen_from, {"created_at": {"N": str(int(world.clock.now()))}})
    assert ended(stolen_from, others="true").json == {"ended": 1, "complete": True}


@pytest.mark.parametrize("world", ["row"], indirect=True)
def test_a_writer_lets_a_sign_in_that_was_signed_out_go_on(world: World) -> None:
    stage = Stage.of(world)
    waiting = world.phone(scope=PERSON_SCOPE, client_id=ONE, redirect_uri=URIS[ONE])
    code = code_of(waiting, VICTIM)
    cut_off = {f"not_before {ONE}": {"N": str(int(world.clock.now()))}}
    written(stage, cut_off)
    assert waiting.redeem(code).status == 400
    update(stage, waiting, {"created_at": {"N": str(int(world.clock.now()) + 1)}})
    assert waiting.redeem(code).status == 200


@pytest.mark.parametrize("world", ["row"], indirect=True)
def test_a_writer_lengthens_a_session_for_the_holder_of_its_handle_alone(world: World) -> None:
    stage = Stage.of(world)
    phone = stage.victim[ONE]
    world.clock.time += 31 * 24 * 60 * 60
    assert stage.ask(phone).status == 400
    far = {"N": str(int(world.clock.now()) + 10**6)}
    update(stage, phone, {"expires_at": far, "ends_at": far})
    assert world.backend({"backend_handle": made_up_handle(phone.session_id)}, path=PATH).status == 400
    assert stage.ask(phone).status == 200


@pytest.mark.parametrize("of_victim", OF_VICTIM)
@pytest.mark.parametrize("world", ["row"], indirect=True)
def test_a_sign_out_on_call_ends_what_a_writer_hung_on_the_person_if_its_row_names_them_or_nobody(
    world: World, of_victim: str
) -> None:
    stage = Stage.of(world)
    stage.write(of_victim, "as it is", AS_THEY_ARE, ITEMS[1])
    assert operate(world, action="revoke", user=THIEF.id)["finished"] is True
    assert [phone.row()["status"] for phone in stage.thief.values()] == ["revoked"] * 2
    expected = "revoked" if of_victim in PASS_FOR_THIEFS else "active"
    assert [phone.row()["status"] for phone in stage.victim.values()] == [expected] * 2


def test_a_session_of_one_app_may_pass_for_another_app_in_lists_and_gets_no_token_of_that_app() -> None:
    """Its person is the same, and the list is of this person alone. A session in the row does not even do so."""
    apps = {client_id: app | {"sessions": "app"} for client_id, app in json.loads(REGISTERED).items()}
    for store in STORES:
        with running_world(TOKEN_STORE=store, APPS=json.dumps(apps), SOURCE_LIMIT="0") as world:
            stage = Stage.of(world)
            own, other = stage.thief[TWO], stage.thief[ONE]
            assert references(listed(own)) == [reference(own)]
            RowWriter(world, ("UpdateItem",)).update(own.session_id, {"client_id": {"S": ONE}})
            answer = listed(own, client_id=ONE)
            if store == "row":
                assert answer.status == 503
            else:
                assert set(references(answer)) == {reference(own), reference(other)}
            asked = world.backend({"backend_handle": own.backend_handle}, path=PATH)
            assert asked.status in (400, 503)


def written(stage: Stage, changes: Item) -> None:
    RowWriter(stage.world, ("UpdateItem",)).update(f"person#{stage.subject(stage.victim)}", changes)


# Values that the broker cannot have written, by attribute. VICTIM stands for a session of the person.
OF_ANOTHER_FORM: dict[str, Item] = {
    "sessions that are a text": {f"sessions {ONE}": {"S": "x"}},
    "sessions that are a number": {f"sessions {ONE}": {"N": "1"}},
    "sessions that are numbers": {f"sessions {ONE}": {"NS": ["1"]}},
    "sessions that are bytes": {f"sessions {ONE}": {"BS": [b"x"]}},
    "sessions that are a list": {f"sessions {ONE}": {"L": [{"S": "x"}]}},
    "sessions that are null": {f"sessions {ONE}": {"NULL": True}},
    "the control item as a session": {f"sessions {ONE}": {"SS": ["cut-offs", "VICTIM"]}},
    "a person as a session": {f"sessions {ONE}": {"SS": ["person#k1.x", "VICTIM"]}},
    "a session with an empty id": {f"sessions {ONE}": {"SS": ["", "VICTIM"]}},
    "a session with a huge id": {f"sessions {ONE}": {"SS": ["x" * 3000, "VICTIM"]}},
    "sessions of no app": {"sessions ": {"SS": ["x"]}},
    "sessions of an unknown app": {"sessions nobody": {"SS": ["x"]}},
    "a cut-off of an unknown app": {"not_before nobody": {"N": "5"}},
    "a cut-off that is a text": {f"not_before {ONE}": {"S": "x"}},
    "a cut-off with a fraction": {f"not_before {ONE}": {"N": "1.5"}},
    "a cut-off after all times": {f"not_before {ONE}": {"N": "1e125"}},
    "a cut-off before all times": {f"not_before {ONE}": {"N": "-1e125"}},
    "a cut-off that is a list": {f"not_before {ONE}": {"L": []}},
    "a count that is a text": {"joins": {"S": "x"}},
    "a count with a fraction": {"joins": {"N": "1.5"}},
    "a count beyond all digits": {"joins": {"N": "1e125"}},
    "a count below zero": {"joins": {"N": "-3"}},
    "a count that is a set": {"joins": {"SS": ["x"]}},
    "a count that is null": {"joins": {"NULL": True}},
    "an end that is a text": {"expires_at": {"S": "x"}},
    "an end that is a list": {"expires_at": {"L": []}},
}
QUICK_FORMS = ["a session with an empty id", "a count that is a text", "a count beyond all digits"]


@pytest.mark.parametrize("form", long_but(QUICK_FORMS, OF_ANOTHER_FORM))
@pytest.mark.parametrize("world", ["row"], indirect=True)
def test_an_item_of_another_form_locks_nobody_out_and_its_person_can_be_signed_out_and_forgotten(
    world: World, form: str
) -> None:
    stage = Stage.of(world)
    victim, other = stage.victim[ONE], stage.victim[TWO]
    changes = {
        name: {kind: [victim.session_id if one == "VICTIM" else one for one in value] if kind == "SS" else value}
        for name, change in OF_ANOTHER_FORM[form].items()
        for kind, value in change.items()
    }
    asked: list[Any] = []
    real = SessionRows._items

    def watched(self: Any, session_ids: list[str], invocation: Any) -> Any:
        asked.extend(session_ids)
        return real(self, session_ids, invocation)

    with mock.patch.object(SessionRows, "_items", watched):
        written(stage, changes)
        assert listed(other).status == 200
        assert ask_by_user(world, VICTIM.id) in (200, 400)
    # DynamoDB refuses to read many rows if one key is none.
    assert all(0 < len(session_id) <= 43 for session_id in asked)
    written(stage, changes)
    assert device(world, VICTIM, client_id=ONE, redirect_uri=URIS[ONE]).row()["status"] == "active"
    written(stage, changes)
    assert ended(other, others="true").status == 200
    written(stage, changes)
    assert "error" not in operate(world, action="sessions", user=VICTIM.id)
    assert operate(world, action="revoke", user=VICTIM.id)["finished"] is True
    written(stage, changes)
    assert operate(world, action="forget", user=VICTIM.id)["forgotten"] is True
    assert world.row(f"person#{stage.subject(stage.victim)}") is None
    assert world.telemetry.counted("InternalErrors") == 0
    assert [phone.row()["status"] for phone in stage.thief.values()] == ["active"] * 2


def ask_by_user(world: World, user: str) -> int:
    return world.backend({"user": user}, path=PATH).status


def cut_off_now(stage: Stage) -> None:
    written(stage, {f"not_before {ONE}": {"N": str(int(stage.world.clock.now()) + 7000)}})


def fill_the_item(stage: Stage) -> None:
    """Leave no room for another session."""
    for left in count(500, 20):
        with suppress(stage.world.dynamodb.exceptions.ClientError):
            written(stage, {"filling": {"S": "x" * (400 * 1024 - left)}})
            return


@pytest.mark.parametrize("write", [cut_off_now, fill_the_item])
@pytest.mark.parametrize("world", ["row"], indirect=True)
def test_a_writer_can_keep_a_person_from_signing_in_until_the_item_is_deleted(
    world: World, write: Callable[[Stage], None]
) -> None:
    """The harm that is left: the sessions go on, and nobody else is harmed."""
    stage = Stage.of(world)
    write(stage)
    phone = world.phone(scope=PERSON_SCOPE, client_id=ONE, redirect_uri=URIS[ONE])
    assert phone.redeem(code_of(phone, VICTIM)).status in (400, 503)
    for known in stage.phones:
        assert known.refresh().status == 200
    assert device(world, THIEF, client_id=ONE, redirect_uri=URIS[ONE]).row()["status"] == "active"
    world.dynamodb.delete_item(TableName=TABLE, Key={"session_id": {"S": f"person#{stage.subject(stage.victim)}"}})
    assert device(world, VICTIM, client_id=ONE, redirect_uri=URIS[ONE]).row()["status"] == "active"


def test_a_session_that_was_signed_out_comes_back_with_its_row_for_its_backend_if_its_tokens_are_in_the_row(
    world: World,
) -> None:
    """The holder of the handle is let in as the holder of the token is. A mass sign-out ends the session for good."""
    phone = one_session(world)
    backup = world.rows()
    asked: list[dict[str, str]] = [{"backend_handle": phone.backend_handle}, {"user": VICTIM.id}]
    assert phone.revoke().status == 200
    for row in backup:
        world.dynamodb.put_item(TableName=TABLE, Item=row)
    is_back = world.environment["TOKEN_STORE"] == "row"
    assert [world.backend(members, path=PATH).status for members in asked] == [200 if is_back else 503] * 2
    assert operate(world, **EVERYONE)["finished"] is True
    for row in backup:
        world.dynamodb.put_item(TableName=TABLE, Item=row)
    assert [world.backend(members, path=PATH).status for members in asked] == [400] * 2


# A copy of the table.


def stolen(world: World) -> list[Item]:
    """Return a copy of a table with two people, two apps and every kind of attribute of a session."""
    stage = Stage.of(world)
    world.clock.time += GRACE + 1
    for phone in stage.phones:
        assert phone.refresh().status == 200
        assert ended(phone, session=16 * "0").status == 200
    device(world, VICTIM, client_id=ONE, redirect_uri=URIS[ONE])
    world.clock.time = world.tokens(stage.victim[ONE].session_id).access_expires_at - 59
    assert stage.ask(stage.victim[ONE]).status == 200
    return world.rows()


def test_a_copy_of_the_table_has_no_handle_no_token_and_nobodys_id(world: World) -> None:
    secrets: set[str] = {SUBJECT_KEY, THIEF.id, VICTIM.id, THIEF.email, VICTIM.email, THIEF.name, VICTIM.name}
    keep = Phone._keep

    def kept(self: Phone, answer: Any) -> Any:
        if answer.status == 200:
            secrets.update({answer.json["access_token"], answer.json["refresh_token"], answer.json["backend_handle"]})
        return keep(self, answer)

    with mock.patch.object(Phone, "_keep", kept):
        rows = stolen(world)
    assert len(secrets) > 20
    names = {name for row in rows for name in row}
    assert {f"sessions {ONE}", f"sessions {TWO}", "joins", "subject", "renewed_at"} <= names
    texts = "\n".join(texts_in(rows))
    macs = {secret.rpartition(".")[2] for secret in secrets}
    for secret in secrets | {mac for mac in macs if len(mac) >= 43}:
        assert secret not in texts
        assert secret.encode().hex() not in texts


def one_session(world: World) -> Phone:
    phone = device(world, VICTIM, client_id=ONE, redirect_uri=URIS[ONE])
    world.clock.time += GRACE + 1
    return phone


@pytest.mark.parametrize("world", long_but(["row"], STORES), indirect=True)
def test_a_copy_of_the_table_opens_nothing_at_any_route_and_ends_nothing(world: World) -> None:
    """IAM even lets this thief ask by the path of every app with a backend."""
    victim = one_session(world)
    before = world.rows()
    assert len(before) == 2
    thief = Attacker.with_all_in(world, before, client_id=ONE, redirect_uri=URIS[ONE])
    assert {victim.session_id, victim.row()["subject"], reference(victim)} <= set(thief.values)
    assert thief.loot() == []
    assert world.rows() == before
    assert victim.refresh().status == 200
    # The search finds real loot, so the empty result above means something.
    for loot, given in FOUND:
        phone = one_session(world)
        found = Attacker(world, [loot(phone)], client_id=ONE, redirect_uri=URIS[ONE]).loot()
        assert all(any(name in answer for answer in found) for name in given), given


# What the search finds by a real loot.
FOUND: list[tuple[Callable[[Phone], str], tuple[str, ...]]] = [
    (lambda victim: victim.backend_handle, ("access_token",)),
    (lambda victim: VICTIM.id, ("access_token",)),
    (lambda victim: victim.refresh_token, ('"sessions"', '"ended"')),
]


def guessed(kinds: Callable[[str], Iterator[str]]) -> dict[str, str]:
    """Return the subjects that a thief makes for a thousand ids, with the ids."""
    return {subject: f"usr_{number}" for number in range(1000, 2000) for subject in kinds(f"usr_{number}")}


def known_subjects(rows: list[Item]) -> set[str]:
    found = {row["session_id"]["S"].removeprefix("person#") for row in rows if "joins" in row}
    assert len(found) == 2
    return found


def subjects_by(world: World, keys: list[bytes]) -> Callable[[str], Iterator[str]]:
    """Make subjects by every key, of the id alone and with Aries' URL, as the broker does and in simpler ways."""
    url = world.environment["ARIES_USER_URL"]

    def made(user_id: str) -> Iterator[str]:
        for said in (f"{url}\0{user_id}".encode(), user_id.encode()):
            yield "k1." + base64url(sha256(said).digest())
            yield "k1." + digest(said.decode())
            for key in keys:
                yield "k1." + base64url(hmac.digest(key, said, "sha256"))
                yield "k1." + base64url(sha256(key + said).digest())

    return made


def keys_in(rows: list[Item]) -> list[bytes]:
    return [b"", *(text.encode() for text in sorted(set(texts_in(rows))))]


@pytest.mark.parametrize("world", ["secrets"], indirect=True)
def test_a_copy_of_the_table_does_not_tell_who_the_people_are_without_the_key(world: World) -> None:
    rows = stolen(world)
    assert known_subjects(rows).isdisjoint(guessed(subjects_by(world, keys_in(rows))))


# The table, and the key of the subjects.


@pytest.mark.parametrize("world", ["secrets"], indirect=True)
def test_the_table_and_the_key_tell_who_the_people_are_and_which_sessions_are_theirs(world: World) -> None:
    """The subject is a pseudonym, and no more: a thief of both tries all small ids."""
    rows = stolen(world)
    made = guessed(subjects_by(world, [SUBJECT_KEY.encode()]))
    found = {made[subject] for subject in known_subjects(rows) if subject in made}
    assert found == {THIEF.id, VICTIM.id}


@pytest.mark.long
@pytest.mark.parametrize("store", STORES)
def test_the_table_and_the_key_open_nothing_at_any_route_and_end_nothing(store: str) -> None:
    """IAM lets this thief ask by the path of every app whose backend has handles.

    A policy for an app whose backend may name people would open their sessions, without the table and the key too.
    """
    registered = json.loads(REGISTERED)
    apps = {client_id: registered[client_id] | {"backend": True} for client_id in URIS}
    with running_world(TOKEN_STORE=store, APPS=json.dumps(apps), SOURCE_LIMIT="0") as world:
        victim = one_session(world)
        before = world.rows()
        key = [SUBJECT_KEY, VICTIM.id, *subjects_by(world, [SUBJECT_KEY.encode()])(VICTIM.id)]
        thief = Attacker.with_all_in(world, [before, key], client_id=ONE, redirect_uri=URIS[ONE])
        assert SUBJECT_KEY in thief.values
        assert thief.loot() == []
        assert world.rows() == before
        assert victim.refresh().status == 200


@pytest.mark.parametrize("world", ["secrets"], indirect=True)
def test_the_key_makes_no_proof_of_a_subject(world: World) -> None:
    """With the right to write rows too: the key of the subjects is none of a session's keys."""
    stage = Stage.of(world)
    victim = stage.victim[ONE]
    thief = stage.subject(stage.thief)
    said = json.dumps(["subject", victim.session_id, thief]).encode()
    forged = f"{thief}.{base64url(hmac.digest(SUBJECT_KEY.encode(), said, 'sha256'))[:22]}"
    stage.write("nobody", OF_THIEF[0], AS_THEY_ARE, ITEMS[3])
    RowWriter(world, ("UpdateItem",)).update(victim.session_id, {"subject": {"S": forged}})
    tokens = {phone.access_token for phone in stage.victim.values()}
    assert stage.loot().isdisjoint(tokens)


# The attacks are real: without each of these checks, the same searches find something.


def no_proof_in_a_list(patch: Patch) -> None:
    patch.setattr(subjects, "is_subject_proven", lambda *_: True)


def no_proof_for_a_backend(patch: Patch) -> None:
    patch.setattr(by_user, "is_subject_proven", lambda *_: True)


def any_person_of_an_item_for_a_backend(patch: Patch) -> None:
    patch.setattr(by_user, "subject_of", lambda _: mock.ANY)


def any_person_of_an_item_in_a_list(patch: Patch) -> None:
    patch.setattr(session_list, "is_of", lambda *_: True)


def any_app_for_a_backend(patch: Patch) -> None:
    """The holder, and the app in the context of a seal."""
    context = seal_module._context

    def without_the_app(*given: Any) -> dict[str, str]:
        return {name: value for name, value in context(*given).items() if name != "client_id"}

    patch.setattr(seal_module, "_context", without_the_app)
    patch.setattr(access, "hmac", SimpleNamespace(compare_digest=lambda *_: True))


def any_handle(patch: Patch) -> None:
    patch.setattr(BackendHandle, "is_authentic", lambda *_: True)


def no_proof_of_a_token_in_a_list(patch: Patch) -> None:
    patch.setattr(callers, "refuse_forged", lambda *_: None)


def nobody_asked_iam(patch: Patch) -> None:
    patch.setattr(http, "_caller", lambda _: "anybody")


def a_subject_without_the_key(patch: Patch) -> None:
    patch.setattr(subjects.Subjects, "of", lambda _, user_id: "k1." + digest(user_id))


Hunt = Callable[[World], set[str]]


def writing(of_victim: str, of_thief: str, of_apps: str, items: str) -> Hunt:
    """Return the hunt after this writing: it finds tokens and sessions beyond those of the known harm."""

    def hunt(world: World) -> set[str]:
        stage, rows = Stage.of(world), (of_victim, of_thief, of_apps, items)
        stage.write(*rows)
        return stage.loot() - listed_too(stage, *rows)

    return hunt


def a_made_up_token_in_the_row(world: World) -> set[str]:
    """Ask for the sessions of the victim, after the writer has named a token of their own in the row."""
    victim = world.signed_in()
    forged = made_up_token(victim.session_id, 1)
    RowWriter(world, ("UpdateItem",)).update(victim.session_id, {"handle_hash": {"S": digest(forged)}})
    with WATCH.guessing():
        answer = listed(victim, token=forged)
    return set(references(answer)) if answer.status == 200 else set()


def a_handle_without_a_policy(world: World) -> set[str]:
    victim = one_session(world)
    answer = world.backend({"backend_handle": victim.backend_handle}, path=PATH, caller="")
    return {answer.body} if answer.status == 200 else set()


def people_by_their_subjects(world: World) -> set[str]:
    rows = stolen(world)
    return known_subjects(rows) & guessed(subjects_by(world, keys_in(rows))).keys()


MUTANTS: list[tuple[Callable[[Patch], None], Hunt]] = [
    (no_proof_in_a_list, writing("as it is", "the victim", AS_THEY_ARE, ITEMS[0])),
    (no_proof_in_a_list, writing("as it is", "the victim, with the thief's proof", AS_THEY_ARE, ITEMS[0])),
    (no_proof_for_a_backend, writing("the thief", "as it is", AS_THEY_ARE, ITEMS[1])),
    (no_proof_for_a_backend, writing("the thief, with the victim's proof", "nobody", AS_THEY_ARE, ITEMS[3])),
    (any_person_of_an_item_for_a_backend, writing("as it is", "as it is", AS_THEY_ARE, ITEMS[1])),
    (any_person_of_an_item_in_a_list, writing("as it is", "as it is", AS_THEY_ARE, ITEMS[1])),
    (any_app_for_a_backend, writing("as it is", "as it is", "the other one", ITEMS[0])),
    (any_handle, writing("as it is", "as it is", AS_THEY_ARE, ITEMS[0])),
    (no_proof_of_a_token_in_a_list, a_made_up_token_in_the_row),
    (nobody_asked_iam, a_handle_without_a_policy),
    (a_subject_without_the_key, people_by_their_subjects),
]


def name_of(mutant: tuple[Callable[[Patch], None], Hunt]) -> str:
    return mutant[0].__name__


@pytest.mark.parametrize("mutant", MUTANTS, ids=name_of)
@pytest.mark.parametrize("world", long_but(["secrets"], STORES), indirect=True)
def test_without_the_check_the_same_search_finds_something(
    world: World, mutant: tuple[Callable[[Patch], None], Hunt]
) -> None:
    mutate, hunt = mutant
    with pytest.MonkeyPatch.context() as patch:
        mutate(patch)
        assert hunt(world)


@pytest.mark.long
@pytest.mark.parametrize("mutant", MUTANTS, ids=name_of)
def test_with_the_check_it_finds_nothing(world: World, mutant: tuple[Callable[[Patch], None], Hunt]) -> None:
    assert mutant[1](world) == set()
