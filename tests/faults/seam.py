"""The one seam where all I/O of the broker passes in these tests: every AWS call and every call to Aries.

Here a process dies, a call fails, its effect is delayed, and another worker gets its turn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from botocore.exceptions import ReadTimeoutError

from oauth_broker.transport import NoReply, NotSent


class Kind(Enum):
    """What may go wrong with one call."""

    DIES_BEFORE = "dies before"
    DIES_AFTER = "dies after"
    NOT_APPLIED = "error, not applied"
    APPLIED = "error though applied"
    LATE = "error, applied late"
    REPEATED = "applied, answer lost, repeated by the SDK"
    DROPPED = "no reply, never processed"


AWS_KINDS = (Kind.DIES_BEFORE, Kind.DIES_AFTER, Kind.NOT_APPLIED, Kind.APPLIED, Kind.LATE, Kind.REPEATED)
ARIES_KINDS = (Kind.DIES_BEFORE, Kind.DIES_AFTER, Kind.NOT_APPLIED, Kind.APPLIED, Kind.LATE, Kind.DROPPED)


class ProcessDied(BaseException):
    """The end of a worker process: nothing in it catches this, and nothing of it is answered."""


@dataclass(frozen=True)
class Fault:
    """A fault of the call with number ``at``. A late effect lands when ``delay`` more calls have been made."""

    at: int
    kind: Kind
    delay: int = 0


@dataclass
class Seam:
    """Numbers the calls of a run from 1 on, and lets the planned faults happen.

    ``switch`` is where a scheduler may give another worker its turn: before every call. ``late`` are the effects that
    have not landed yet, each with the number of the call before which it lands.
    """

    faults: Mapping[int, Fault] = field(default_factory=dict)
    switch: Callable[[], None] = lambda: None
    calls: list[str] = field(default_factory=list)
    injected: list[tuple[str, Kind]] = field(default_factory=list)
    late: list[tuple[int, str, Callable[[], Any]]] = field(default_factory=list)

    def call(self, name: str, effect: Callable[[], Any]) -> Any:
        """Make one call."""
        self.switch()
        self.calls.append(name)
        self._land(len(self.calls))
        fault = self.faults.get(len(self.calls))
        if fault is None or fault.kind not in (ARIES_KINDS if name == "Aries" else AWS_KINDS):
            return effect()
        self.injected.append((name, fault.kind))
        return self._fail(name, fault, effect)

    def land_all(self, name: str | None = None) -> None:
        """Let everything land that is late, or everything of one name."""
        landing = [entry for entry in self.late if name in (None, entry[1])]
        self.late = [entry for entry in self.late if entry not in landing]
        for _, _, effect in landing:
            _ignoring_errors(effect)

    def _land(self, number: int) -> None:
        due = [entry for entry in self.late if entry[0] <= number]
        self.late = [entry for entry in self.late if entry[0] > number]
        for _, _, effect in due:
            _ignoring_errors(effect)

    def _fail(self, name: str, fault: Fault, effect: Callable[[], Any]) -> Any:
        match fault.kind:
            case Kind.DIES_BEFORE:
                raise ProcessDied
            case Kind.DIES_AFTER:
                _ignoring_errors(effect)
                raise ProcessDied
            case Kind.NOT_APPLIED if name == "Aries":
                raise NotSent("made by a test")
            case Kind.APPLIED:
                _ignoring_errors(effect)
            case Kind.LATE:
                self.late.append((fault.at + fault.delay + 1, name, effect))
            case Kind.REPEATED:
                _ignoring_errors(effect)
                return effect()
        raise NoReply("made by a test") if name == "Aries" else ReadTimeoutError(endpoint_url="memory")


def _ignoring_errors(effect: Callable[[], Any]) -> None:
    """Let a call take effect whose answer nobody gets."""
    with suppress(Exception):
        effect()


class SeamedClient:
    """An AWS client, every call of which passes the seam."""

    def __init__(self, seam: Seam, client: Any) -> None:
        self._seam = seam
        self._client = client

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        method = getattr(self._client, operation)
        return lambda **parameters: self._seam.call(operation, lambda: method(**parameters))
