"""The broker beside the usual work of a Python team: the same broker with Flask, Authlib and boto3."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.bench.beside_stage import GRACE, SIDES, Side, Stage, Took
from tests.bench.budget import BUDGET, SIGN_IN, aws_calls
from tests.bench.figures import Comparison, Figure, Limit, Section

# TURNS turns a round and broker, of TIMES operations each. The two brokers take turns.
TURNS = 4
TIMES = 15
_WARM_UP = 12
_OTHER = "Flask, Authlib"
# Our broker must need at most the CPU time of the other one.
BAR = 1.0
_OPERATIONS = {"sign_in": "sign-in", "refresh": "refresh", "sign_out": "sign-out"}
_MANY = {"sign_in": "sign-ins", "refresh": "refreshes"}
_BUDGET = {"sign_in": SIGN_IN, "refresh": ("refresh",), "sign_out": ("revoke",)}
_SERVICES = {"dynamodb": "DynamoDB", "secretsmanager": "Secrets Manager", "aries": "Aries"}


@dataclass
class Measured:
    """The rounds of an operation of one broker: seconds of processor time and calls, for one operation."""

    cpu: list[float] = field(default_factory=list)
    calls: list[dict[str, float]] = field(default_factory=list)


@dataclass
class Beside:
    """All measurements."""

    operations: dict[tuple[Side, str], Measured] = field(default_factory=lambda: defaultdict(Measured))
    peak: dict[Side, list[float]] = field(default_factory=lambda: defaultdict(list))


def measure(rounds: int, turns: int = TURNS, times: int = TIMES, warm_up: int = _WARM_UP) -> Section:
    """Let both brokers do everything, turn by turn."""
    measured = Beside()
    with Stage.set() as stage:
        _round(stage, 1, warm_up)
        for _ in range(rounds):
            for (side, what), took in _round(stage, turns, times).items():
                into = measured.operations[side, what]
                into.cpu.append(sum(turn.cpu for turn in took) / turns)
                into.calls.append(_mean([turn.calls for turn in took]))
                if what == "sign_out":
                    measured.peak[side].append(took[-1].peak)
    return section(measured)


def _round(stage: Stage, turns: int, times: int) -> dict[tuple[Side, str], list[Took]]:
    took: dict[tuple[Side, str], list[Took]] = defaultdict(list)
    for what in _OPERATIONS:
        if what == "refresh":
            # Within the grace after a sign-in, our broker answers a refresh without Aries.
            time.sleep(GRACE + 0.1)
        for turn in range(turns):
            for side in SIDES if turn % 2 == 0 else reversed(SIDES):
                took[side, what].append(stage.do(side, what, times))
    return took


def _mean(calls: list[dict[str, float]]) -> dict[str, float]:
    names = {call for each in calls for call in each}
    return {call: sum(each.get(call, 0.0) for each in calls) / len(calls) for call in names}


def section(measured: Beside) -> Section:
    """Put the measurements into tables."""
    return Section(
        "Beside Flask and Authlib",
        "The other broker is the same work by a Python team with Flask, Authlib, boto3 and `requests`"
        " (`tests/bench/beside_flask`). It runs in one function by `apig-wsgi`. Like ours, it writes log lines and"
        " metrics by Powertools. Both use the same stand-ins for AWS and Aries in another process; ours is the build."
        " The figures are all CPU time of one process of Python 3.13, from API Gateway's event to the handler's answer."
        " A sign-in is authorize, callback and redeem. The benchmark tries every access token at Aries, and every"
        " refresh is a refresh at Aries.",
        [
            *(_cpu(measured, what) for what in _OPERATIONS),
            *(_a_second(measured, what) for what in _MANY),
            _peak(measured),
            *(comparison for what in _OPERATIONS for comparison in _calls(measured, what)),
        ],
        [limit for what in _OPERATIONS for limit in _budget(measured, what)],
        is_shown_whole=True,
    )


def _cpu(measured: Beside, what: str) -> Comparison:
    ours, other = (
        Figure(name, "ms", [seconds * 1000 for seconds in measured.operations[side, what].cpu])
        for side, name in zip(SIDES, ("ours", _OTHER), strict=True)
    )
    return Comparison(f"CPU of a {_OPERATIONS[what]}", ours, other, BAR if what in _MANY else None)


def _a_second(measured: Beside, what: str) -> Comparison:
    ours, other = (
        Figure(name, "", [1 / seconds for seconds in measured.operations[side, what].cpu])
        for side, name in zip(SIDES, ("ours", _OTHER), strict=True)
    )
    return Comparison(f"{_MANY[what]} a second and core", ours, other)


def _peak(measured: Beside) -> Comparison:
    ours, other = (
        Figure(name, "MiB", [peak / 2**20 for peak in measured.peak[side]])
        for side, name in zip(SIDES, ("ours", _OTHER), strict=True)
    )
    return Comparison("peak memory (ours: four functions in one process)", ours, other)


def _calls(measured: Beside, what: str) -> Iterator[Comparison]:
    """Compare the calls of the operation to each service."""
    for service, name in _SERVICES.items():
        ours, other = (
            Figure(shown, "", [_of(service, calls) for calls in measured.operations[side, what].calls])
            for side, shown in zip(SIDES, ("ours", _OTHER), strict=True)
        )
        if all(other.rounds):
            yield Comparison(f"calls of {name} in a {_OPERATIONS[what]}", ours, other)


def _of(service: str, calls: dict[str, float]) -> float:
    return sum(count for call, count in calls.items() if call.startswith(f"{service}:"))


def _budget(measured: Beside, what: str) -> Iterator[Limit]:
    """Require exactly the calls of the budget from our broker. Leaving one out to be fast is a miss."""
    budget = {**aws_calls(*_BUDGET[what]), "aries:token": sum(BUDGET[operation].aries for operation in _BUDGET[what])}
    off = [
        sum(abs(calls.get(call, 0) - budget.get(call, 0)) for call in calls.keys() | budget.keys())
        for calls in measured.operations["ours", what].calls
    ]
    name = f"our calls in a {_OPERATIONS[what]}, more or fewer than the budget (see Warm cost)"
    yield Limit(name, Figure("calls", "", off), 0, "exactly")
