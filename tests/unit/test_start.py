"""The last step of a function's start."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from oauth_broker.runtime.start import started


@pytest.fixture(autouse=True)
def unfrozen() -> Iterator[None]:
    gc.unfreeze()
    yield
    gc.unfreeze()


def handler() -> None:
    """Stand for a handler."""


@pytest.mark.parametrize("kind", ["on-demand", "snap-start", "provisioned-concurrency"])
def test_in_lambda_the_objects_of_the_start_are_searched_no_more(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_LAMBDA_INITIALIZATION_TYPE", kind)
    there = len(gc.get_objects())
    assert started(handler) is handler
    # An assertion on the list itself would show each object.
    left = len(gc.get_objects())
    assert gc.get_freeze_count() >= there
    assert left < there / 100


def test_on_one_machine_everything_is_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_LAMBDA_INITIALIZATION_TYPE", raising=False)
    assert started(handler) is handler
    assert gc.get_freeze_count() == 0
