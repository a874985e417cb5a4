"""The figures of a benchmark over several rounds, and ratios of two figures of the same rounds."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from statistics import median
from typing import Any, Literal


@dataclass(frozen=True)
class Figure:
    """A quantity, measured once a round. ``unit`` stands behind the number."""

    name: str
    unit: str
    rounds: list[float]

    @property
    def median(self) -> float:
        """Return the middle round."""
        return median(self.rounds)

    def __str__(self) -> str:
        spread = f" ({_short(min(self.rounds))} to {_short(max(self.rounds))})" if len(self.rounds) > 1 else ""
        return f"{_short(self.median)} {self.unit}".strip() + spread


@dataclass(frozen=True)
class Comparison:
    """Our figure beside another one, round by round. The pace of a machine changes, and the ratio stays.

    ``bar`` is the limit for the median of the ratios, or None.
    """

    name: str
    ours: Figure
    other: Figure
    bar: float | None = None
    wanted: Literal["at most", "at least"] = "at most"

    @property
    def ratio(self) -> Figure:
        """Return our figure divided by the other one, once a round."""
        pairs = zip(self.ours.rounds, self.other.rounds, strict=True)
        return Figure("ratio", "", [ours / other for ours, other in pairs])

    @property
    def is_met(self) -> bool:
        """Return whether the median meets the bar. If there is no bar, return True."""
        if self.bar is None:
            return True
        return self.ratio.median <= self.bar if self.wanted == "at most" else self.ratio.median >= self.bar


@dataclass(frozen=True)
class Limit:
    """A quantity with a bar of its own, such as a size or a number of calls."""

    name: str
    figure: Figure
    bar: float
    wanted: Literal["at most", "at least", "exactly"] = "at most"

    @property
    def is_met(self) -> bool:
        """Return whether the figure meets the bar."""
        match self.wanted:
            case "at most":
                return self.figure.median <= self.bar
            case "at least":
                return self.figure.median >= self.bar
            case "exactly":
                return set(self.figure.rounds) == {self.bar}


@dataclass(frozen=True)
class Section:
    """A part of the benchmark. ``about`` names in a few sentences the measured things and the method.

    If ``is_shown_whole``, docs/performance.md also shows the figures without a bar.
    """

    title: str
    about: str
    comparisons: list[Comparison] = field(default_factory=list)
    limits: list[Limit] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    is_shown_whole: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return every figure with each of its rounds."""
        return asdict(self)

    @classmethod
    def from_json(cls, section: dict[str, Any]) -> Section:
        """Make the section again from the result of ``to_json``."""
        return cls(
            section["title"],
            section["about"],
            [
                Comparison(**(comparison | {name: Figure(**comparison[name]) for name in ("ours", "other")}))
                for comparison in section["comparisons"]
            ],
            [Limit(**(limit | {"figure": Figure(**limit["figure"])})) for limit in section["limits"]],
            [Figure(**figure) for figure in section["figures"]],
            section.get("is_shown_whole", False),
        )

    @property
    def held(self) -> Section:
        """Return the section without the figures that have no bar, or all of it if ``is_shown_whole``."""
        if self.is_shown_whole:
            return self
        return replace(self, comparisons=[it for it in self.comparisons if it.bar is not None], figures=[])

    def to_markdown(self) -> str:
        """Return a heading, the text and the tables."""
        parts = [f"### {self.title}", self.about]
        if self.comparisons:
            rows = [_comparison_row(comparison) for comparison in self.comparisons]
            parts.append(_table(["", "ours", self.comparisons[0].other.name, "ratio", "bar"], rows))
        if self.limits or self.figures:
            rows = [[limit.name, str(limit.figure), _bar(limit)] for limit in self.limits]
            rows += [[figure.name, str(figure), ""] for figure in self.figures]
            parts.append(_table(["", "measured", "bar"], rows))
        return "\n\n".join(parts)


def _comparison_row(comparison: Comparison) -> list[str]:
    return [comparison.name, str(comparison.ours), str(comparison.other), str(comparison.ratio), _bar(comparison)]


def _bar(held: Comparison | Limit) -> str:
    if held.bar is None:
        return ""
    return f"{held.wanted} {_short(held.bar)}{'' if held.is_met else ': **missed**'}"


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _short(number: float) -> str:
    """Format with three significant digits; a whole number stays whole."""
    if number == int(number) or abs(number) >= 100:
        return f"{number:,.0f}"
    return f"{number:.3g}"
