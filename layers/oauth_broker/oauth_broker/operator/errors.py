"""The failures of an operator's command.

``code`` is for programs. ``message`` tells the person the fault and the next step. The reason goes to the log.
"""

from __future__ import annotations

from typing import ClassVar

from oauth_broker.errors import BrokerError


class OperatorError(BrokerError):
    """Base of all failures of a command."""

    code: ClassVar[str]

    def __init__(self, message: str, reason: str = "") -> None:
        super().__init__(reason or self.code)
        self.message = message


class InvalidCommand(OperatorError):
    """The command is malformed. The message names the wrong member, and repeats no value of it."""

    code = "invalid_request"


class NothingFound(OperatorError):
    """The session or the mass sign-out does not exist, or no longer."""

    code = "not_found"


class NotConfigured(OperatorError):
    """A setting is missing or malformed. The message names the variable."""

    code = "configuration_error"


class TemporaryFailure(OperatorError):
    """The command may succeed later. The message says how to go on."""

    code = "temporary_failure"
