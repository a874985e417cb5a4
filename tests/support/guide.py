"""The guide for app developers, docs/connect-an-app.md: its snippets, by their headings."""

from __future__ import annotations

import re

from tests.support.functions import ROOT

GUIDE = (ROOT / "docs" / "connect-an-app.md").read_text()
_SECTION = re.compile(r"^## (?P<title>.+?)\n(?P<text>.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
_BLOCK = re.compile(r"^```(?P<language>\w+)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)


def section(title: str) -> str:
    """Return the text of the section with this title."""
    (text,) = [found["text"] for found in _SECTION.finditer(GUIDE) if found["title"] == title]
    return text


def snippet(title: str) -> str:
    """Return the first block of code of the section with this title."""
    block = _BLOCK.search(section(title))
    assert block is not None
    return block["code"]


def filled(code: str, values: dict[str, str]) -> str:
    """Replace a snippet's placeholders by values. Each placeholder must be there."""
    for placeholder, value in values.items():
        assert placeholder in code, placeholder
        code = code.replace(placeholder, value)
    return code
