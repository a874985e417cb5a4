"""The threat model of docs/security.md names existing tests, and has a row for every kind of attacker."""

from __future__ import annotations

import ast
import re
from collections import Counter

import pytest

from tests.support.functions import ROOT

PAGE = (ROOT / "docs" / "security.md").read_text()
NAMED = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")
# Each stands in a row of the table, or in its details.
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
    "sender of anything",
    "flood",
    "person on call",
    "package index",
    "turned hostile",
    "broken, slow or hostile",
    "measures time",
    "thief of its rights",
)


def rows() -> list[list[str]]:
    table = PAGE.split("\n## Threat model\n")[1].split("\n## ")[0]
    lines = [line for line in table.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line[1:-1].split(" | ")] for line in lines[2:]]


def details() -> dict[str, tuple[str, str]]:
    """Return the text and the tests of each threat, by its link."""
    sections = PAGE.split("\n## The threats one by one\n")[1].split("\n## ")[0].split("\n### ")[1:]
    found = {}
    for section in sections:
        heading, _, body = section.partition("\n")
        text, _, tests = body.partition("\nTests:\n")
        found[f"[{heading.partition('.')[0]}](#{anchor(heading)})"] = (text.strip(), tests)
    return found


def anchor(heading: str) -> str:
    """Return GitHub's anchor for a heading."""
    return re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-")


def problems(tests: str) -> list[str]:
    """Return the mistakes in a list of tests."""
    if not NAMED.search(tests) or NAMED.sub("", tests).replace("\n- ", "").strip():
        return [f"not a list of tests: {tests}"]
    wrong = []
    for path, name in NAMED.findall(tests):
        file = ROOT / path
        if not file.is_file():
            wrong.append(f"{path} does not exist")
            continue
        found = {it.name for it in ast.walk(ast.parse(file.read_text())) if isinstance(it, ast.FunctionDef)}
        if not any(test.startswith("test_") for test in found):
            wrong.append(f"{path} has no tests")
        if name and (name not in found or not name.startswith("test_")):
            wrong.append(f"{path} has no {name}")
    return wrong


def test_every_row_links_to_its_details_in_the_same_order() -> None:
    assert [row[0] for row in rows()] == list(details())


@pytest.mark.parametrize("row", rows(), ids=lambda row: f"{row[1]}: {row[2]}"[:60])
def test_every_row_says_what_stops_the_attacker_and_its_details_name_tests_that_exist(row: list[str]) -> None:
    assert len(row) == 4
    text, tests = details()[row[0]]
    assert len(row[3].split()) >= 8
    assert len(text.split()) >= 8
    assert problems(tests) == []


def test_the_headings_tell_the_threats_apart() -> None:
    headings = re.findall(r"^### T\d+\. (?:(?:A|The) )?(\w+)", PAGE, re.MULTILINE)
    assert len(headings) == len(rows())
    assert max(Counter(headings).values()) <= 2


def test_it_says_that_every_test_is_watched_for_leaks() -> None:
    text, _ = details()["[T11](#t11-all-secrets)"]
    assert "Every test fails if a secret that it handled shows in" in text
    conftest = (ROOT / "tests" / "conftest.py").read_text()
    assert '@pytest.fixture(scope="session", autouse=True)\ndef _watched_for_leaks()' in conftest


@pytest.mark.parametrize("threat", THREATS)
def test_every_kind_of_attacker_has_a_row(threat: str) -> None:
    assert any(threat in " | ".join([*row, details()[row[0]][0]]) for row in rows())


@pytest.mark.parametrize(
    "tests",
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
def test_a_test_that_does_not_exist_is_noticed(tests: str) -> None:
    assert problems(tests)


def test_every_target_and_parameter_that_it_names_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"`make ([a-z-]+)`", PAGE))
    assert named
    assert named <= targets
    template = (ROOT / "template.yaml").read_text()
    parameters = set(re.findall(r"^  (\w+):$", template, re.MULTILINE))
    told = {"Issuer", "SourceLimit", "SignInLimit", "LateRetry", "SessionDays"}
    assert told <= parameters
    assert all(f"`{name}`" in PAGE for name in told)


def test_the_parts_that_a_reader_looks_for_stand_in_order() -> None:
    headings = re.findall(r"^## (.+)$", PAGE, re.MULTILINE)
    assert headings == [
        "Threat model",
        "The threats one by one",
        "Tokens in the row",
        "Events for other programs",
        "Out of scope",
        "What each function may do",
        "Floods and limits",
        "Report a vulnerability",
    ]
    contents = PAGE.split("\n## ")[0]
    assert [anchor(heading) for heading in headings] == re.findall(r"^- \[.+?\]\(#([^)]+)\)", contents, re.MULTILINE)
