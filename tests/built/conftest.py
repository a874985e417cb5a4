"""What the tests of the built artifacts need: a build, and a Python of the runtime's version."""

from __future__ import annotations

import os

import pytest

from tests.built.artifacts import BarePython


@pytest.fixture
def python3_13() -> BarePython:
    """Whichever the build has found; where it must be there, not to have it is a failure."""
    found, must = os.environ.get("PYTHON3_13", ""), os.environ.get("PYTHON3_13_REQUIRED", "") not in ("", "0")
    if not found and must:
        pytest.fail("PYTHON3_13_REQUIRED is set, and no python3.13 was found: set PYTHON3_13 to one", pytrace=False)
    if not found:
        pytest.skip("no python3.13 was found (set PYTHON3_13 to one): the layers have no bytecode to test")
    return BarePython(found)
