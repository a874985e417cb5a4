"""Jittered exponential backoff."""

from __future__ import annotations

from itertools import islice

from hypothesis import given
from hypothesis import strategies as st

from oauth_broker.backoff import pauses


def least(count: int) -> bytes:
    return b"\x00" * count


def most(count: int) -> bytes:
    return b"\xff" * count


def test_the_bound_doubles_until_the_longest_pause() -> None:
    assert list(islice(pauses(most), 7)) == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0, 1.0]
    assert list(islice(pauses(most, first=0.5, longest=3.0), 5)) == [0.5, 1.0, 2.0, 3.0, 3.0]


def test_the_shortest_pause_is_half_of_its_bound() -> None:
    assert list(islice(pauses(least), 5)) == [0.05, 0.1, 0.2, 0.4, 0.5]


@given(st.binary(min_size=30, max_size=30), st.floats(0.01, 1), st.floats(1, 5))
def test_every_pause_lies_between_half_of_its_bound_and_all_of_it(noise: bytes, first: float, longest: float) -> None:
    rest = iter(noise)
    found = islice(pauses(lambda count: bytes(next(rest) for _ in range(count)), first, longest), len(noise))
    for index, pause in enumerate(found):
        bound = min(first * 2**index, longest)
        assert bound / 2 - 1e-9 <= pause <= bound + 1e-9


def test_workers_with_different_noise_do_not_pause_alike() -> None:
    firsts = {next(pauses(lambda count, value=value: bytes([value] * count))) for value in range(256)}  # type: ignore[misc]
    assert len(firsts) == 256
