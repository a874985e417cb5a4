"""One invocation of a function: its time left, its log and its metrics."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol

from oauth_broker.secret import session_reference

Level = Literal["info", "warning", "error"]


class LambdaContext(Protocol):
    """The part of the Lambda context object in use."""

    aws_request_id: str

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds until the function is stopped."""
        ...


class Telemetry(Protocol):
    """A destination of log lines and metrics."""

    def log(self, level: Level, event: str, fields: dict[str, Any]) -> None:
        """Write one structured line."""
        ...

    def count(self, metric: str, dimensions: dict[str, str]) -> None:
        """Count one occurrence of a metric."""
        ...

    def measure(self, metric: str, milliseconds: float, dimensions: dict[str, str]) -> None:
        """Record a duration."""
        ...


@dataclass(frozen=True, slots=True)
class OperatorAction:
    """An operator's request to the operator function. ``session`` is a reference, as in log lines."""

    action: str
    operator: str | None = None
    session: str | None = None
    client_id: str | None = None


class Invocation:
    """An operation's view of its invocation.

    ``api_request_id`` is API Gateway's id of the request, or '' if there is none. The app finds the id in the header
    ``apigw-requestid`` of every answer. The id ties the lines of all functions to the lines of the API's access log.
    ``source`` is the address of the sender. Requests are counted by address, but the address is not logged.
    """

    def __init__(
        self, context: LambdaContext, telemetry: Telemetry, api_request_id: str = "", source: str = ""
    ) -> None:
        self._context = context
        self._telemetry = telemetry
        self.request_id = context.aws_request_id
        self.source = source
        self._api_request_id = api_request_id
        self._session_id: str | None = None
        self._client_id: str | None = None

    def remaining(self) -> float:
        """Return the seconds until the function is stopped."""
        return self._context.get_remaining_time_in_millis() / 1000

    def about_session(self, session_id: str, client_id: str | None = None) -> None:
        """Name the session, and the app if known, for every later line."""
        self._session_id = session_id
        self._client_id = client_id

    def log(
        self,
        event: str,
        *,
        level: Level = "info",
        client_id: str | None = None,
        reason: str | None = None,
        status: int | None = None,
        error: str | None = None,
    ) -> None:
        """Write one log line. The parameters are the allow-list: no other part of a request is ever logged.

        The line has a reference in place of the session id. The id cannot be computed from the reference.
        """
        self._write(
            level,
            event,
            {
                "api_request_id": self._api_request_id or None,
                "session": session_reference(self._session_id) if self._session_id else None,
                "client_id": client_id or self._client_id,
                "reason": reason,
                "status": status,
                "error": error,
            },
        )

    def audit(
        self,
        asked: OperatorAction,
        *,
        level: Level = "info",
        reason: str | None = None,
        error: str | None = None,
        count: int | None = None,
    ) -> None:
        """Write one log line ``operator_action`` with the same allow-list and the operator's request."""
        self._write(level, "operator_action", {**asdict(asked), "reason": reason, "error": error, "count": count})

    def _write(self, level: Level, event: str, fields: dict[str, Any]) -> None:
        fields = {"request_id": self.request_id, **fields}
        self._telemetry.log(level, event, {name: value for name, value in fields.items() if value is not None})

    def count(self, metric: str, **dimensions: str) -> None:
        """Count one occurrence of a metric. A dimension ends before its first colon.

        CloudWatch charges for each value of a dimension, and the cut leaves few values. The log line has the whole.
        """
        self._telemetry.count(metric, _short(dimensions))

    def measure(self, metric: str, milliseconds: float, **dimensions: str) -> None:
        """Record a duration, with dimensions as in ``count``."""
        self._telemetry.measure(metric, milliseconds, _short(dimensions))


def _short(dimensions: dict[str, str]) -> dict[str, str]:
    return {name: value.partition(":")[0] for name, value in dimensions.items()}
