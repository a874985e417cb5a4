"""Fixtures for the tests of the build: a Python of the runtime's version."""

from __future__ import annotations

import os

import pytest

from tests.built.artifacts import BarePython
from tests.support.missing import missing


@pytest.fixture
def python3_13() -> BarePython:
    """The Python that the build has found."""
    if not (found := os.environ.get("PYTHON3_13", "")):
        missing("no python3.13 was found (set PYTHON3_13 to one), so the layers have no bytecode to test")
    return BarePython(found)
