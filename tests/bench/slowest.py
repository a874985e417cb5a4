"""The slowest refreshes: with the step that ends a start in Lambda (``runtime/start.py``), and without it.

Without it, the garbage collector searches among the objects of the start during one of the first refreshes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import median, quantiles

from tests.bench.budget import SIGN_IN
from tests.bench.figures import Comparison, Figure, Section
from tests.bench.growth_stage import Program
from tests.bench.warm_stage import MINUTE, Stage

TIMES = 1_000
# Without the step, the worst refresh is some four times as slow.
WORST_BAR = 0.75
_WORST = "worst"
_KINDS: Mapping[str, Callable[[Sequence[float]], float]] = {
    "median": median,
    "99th percentile": lambda each: quantiles(each, n=100)[98],
    _WORST: max,
}


def measure(rounds: int, times: int = TIMES) -> Section:
    """Refresh ``times`` sessions in a fresh process with the step, and in one without it, in every round."""
    with_step: list[list[float]] = []
    without: list[list[float]] = []
    with Stage.set() as stage:
        given: list[dict[str, str]] = [{}] * times
        for what in SIGN_IN:
            given = stage.operate(what, given)["made"]
        later = 0.0
        for number in range(rounds):
            # The machine may get busier or quieter, so the two processes take turns in being first.
            for is_frozen in (True, False) if number % 2 else (False, True):
                later += MINUTE
                with stage.fresh_token_function(is_frozen=is_frozen) as process:
                    each, given = _refreshes(process, given, later)
                (with_step if is_frozen else without).append(each)
    return to_section(with_step, without)


def _refreshes(process: Program, given: list[dict[str, str]], later: float) -> tuple[list[float], list[dict[str, str]]]:
    """Refresh every session once; return the processor seconds of each refresh, and the input of the next round."""
    told = process.command({"do": "refresh", "given": given, "later": later})
    # The first refresh connects.
    return told["each"][1:], told["made"]


def to_section(with_step: list[list[float]], without: list[list[float]]) -> Section:
    """Compare the refreshes of each round."""
    return Section(
        "The slowest refresh",
        f"The figures are processor time of one of {len(without[0]) + 1:,} refreshes of as many sessions, in a fresh"
        " process of the built token function. In Lambda, each function takes the objects of its start out of the"
        " garbage collector's searches (`gc.freeze()`). The other process does not.",
        [
            Comparison(
                f"{name} of the refreshes",
                Figure("ours", "ms", [of(each) * 1000 for each in with_step]),
                Figure("without `gc.freeze()`", "ms", [of(each) * 1000 for each in without]),
                WORST_BAR if name == _WORST else None,
            )
            for name, of in _KINDS.items()
        ],
        is_shown_whole=True,
    )
