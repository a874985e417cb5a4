"""Retries until the time runs out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oauth_broker.clock import Backoff
from tests.support.clock import NOW, VirtualClock


def least(count: int) -> bytes:
    return b"\x00" * count


def most(count: int) -> bytes:
    return b"\xff" * count


def pauses(clock: VirtualClock, tries: Iterator[int], count: int) -> list[float]:
    """Return the pauses before the first ``count`` tries, rounded to nanoseconds; fewer if the tries end."""
    times = [clock.time for _ in islice(tries, count + 1)]
    return [round(later - earlier, 6) for earlier, later in pairwise(times)]


def endless() -> float:
    return 1e9


def test_the_bound_doubles_until_the_longest_pause() -> None:
    clock = VirtualClock()
    assert pauses(clock, Backoff(clock, most).tries(endless), 7) == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0, 1.0]
    assert pauses(clock, Backoff(clock, most).tries(endless, first=0.5, longest=3.0), 5) == [0.5, 1.0, 2.0, 3.0, 3.0]


def test_the_tries_are_numbered_from_0() -> None:
    assert list(islice(Backoff(VirtualClock(), most).tries(endless), 4)) == [0, 1, 2, 3]


def test_the_shortest_pause_is_half_of_its_bound() -> None:
    clock = VirtualClock()
    assert pauses(clock, Backoff(clock, least).tries(endless), 5) == [0.05, 0.1, 0.2, 0.4, 0.5]


@given(st.binary(min_size=40, max_size=40), st.floats(0.01, 1), st.floats(1, 5))
def test_every_pause_lies_between_half_of_its_bound_and_all_of_it(noise: bytes, first: float, longest: float) -> None:
    rest = iter(noise)
    clock = VirtualClock()
    backoff = Backoff(clock, lambda count: bytes(next(rest) for _ in range(count)))
    for index, pause in enumerate(pauses(clock, backoff.tries(endless, first=first, longest=longest), 30)):
        bound = min(first * 2**index, longest)
        assert bound / 2 - 1e-5 <= pause <= bound + 1e-5


def test_workers_with_different_noise_do_not_pause_alike() -> None:
    def worker(value: int) -> Callable[[int], bytes]:
        return lambda count: bytes([value] * count)

    firsts = set()
    for value in range(256):
        clock = VirtualClock()
        firsts.update(pauses(clock, Backoff(clock, worker(value)).tries(endless), 1))
    assert len(firsts) == 256


def test_the_first_try_comes_at_once_however_little_time_is_left() -> None:
    for left in (0.0, -5.0):
        clock = VirtualClock()
        assert len(list(Backoff(clock, most).tries(lambda left=left: left))) == 1  # type: ignore[misc]
        assert clock.time == NOW


def test_no_try_comes_after_the_time_that_is_left_and_no_pause_is_spent_in_vain() -> None:
    clock = VirtualClock()
    ends_at = NOW + 1.6
    tried = [clock.time for _ in Backoff(clock, most).tries(lambda: ends_at - clock.time)]
    # After pauses of 0.1, 0.2, 0.4 and 0.8 seconds, 0.1 second is left. The next pause would take a whole second.
    assert [round(time - NOW, 6) for time in tried] == [0, 0.1, 0.3, 0.7, 1.5]
    assert clock.time == tried[-1]


@pytest.mark.parametrize("seconds", [0, 0.05, 1, 3, 8])
@pytest.mark.parametrize("noise", [least, most])
def test_tries_for_some_seconds_end_within_them(seconds: float, noise: Callable[[int], bytes]) -> None:
    clock = VirtualClock()
    tried = [clock.time - NOW for _ in Backoff(clock, noise).tries_for(seconds)]
    assert tried[0] == 0
    assert tried[-1] <= seconds
    # The tries went on until there was no time for another one.
    assert seconds - tried[-1] <= 1


def test_the_time_of_a_try_counts_too() -> None:
    clock = VirtualClock()
    tried = 0
    for _ in Backoff(clock, least).tries_for(3):
        tried += 1
        clock.sleep(2)
    assert tried == 2
