"""The operator's actions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from oauth_broker.clock import Clock
from oauth_broker.errors import ConfigurationError
from oauth_broker.operator.checks import settings_refused
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
)
from oauth_broker.operator.errors import NotConfigured
from oauth_broker.operator.parts import OperatorParts
from oauth_broker.runtime.invocation import Invocation

Actions = Callable[[Command, Invocation], dict[str, Any]]
"""Runs a command and returns its answer. Raises OperatorError, and ServiceUnavailable if AWS fails."""


class OperatorActions:
    """All actions, for valid settings."""

    def __init__(self, parts: OperatorParts) -> None:
        self._sessions = parts.session_actions
        self._person = parts.person_actions
        self._mass_sign_out = parts.mass_sign_out
        self._live_count = parts.live_count
        self._dead_letters = parts.dead_letters
        self._checks = parts.checks
        self._bus = parts.bus

    def __call__(self, command: Command, invocation: Invocation) -> dict[str, Any]:
        """See Actions."""
        invocation.bus = self._bus
        try:
            return self._act(command, invocation)
        finally:
            # After a failure too: the action may have ended a session before it.
            invocation.send_announced()

    def _act(self, command: Command, invocation: Invocation) -> dict[str, Any]:
        match command:
            case ShowSession():
                return self._sessions.show(command.reference)
            case RevokeSession():
                return self._sessions.revoke(command.reference, invocation)
            case ShowPerson():
                return self._person.show(command.user, invocation)
            case RevokePerson():
                return self._person.revoke(command.user, invocation)
            case ForgetPerson():
                return self._person.forget(command.user, invocation)
            case RevokeAll():
                return self._mass_sign_out(command, invocation)
            case CountSessions():
                return self._live_count(command, invocation)
            case Redrive():
                return self._redrive(command, invocation)
            case _:
                return self._checks()

    def _redrive(self, command: Redrive, invocation: Invocation) -> dict[str, Any]:
        if self._dead_letters is None:
            raise NotConfigured("DEAD_LETTER_QUEUE_URL is empty. The template sets it: deploy the stack again.")
        redriven = self._dead_letters.redrive(command.limit, invocation, drop_lost=command.drop_lost)
        return asdict(redriven) | {"in_queue": self._dead_letters.count()}


def make_actions(environment: Mapping[str, str], clock: Clock) -> Actions:
    """Put the actions together. If a setting is wrong, the check names it, and every other action refuses."""
    try:
        parts = OperatorParts.from_environment(environment, clock)
    except ConfigurationError as error:
        return _checks_alone(error)
    return OperatorActions(parts)


def _checks_alone(error: ConfigurationError) -> Actions:
    def act(command: Command, invocation: Invocation) -> dict[str, Any]:
        if isinstance(command, CheckConfiguration):
            return settings_refused(error)
        raise NotConfigured(
            f'{error.reason}. Correct this setting and deploy again. Until then, the action "check" alone works.',
            error.reason,
        )

    return act
