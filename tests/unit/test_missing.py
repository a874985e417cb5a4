"""If every test must run, no test is skipped: every skip goes through one function, and the function then fails."""

from __future__ import annotations

import re

import pytest

from tests.support.functions import ROOT
from tests.support.missing import EVERY_TEST_MUST_RUN, missing

# These files speak of skipping, or are that function.
ELSEWHERE = {"support/missing.py", "unit/test_missing.py", "unit/test_cases.py"}
SKIPPING = re.compile(r"\b(?:skip|skipif|xfail|importorskip|skipTest|SkipTest)\b(?=\()|\bmark\.(?:skip|xfail)\b")


@pytest.mark.parametrize("value", ["1", "yes"])
def test_a_missing_tool_is_a_failure_if_every_test_must_run(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv(EVERY_TEST_MUST_RUN, value)
    with pytest.raises(pytest.fail.Exception, match=f"{EVERY_TEST_MUST_RUN} .* no thing"):
        missing("no thing")


@pytest.mark.parametrize("value", [None, "", "0"])
def test_elsewhere_the_test_is_skipped_and_says_why(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    monkeypatch.delenv(EVERY_TEST_MUST_RUN, raising=False)
    if value is not None:
        monkeypatch.setenv(EVERY_TEST_MUST_RUN, value)
    with pytest.raises(pytest.skip.Exception, match="no thing"):
        missing("no thing")


def test_no_test_is_skipped_in_any_other_way() -> None:
    tests = ROOT / "tests"
    paths = [path for path in tests.rglob("*.py") if "node_modules" not in path.parts]
    texts = {str(path.relative_to(tests)): path.read_text() for path in paths}
    assert texts.keys() > ELSEWHERE
    assert [name for name, text in texts.items() if name not in ELSEWHERE and SKIPPING.search(text)] == []


@pytest.mark.parametrize("text", ["pytest.skip('x')", "@pytest.mark.skipif(True)", "mark.skip\n", "importorskip('x')"])
def test_a_skip_is_noticed(text: str) -> None:
    assert SKIPPING.search(text)


def test_the_commit_is_held_to_it() -> None:
    assert f"\nexport {EVERY_TEST_MUST_RUN}=1\n" in (ROOT / ".ci" / "run").read_text()
