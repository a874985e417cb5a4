"""What an operator's command is answered with where it was not done.

``code`` is for programs, ``message`` for the person: what is wrong and what to do next. The reason goes to the log.
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
    """The command is not one: the message names the member that is wrong, and repeats no value of it."""

    code = "invalid_request"


class NothingFound(OperatorError):
    """What the command is about does not exist, or not any more."""

    code = "not_found"


class NotConfigured(OperatorError):
    """A setting is missing or malformed: the message names the variable."""

    code = "configuration_error"


class TemporaryFailure(OperatorError):
    """AWS did not do its part; the message says how to go on."""

    code = "temporary_failure"
