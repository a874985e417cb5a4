"""Print the number of visited states at the end of every run, in one line for each kind of model."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.model.search import Modelled, Result

VISITED = pytest.StashKey[Counter[Modelled]]()
NAMES: dict[Modelled, str] = {
    "secrets": "a session with a secret",
    "row": "a session in the row",
    "person": "a person with several sessions",
}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for modelled, states in config.stash.get(VISITED, Counter()).items():
        terminalreporter.write_line(f"Model of the refresh protocol, {NAMES[modelled]}: {states:,} states visited")


@pytest.fixture
def visited(request: pytest.FixtureRequest) -> VisitedStates:
    return VisitedStates(request)


class VisitedStates:
    """Prints the visited states of a test (see them with `-s`) and adds them up for the last line."""

    def __init__(self, request: pytest.FixtureRequest) -> None:
        self._request = request

    def add(self, states: int, result: Result) -> None:
        self._request.config.stash.setdefault(VISITED, Counter())[result.modelled] += states
        print(f"\n{self._request.node.name}: {result}")
