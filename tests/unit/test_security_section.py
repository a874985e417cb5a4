"""The README's threat model names tests that exist, are run, and cover every kind of attacker that it must."""

from __future__ import annotations

import ast
import re

import pytest

from tests.support.functions import ROOT

SECTION = re.split(r"^## ", (ROOT / "README.md").read_text().split("\n## Security\n")[1], flags=re.MULTILINE)[0]
NAMED = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")
# Each stands in the assets, the attackers or what stops them.
THREATS = (
    "Aries' refresh token",
    "the broker's refresh token",
    "the access token",
    "one-time code",
    "custom scheme",
    "PKCE",
    "CSRF",
    "session fixation",
    "mix-up",
    "open redirector",
    "client secret",
    "backup",
    "logs",
    "sends it anything",
    "flood",
    "person on call",
    "package index",
    "turned hostile",
    "broken, slow or hostile",
    "measures time",
)


def rows() -> list[list[str]]:
    table = SECTION.split("### Who is kept from what")[1].split("\n### ")[0]
    lines = [line for line in table.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line[1:-1].split(" | ")] for line in lines[2:]]


def problems(cell: str) -> list[str]:
    """What is wrong with the tests that a cell names."""
    if not NAMED.search(cell) or NAMED.sub("", cell).replace(",", "").strip():
        return [f"not a list of tests: {cell}"]
    wrong = []
    for path, name in NAMED.findall(cell):
        file = ROOT / path
        if not file.is_file():
            wrong.append(f"{path} does not exist")
            continue
        tests = {it.name for it in ast.walk(ast.parse(file.read_text())) if isinstance(it, ast.FunctionDef)}
        if not any(test.startswith("test_") for test in tests):
            wrong.append(f"{path} has no tests")
        if name and (name not in tests or not name.startswith("test_")):
            wrong.append(f"{path} has no {name}")
    return wrong


@pytest.mark.parametrize("row", rows(), ids=lambda row: f"{row[0]}: {row[1]}"[:60])
def test_every_row_says_what_stops_the_attacker_and_names_tests_that_exist(row: list[str]) -> None:
    assert len(row) == 4
    assert len(row[2].split()) >= 8
    assert problems(row[3]) == []


@pytest.mark.parametrize("threat", THREATS)
def test_every_kind_of_attacker_has_a_row(threat: str) -> None:
    assert any(threat in " | ".join(row[:3]) for row in rows())


@pytest.mark.parametrize(
    "cell",
    [
        "",
        "later",
        "`tests/unit/test_pkce.py` and more",
        "`tests/unit/test_nothing_of_this_name.py`",
        "`tests/unit/fakes.py`",
        "`tests/unit/test_pkce.py::test_nothing_of_this_name`",
        "`tests/unit/test_security_section.py::problems`",
    ],
)
def test_a_test_that_does_not_exist_is_noticed(cell: str) -> None:
    assert problems(cell)


def test_everything_else_that_it_names_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"`make ([a-z-]+)`", SECTION))
    assert named
    assert named <= targets
    files = re.findall(r"\]\(((?!http)[^)]+)\)|`(\.[a-z]+/[a-z]+)`", SECTION)
    assert [name for pair in files for name in pair if name and not (ROOT / name).exists()] == []
    headings = re.findall(r"^#+ (.+)$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert "Sign everyone out" in headings
    parameters = set(re.findall(r"^  (\w+):$", (ROOT / "template.yaml").read_text(), re.MULTILINE))
    assert {"Issuer", "DomainName", "SourceLimit", "LateRetry", "SessionDays"} <= parameters


def test_the_parts_that_a_reader_looks_for_stand_in_order() -> None:
    headings = re.findall(r"^### (.+)$", SECTION, re.MULTILINE)
    assert headings == [
        "Who is kept from what",
        "What is out of scope",
        "Floods and limits",
        "AWS WAF",
        "Report a vulnerability",
    ]
