"""The operator's commands, validated. The actions accept these types alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from oauth_broker.aries.user import user_id_of
from oauth_broker.operator.errors import InvalidCommand
from oauth_broker.secret import Secret

_OPERATOR = re.compile(r"[A-Za-z0-9._@+-]{1,64}")
_REFERENCE = re.compile(r"[0-9a-f]{16}")
_CLIENT_ID = re.compile(r"[A-Za-z0-9._~-]{1,64}")
_MOST_LETTERS = 1000
# SAM CLI and the AWS CLI wait 60 seconds for an answer. Then they repeat the invocation by themselves, more than once.
# Less than 45 seconds is too short for any work.
_LEAST_SECONDS = 45
_SECONDS = 55
# Lambda's longest run time, for a caller that does not wait.
_MOST_SECONDS = 900


@dataclass(frozen=True, slots=True)
class Command:
    """Any command. ``operator`` is the name that the caller claims, for the audit line; CloudTrail knows for sure.

    ``seconds`` is the time within which the answer must come.
    """

    action: ClassVar[str]
    operator: str
    seconds: int


@dataclass(frozen=True, slots=True)
class ShowSession(Command):
    """Show one session. ``reference`` is its name in log lines."""

    action: ClassVar[str] = "session"
    reference: str


@dataclass(frozen=True, slots=True)
class RevokeSession(Command):
    """End one session."""

    action: ClassVar[str] = "revoke"
    reference: str


@dataclass(frozen=True, slots=True)
class ShowPerson(Command):
    """Show all sessions of a person.

    ``user`` is the person's id at Aries. It is masked like a secret, because it belongs in no log line and no answer.
    """

    action: ClassVar[str] = "sessions"
    user: Secret


@dataclass(frozen=True, slots=True)
class RevokePerson(Command):
    """End all sessions of a person."""

    action: ClassVar[str] = "revoke"
    user: Secret


@dataclass(frozen=True, slots=True)
class ForgetPerson(Command):
    """End all sessions of a person, and delete the person's item."""

    action: ClassVar[str] = "forget"
    user: Secret


Step = Literal["start", "continue", "status"]


@dataclass(frozen=True, slots=True)
class RevokeAll(Command):
    """End all sessions of an app, or of everyone if ``client_id`` is None.

    ``step`` says whether to begin, to continue, or only to report the progress. ``removed_app`` confirms an app that is
    no longer registered.
    """

    action: ClassVar[str] = "revoke_all"
    client_id: str | None
    step: Step
    removed_app: bool


@dataclass(frozen=True, slots=True)
class CountSessions(Command):
    """Count the live sessions of every app. ``step`` says whether to begin, to continue, or only to report."""

    action: ClassVar[str] = "count"
    step: Step


@dataclass(frozen=True, slots=True)
class CheckConfiguration(Command):
    """Check the settings, and the services behind them."""

    action: ClassVar[str] = "check"


@dataclass(frozen=True, slots=True)
class Redrive(Command):
    """Do the work of up to ``limit`` dead letters of cleanup. ``drop_lost`` removes the letters that are lost."""

    action: ClassVar[str] = "redrive"
    limit: int
    drop_lost: bool


def parse_command(event: object) -> Command:
    """Validate the event of an invocation. Raises InvalidCommand, which names the wrong member."""
    if not isinstance(event, dict):
        raise InvalidCommand('The event must be a JSON object such as {"action": "check", "operator": "your name"}.')
    members = _Members(event)
    action = members.choice("action", _ACTIONS)
    operator = members.text("operator", _OPERATOR, "your name: 1 to 64 letters, digits, '.', '_', '@', '+' or '-'")
    seconds = members.integer("seconds", _LEAST_SECONDS, _MOST_SECONDS, _SECONDS)
    command = action(members, operator, seconds)
    members.refuse_others()
    return command


class _Members:
    """The members of a command. Unknown members are refused, so that a misspelt one is not ignored."""

    def __init__(self, members: Mapping[str, Any]) -> None:
        self._members = members
        self._known: list[str] = []

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def choice(self, name: str, choices: Mapping[str, _Parser]) -> _Parser:
        value = self._get(name)
        if not isinstance(value, str) or value not in choices:
            raise _wrong(name, f"one of {', '.join(choices)}")
        return choices[value]

    def text(self, name: str, form: re.Pattern[str], what: str) -> str:
        value = self._get(name)
        if not isinstance(value, str) or form.fullmatch(value) is None:
            raise _wrong(name, what)
        return value

    def user(self) -> Secret:
        text = user_id_of(self._get("user"))
        if text is None:
            raise _wrong("user", "the id of a user at Aries: a text of 1 to 256 bytes, or a whole number")
        return Secret(text)

    def flag(self, name: str) -> bool:
        value = self._get(name, default=False)
        if not isinstance(value, bool):
            raise _wrong(name, "true or false")
        return value

    def integer(self, name: str, lowest: int, highest: int, default: int) -> int:
        value = self._get(name, default=default)
        # bool is an int to Python, not to JSON.
        if not isinstance(value, int) or isinstance(value, bool) or not lowest <= value <= highest:
            raise _wrong(name, f"a whole number from {lowest} to {highest}")
        return value

    def refuse_others(self) -> None:
        if others := self._members.keys() - set(self._known):
            raise InvalidCommand(
                f'The member "{min(others)}" is unknown. This action knows: {", ".join(self._known)}.', "unknown_member"
            )

    def _get(self, name: str, *, default: object = None) -> object:
        self._known.append(name)
        return self._members.get(name, default)


_Parser = Callable[[_Members, str, int], Command]


def _wrong(name: str, what: str) -> InvalidCommand:
    return InvalidCommand(f'The member "{name}" must be {what}.', f"wrong_{name}")


def _reference(members: _Members) -> str:
    return members.text("session", _REFERENCE, 'the 16 hexadecimal digits in the member "session" of log lines')


def _revoke(members: _Members, operator: str, seconds: int) -> RevokeSession | RevokePerson:
    if "user" not in members:
        return RevokeSession(operator, seconds, _reference(members))
    if "session" in members:
        raise InvalidCommand(
            'Give either "session", to end one session, or "user", to end all sessions of a person.', "wrong_scope"
        )
    return RevokePerson(operator, seconds, members.user())


def _step(members: _Members, seconds: int) -> Step:
    goes_on, is_status = members.flag("continue"), members.flag("status")
    if goes_on and is_status:
        raise InvalidCommand('Give either "continue" or "status", not both.', "wrong_step")
    step: Step = "continue" if goes_on else "status" if is_status else "start"
    if step == "start" and seconds > _SECONDS:
        # SAM CLI would repeat a longer command. A mass sign-out would sign out again the users who have just come back,
        # and a count would begin anew.
        raise InvalidCommand(f'More than {_SECONDS} "seconds" need "continue": true.', "wrong_seconds")
    return step


def _count(members: _Members, operator: str, seconds: int) -> CountSessions:
    return CountSessions(operator, seconds, _step(members, seconds))


def _revoke_all(members: _Members, operator: str, seconds: int) -> RevokeAll:
    client_id = members.text("client_id", _CLIENT_ID, "a client id") if "client_id" in members else None
    if members.flag("everyone") == (client_id is not None):
        raise InvalidCommand(
            'Give either "client_id", to end the sessions of one app, or "everyone": true.', "wrong_scope"
        )
    removed_app = client_id is not None and members.flag("removed_app")
    return RevokeAll(operator, seconds, client_id, _step(members, seconds), removed_app)


def _redrive(members: _Members, operator: str, seconds: int) -> Redrive:
    return Redrive(operator, seconds, members.integer("limit", 1, _MOST_LETTERS, 100), members.flag("drop_lost"))


_ACTIONS: Mapping[str, _Parser] = {
    ShowSession.action: lambda members, operator, seconds: ShowSession(operator, seconds, _reference(members)),
    ShowPerson.action: lambda members, operator, seconds: ShowPerson(operator, seconds, members.user()),
    RevokeSession.action: _revoke,
    RevokeAll.action: _revoke_all,
    ForgetPerson.action: lambda members, operator, seconds: ForgetPerson(operator, seconds, members.user()),
    CountSessions.action: _count,
    CheckConfiguration.action: lambda _, operator, seconds: CheckConfiguration(operator, seconds),
    Redrive.action: _redrive,
}
