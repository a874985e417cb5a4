"""The restoration of a process from a snapshot."""

from __future__ import annotations

import random
import ssl
import sys
from collections.abc import Callable
from types import ModuleType

import pytest

from oauth_broker.runtime import snap_start


def test_a_runtime_with_snapshots_is_told_to_reseed(monkeypatch: pytest.MonkeyPatch) -> None:
    registered: list[Callable[[], None]] = []
    runtime = ModuleType("snapshot_restore_py")
    runtime.register_after_restore = registered.append  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "snapshot_restore_py", runtime)
    snap_start.reseed_when_restored()
    assert registered == [snap_start.reseed]


def test_a_runtime_without_snapshots_is_told_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "snapshot_restore_py", None)
    snap_start.reseed_when_restored()


def test_a_runtime_module_that_is_broken_stops_the_function(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "snapshot_restore_py", ModuleType("snapshot_restore_py"))
    with pytest.raises(AttributeError):
        snap_start.reseed_when_restored()


def test_openssl_gets_32_bytes_from_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[tuple[bytes, float]] = []
    monkeypatch.setattr(ssl, "RAND_add", lambda seed, entropy: given.append((seed, entropy)))
    snap_start.reseed()
    snap_start.reseed()
    (first, entropy), (second, _) = given
    assert len(first) == entropy == 32
    assert first != second


def test_the_standard_generator_no_longer_goes_on_where_the_snapshot_was_taken() -> None:
    state = random.getstate()
    try:
        expected = [random.random() for _ in range(4)]
        random.setstate(state)
        snap_start.reseed()
        assert [random.random() for _ in range(4)] != expected
    finally:
        random.setstate(state)
