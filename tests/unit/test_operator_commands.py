"""The commands of operators, and the refusals of malformed ones."""

from __future__ import annotations

from typing import Any

import pytest

from oauth_broker.operator.commands import (
    CheckConfiguration,
    Command,
    CountSessions,
    ForgetPerson,
    Redrive,
    RevokeAll,
    RevokePerson,
    RevokeSession,
    ShowPerson,
    ShowSession,
    parse_command,
)
from oauth_broker.operator.errors import InvalidCommand
from oauth_broker.secret import Secret
from tests.unit.fakes import failure_of

REFERENCE = "8bdb688cd18aebcd"
ANN = {"operator": "ann"}
SESSION = {"action": "session", **ANN, "session": REFERENCE}
ALL = {"action": "revoke_all", **ANN}
APP = {**ALL, "client_id": "app"}
EVERYONE = {**ALL, "everyone": True}
REDRIVE = {"action": "redrive", **ANN}
PERSON = {"action": "sessions", **ANN, "user": "usr_1001"}
COUNT = {"action": "count", **ANN}


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (SESSION, ShowSession("ann", 55, REFERENCE)),
        ({**SESSION, "action": "revoke"}, RevokeSession("ann", 55, REFERENCE)),
        ({**SESSION, "seconds": 45}, ShowSession("ann", 45, REFERENCE)),
        ({**SESSION, "seconds": 900}, ShowSession("ann", 900, REFERENCE)),
        (APP, RevokeAll("ann", 55, "app", "start", removed_app=False)),
        ({**APP, "everyone": False}, RevokeAll("ann", 55, "app", "start", removed_app=False)),
        ({**APP, "removed_app": True}, RevokeAll("ann", 55, "app", "start", removed_app=True)),
        ({**APP, "continue": True}, RevokeAll("ann", 55, "app", "continue", removed_app=False)),
        (EVERYONE, RevokeAll("ann", 55, None, "start", removed_app=False)),
        ({**EVERYONE, "continue": False, "status": False}, RevokeAll("ann", 55, None, "start", removed_app=False)),
        ({**EVERYONE, "status": True}, RevokeAll("ann", 55, None, "status", removed_app=False)),
        ({**EVERYONE, "continue": True, "seconds": 840}, RevokeAll("ann", 840, None, "continue", removed_app=False)),
        (PERSON, ShowPerson("ann", 55, Secret("usr_1001"))),
        ({**PERSON, "user": 1001}, ShowPerson("ann", 55, Secret("1001"))),
        ({**PERSON, "user": "é" * 128}, ShowPerson("ann", 55, Secret("é" * 128))),
        ({**PERSON, "action": "revoke", "seconds": 900}, RevokePerson("ann", 900, Secret("usr_1001"))),
        ({**PERSON, "action": "forget"}, ForgetPerson("ann", 55, Secret("usr_1001"))),
        (COUNT, CountSessions("ann", 55, "start")),
        ({**COUNT, "continue": True, "seconds": 900}, CountSessions("ann", 900, "continue")),
        ({**COUNT, "status": True}, CountSessions("ann", 55, "status")),
        ({"action": "check", **ANN}, CheckConfiguration("ann", 55)),
        (REDRIVE, Redrive("ann", 55, limit=100, drop_lost=False)),
        ({**REDRIVE, "limit": 1000, "drop_lost": True}, Redrive("ann", 55, limit=1000, drop_lost=True)),
        (
            {"action": "check", "operator": "Ann.O_Neill@example.com+x-1"},
            CheckConfiguration("Ann.O_Neill@example.com+x-1", 55),
        ),
    ],
)
def test_a_command_is_read(event: dict[str, Any], expected: Command) -> None:
    command = parse_command(event)
    assert command == expected
    assert type(command) is type(expected)
    assert command.action == event["action"]


def without(event: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in event.items() if key != name}


WRONG_VALUES: list[tuple[dict[str, Any], str, tuple[object, ...]]] = [
    (SESSION, "operator", ("", "a b", "a\n", "é", "a" * 65, 7, None, ["a"])),
    (
        SESSION,
        "session",
        ("", REFERENCE[:-1], REFERENCE + "0", REFERENCE.upper(), f"{REFERENCE}\n", "g" * 16, 7, True),
    ),
    (SESSION, "seconds", (44, 901, 0, -1, 55.0, "55", True, None)),
    (ALL, "client_id", ("", "a b", "a" * 65, "app\n", "a:b", 7, None, True)),
    (ALL, "everyone", ("true", 1, None, [])),
    (EVERYONE, "continue", ("true", 1, None)),
    (EVERYONE, "status", ("true", 1, None)),
    (APP, "removed_app", ("true", 1, None)),
    (PERSON, "user", ("", "u" * 257, "é" * 129, "\ud800", None, True, 1.5, ["usr_1001"], {"id": 1}, 10**5000)),
    ({**PERSON, "action": "revoke"}, "user", ("", None, True)),
    ({**PERSON, "action": "forget"}, "user", ("", None, True)),
    (COUNT, "continue", ("true", 1, None)),
    (COUNT, "seconds", (56, 900)),
    (REDRIVE, "limit", (0, 1001, -1, 1.0, "1", True, None)),
    (REDRIVE, "drop_lost", ("true", 1, None)),
]


@pytest.mark.parametrize(
    ("event", "member"),
    [
        (without(SESSION, "action"), "action"),
        ({**SESSION, "action": "sessions"}, "user"),
        ({**SESSION, "action": "show"}, "action"),
        ({"action": "revoke", **ANN}, "session"),
        (without(PERSON, "user"), "user"),
        ({**PERSON, "session": REFERENCE}, "session"),
        ({**PERSON, "client_id": "app"}, "client_id"),
        ({**COUNT, "client_id": "app"}, "client_id"),
        ({**SESSION, "action": ["session"]}, "action"),
        ({**SESSION, "action": None}, "action"),
        (without(SESSION, "operator"), "operator"),
        (without(SESSION, "session"), "session"),
        *(({**event, member: value}, member) for event, member, values in WRONG_VALUES for value in values),
        # An unknown member, a member of another action, and a member that needs another one.
        ({**SESSION, "sesion": REFERENCE}, "sesion"),
        ({**SESSION, "client_id": "app"}, "client_id"),
        ({**SESSION, "limit": 1}, "limit"),
        ({"action": "check", **ANN, "session": REFERENCE}, "session"),
        ({**EVERYONE, "removed_app": True}, "removed_app"),
        ({**REDRIVE, "everyone": True}, "everyone"),
    ],
)
def test_a_wrong_member_is_named(event: dict[str, Any], member: str) -> None:
    refused = failure_of(InvalidCommand, lambda: parse_command(event))
    assert refused is not None
    assert refused.code == "invalid_request"
    assert f'"{member}"' in refused.message
    assert refused.reason in (f"wrong_{member}", "unknown_member")


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (ALL, ('"client_id"', '"everyone"')),
        ({**ALL, "everyone": False}, ('"client_id"', '"everyone"')),
        ({**EVERYONE, "client_id": "app"}, ('"client_id"', '"everyone"')),
        ({**EVERYONE, "continue": True, "status": True}, ('"continue"', '"status"')),
        ({**COUNT, "continue": True, "status": True}, ('"continue"', '"status"')),
        ({**PERSON, "action": "revoke", "session": REFERENCE}, ('"session"', '"user"')),
    ],
)
def test_both_of_two_members_that_exclude_each_other_are_named(event: dict[str, Any], words: tuple[str, str]) -> None:
    refused = failure_of(InvalidCommand, lambda: parse_command(event))
    assert refused is not None
    assert all(word in refused.message for word in words)


@pytest.mark.parametrize("event", [None, [], "check", 7, True, [SESSION]])
def test_an_event_that_is_no_object_is_no_command(event: object) -> None:
    refused = failure_of(InvalidCommand, lambda: parse_command(event))
    assert refused is not None
    assert "JSON object" in refused.message


@pytest.mark.parametrize("name", ["action", "operator", "session", "seconds"])
def test_no_value_is_repeated(name: str) -> None:
    refused = failure_of(InvalidCommand, lambda: parse_command({**SESSION, name: "canary 1"}))
    assert refused is not None
    assert "canary" not in refused.message + refused.reason


def test_a_user_is_masked_in_the_command_and_repeated_in_no_refusal() -> None:
    assert "usr_1001" not in repr(parse_command(PERSON))
    refused = failure_of(InvalidCommand, lambda: parse_command({**PERSON, "user": "canary" * 50}))
    assert refused is not None
    assert "canary" not in refused.message + refused.reason


def test_the_members_that_there_are_are_listed_where_one_is_unknown() -> None:
    refused = failure_of(InvalidCommand, lambda: parse_command({**REDRIVE, "lmit": 1}))
    assert refused is not None
    assert refused.message.endswith("This action knows: action, operator, seconds, limit, drop_lost.")
