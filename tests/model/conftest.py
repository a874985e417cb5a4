"""Print the number of visited states at the end of every run, in one line for each store of the tokens."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.model.search import Result
from tests.model.variant import Store

VISITED = pytest.StashKey[Counter[Store]]()
NAMES: dict[Store, str] = {"secrets": "a session with a secret", "row": "a session in the row"}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for store, states in config.stash.get(VISITED, Counter()).items():
        terminalreporter.write_line(f"Model of the refresh protocol, {NAMES[store]}: {states:,} states visited")


@pytest.fixture
def visited(request: pytest.FixtureRequest) -> VisitedStates:
    return VisitedStates(request)


class VisitedStates:
    """Prints the visited states of a test (see them with `-s`) and adds them up for the last line."""

    def __init__(self, request: pytest.FixtureRequest) -> None:
        self._request = request

    def add(self, states: int, result: Result) -> None:
        self._request.config.stash.setdefault(VISITED, Counter())[result.store] += states
        print(f"\n{self._request.node.name}: {result}")
