"""The quick run, which `make test` asks for: it leaves out the tests that are marked long, and tries fewer examples."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def long_but(quick: Iterable[Any], values: Iterable[Any]) -> list[Any]:
    """Return the values as parameters of a test. Those in ``quick`` are in the quick run too; the others are long."""
    in_quick = list(quick)
    parameters = list(values)
    assert [value for value in in_quick if value not in parameters] == []
    return [value if value in in_quick else pytest.param(value, marks=pytest.mark.long) for value in parameters]


def long(*rows: tuple[Any, ...]) -> list[Any]:
    """Return these rows of several parameters as long ones."""
    return [pytest.param(*row, marks=pytest.mark.long) for row in rows]


class Run:
    """The run of pytest; ``is_quick`` if it has the option --quick."""

    is_quick = False


def examples(number: int) -> int:
    """Return how many examples hypothesis tries: all, or a fifth of them in the quick run."""
    return number // 5 if Run.is_quick else number
