"""One invocation of a function: its time left, its log and its metrics."""

from __future__ import annotations

from typing import Any, Literal, Protocol

from oauth_broker.handles import session_reference

Level = Literal["info", "warning", "error"]


class LambdaContext(Protocol):
    """The part of the Lambda context object that is used."""

    aws_request_id: str

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds until the function is stopped."""
        ...


class Telemetry(Protocol):
    """Where log lines and metrics go."""

    def log(self, level: Level, event: str, fields: dict[str, Any]) -> None:
        """Write one structured line."""
        ...

    def count(self, metric: str, dimensions: dict[str, str]) -> None:
        """Count one occurrence of a metric."""
        ...


class Invocation:
    """What an operation knows of the invocation it runs in."""

    def __init__(self, context: LambdaContext, telemetry: Telemetry) -> None:
        self._context = context
        self._telemetry = telemetry
        self.request_id = context.aws_request_id

    def remaining(self) -> float:
        """Return the seconds until the function is stopped."""
        return self._context.get_remaining_time_in_millis() / 1000

    def log(
        self,
        event: str,
        *,
        level: Level = "info",
        session_id: str | None = None,
        client_id: str | None = None,
        reason: str | None = None,
        status: int | None = None,
        error: str | None = None,
    ) -> None:
        """Write one log line. The parameters are the allow-list: nothing else of a request is ever logged.

        The session id becomes a reference from which it cannot be computed.
        """
        fields = {
            "request_id": self.request_id,
            "session": session_reference(session_id) if session_id else None,
            "client_id": client_id,
            "reason": reason,
            "status": status,
            "error": error,
        }
        self._telemetry.log(level, event, {name: value for name, value in fields.items() if value is not None})

    def count(self, metric: str, **dimensions: str) -> None:
        """Count one occurrence of a metric, with dimensions of few values."""
        self._telemetry.count(metric, dimensions)
