"""Print the number of visited states in one line at the end of every run."""

from __future__ import annotations

import pytest

VISITED = pytest.StashKey[int]()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if states := config.stash.get(VISITED, 0):
        terminalreporter.write_line(f"Model of the refresh protocol: {states:,} states visited")


@pytest.fixture
def visited(request: pytest.FixtureRequest) -> VisitedStates:
    return VisitedStates(request)


class VisitedStates:
    """Prints the visited states of a test (see them with `-s`) and adds them up for the last line."""

    def __init__(self, request: pytest.FixtureRequest) -> None:
        self._request = request

    def add(self, states: int, result: object) -> None:
        stash = self._request.config.stash
        stash[VISITED] = stash.get(VISITED, 0) + states
        print(f"\n{self._request.node.name}: {result}")
