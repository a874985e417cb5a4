"""One invocation of a function: its time left, its log and its metrics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple, Protocol

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


EventType = Literal["session.started", "session.ended", "session.signed_out_by_another", "sessions.revoked_all"]


class Event(NamedTuple):
    """News of a session, or of all sessions of a mass sign-out, for the deployment's event bus.

    ``at`` is the time of the change in seconds since 1970. ``subject`` is the pseudonym of the person, or '' if it is
    not known. docs/events.schema.json has the members as the bus gets them, with the reference in place of the id.

    It is here and a named tuple, because a function without a bus loads nothing for it.
    """

    type: EventType
    at: int
    session_id: str | None = None
    client_id: str | None = None
    reason: str | None = None
    began_at: int | None = None
    ends_at: int | None = None
    idle_days: int | None = None
    subject: str = ""

    @classmethod
    def ended(cls, session_id: str, client_id: str, at: float, reason: str, subject: str) -> Event:
        """Return the news that the broker has ended a session."""
        return cls("session.ended", int(at), session_id, client_id, reason=reason, subject=subject)

    @classmethod
    def signed_out_by_another(cls, session_id: str, client_id: str, at: float, subject: str) -> Event:
        """Return the news that another session of the same person has ended this session."""
        return cls("session.signed_out_by_another", int(at), session_id, client_id, subject=subject)

    @classmethod
    def revoked_all(cls, client_id: str | None, at: int) -> Event:
        """Return the news of a mass sign-out: the sessions that began up to ``at``, of one app or of all, are over."""
        return cls("sessions.revoked_all", at, client_id=client_id)


class Bus(Protocol):
    """A destination of events."""

    def send(self, events: Sequence[Event], invocation: Invocation) -> None:
        """Send the events, once. Never raises."""
        ...


class Invocation:
    """An operation's view of its invocation.

    ``api_request_id`` is API Gateway's id of the request, or '' if there is none. The app finds the id in the header
    ``apigw-requestid`` of every answer. The id ties the lines of all functions to the lines of the API's access log.
    ``source`` is the address of the sender. Requests are counted by address, but the address is not logged. ``bus``
    gets the announced events. If it is None, nobody hears them.
    """

    def __init__(
        self, context: LambdaContext, telemetry: Telemetry, api_request_id: str = "", source: str = ""
    ) -> None:
        self._context = context
        self._telemetry = telemetry
        self.request_id = context.aws_request_id
        self.source = source
        self._api_request_id = api_request_id
        self.bus: Bus | None = None
        self._announced: list[Event] = []
        self._session_id: str | None = None
        self._client_id: str | None = None
        self._caller: str | None = None

    def remaining(self) -> float:
        """Return the seconds until the function is stopped."""
        return self._context.get_remaining_time_in_millis() / 1000

    def about_session(self, session_id: str, client_id: str | None = None) -> None:
        """Name the session, and the app if known, for every later line."""
        self._session_id = session_id
        self._client_id = client_id

    def about_caller(self, caller: str) -> None:
        """Name the caller that IAM has identified, by its ARN, for every later line."""
        self._caller = caller

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
                "caller": self._caller,
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

    def announce(self, event: Event) -> None:
        """Note an event after the write that made it true. ``send_announced`` sends it."""
        if self.bus is not None:
            self._announced.append(event)

    def send_announced(self) -> None:
        """Send the noted events together. Never raises: an event is a hint, and no request fails for it."""
        events, self._announced = self._announced, []
        if self.bus is not None and events:
            self.bus.send(events, self)

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
