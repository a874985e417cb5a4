"""The growth of cost: 1 to 64 sign-ins or refreshes at once, on a table of 10 to 1,000,000 rows."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tests.bench.budget import SIGN_IN, aws_calls
from tests.bench.figures import Comparison, Figure, Limit, Section
from tests.bench.growth_stage import MINUTE, Stage

# The number of processes, and the sign-ins and refreshes of each process.
PARALLEL = {1: 24, 4: 8, 16: 4, 64: 2}
ROWS = (10, 10_000, 1_000_000)
# The broker does the same work for every request, for any number of rows and processes. This bar only allows for the
# noise of a shared machine.
BAR = 1.25
# If there are more processes than cores, they take turns, and each finds the caches of the processor filled by another.
# On AWS every process has its own share of a processor. The benchmark therefore also runs the same processes in turn.
AT_ONCE_BAR = 1.6
_MOST_ROUNDS = 3
_OPERATIONS = {"sign_in": SIGN_IN, "refresh": ("refresh",)}
_SHOWN = {"sign_in": "sign-in", "refresh": "refresh"}
_SHOWN_MANY = {"sign_in": "sign-ins", "refresh": "refreshes"}


@dataclass(frozen=True, order=True)
class Size:
    """A point of the grid."""

    parallel: int
    rows: int
    in_turn: bool = False

    def __str__(self) -> str:
        how = "processes in turn" if self.in_turn else "parallel"
        return f"{self.parallel} {how}, {self.rows:,} rows"


@dataclass
class Measured:
    """The rounds of an operation: seconds for one operation, and ``a_second`` as a rate."""

    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)
    a_second: list[float] = field(default_factory=list)
    aws_cpu: list[float] = field(default_factory=list)
    calls: list[dict[str, float]] = field(default_factory=list)


Grid = dict[tuple[str, Size], Measured]


def measure(
    rounds: int, parallel: dict[int, int] = PARALLEL, rows: Sequence[int] = ROWS, most_rounds: int = _MOST_ROUNDS
) -> Section:
    """Measure everything in turns, in ``rounds`` rounds but at most ``most_rounds``."""
    sizes = [Size(at_once, count) for count in rows for at_once in parallel]
    sizes.append(Size(max(parallel), max(rows), in_turn=True))
    grid: Grid = defaultdict(Measured)
    with Stage.set(max(parallel)) as stage:
        for _ in range(min(rounds, most_rounds)):
            for size in sizes:
                stage.have_rows(size.rows)
                for what in _OPERATIONS:
                    _measure(stage, what, size, parallel[size.parallel], grid[what, size])
                stage.command("forget", size.parallel)
    return section(grid)


def _measure(stage: Stage, what: str, size: Size, times: int, into: Measured) -> None:
    """Let each process do it ``times`` times. A first time does not count: it reads the cached values."""
    stage.command(what, size.parallel, 1, MINUTE if what == "refresh" else 0.0)
    before = stage.asked_for()
    took = stage.command(what, size.parallel, times, in_turn=size.in_turn)
    asked = stage.asked_for()
    operations = size.parallel * times
    into.cpu.append(took["cpu"] / operations)
    into.wall.append(took["wall"] / operations)
    into.a_second.append(operations / took["elapsed"])
    into.calls.append({call: made / operations for call, made in asked["made"].items()})
    into.aws_cpu.append((asked["cpu"] - before["cpu"]) / (sum(asked["made"].values()) + asked["routine"]))


def section(grid: Grid) -> Section:
    """Put the measurements into tables."""
    sizes = sorted({size for _, size in grid})
    least, most = sizes[0], max(size for size in sizes if not size.in_turn)
    shown = (Size(least.parallel, most.rows), most)
    return Section(
        "How cost grows",
        "The figures are CPU time of the built functions under Python 3.13. As on AWS, each parallel request has a"
        f" process of its own. A sign-in is authorize, callback and redeem. {most.parallel} processes share"
        f" {os.cpu_count()} cores here and take turns; this costs them more than the same processes one after the"
        f" other. The stand-in finds a row among {most.rows:,} as fast as among {least.rows}. This proves nothing about"
        " DynamoDB, but DynamoDB promises the same, because every call names the key of its row.",
        [_comparison(grid, what, size, least) for what in _OPERATIONS for size in sizes if size != least],
        [limit for what in _OPERATIONS for limit in _calls(grid, what)],
        [figure for what in _OPERATIONS for size in shown for figure in _figures(grid, what, size)]
        + [_aws_time(grid, size) for size in sizes if size.parallel == least.parallel],
    )


def _comparison(grid: Grid, what: str, size: Size, least: Size) -> Comparison:
    def cpu(of: Size) -> Figure:
        return Figure(str(of), "ms", [seconds * 1000 for seconds in grid[what, of].cpu])

    is_crowded = size.parallel != least.parallel and not size.in_turn
    return Comparison(f"CPU of a {_SHOWN[what]}: {size}", cpu(size), cpu(least), AT_ONCE_BAR if is_crowded else BAR)


def _calls(grid: Grid, what: str) -> Iterator[Limit]:
    """Require the same calls at all sizes in all rounds."""
    budget = aws_calls(*_OPERATIONS[what])
    counted = [calls for (measured, _), each in grid.items() if measured == what for calls in each.calls]
    shown = ", ".join(f"{times} {call.partition(':')[2]}" for call, times in sorted(budget.items()))
    name = f"calls of AWS in a {_SHOWN[what]}, at every size: {shown}"
    totals = [sum(calls.values()) for calls in counted]
    yield Limit(name, Figure("calls", "", totals), sum(budget.values()), "exactly")
    others = [
        sum(abs(calls.get(call, 0) - budget.get(call, 0)) for call in calls.keys() | budget.keys()) for calls in counted
    ]
    yield Limit(f"other or missing calls in a {_SHOWN[what]}", Figure("calls", "", others), 0, "exactly")


def _figures(grid: Grid, what: str, size: Size) -> Iterator[Figure]:
    took = grid[what, size]
    yield Figure(f"{_SHOWN_MANY[what]} a second: {size}", "", took.a_second)
    yield Figure(f"time of a {_SHOWN[what]}: {size}", "ms", [seconds * 1000 for seconds in took.wall])


def _aws_time(grid: Grid, size: Size) -> Figure:
    both = [each.aws_cpu for (_, at), each in grid.items() if at == size]
    seconds = [sum(pair) / len(pair) for pair in zip(*both, strict=True)]
    return Figure(f"the stand-in for AWS, CPU of a call: {size}", "ms", [each * 1000 for each in seconds])
