"""The environment variables of this process, which all functions of a stack share."""

from __future__ import annotations

import os
from collections.abc import Mapping


class ProcessEnvironment:
    """Sets variables and remembers what they were."""

    def __init__(self) -> None:
        """Remember nothing yet."""
        self._before: dict[str, str | None] = {}

    def set(self, variables: Mapping[str, str | None]) -> None:
        """Set variables; None removes one."""
        for name, value in variables.items():
            self._before.setdefault(name, os.environ.get(name))
            _put(name, value)

    def restore(self) -> None:
        """Make every variable that was set what it was before."""
        for name, value in self._before.items():
            _put(name, value)
        self._before.clear()


def _put(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value
