"""Fixtures of the tests of races, crashes and faults."""

from __future__ import annotations

import importlib
import pkgutil
import sys
import threading
from collections.abc import Iterator

import pytest

import oauth_broker

# Here, where it is measured: one of these tests may be the first to need a module.
for _module in pkgutil.walk_packages(oauth_broker.__path__, "oauth_broker."):
    importlib.import_module(_module.name)


@pytest.fixture(autouse=True)
def _not_measured() -> Iterator[None]:
    """Coverage is that of the other tests: measured, these hundred thousands of schedules would take twice as long.

    pytest-cov's own fixture for this does nothing in the processes of pytest-xdist.
    """
    own, of_threads = sys.gettrace(), threading.gettrace()
    sys.settrace(None)
    threading.settrace(None)
    yield
    sys.settrace(own)
    threading.settrace(of_threads)
