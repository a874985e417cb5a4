"""Every case of `cases.md` and every clause of its second table has its tests. The tests exist, and they run."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache

import pytest

from tests.support.functions import ROOT

CASES = [str(number) for number in range(1, 51)] + [
    "10a",
    "33a",
    "33b",
    "35a",
    "35b",
    "35c",
    "35d",
    "35e",
    "38a",
    "38b",
    "41a",
    "41b",
    "41c",
    "41d",
    "41e",
    "41f",
    "41g",
    "41h",
    "42a",
    "42b",
    "42c",
    "42d",
    "45a",
    "46a",
    "46b",
    "47a",
    "50a",
    "50b",
    "50c",
    "50d",
    "50e",
    "50f",
    "50g",
    "50h",
    "50i",
    "50j",
    "50k",
    "50l",
]
# The number of requirements in each section of OWASP ASVS 5.0, chapter V10.
REQUIREMENTS = {1: 2, 2: 3, 3: 5, 4: 16, 5: 5, 6: 2, 7: 3}
ASVS = [f"V10.{section}.{number}" for section, most in REQUIREMENTS.items() for number in range(1, most + 1)]
SOURCES = (
    r"RFC (?:6585|6749|6750|7009|7636|8252|8414|9101|9110|9207|9700) (?:section [1-9]\d?(?:\.\d+){0,3}|appendix [A-F])",
    r"OAuth 2\.1 section [1-9]\d?(?:\.\d+){0,3}",
    # The other chapters appear with the sections of the cases alone.
    r"ASVS V(?:10\.[1-7]|13\.[23]|15\.[34]|16\.[245])\.[1-9]\d?",
    r"CVE-20\d\d-\d{4,7}",
)
# The folders that `make test-coverage` runs.
RUN = ("tests/unit/", "tests/integration/", "tests/faults/", "tests/model/")
NAMED = re.compile(r"`(tests/[\w/]+/test_\w+\.py)((?:::\w+){1,2})`")
SKIPS = ("skip", "skipif", "skipTest", "xfail", "importorskip", "SkipTest")

Row = tuple[str, ...]


def table(heading: str) -> list[Row]:
    """Return the cells of the table below a heading, without its first two lines."""
    (text,) = re.findall(rf"^## {heading}[^\n]*\n(.*?)(?=^## |\Z)", document(), re.MULTILINE | re.DOTALL)
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [tuple(cell.strip() for cell in line[1:-1].split(" | ")) for line in lines[2:]]


@cache
def document() -> str:
    return (ROOT / "tests" / "cases.md").read_text()


CASE_ROWS = table("Cases")
ASVS_ROWS = table("OWASP ASVS 5.0")


def is_reason(cell: str) -> bool:
    return re.fullmatch(r"(Does not apply|Not met): [^`|]{20,}", cell) is not None


def named_tests(cell: str) -> list[tuple[str, list[str]]]:
    """Return the file and the names of each test in a cell; raises ValueError for anything else in it."""
    if NAMED.sub("", cell).replace(", ", "") or not cell:
        raise ValueError(f"not a list of tests: {cell}")
    return [(path, names.split("::")[1:]) for path, names in NAMED.findall(cell)]


@cache
def module(path: str) -> ast.Module:
    return ast.parse((ROOT / path).read_text())


def scopes(path: str, names: list[str]) -> Iterator[ast.Module | ast.ClassDef | ast.FunctionDef]:
    """Yield the module, the class if there is one, and the test; raises ValueError if one does not exist."""
    scope: ast.Module | ast.ClassDef | ast.FunctionDef = module(path)
    yield scope
    for name in names:
        found = [it for it in scope.body if isinstance(it, ast.ClassDef | ast.FunctionDef) and it.name == name]
        if len(found) != 1:
            raise ValueError(f"{path} has no {name}")
        scope = found[0]
        yield scope


def is_long(value: ast.expr) -> bool:
    """Whether this is the one mark of a module that `make test-all` runs nevertheless."""
    return ast.unparse(value) == "pytest.mark.long"


def reasons_not_to_run(path: str, names: list[str]) -> list[str]:
    """Return possible reasons not to run a test, from the marks of its module, from its class and from itself."""
    found = []
    for scope in scopes(path, names):
        parts: list[ast.AST] = [scope]
        if isinstance(scope, ast.Module):
            parts = [it for it in scope.body if isinstance(it, ast.Assign | ast.Expr)]
        elif isinstance(scope, ast.ClassDef):
            parts = list(scope.decorator_list)
        for node in (node for part in parts for node in ast.walk(part)):
            match node:
                case ast.Attribute(attr=name) if name in SKIPS:
                    found.append(name)
                case ast.Assign(targets=[ast.Name(id="pytestmark")], value=value) if not is_long(value):
                    found.append("pytestmark")
    return found


def test_every_case_stands_here_once_and_in_order() -> None:
    order = sorted(CASES, key=lambda case: (int(re.sub(r"\D", "", case)), case))
    assert [row[0] for row in CASE_ROWS] == order
    assert {len(row) for row in CASE_ROWS} == {4}


def test_every_clause_of_asvs_stands_here_once_and_in_order() -> None:
    assert [row[0] for row in ASVS_ROWS] == ASVS
    assert {len(row) for row in ASVS_ROWS} == {3}


@pytest.mark.parametrize("row", CASE_ROWS + ASVS_ROWS, ids=lambda row: row[0])
def test_each_case_tells_in_words_what_must_happen(row: Row) -> None:
    assert len(row[1].split()) >= 5


@pytest.mark.parametrize("row", CASE_ROWS, ids=lambda row: row[0])
def test_every_clause_is_of_a_specification_that_is_known(row: Row) -> None:
    clauses = row[2].split("; ")
    assert [clause for clause in clauses if not any(re.fullmatch(source, clause) for source in SOURCES)] == []
    assert len(set(clauses)) == len(clauses)
    assert [clause for clause in clauses if clause.startswith("ASVS V10") and clause[5:] not in ASVS] == []


@pytest.mark.parametrize("row", CASE_ROWS + ASVS_ROWS, ids=lambda row: row[0])
def test_every_test_exists_and_is_run_or_there_is_a_reason_for_none(row: Row) -> None:
    if row in ASVS_ROWS and is_reason(row[-1]):
        return
    tests = named_tests(row[-1])
    assert len({(path, *names) for path, names in tests}) == len(tests)
    for path, names in tests:
        assert path.startswith(RUN)
        assert names[-1].startswith("test_")
        assert reasons_not_to_run(path, names) == []


def test_a_clause_that_a_case_names_is_not_said_to_be_missing() -> None:
    without = {row[0] for row in ASVS_ROWS if is_reason(row[-1])}
    assert [row[0] for row in CASE_ROWS if without & {clause[5:] for clause in row[2].split("; ")}] == []


@pytest.mark.parametrize("cell", ["", "later", "`tests/unit/test_cases.py`", "`tests/unit/test_cases.py::test_a` and"])
def test_a_cell_that_is_no_list_of_tests_is_noticed(cell: str) -> None:
    with pytest.raises(ValueError, match="not a list of tests"):
        named_tests(cell)


@pytest.mark.parametrize("names", [["test_nothing_of_this_name"], ["TestNothing", "test_a"]])
def test_a_test_that_does_not_exist_is_noticed(names: list[str]) -> None:
    with pytest.raises(ValueError, match="has no"):
        reasons_not_to_run("tests/unit/test_cases.py", names)


@pytest.mark.parametrize(
    ("path", "names", "reason"),
    [
        ("tests/openapi/test_document.py", ["test_the_document_is_openapi_3_1"], "pytestmark"),
        ("tests/unit/test_cases.py", ["skipped_on_purpose"], "skip"),
    ],
)
def test_a_test_that_is_not_run_or_may_be_skipped_is_noticed(path: str, names: list[str], reason: str) -> None:
    assert reasons_not_to_run(path, names) == [reason]


def skipped_on_purpose() -> None:
    """No test. The test above looks at it."""
    pytest.skip("never called")
