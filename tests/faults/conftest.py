"""Fixtures for the tests of races, crashes and faults."""

from __future__ import annotations

import importlib
import pkgutil
import sys
import threading
from collections.abc import Iterator

import pytest

import oauth_broker

# Coverage measures these imports. It does not measure a test below, which may be the first to need a module.
for _module in pkgutil.walk_packages(oauth_broker.__path__, "oauth_broker."):
    importlib.import_module(_module.name)


@pytest.fixture(autouse=True)
def _not_measured() -> Iterator[None]:
    """Turn coverage off: with it, these hundreds of thousands of schedules would take twice as long.

    The other tests give the coverage. pytest-cov's own fixture does nothing in the processes of pytest-xdist.
    """
    own, of_threads = sys.gettrace(), threading.gettrace()
    sys.settrace(None)
    threading.settrace(None)
    yield
    sys.settrace(own)
    threading.settrace(of_threads)
