"""Drawn secrets carry a mark, so no word of our own source counts as a leak."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from hypothesis import given, settings

from tests.support.drawn import MARK, marked, secret_texts
from tests.support.functions import ROOT
from tests.support.leaks import Watch

SOURCES = [*(ROOT / "functions").rglob("*.py"), *(ROOT / "layers" / "oauth_broker").rglob("*.py")]
TESTS = sorted((ROOT / "tests").rglob("*.py"))
# Drawn texts in these files are neither sent nor stored as secrets.
HARMLESS = {
    "tests/support/drawn.py": "makes the marked ones",
    "tests/unit/test_dialect.py": "members of an error answer, which is no request",
    "tests/unit/test_http.py": "bodies that are never parsed, and the words of a page",
    "tests/unit/test_aries_client.py": "names of members",
    "tests/unit/test_clients.py": "the parameter Apps and redirect URIs",
    "tests/unit/test_settings.py": "environment variables",
    "tests/unit/test_strict_json.py": "JSON as such",
}


def constants(path: Path) -> set[str]:
    found = ast.walk(ast.parse(path.read_text()))
    return {node.value for node in found if isinstance(node, ast.Constant) and isinstance(node.value, str)}


WORDS = sorted(set().union(*map(constants, SOURCES)))


def test_a_word_of_our_own_source_drawn_as_a_secret_and_logged_as_a_reason_is_no_leak() -> None:
    assert "malformed_answer" in WORDS
    watch = Watch()
    for word in WORDS:
        watch.secret(marked(word))
        watch.wrote("log line", word)
    assert watch.leaks() == []


def test_the_watch_takes_such_a_word_for_a_leak_where_it_has_no_mark() -> None:
    watch = Watch()
    watch.secret("malformed_answer")
    watch.wrote("log line", '"reason": "malformed_answer"')
    assert watch.leaks() == ["log line"]


def test_no_constant_of_our_source_has_the_mark() -> None:
    assert [word for word in WORDS if MARK in word] == []


@pytest.mark.parametrize("length", range(100))
def test_any_twelve_characters_of_a_marked_text_have_a_whole_mark_and_its_length_stays(length: int) -> None:
    text = marked("x" * length)
    assert len(text) == length
    assert all(MARK in text[start : start + 12] for start in range(length - 11))


@given(secret_texts(min_size=1))
@settings(max_examples=1000, derandomize=True, database=None, deadline=None)
def test_without_an_alphabet_any_text_that_utf_8_can_write_is_drawn_and_no_other(text: str) -> None:
    assert text.encode().decode() == text


def drawn_without_a_mark(path: Path) -> bool:
    """Tell whether a file draws texts as long as a secret without the mark."""
    for node in ast.walk(ast.parse(path.read_text())):
        if not (isinstance(node, ast.Call) and ast.unparse(node.func) == "st.text"):
            continue
        sizes = [keyword.value for keyword in node.keywords if keyword.arg == "max_size"]
        if not (sizes and isinstance(sizes[0], ast.Constant) and int(str(sizes[0].value)) < 12):
            return True
    return False


def test_wherever_a_secret_may_be_drawn_it_is_a_marked_one() -> None:
    found = {str(path.relative_to(ROOT)) for path in TESTS if drawn_without_a_mark(path)}
    assert found == set(HARMLESS)
