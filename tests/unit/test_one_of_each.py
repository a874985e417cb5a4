"""The tests have one clock, one Lambda context and one import of a function, all in tests/support."""

from __future__ import annotations

import ast
from pathlib import Path

from tests.support.functions import ROOT

TESTS = ROOT / "tests"
FILES = [path for path in TESTS.rglob("*.py") if "node_modules" not in path.parts]
MODULES = {path.relative_to(TESTS).as_posix(): ast.parse(path.read_text()) for path in FILES}
# The dictionary for the comparison with the template of a deployment.
EXPECTED_OF_THE_TEMPLATE = "integration/test_template.py"


def classes_with(*methods: str) -> set[str]:
    """Return the classes that define all these methods themselves, each by its file and its name."""
    return {
        f"{path}:{node.name}"
        for path, tree in MODULES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        and {*methods} <= {member.name for member in node.body if isinstance(member, ast.FunctionDef)}
    }


def files_with(text: str) -> set[str]:
    return {path for path in MODULES if text in (TESTS / path).read_text()} - {
        Path(__file__).relative_to(TESTS).as_posix()
    }


def test_every_clock_is_built_on_the_one() -> None:
    assert classes_with("now", "sleep") == {"support/clock.py:VirtualClock", "support/clock.py:RunningClock"}


def test_every_lambda_context_is_built_on_the_one() -> None:
    assert classes_with("get_remaining_time_in_millis") == {"support/lambda_context.py:Context"}


def test_every_telemetry_that_is_looked_at_is_built_on_the_one() -> None:
    # The workers' telemetry is a file, because they are processes of their own. The other one also writes a real log.
    others = {"local/worker.py:EventLog", "integration/test_cases_logs.py:Written"}
    assert classes_with("log", "measure", "count") == {"support/telemetry.py:Recorded"} | others


def test_every_import_of_a_function_is_the_one() -> None:
    assert files_with("spec_from_file_location") == {"support/bootstrap.py"}


def test_the_environment_of_a_deployment_stands_in_one_place() -> None:
    dictionaries = {
        path
        for path, tree in MODULES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Dict)
        and {"TABLE_NAME", "SECRET_PREFIX"} <= {key.value for key in node.keys if isinstance(key, ast.Constant)}
    }
    assert dictionaries == {"support/deployment.py", EXPECTED_OF_THE_TEMPLATE}


def test_the_context_brings_no_module_that_would_be_missing_from_the_figures_of_a_cold_start() -> None:
    imports = [
        node for node in MODULES["support/lambda_context.py"].body if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    assert [ast.unparse(node) for node in imports] == [
        "from __future__ import annotations",
        "from collections.abc import Callable",
    ]
