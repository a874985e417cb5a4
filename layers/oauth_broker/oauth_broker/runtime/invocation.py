"""One invocation of a function: its time left, its log and its metrics."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol

from oauth_broker.secret import session_reference

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

    def measure(self, metric: str, milliseconds: float, dimensions: dict[str, str]) -> None:
        """Record how long something took."""
        ...


@dataclass(frozen=True, slots=True)
class OperatorAction:
    """Who asked the operator function for what. ``session`` is a reference, as log lines have it."""

    action: str
    operator: str | None = None
    session: str | None = None
    client_id: str | None = None


class Invocation:
    """What an operation knows of the invocation it runs in.

    ``api_request_id`` is API Gateway's id of the request, '' where there is none: the app finds it in the header
    ``apigw-requestid`` of every answer, and it ties the lines of all functions to those of the API's access log.
    ``source`` is the address that the request came from; it is counted by, and not logged.
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
        """Name the session, and the app where it is known, that every line from here on is about."""
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
        """Write one log line. The parameters are the allow-list: nothing else of a request is ever logged.

        The session id becomes a reference from which it cannot be computed.
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
        """Write one log line ``operator_action``: the same allow-list, and what an operator asks for."""
        self._write(level, "operator_action", {**asdict(asked), "reason": reason, "error": error, "count": count})

    def _write(self, level: Level, event: str, fields: dict[str, Any]) -> None:
        fields = {"request_id": self.request_id, **fields}
        self._telemetry.log(level, event, {name: value for name, value in fields.items() if value is not None})

    def count(self, metric: str, **dimensions: str) -> None:
        """Count one occurrence of a metric. Of a dimension only what stands before the first colon is taken.

        That leaves each dimension few values, which is what metrics are paid by; the log line has the whole.
        """
        self._telemetry.count(metric, _short(dimensions))

    def measure(self, metric: str, milliseconds: float, **dimensions: str) -> None:
        """Record how long something took, with dimensions as ``count`` has them."""
        self._telemetry.measure(metric, milliseconds, _short(dimensions))


def _short(dimensions: dict[str, str]) -> dict[str, str]:
    return {name: value.partition(":")[0] for name, value in dimensions.items()}
