"""Cold starts of what was built, beside the floor and beside the same code built the ordinary way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import median

from tests.bench.cold_memory import figures
from tests.bench.cold_starts import NEEDS, ColdStart, ColdStarts, Kind, Rounds, cold_starts
from tests.bench.figures import Comparison, Figure, Limit, Section

# At most so many times what the clients that a function needs take by themselves.
FLOOR_BARS = {"authorize": 1.15, "callback": 1.35, "token": 1.35, "refresh": 1.35, "revoke": 1.35}
# At most half of what the ordinary build takes.
ORDINARY_BAR = 0.5
# MiB that a function holds at the most after its first request: a quarter of the smallest memory size in the template.
PEAK_BAR = 64
STARTS = 2
# Seconds after which people sign in anew: a code lives for a minute.
SIGN_IN_SECONDS = 30
# The ordinary build takes long, and is far from its bar.
ORDINARY_ROUNDS = 3
_ABOUT = (
    "From before the first import to the answer of the first request, which succeeds, in a fresh Python of the "
    "runtime's version that has the built layers and the function on its path and nothing else: CPU time of all "
    "threads, without the start of Python itself. AWS and Aries are another process, over TLS. The floor imports "
    "boto3 (and requests where the function calls Aries) from the same layer, makes the same clients and the same "
    "calls. The ordinary build is the same code without bytecode, everything imported and all clients made up front. "
    "The estimates take a call of AWS for 10 ms and one of Aries for 200, and give processor time by memory as Lambda "
    "does."
)


def measure(rounds: int) -> Section:
    """Start all functions in turns, ours and the floor of each twice a round."""
    with cold_starts() as starts:
        return to_section(in_turns(starts, list(NEEDS), rounds))


def in_turns(starts: ColdStarts, names: Sequence[str], rounds: int) -> Rounds:
    """Everything once a round, ours and the other always one after the other."""
    kinds: tuple[Kind, ...] = ("ours", "floor", "ordinary")
    found: dict[tuple[Kind, str], list[list[ColdStart]]] = {(kind, name): [] for kind in kinds for name in names}
    for number in range(rounds):
        for name in names:
            if starts.age > SIGN_IN_SECONDS:
                starts.prepare(names)
            ours, floor = [], []
            for _ in range(STARTS):
                ours.append(starts.start("ours", name))
                floor.append(starts.start("floor", name))
            found["ours", name].append(ours)
            found["floor", name].append(floor)
            if number < ORDINARY_ROUNDS:
                found["ordinary", name].append([starts.start("ordinary", name)])
    return found


def to_section(found: Rounds) -> Section:
    """Hold what was measured against the bars."""
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
    walls = [
        replace(_figure(found, "ours", name, "ms", lambda it: it.wall * 1000), name=f"{name}, on the wall")
        for name in names
    ]
    inits = [
        replace(_figure(found, "ours", name, "ms", lambda it: it.init_cpu * 1000), name=f"{name}, until it is started")
        for name in names
    ]
    return Section("Cold start", _ABOUT, beside_floor + beside_ordinary, peaks, walls + inits + figures(found))


def _figure(
    found: Rounds, kind: Kind, name: str, unit: str, of: Callable[[ColdStart], float], *, named: str = ""
) -> Figure:
    return Figure(named or name, unit, [median(of(start) for start in starts) for starts in found[kind, name]])


def _cpu(start: ColdStart) -> float:
    return start.cpu * 1000
