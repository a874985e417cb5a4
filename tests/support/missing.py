"""Skips or fails a test if this machine lacks something for it."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest

EVERY_TEST_MUST_RUN = "EVERY_TEST_MUST_RUN"


def missing(what: str) -> NoReturn:
    """Skip the test. If the environment says that every test must run, fail it."""
    if os.environ.get(EVERY_TEST_MUST_RUN, "") not in ("", "0"):
        pytest.fail(f"{EVERY_TEST_MUST_RUN} is set, and something is missing: {what}", pytrace=False)
    pytest.skip(what)
