"""README.md and the pages in docs/: the README is short and leads to every page, and every link leads somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.functions import ROOT

README = ROOT / "README.md"
PAGES = sorted((ROOT / "docs").glob("*.md"))
_LINK = re.compile(r"\]\((?P<file>(?!https?:|mailto:)[^)#]*)(?:#(?P<anchor>[^)]*))?\)")


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


def test_the_readme_is_short() -> None:
    assert len(README.read_text().splitlines()) <= 250


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_readme_leads_to_every_page(page: Path) -> None:
    assert f"](docs/{page.name})" in README.read_text()


@pytest.mark.parametrize("path", [README, *PAGES], ids=lambda path: path.name)
def test_every_link_to_a_file_or_a_section_of_the_project_leads_somewhere(path: Path) -> None:
    assert dead_links(path, path.read_text()) == []


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
