"""The operator's actions, put together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from oauth_broker.aries.transport import RequestsTransport
from oauth_broker.clock import Clock
from oauth_broker.errors import ConfigurationError
from oauth_broker.operations.parts import Parts
from oauth_broker.operator.admin_sign_out import AdminSignOut
from oauth_broker.operator.checks import ConfigurationChecks, settings_refused
from oauth_broker.operator.commands import CheckConfiguration, Command, Redrive, RevokeAll, RevokeSession, ShowSession
from oauth_broker.operator.dead_letters import DeadLetters
from oauth_broker.operator.errors import NotConfigured
from oauth_broker.operator.mass_sign_out import MassSignOut
from oauth_broker.operator.search import SessionSearch
from oauth_broker.operator.sessions import SessionActions
from oauth_broker.operator.sweep import Sweeper
from oauth_broker.operator.sweep_progress import Sweeps
from oauth_broker.runtime import aws
from oauth_broker.runtime.invocation import Invocation

Actions = Callable[[Command, Invocation], dict[str, Any]]
"""Runs a command and returns its answer. Raises OperatorError, and ServiceUnavailable if AWS fails."""


class OperatorActions:
    """All actions, for valid settings."""

    def __init__(self, parts: Parts, dead_letter_queue_url: str) -> None:
        settings, clock = parts.settings, parts.clock
        search = SessionSearch(parts.dynamodb, settings.table_name)
        sweeps = Sweeps(parts.dynamodb, settings.table_name)
        sign_out = AdminSignOut(parts.sign_ins, parts.secret_store, clock)
        sweeper = Sweeper(search, sign_out, sweeps, clock, parts.random_bytes)
        self._dead_letters: DeadLetters | None = None
        if dead_letter_queue_url:
            self._dead_letters = DeadLetters(aws.sqs(), dead_letter_queue_url, aws.dynamodbstreams(), parts.cleanup)
        self._sessions = SessionActions(search, parts.sign_ins, parts.not_before, sign_out, clock)
        self._mass_sign_out = MassSignOut(settings.registry, parts.not_before, sweeps, sweeper, clock)
        self._checks = ConfigurationChecks(
            settings,
            parts.not_before,
            search,
            parts.secrets,
            aws.aws_lambda,
            self._dead_letters,
            RequestsTransport(),
            clock,
        )

    def __call__(self, command: Command, invocation: Invocation) -> dict[str, Any]:
        """See Actions."""
        match command:
            case ShowSession():
                return self._sessions.show(command.reference)
            case RevokeSession():
                return self._sessions.revoke(command.reference, invocation)
            case RevokeAll():
                return self._mass_sign_out(command, invocation)
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
        parts = Parts.from_environment(environment, clock)
    except ConfigurationError as error:
        return _checks_alone(error)
    return OperatorActions(parts, environment.get("DEAD_LETTER_QUEUE_URL", ""))


def _checks_alone(error: ConfigurationError) -> Actions:
    def act(command: Command, invocation: Invocation) -> dict[str, Any]:
        if isinstance(command, CheckConfiguration):
            return settings_refused(error)
        raise NotConfigured(
            f'{error.reason}. Correct this setting and deploy again. Until then, the action "check" alone works.',
            error.reason,
        )

    return act
