"""The last results: every round in ``results.json``, and in the README what has a bar, and one section whole."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.bench.figures import Section

_FILE = Path(__file__).with_name("results.json")
README = Path(__file__).parents[2] / "README.md"
_IN_README = re.compile(r"(?<=<!-- make bench -->\n).*?(?=\n<!-- /make bench -->)", re.DOTALL)


def read() -> dict[str, Section]:
    """Each part's last results; none where nothing was measured yet."""
    if not _FILE.exists():
        return {}
    return {name: Section.from_json(section) for name, section in json.loads(_FILE.read_text()).items()}


def write(sections: dict[str, Section]) -> None:
    """Keep these, each round of them, and show them in the README."""
    _FILE.write_text(json.dumps({name: section.to_json() for name, section in sections.items()}, indent=1) + "\n")
    README.write_text(_IN_README.sub(lambda _: to_markdown(), README.read_text()))


def to_markdown() -> str:
    """The tables that the README has."""
    return "\n\n".join(section.held.to_markdown() for section in read().values())


def in_readme() -> str:
    """What the README shows of them."""
    (shown,) = _IN_README.findall(README.read_text())
    return str(shown)
