"""Cold starts of the build, beside the floor and beside an ordinary build of the same code."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import median

from tests.bench.cold_memory import figures
from tests.bench.cold_starts import IN_ROW, NEEDS, ColdStart, ColdStarts, Kind, Rounds, cold_starts
from tests.bench.figures import Comparison, Figure, Limit, Section

# The bar for each function, as a multiple of its floor.
FLOOR_BARS = {"authorize": 1.15} | dict.fromkeys(
    ("callback", "token", "refresh", "revoke", "sessions", "backend"), 1.35
)
# Half the time of the ordinary build.
ORDINARY_BAR = 0.5
# Milliseconds more for a function that keeps the tokens in the row: it makes the client of KMS at its start.
ROW_BAR = 20
# MiB of peak memory after the first request: a quarter of the smallest memory size in the template.
PEAK_BAR = 64
# Frames on the stack at each start of a round. CPython keeps its stack in pieces. If a busy call begins at the end of a
# piece, CPython takes and gives back a piece for each such call, and a start takes up to 15 ms longer. Nobody knows the
# depth in Lambda, and one depth would measure luck.
DEPTHS = (6, 20, 34, 48)
# New sign-ins after this many seconds, because a code lives for a minute.
SIGN_IN_SECONDS = 30
# The ordinary build takes long, and our build is far below this bar.
ORDINARY_ROUNDS = 3
_ABOUT = (
    "The figures are CPU time of all threads, from before the first import to the answer of the first request. The "
    "request succeeds. A redemption asks Aries whose session it is, and a list has the person's other sessions. Each "
    "start is a fresh Python of the runtime's version, with the built layers and the function alone on its path. The "
    "start of Python itself does not count. AWS and Aries are another process, over TLS. The floor imports boto3 from"
    " the same layer, and requests if the function calls Aries. It makes the same clients and the same calls. The "
    "ordinary build is the same code without bytecode: it imports everything and makes all clients up front. The "
    "estimates in `results.json` assume 10 ms for a call of AWS and 200 ms for a call of Aries. Like Lambda, they "
    "give processor time by memory size. Each round has a start at each of several depths of the stack, because the "
    "depth alone can cost 15 ms."
)


def measure(rounds: int) -> Section:
    """Start all functions in turns: in each round ours, with both stores, and the floor, at each depth."""
    with cold_starts() as starts:
        return to_section(in_turns(starts, list(NEEDS), rounds))


def in_turns(starts: ColdStarts, names: Sequence[str], rounds: int) -> Rounds:
    """Run the rounds. Each start of ours comes right before a start of the other."""
    kinds: tuple[Kind, ...] = ("ours", "row", "floor", "ordinary")
    found: dict[tuple[Kind, str], list[list[ColdStart]]] = {(kind, name): [] for kind in kinds for name in names}
    for number in range(rounds):
        for name in names:
            if starts.age > SIGN_IN_SECONDS:
                starts.prepare()
            at_each_depth: tuple[Kind, ...] = ("ours", "row", "floor") if name in IN_ROW else ("ours", "floor")
            of_round: dict[Kind, list[ColdStart]] = {kind: [] for kind in at_each_depth}
            for depth in DEPTHS:
                for kind, started in of_round.items():
                    started.append(starts.start(kind, name, depth=depth))
            for kind, started in of_round.items():
                found[kind, name].append(started)
            if number < ORDINARY_ROUNDS:
                found["ordinary", name].append([starts.start("ordinary", name)])
    return found


def to_section(found: Rounds) -> Section:
    """Compare the measurements with the bars."""
    names = [name for kind, name in found if kind == "ours"]
    ours = {name: _figure(found, "ours", name, "ms", _cpu) for name in names}
    beside_floor = [
        Comparison(
            f"{name}, and its floor",
            ours[name],
            _figure(found, "floor", name, "ms", _cpu, named="beside it"),
            FLOOR_BARS.get(name),
        )
        for name in names
        if NEEDS[name].clients
    ]
    beside_ordinary = [
        Comparison(
            f"{name}, and built the ordinary way",
            replace(ours[name], rounds=ours[name].rounds[:ORDINARY_ROUNDS]),
            _figure(found, "ordinary", name, "ms", _cpu, named="beside it"),
            ORDINARY_BAR,
        )
        for name in names
        if found["ordinary", name]
    ]
    peaks = [
        Limit(f"{name}, peak memory", _figure(found, "ours", name, "MiB", lambda it: it.peak_bytes / 2**20), PEAK_BAR)
        for name in names
    ]
    in_row = [
        Limit(
            f"{name} with tokens in the row, more than with secrets",
            Figure(name, "ms", _more(found["row", name], found["ours", name])),
            ROW_BAR,
        )
        for name in names
        if found.get(("row", name))
    ]
    walls = [
        replace(_figure(found, "ours", name, "ms", lambda it: it.wall * 1000), name=f"{name}, on the wall")
        for name in names
    ]
    inits = [
        replace(_figure(found, "ours", name, "ms", lambda it: it.init_cpu * 1000), name=f"{name}, until it is started")
        for name in names
    ]
    return Section("Cold start", _ABOUT, beside_floor + beside_ordinary, in_row + peaks, walls + inits + figures(found))


def _figure(
    found: Rounds, kind: Kind, name: str, unit: str, of: Callable[[ColdStart], float], *, named: str = ""
) -> Figure:
    return Figure(named or name, unit, [median(of(start) for start in starts) for starts in found[kind, name]])


def _more(row: list[list[ColdStart]], ours: list[list[ColdStart]]) -> list[float]:
    """Return the milliseconds more of each round. Each depth of the stack is beside itself."""
    return [
        median(_cpu(one) - _cpu(other) for one, other in zip(*of_round, strict=True))
        for of_round in zip(row, ours, strict=True)
    ]


def _cpu(start: ColdStart) -> float:
    return start.cpu * 1000
