"""README.md and the pages in docs: a short README leads to every page, links lead somewhere, lines are short."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.functions import ROOT

README = ROOT / "README.md"
PAGES = sorted((ROOT / "docs").glob("*.md"))
_LINK = re.compile(r"\]\((?P<file>(?!https?:|mailto:)[^)#]*)(?:#(?P<anchor>[^)]*))?\)")

# The indentation of a line, and the mark of a list's item.
_MARK = re.compile(r"^ *(?:(?:[-*]|\d+\.) +)?")


def prose(text: str) -> str:
    """The text without its blocks of code."""
    return re.sub(r"^( *)```.*?^\1```$", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(text: str) -> set[str]:
    """Return the headings as GitHub makes links to them."""
    headings = re.findall(r"^#+ (.+)$", prose(text), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


def dead_links(path: Path, text: str) -> list[str]:
    """Return the links of a page that lead to no file, or to no heading."""
    dead = []
    for link in _LINK.finditer(prose(text)):
        target = (path.parent / link["file"]).resolve() if link["file"] else path
        if not target.exists() or (link["anchor"] and link["anchor"] not in anchors(target.read_text())):
            dead.append(link[0])
    return dead


def long_lines(text: str) -> list[str]:
    """Return the lines of prose with more than 120 characters that a break would shorten.

    Rows of tables cannot be broken. The tables between two markers, and the sentences there, come from a program.
    """
    by_hand = re.sub(r"<!-- make (\w+) -->.*?<!-- /make \1 -->", "", prose(text), flags=re.DOTALL)
    lines = (line for line in by_hand.splitlines() if not line.lstrip().startswith("|"))
    return [line for line in lines if len(line) > 120 and " " in _MARK.sub("", line)]


def test_the_readme_is_short() -> None:
    assert len(README.read_text().splitlines()) <= 250


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_readme_leads_to_every_page(page: Path) -> None:
    assert f"](docs/{page.name})" in README.read_text()


@pytest.mark.parametrize("path", [README, *PAGES], ids=lambda path: path.name)
def test_every_link_to_a_file_or_a_section_of_the_project_leads_somewhere(path: Path) -> None:
    assert dead_links(path, path.read_text()) == []


@pytest.mark.parametrize("path", [README, *PAGES], ids=lambda path: path.name)
def test_no_line_of_prose_has_more_than_120_characters(path: Path) -> None:
    assert long_lines(path.read_text()) == []


@pytest.mark.parametrize(
    "short",
    [
        "x " * 60,
        f"- `{120 * 'x'}`",
        f"| {120 * 'x '}|",
        f"<!-- make bench -->\n{120 * 'x '}\n<!-- /make bench -->",
        f"```\n{120 * 'x '}\n```",
    ],
    ids=["of 120 characters", "one word", "a row", "from a program", "code"],
)
def test_a_line_that_may_be_as_long_as_it_is_passes(short: str) -> None:
    assert long_lines(short) == []


@pytest.mark.parametrize("start", ["", "- ", "   ", "12. "])
def test_a_long_line_is_noticed(start: str) -> None:
    line = f"{start}{120 * 'x'} y"
    assert long_lines(f"short\n{line}\nshort") == [line]


@pytest.mark.parametrize("path", [README, *PAGES], ids=lambda path: path.name)
def test_every_picture_exists_and_is_described(path: Path) -> None:
    pictures = re.findall(r"<img ([^>]*)>", path.read_text())
    for picture in pictures:
        described = dict(re.findall(r'(\w+)="([^"]+)"', picture))
        assert (path.parent / described["src"]).is_file()
        assert described["alt"]


@pytest.mark.parametrize(
    "link", ["[x](nothing.md)", "[x](docs/deploy.md#nothing)", "[x](#nothing)", "[x](docs/connect-an-app.md#-secrets)"]
)
def test_a_dead_link_is_noticed(link: str) -> None:
    assert dead_links(README, link) == [link.removeprefix("[x")]


@pytest.mark.parametrize("link", ["[x](docs/deploy.md)", "[x](#see-it-work)", "[x](https://example.com/#nothing)"])
def test_a_link_that_leads_somewhere_is_not(link: str) -> None:
    assert dead_links(README, link) == []
