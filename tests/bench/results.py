"""The last results: every round in ``results.json``; docs/performance.md shows the figures with a bar.

A section with ``is_shown_whole`` stands there with all its figures.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.bench.figures import Section

_FILE = Path(__file__).with_name("results.json")
PAGE = Path(__file__).parents[2] / "docs" / "performance.md"
_BETWEEN_MARKERS = re.compile(r"(?<=<!-- make bench -->\n).*?(?=\n<!-- /make bench -->)", re.DOTALL)
_COST = re.compile(r"(?<=<!-- make cost -->\n).*?(?=\n<!-- /make cost -->)", re.DOTALL)


def read() -> dict[str, Section]:
    """Return the last results of each part, or nothing before the first measurement."""
    if not _FILE.exists():
        return {}
    return {name: Section.from_json(section) for name, section in json.loads(_FILE.read_text()).items()}


def write(sections: dict[str, Section]) -> None:
    """Save these sections with every round, and put their tables into docs/performance.md."""
    _FILE.write_text(json.dumps({name: section.to_json() for name, section in sections.items()}, indent=1) + "\n")
    PAGE.write_text(_BETWEEN_MARKERS.sub(lambda _: to_markdown(), PAGE.read_text()))


def to_markdown() -> str:
    """Return the tables for docs/performance.md."""
    return "\n\n".join(section.held.to_markdown() for section in read().values())


def on_page() -> str:
    """Return the tables that docs/performance.md shows now."""
    (shown,) = _BETWEEN_MARKERS.findall(PAGE.read_text())
    return str(shown)


def write_cost(table: str) -> None:
    """Put the table of ``make cost`` into docs/performance.md."""
    PAGE.write_text(_COST.sub(lambda _: table, PAGE.read_text()))


def cost_on_page() -> str:
    """Return the table of ``make cost`` that docs/performance.md shows now."""
    (shown,) = _COST.findall(PAGE.read_text())
    return str(shown)
