"""The last results, as the README shows them."""

from __future__ import annotations

import json
from pathlib import Path

from tests.bench.figures import Section

_FILE = Path(__file__).with_name("results.json")


def read() -> dict[str, Section]:
    """Each part's last results; none where nothing was measured yet."""
    if not _FILE.exists():
        return {}
    return {name: Section.from_json(section) for name, section in json.loads(_FILE.read_text()).items()}


def write(sections: dict[str, Section]) -> None:
    """Keep these, each round of them."""
    _FILE.write_text(json.dumps({name: section.to_json() for name, section in sections.items()}, indent=1) + "\n")


def to_markdown() -> str:
    """All tables of the last results."""
    return "\n\n".join(section.to_markdown() for section in read().values())
