"""The limit for requests from one source to one app."""

from __future__ import annotations

import pytest

from oauth_broker.operations import rate_limits
from oauth_broker.operations.rate_limits import HOUR, MINUTE, RateLimits
from tests.support.clock import VirtualClock

APP, SOURCE = "app", "192.0.2.1"


def taken(limits: RateLimits, tries: int, source: str = SOURCE, client_id: str = APP) -> int:
    """Return the number of requests that get through."""
    through = 0
    for _ in range(tries):
        if not limits.is_exceeded(client_id, source):
            limits.count(client_id, source)
            through += 1
    return through


@pytest.mark.parametrize("per_minute", [1, 2, 3, 7, 60, 299, 300, 301, 5999, 6000])
def test_exactly_so_many_at_once_and_as_many_again_in_the_minute_that_follows(per_minute: int) -> None:
    clock = VirtualClock()
    limits = RateLimits(per_minute, MINUTE, clock)
    assert taken(limits, per_minute + 5) == per_minute
    through = 0
    for _ in range(per_minute):
        clock.time += 60 / per_minute
        through += taken(limits, 2)
    assert through == per_minute


def test_in_an_hour_so_many_and_after_that_one_at_a_time() -> None:
    clock = VirtualClock()
    limits = RateLimits(600, HOUR, clock)
    assert taken(limits, 700) == 600
    clock.time += 60
    assert taken(limits, 700) == 10
    clock.time += HOUR
    assert taken(limits, 700) == 600


def test_after_a_flood_of_any_length_there_is_room_again_in_a_moment() -> None:
    clock = VirtualClock()
    limits = RateLimits(60, MINUTE, clock)
    for _ in range(10_000):
        limits.count(APP, SOURCE)
    assert limits.is_exceeded(APP, SOURCE)
    clock.time += 1
    assert taken(limits, 5) == 1


def test_another_source_and_another_app_are_not_concerned() -> None:
    limits = RateLimits(3, MINUTE, VirtualClock())
    assert taken(limits, 5) == 3
    assert taken(limits, 5, source="192.0.2.2") == 3
    assert taken(limits, 5, client_id="other") == 3


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8:0:1::1", "2001:db8:0:1:ffff:ffff:ffff:ffff", True),
        ("2001:db8:0:1::1", "2001:DB8:0:1:0:0:0:1", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("192.0.2.1", "192.0.2.2", False),
        ("", "", True),
        ("no address", "no address", True),
        ("no address", "another", False),
    ],
)
def test_a_whole_ipv6_network_is_one_source(one: str, other: str, same: bool) -> None:
    limits = RateLimits(1, MINUTE, VirtualClock())
    limits.count(APP, one)
    assert limits.is_exceeded(APP, one)
    assert limits.is_exceeded(APP, other) is same


def test_no_limit_is_none_and_keeps_nothing() -> None:
    limits = RateLimits(0, MINUTE, VirtualClock())
    assert taken(limits, 100_000) == 100_000
    assert len(limits._paid_until) == 0


def test_memory_is_bounded_and_what_is_forgotten_is_forgiven() -> None:
    limits = RateLimits(1, MINUTE, VirtualClock())
    limits.count(APP, SOURCE)
    for number in range(rate_limits._MOST_PAIRS + 5):
        limits.count(APP, f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert len(limits._paid_until) == rate_limits._MOST_PAIRS
    assert not limits.is_exceeded(APP, SOURCE)
