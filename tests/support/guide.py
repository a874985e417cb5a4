"""The README's guide for app developers: its snippets, by their headings."""

from __future__ import annotations

import re

from tests.support.functions import ROOT

README = (ROOT / "README.md").read_text()
GUIDE = README[README.index("## Connect an app") : README.index("## Deploy it")]
_SECTION = re.compile(r"^### (?P<title>.+?)\n(?P<text>.*?)(?=^### |^## |\Z)", re.MULTILINE | re.DOTALL)
_BLOCK = re.compile(r"^```(?P<language>\w+)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)


def snippet(title: str) -> str:
    """Return the first block of code of the section with this title."""
    (section,) = [found["text"] for found in _SECTION.finditer(GUIDE) if found["title"] == title]
    block = _BLOCK.search(section)
    assert block is not None
    return block["code"]


def filled(code: str, values: dict[str, str]) -> str:
    """Put values in the place of a snippet's placeholders, each of which must be there."""
    for placeholder, value in values.items():
        assert placeholder in code, placeholder
        code = code.replace(placeholder, value)
    return code
