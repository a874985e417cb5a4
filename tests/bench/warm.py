"""The cost of a warm function: processor time and calls of each operation, and new connections."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.budget import BUDGET
from tests.bench.figures import Comparison, Figure, Limit, Section
from tests.bench.warm_stage import MINUTE, OPERATIONS, Stage

BAR = 1.2
_ROUTINE = "routine"
_CONNECTIONS = "connections"


@dataclass
class Measured:
    """The rounds of an operation: seconds of processor time for one, and the calls of the whole round."""

    what: str
    ours: list[float] = field(default_factory=list)
    floor: list[float] = field(default_factory=list)
    asked: list[Counter[str]] = field(default_factory=list)
    asked_bare: list[Counter[str]] = field(default_factory=list)

    def budget(self) -> Counter[str]:
        """Return the calls of one operation."""
        calls = BUDGET[self.what]
        return Counter(calls.to_aws()) + Counter({"aries": calls.aries})

    def other_calls(self, times: int) -> list[int]:
        """Count the extra and the missing calls of each round against the budget."""
        return [_difference(_calls(asked), self._wanted(times)) for asked in self.asked]

    def other_bare_calls(self, times: int) -> list[int]:
        """Count the extra and the missing calls of the bare side."""
        return [_difference(_calls(asked), self._wanted(times)) for asked in self.asked_bare]

    def connections(self) -> list[int]:
        """Count the new connections of each round."""
        return [asked[_CONNECTIONS] for asked in self.asked]

    def _wanted(self, times: int) -> Counter[str]:
        return Counter({call: number * times for call, number in self.budget().items()})


def measure(rounds: int, times: int = 120, functions: dict[str, Path] | None = None) -> Section:
    """Measure each operation and its bare calls in turn, ``times`` times a round.

    ``functions`` replaces some of the built functions.
    """
    measured = {what: Measured(what) for what in OPERATIONS}
    with Stage.set(functions) as stage:
        for _ in range(rounds + 1):
            _measure(stage, times, measured)
    for took in measured.values():
        # The first round only warms everything up.
        for figures in (took.ours, took.floor, took.asked, took.asked_bare):
            del figures[0]
    return section(measured, times)


def _measure(stage: Stage, times: int, into: dict[str, Measured]) -> None:
    given: list[dict[str, str]] = [{}] * (times + 1)
    for what, measured in into.items():
        # The first time does not count. It may connect, and may read values that a process keeps for a while.
        first = stage.operate(what, given[:1], MINUTE if what == "refresh" else 0.0)
        bare = {"refused": what == "replay"}
        stage.repeat(first["calls"], 1, **bare)
        ours = stage.operate(what, given[1:])
        floor = stage.repeat(first["calls"], times, **bare)
        measured.ours.append(ours["cpu"] / times)
        measured.floor.append(floor["cpu"] / times)
        measured.asked.append(Counter(ours["asked"]))
        measured.asked_bare.append(Counter(floor["asked"]))
        given = first["made"] + ours["made"]


def section(measured: dict[str, Measured], times: int) -> Section:
    """Put the measurements into tables."""
    all_of = list(measured.values())
    return Section(
        "Warm cost",
        f"The figures are processor time of one operation in a process of the built functions, under Python 3.13. A"
        f" round has {times} operations. The other side makes the same calls of AWS and Aries alone, byte for byte. It"
        " uses boto3 and requests as they come, with the same timeouts and retries. The stand-in for AWS and Aries is"
        " another process, over TLS.",
        [
            Comparison(what, _milliseconds("ours", took.ours), _milliseconds("the bare calls", took.floor), BAR)
            for what, took in measured.items()
        ],
        [_calls_of(what, took, times) for what, took in measured.items()]
        + [
            _none_of("other or missing calls", [took.other_calls(times) for took in all_of]),
            _none_of("other or missing calls of the bare side", [took.other_bare_calls(times) for took in all_of]),
            _none_of("TLS handshakes of all warm operations", [took.connections() for took in all_of]),
        ],
    )


def _milliseconds(name: str, seconds: list[float]) -> Figure:
    return Figure(name, "ms", [each * 1000 for each in seconds])


def _calls_of(what: str, took: Measured, times: int) -> Limit:
    budget = took.budget()
    shown = ", ".join(
        f"{number} {call.rpartition(':')[2].replace('aries', 'Aries')}" for call, number in budget.items()
    )
    totals = [_calls(asked).total() / times for asked in took.asked]
    return Limit(f"calls of {what}: {shown}", Figure("calls", "", totals), budget.total(), "exactly")


def _none_of(name: str, counted: list[list[int]]) -> Limit:
    """Allow none, in all operations of every round together."""
    return Limit(name, Figure("counted", "", [float(sum(each)) for each in zip(*counted, strict=True)]), 0, "exactly")


def _calls(asked: Counter[str]) -> Counter[str]:
    return Counter({call: number for call, number in asked.items() if call not in (_ROUTINE, _CONNECTIONS)})


def _difference(one: Counter[str], other: Counter[str]) -> int:
    return ((one - other) + (other - one)).total()
