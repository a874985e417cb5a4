"""The cost of a warm function: processor time and calls of each operation, and new connections.

``measure`` measures sessions with a secret. ``measure_row`` measures sessions with their tokens in the row, beside
sessions with a secret.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.bench.budget import BUDGETS, Store
from tests.bench.figures import Comparison, Figure, Limit, Section
from tests.bench.warm_stage import BEGINNINGS, MINUTE, OPERATIONS, Stage

BAR = 1.2
# Bars for tokens in the row: beside the bare calls, and beside a secret. A sign-out has no secret to delete. Our own
# work is a larger share of an operation with a single call, and the usual bar holds there.
ROW_BAR = 1.1
ROW_BESIDE_SECRETS_BAR = 1.0
ROW_SIGN_OUT_BAR = 0.7
_SHORTER = 4
_ROUTINE = "routine"
_CONNECTIONS = "connections"
_OF_ARIES = {"aries": "Aries", "user": "Aries (user)"}


@dataclass
class Measured:
    """The rounds of an operation: seconds of processor time for one, and the calls of the whole round."""

    what: str
    store: Store = "secrets"
    ours: list[float] = field(default_factory=list)
    floor: list[float] = field(default_factory=list)
    asked: list[Counter[str]] = field(default_factory=list)
    asked_bare: list[Counter[str]] = field(default_factory=list)

    def budget(self) -> Counter[str]:
        """Return the calls of one operation."""
        calls = BUDGETS[self.store][self.what]
        return Counter(calls.to_aws()) + Counter({"aries": calls.aries, "user": calls.user})

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
    side = _Side("secrets", times)
    with Stage.set(functions) as stage:
        for _ in range(rounds + 1):
            for what in OPERATIONS:
                side.do(stage, what)
    return section(side.measured(), times)


def measure_row(rounds: int, times: int = 30, functions: dict[str, Path] | None = None) -> Section:
    """Measure each operation with a secret, with the tokens in the row, and the bare calls of both, in turn.

    The two stores differ by a few hundredths. The rounds are therefore shorter than those of ``measure``, and more.
    ``functions`` replaces some of the built functions that have the tokens in the row.
    """
    secrets, row = _Side("secrets", times), _Side("row", times)
    with Stage.set() as stage, Stage.set(functions, "row") as row_stage:
        for _ in range(rounds * _SHORTER + 1):
            for what in OPERATIONS:
                secrets.do(stage, what)
                row.do(row_stage, what)
    return row_section(row.measured(), secrets.measured(), times)


class _Side:
    """The measurements with one store. The operations of a round follow each other, because each needs the last."""

    def __init__(self, store: Store, times: int) -> None:
        self._times = times
        self._measured = {what: Measured(what, store) for what in OPERATIONS}
        self._given: list[dict[str, str]] = []

    def do(self, stage: Stage, what: str) -> None:
        """Measure one operation once."""
        if what in BEGINNINGS:
            self._given = [{}] * (self._times + 1)
            for step in BEGINNINGS[what]:
                self._given = stage.operate(step, self._given)["made"]
        # The first time does not count. It may connect, and may read values that a process keeps for a while.
        first = stage.operate(what, self._given[:1], MINUTE if what == "refresh" else 0.0)
        bare = {"refused": what == "replay"}
        stage.repeat(first["calls"], 1, **bare)
        ours = stage.operate(what, self._given[1:])
        floor = stage.repeat(first["calls"], self._times, **bare)
        measured = self._measured[what]
        measured.ours.append(ours["cpu"] / self._times)
        measured.floor.append(floor["cpu"] / self._times)
        measured.asked.append(Counter(ours["asked"]))
        measured.asked_bare.append(Counter(floor["asked"]))
        self._given = first["made"] + ours["made"]

    def measured(self) -> dict[str, Measured]:
        """Return all rounds but the first, which only warms everything up."""
        return {
            what: replace(
                took, ours=took.ours[1:], floor=took.floor[1:], asked=took.asked[1:], asked_bare=took.asked_bare[1:]
            )
            for what, took in self._measured.items()
        }


def section(measured: dict[str, Measured], times: int) -> Section:
    """Put the measurements into tables."""
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
        _limits(measured, times),
    )


def row_section(row: dict[str, Measured], secrets: dict[str, Measured], times: int) -> Section:
    """Put the measurements of tokens in the row into tables."""
    beside_bare = [
        Comparison(
            f"{what}, and its bare calls",
            _milliseconds("ours", took.ours),
            _milliseconds("beside it", took.floor),
            ROW_BAR if took.budget().total() > 1 else BAR,
        )
        for what, took in row.items()
    ]
    beside_secrets = [
        Comparison(
            f"{what}, and with a secret",
            _milliseconds("ours", took.ours),
            _milliseconds("beside it", secrets[what].ours),
            ROW_SIGN_OUT_BAR if what == "revoke" else ROW_BESIDE_SECRETS_BAR,
        )
        for what, took in row.items()
        # This is the same work with both stores.
        if what != "authorize"
    ]
    return Section(
        "Warm cost with tokens in the row",
        f"The figures are those of Warm cost, for sessions with their tokens sealed in the row (`TokenStore` is `row`)."
        f" A round has {times} operations. The other side is the same calls of AWS and Aries alone, those of KMS among"
        " them, or the same operation with a secret, in the same round.",
        beside_bare + beside_secrets,
        _limits(row, times),
    )


def _limits(measured: dict[str, Measured], times: int) -> list[Limit]:
    all_of = list(measured.values())
    return [
        *(_calls_of(what, took, times) for what, took in measured.items()),
        _none_of("other or missing calls", [took.other_calls(times) for took in all_of]),
        _none_of("other or missing calls of the bare side", [took.other_bare_calls(times) for took in all_of]),
        _none_of("TLS handshakes of all warm operations", [took.connections() for took in all_of]),
    ]


def _milliseconds(name: str, seconds: list[float]) -> Figure:
    return Figure(name, "ms", [each * 1000 for each in seconds])


def _calls_of(what: str, took: Measured, times: int) -> Limit:
    budget = took.budget()
    shown = ", ".join(f"{number} {_OF_ARIES.get(call, call.rpartition(':')[2])}" for call, number in budget.items())
    totals = [_calls(asked).total() / times for asked in took.asked]
    return Limit(f"calls of {what}: {shown}", Figure("calls", "", totals), budget.total(), "exactly")


def _none_of(name: str, counted: list[list[int]]) -> Limit:
    """Allow none, in all operations of every round together."""
    return Limit(name, Figure("counted", "", [float(sum(each)) for each in zip(*counted, strict=True)]), 0, "exactly")


def _calls(asked: Counter[str]) -> Counter[str]:
    return Counter({call: number for call, number in asked.items() if call not in (_ROUTINE, _CONNECTIONS)})


def _difference(one: Counter[str], other: Counter[str]) -> int:
    return ((one - other) + (other - one)).total()
