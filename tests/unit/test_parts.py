"""The parts share the clock and the source of random bytes that their caller passes in."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import pytest

from oauth_broker.backends.parts import BackendParts
from oauth_broker.config.settings import Settings
from oauth_broker.operations.parts import Parts
from oauth_broker.operations.pause import APPS, BACKENDS
from oauth_broker.operator.parts import OperatorParts
from tests.support.clock import VirtualClock
from tests.support.functions import ENDPOINTS
from tests.unit.fakes import ENVIRONMENT


def no_bytes(count: int) -> bytes:
    raise AssertionError(f"{count} random bytes were asked for before any request")


def made(kind: type[Parts], clock: VirtualClock) -> dict[str, Any]:
    """Make every part of a kind, over clients of no service."""
    parts: Any = kind(Settings.from_environment(ENVIRONMENT), clock, no_bytes)
    parts.dynamodb = parts.secretsmanager = object()
    names = [name for cls in kind.__mro__ for name, value in vars(cls).items() if isinstance(value, cached_property)]
    return {name: getattr(parts, name) for name in names}


def attributes(part: object, seen: set[int]) -> Iterator[tuple[str, Any]]:
    """Yield the attributes of a part and of all parts in it."""
    if id(part) in seen or not type(part).__module__.startswith("oauth_broker."):
        return
    seen.add(id(part))
    for name, value in getattr(part, "__dict__", {}).items():
        yield f"{type(part).__name__}.{name}", value
        yield from attributes(value, seen)


def test_the_backends_have_a_pause_of_their_own_that_keeps_the_apps_too() -> None:
    parts = made(BackendParts, VirtualClock())
    assert parts["turns"].pause is parts["pause"]
    assert parts["renewal"]._pause is parts["pause"]
    assert parts["pause"]._settings is BACKENDS
    assert parts["pause"]._wider._settings is APPS


@pytest.mark.parametrize("kind", [Parts, BackendParts, OperatorParts])
def test_every_part_gets_the_given_clock_and_source_of_random_bytes(kind: type[Parts]) -> None:
    clock, seen = VirtualClock(), set[int]()
    parts = made(kind, clock)
    assert {*ENDPOINTS.values()} - {"token", "sessions", "backend"} <= set(parts)
    found = [pair for part in parts.values() for pair in attributes(part, seen)]
    sources = {name: value for name, value in found if name.rpartition(".")[2].lstrip("_") == "random_bytes"}
    clocks = {name: value for name, value in found if name.rpartition(".")[2].lstrip("_") == "clock"}
    assert len(sources) >= 5
    assert {name for name, value in sources.items() if value is not no_bytes} == set()
    assert {name for name, value in clocks.items() if value is not clock} == set()
