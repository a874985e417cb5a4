"""The Makefile, the hooks before a commit and the CI have the same commands, and `make test-all` runs every test."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from typing import Any
from unittest import mock

import pytest
from samcli.yamlhelper import yaml_parse

from tests.conftest import pytest_collection_modifyitems
from tests.support.functions import ROOT
from tests.support.long import Run, examples

MAKEFILE = (ROOT / "Makefile").read_text()
# The commands of `make check` that take too long for every commit.
SLOW = ("-m samcli validate --lint", "cfnlint.runner", "checkov.main")
# These targets test nothing.
# The one target of tests that no commit has to pass.
EXHAUSTIVE = "test-exhaustive"
NO_PARTS = {"bench", "build", "check-config", "clean", "cost", "help", "lock", "operate", "run", "sam-local", "sbom"}


def recipe(target: str) -> str:
    (found,) = re.findall(rf"^{target}:[^\n]*\n((?:[\t#][^\n]*\n)+)", MAKEFILE, re.MULTILINE)
    return re.sub(r"\\\n\s*", "", found)


def listed() -> set[str]:
    """The targets that `make help` lists."""
    return set(re.findall(r"^([a-z-]+):.*## ", MAKEFILE, re.MULTILINE))


def words(name: str) -> set[str]:
    """The words of a variable of the Makefile."""
    (found,) = re.findall(rf"^{name} := (.*)$", MAKEFILE, re.MULTILINE)
    return set(found.split())


def markers() -> set[str]:
    tools: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    return {line.partition(":")[0] for line in tools["pytest"]["ini_options"]["markers"]}


def test_the_hooks_before_a_commit_run_the_quick_commands_of_make_check() -> None:
    lines = [line.removeprefix("\t").removeprefix("@") for line in recipe("check").splitlines() if line[0] == "\t"]
    commands = [line.replace("$(BIN)", ".venv/bin") for line in lines]
    quick = [line for line in commands if not any(slow in line for slow in SLOW)]
    assert len(commands) == len(quick) + len(SLOW)
    (repository,) = yaml_parse((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    entries = [re.sub(r"^env (?:\w+=\S+ )+", "", hook["entry"]) for hook in repository["hooks"]]
    assert entries == quick
    assert repository["repo"] == "local"
    assert {(hook["language"], hook["pass_filenames"]) for hook in repository["hooks"]} == {("system", False)}


def test_every_target_is_a_part_of_test_all_or_no_test() -> None:
    parts = words("ONE_BY_ONE") | words("TWO_AT_ONCE") | words("THEN")
    assert parts == listed() - NO_PARTS - {"test", "test-all", EXHAUSTIVE}
    looked_for = set(re.findall(r"^LOOK\.([a-z-]+) ", MAKEFILE, re.MULTILINE))
    assert looked_for <= parts


@pytest.mark.parametrize(
    ("given", "shows"), [(["EVENTS=1"], True), (["EVENTS=0"], False), (["EVENTS="], False), ([], False)]
)
def test_make_run_shows_events_if_it_is_asked_to_on_its_own_command_line(given: list[str], *, shows: bool) -> None:
    # The variable of the environment is another program's.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")} | {"EVENTS": "1"}
    command = ["make", "--dry-run", "run", *given]
    printed = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout
    (serve,) = (line for line in printed.splitlines() if "-m tests.local" in line)
    assert ("--events" in serve) is shows


def test_every_marker_has_a_target_that_runs_it() -> None:
    marked = dict(re.findall(r"^MARKED\.([a-z-]+) := (\w+) tests/\w+$", MAKEFILE, re.MULTILINE))
    assert set(marked.values()) == markers() - {"long"}
    assert set(marked) <= listed()


def test_the_ci_runs_test_all_with_every_test() -> None:
    commands = [line for line in (ROOT / ".ci" / "run").read_text().splitlines() if line and line[0] != "#"]
    assert commands[-2:] == ["export EVERY_TEST_MUST_RUN=1", "exec .ci/browser .ci/containers make test-all"]


class Collected:
    """A test, as the quick run sees it."""

    def __init__(self, *marks: str) -> None:
        self.marks = marks

    def get_closest_marker(self, name: str) -> bool:
        return name in self.marks


@pytest.mark.parametrize("quick", [False, True])
def test_the_quick_run_alone_leaves_long_tests_out_and_tries_fewer_examples(
    *, quick: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Run, "is_quick", quick)
    short, long = Collected(), Collected("long")
    config, items = mock.Mock(), [short, long]
    pytest_collection_modifyitems(config, items)  # type: ignore[arg-type]
    assert items == ([short] if quick else [short, long])
    assert config.hook.pytest_deselected.mock_calls == ([mock.call(items=[long])] if quick else [])
    assert examples(200) == (40 if quick else 200)


def test_make_test_asks_for_the_quick_run_and_the_one_that_measures_does_not() -> None:
    assert recipe("test") == "\t@$(PYTEST) $(IN_PARALLEL) --quick $(ARGS)\n"
    assert "--quick" not in recipe("test-coverage")
