"""The operator function's handler: it takes a command, writes audit lines, and answers. It never raises."""

from __future__ import annotations

import traceback
from dataclasses import dataclass, replace
from typing import Any

from oauth_broker.errors import ServiceUnavailable, Throttled
from oauth_broker.operator.actions import Actions
from oauth_broker.operator.commands import (
    Command,
    CountSessions,
    RevokeAll,
    RevokeSession,
    ShowSession,
    parse_command,
)
from oauth_broker.operator.errors import OperatorError, TemporaryFailure
from oauth_broker.runtime.invocation import Invocation, LambdaContext, OperatorAction, Telemetry

Answer = dict[str, Any]

# The audit line of an event that is no command.
_INVALID = OperatorAction("invalid")
# The members of answers that are the number of an audit line. No line names a person.
_COUNTS = ("ended", "redriven", "live")


@dataclass(frozen=True, slots=True)
class OperatorEndpoint:
    """A Lambda handler. IAM allows its invocation; the API has no route to it."""

    telemetry: Telemetry
    actions: Actions

    def __call__(self, event: object, context: LambdaContext) -> Answer:
        """Run the command in ``event``. Never raises: a failure is an answer with ``error`` and ``message``."""
        audit = _Audit(context, self.telemetry)
        try:
            command = parse_command(event)
            audit.asked(command)
            answer = self._act(command, audit.invocation)
        except OperatorError as error:
            if isinstance(error.__cause__, Throttled):
                audit.invocation.count("AwsThrottled", aws_service=error.__cause__.service)
            audit.failed(error.code, error.reason)
            return {"error": error.code, "message": error.message}
        except Exception as error:  # noqa: BLE001 - this is the last stop
            # The log gets the place and not the message, because a message may quote a secret.
            place = traceback.extract_tb(error.__traceback__)[-1]
            reason = f"{type(error).__name__} at {place.name}:{place.lineno}"
            audit.invocation.log("internal_error", level="error", reason=reason)
            audit.invocation.count("InternalErrors")
            audit.failed("internal_error", reason)
            return {
                "error": "internal_error",
                "message": "This is a bug of the broker. Search the log for the request id.",
                "request_id": audit.invocation.request_id,
            }
        audit.done(answer)
        return answer

    def _act(self, command: Command, invocation: Invocation) -> Answer:
        try:
            return self.actions(command, invocation)
        except ServiceUnavailable as unavailable:
            raise TemporaryFailure(
                f"The command failed ({unavailable.reason}). Nothing is lost, and nothing is done twice: repeat the "
                "same command in a moment. If it fails again, look this error up: a right may be missing.",
                unavailable.reason,
            ) from unavailable


class _Limited:
    """A Lambda context with at most ``seconds`` of time left, even if Lambda would wait longer."""

    def __init__(self, context: LambdaContext, seconds: int) -> None:
        self.aws_request_id = context.aws_request_id
        self._context = context
        self._unused = max(0, context.get_remaining_time_in_millis() - seconds * 1000)

    def get_remaining_time_in_millis(self) -> int:
        return self._context.get_remaining_time_in_millis() - self._unused


def _described(command: Command) -> OperatorAction:
    asked = OperatorAction(command.action, command.operator)
    match command:
        case ShowSession() | RevokeSession():
            return replace(asked, session=command.reference)
        case RevokeAll():
            return replace(asked, client_id=command.client_id)
        case _:
            return asked


class _Audit:
    """Writes two lines with operator and command: one before it runs, because a process may die, and one after it."""

    def __init__(self, context: LambdaContext, telemetry: Telemetry) -> None:
        self.invocation = Invocation(context, telemetry)
        self._context = context
        self._telemetry = telemetry
        self._action = _INVALID

    def asked(self, command: Command) -> None:
        """Write the line before the command, and limit the time left to the command's seconds."""
        self.invocation = Invocation(_Limited(self._context, command.seconds), self._telemetry)
        self._action = _described(command)
        self.invocation.count("OperatorActions", action=command.action)
        reason = f"asked:{command.step}" if isinstance(command, RevokeAll | CountSessions) else "asked"
        self.invocation.audit(self._action, reason=reason)

    def done(self, answer: Answer) -> None:
        """Write the line with the result."""
        action = replace(self._action, client_id=answer.get("client_id", self._action.client_id))
        count = next((answer[name] for name in _COUNTS if name in answer), None)
        self.invocation.audit(action, reason=_outcome(answer), count=count)

    def failed(self, code: str, reason: str) -> None:
        """Write the line of a failure."""
        if self._action is _INVALID:
            self.invocation.count("OperatorActions", action=_INVALID.action)
        self.invocation.audit(self._action, level="warning", reason=reason, error=code)


def _outcome(answer: Answer) -> str:
    match answer:
        case {"ok": False}:
            return "not_ok"
        case {"finished": False}:
            return "unfinished"
        case {"ended_now": False}:
            return "ended_before"
        case _:
            return "done"
