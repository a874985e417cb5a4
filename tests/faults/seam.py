"""The seam: in these tests, all I/O of the broker goes through it, every call to AWS and to Aries.

Here a process may die, a call may fail or take effect late, and another worker gets its turn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from botocore.exceptions import ReadTimeoutError

from oauth_broker.aries.transport import NoReply, NotSent, Reply


class Kind(Enum):
    """A way for one call to go wrong."""

    DIES_BEFORE = "dies before"
    DIES_AFTER = "dies after"
    NOT_APPLIED = "error, not applied"
    APPLIED = "error though applied"
    LATE = "error, applied late"
    REPEATED = "applied, answer lost, repeated by the SDK"
    AGAIN = "applied, and lands once more, later"
    DROPPED = "no reply, never processed"
    REFUSED = "refused for now"


AWS_KINDS = (Kind.DIES_BEFORE, Kind.DIES_AFTER, Kind.NOT_APPLIED, Kind.APPLIED, Kind.LATE, Kind.REPEATED, Kind.AGAIN)
# The broker never repeats a request to Aries, so a request cannot land twice.
ARIES_KINDS = (
    Kind.DIES_BEFORE,
    Kind.DIES_AFTER,
    Kind.NOT_APPLIED,
    Kind.APPLIED,
    Kind.LATE,
    Kind.DROPPED,
    Kind.REFUSED,
)


@dataclass(frozen=True)
class Fault:
    """A fault of the call with number ``at``. A late effect lands after ``delay`` more calls."""

    at: int
    kind: Kind
    delay: int = 0


# These kinds use ``delay``.
DELAYED = (Kind.LATE, Kind.AGAIN)


_READINGS = ("get_", "encrypt", "decrypt")
# A question to Aries that changes nothing there.
USER = "user"


def may_befall(kind: Kind, call: str) -> bool:
    """Tell whether this kind of fault can happen to a call. If a reading lands once more, this is no fault."""
    if call == "Aries":
        return kind in ARIES_KINDS
    if call == USER:
        return kind in (Kind.DIES_BEFORE, Kind.DIES_AFTER, Kind.DROPPED, Kind.REFUSED)
    return kind in AWS_KINDS and not (kind is Kind.AGAIN and any(name in call for name in _READINGS))


def faults_at(at: int, delays: Iterable[int]) -> list[Fault]:
    """Return every fault of the call with number ``at``; a delayed fault once for each of ``delays``."""
    return [Fault(at, kind, delay) for kind in Kind for delay in (delays if kind in DELAYED else (0,))]


class ProcessDied(BaseException):
    """The end of a worker process: the process cannot catch this, and it sends no answer."""


@dataclass
class Seam:
    """Numbers the calls of a run from 1 on, and makes the planned faults happen.

    Before every call, ``switch`` lets a scheduler give another worker its turn. If the planned fault cannot happen to
    its call, ``misfit`` is called. ``late`` holds the effects still to land, each with a number: the effect lands
    before the call of this number. ``last`` holds the last effect of each name.
    """

    faults: Mapping[int, Fault] = field(default_factory=dict)
    switch: Callable[[], None] = lambda: None
    misfit: Callable[[], None] = lambda: None
    calls: list[str] = field(default_factory=list)
    injected: list[tuple[str, Kind]] = field(default_factory=list)
    late: list[tuple[int, str, Callable[[], Any]]] = field(default_factory=list)
    last: dict[str, Callable[[], Any]] = field(default_factory=dict)

    def call(self, name: str, effect: Callable[[], Any]) -> Any:
        """Make one call."""
        self.switch()
        self.calls.append(name)
        self.last[name] = effect
        if self.late:
            self._land(len(self.calls))
        fault = self.faults.get(len(self.calls))
        if fault is None:
            return effect()
        if not may_befall(fault.kind, name):
            self.misfit()
            return effect()
        self.injected.append((name, fault.kind))
        return self._fail(name, fault, effect)

    def land_later(self, delay: int, name: str) -> None:
        """Let the last call of this name land once more after ``delay`` more calls."""
        self.injected.append((name, Kind.AGAIN))
        self.late.append((len(self.calls) + delay + 1, name, self.last[name]))

    def land_all(self, name: str | None = None) -> None:
        """Let all late effects land, or all of one name."""
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
            case Kind.REFUSED:
                return Reply(429, b"")
            case Kind.APPLIED:
                _ignoring_errors(effect)
            case Kind.LATE:
                self.late.append((fault.at + fault.delay + 1, name, effect))
            case Kind.REPEATED:
                _ignoring_errors(effect)
                return effect()
            case Kind.AGAIN:
                # The SDK gave up this attempt, and its next one got an answer.
                self.late.append((fault.at + fault.delay + 1, name, effect))
                return effect()
        raise NoReply("made by a test") if name in ("Aries", USER) else ReadTimeoutError(endpoint_url="memory")


def _ignoring_errors(effect: Callable[[], Any]) -> None:
    """Let a call take effect; its answer is lost."""
    with suppress(Exception):
        effect()


class SeamedClient:
    """An AWS client. Every call goes through the seam under its own name, with ``of`` in front if given."""

    def __init__(self, seam: Seam, client: Any, of: str = "") -> None:
        self._seam = seam
        self._client = client
        self._of = f"{of} " if of else ""

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        method = getattr(self._client, operation)
        return lambda **parameters: self._seam.call(self._of + operation, lambda: method(**parameters))
